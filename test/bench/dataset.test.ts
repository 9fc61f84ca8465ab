/**
 * The benchmark's data: the same in every process, of the promised shape.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Dataset } from '../../bench/data/dataset.ts';
import { Random } from '../../bench/data/random.ts';
import { Zipf } from '../../bench/data/zipf.ts';
import { codecByName } from '../../src/shared/table/compression.ts';
import { compressBlock } from '../../src/shared/table/seal-block.ts';

const SHAPE = { suffix: '', keyPrefix: 'p/', valueBytes: 100 };

describe('Random', () => {
  test('a seed gives one sequence', () => {
    const [a, b, c] = [new Random(1), new Random(1), new Random(2)];
    const draw = (random: Random): number[] => Array.from({ length: 50 }, () => random.next32());
    const first = draw(a);
    assert.deepEqual(draw(b), first);
    assert.notDeepEqual(draw(c), first);
  });

  test('permutation() has every number once, shuffled', () => {
    const order = new Random(3).permutation(1000);
    assert.deepEqual(
      [...order].sort((a, b) => a - b),
      Array.from({ length: 1000 }, (_, i) => i),
    );
    assert.notEqual(order[0]! + order[1]! + order[2]!, 3);
  });

  test('below() is about uniform', () => {
    const counts = new Array<number>(10).fill(0);
    for (const drawn of new Random(4).draws(100_000, 10)) counts[drawn]!++;
    for (const count of counts) assert.ok(Math.abs(count - 10_000) < 500, `${counts}`);
  });
});

describe('Zipf', () => {
  test('draws few numbers often, all below the count', () => {
    const drawn = new Zipf(new Random(5), 10_000).draws(50_000);
    const counts = new Map<number, number>();
    for (const each of drawn) counts.set(each, (counts.get(each) ?? 0) + 1);
    const sorted = [...counts.values()].sort((a, b) => b - a);
    assert.ok(Math.max(...counts.keys()) < 10_000);
    // 1 / zeta(10,000, 0.99) is 9.5 %.
    assert.ok(sorted[0]! > 3500 && sorted[0]! < 6500, `${sorted[0]}`);
  });

  test('rank() stays in a range of one', () => {
    const zipf = new Zipf(new Random(6), 1);
    for (let i = 0; i < 100; i++) assert.equal(zipf.rank(), 0);
  });
});

describe('Dataset', () => {
  const data = new Dataset(1_000_000, SHAPE);

  test('keys are the prefix and 16 digits, ordered like their records', () => {
    assert.equal(data.key(0).toString(), 'p/0000000000000000');
    assert.equal(data.key(987_654).toString(), 'p/0000000001975308');
    assert.equal(data.key(16_000_000).toString(), 'p/0000000032000000');
  });

  test('a missing key lies between two present ones', () => {
    assert.ok(Buffer.compare(data.key(41), data.missingKey(41)) < 0);
    assert.ok(Buffer.compare(data.missingKey(41), data.key(42)) < 0);
  });

  test('keys keep their bytes when more are made', () => {
    const keys = Array.from({ length: 10_000 }, (_, record) => data.key(record));
    for (const [record, key] of keys.entries()) assert.equal(Number(key.toString().slice(2)), record * 2);
  });

  test('values are the same in another dataset, and differ by record and generation', () => {
    const other = new Dataset(1_000_000, SHAPE);
    for (const record of [0, 1, 999, 999_999]) {
      assert.equal(data.value(record).length, 100);
      assert.deepEqual(other.value(record), data.value(record));
      assert.notDeepEqual(data.value(record, 1), data.value(record));
    }
    assert.notDeepEqual(data.value(0), data.value(1));
  });

  test('values are about half compressible', () => {
    const block = Buffer.concat(Array.from({ length: 40 }, (_, record) => data.value(record)));
    const output = new Uint8Array(block.length * 2);
    const ratio = compressBlock(codecByName('snappy'), block, output) / block.length;
    assert.ok(ratio > 0.4 && ratio < 0.75, `${ratio}`);
  });

  test('expect() throws for a missing and for a wrong value', () => {
    data.expect(7, Uint8Array.from(data.value(7)));
    assert.throws(() => data.expect(7, undefined), /not found/);
    assert.throws(() => data.expect(7, data.value(8)), /another value/);
  });
});
