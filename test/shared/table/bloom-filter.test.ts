/** The filter never denies a key it holds, and is wrong about others as rarely as it should be. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BloomFilter, BloomFilterBuilder, hashKey } from '../../../src/shared/table/bloom-filter.ts';
import { seededRandom } from '../../helpers/rng.ts';
import { freshSeed, reportSeed } from '../../helpers/run-budget.ts';
import { utf8 } from '../../helpers/tables.ts';

function hashOf(text: string): number {
  const bytes = utf8(text);
  return hashKey(bytes, 0, bytes.length);
}

function filterOf(hashes: Iterable<number>, bitsPerKey: number): BloomFilter {
  const builder = new BloomFilterBuilder(bitsPerKey);
  for (const hash of hashes) builder.add(hash);
  const bytes = builder.encode();
  assert.equal(bytes.length, builder.encodedLength);
  const filter = BloomFilter.decode(bytes);
  assert.ok(filter !== undefined);
  return filter;
}

/** Shapes of keys that services really use: neighbours differ in one or two digits. */
const SHAPES: Readonly<Record<string, (i: number) => string>> = {
  'counters of 16 digits': (i) => String(i).padStart(16, '0'),
  'short decimal keys': (i) => `${i}`,
  'user:<n>:name': (i) => `user:${i}:name`,
  'long common prefix': (i) => `tenant/0000000042/collection/orders/item/${i.toString(36)}`,
};

for (const [shape, key] of Object.entries(SHAPES)) {
  test(`BloomFilter holds all its keys and has about 1% false positives at 10 bits: ${shape}`, () => {
    const count = 100_000;
    const present = Array.from({ length: count }, (_, i) => hashOf(key(i * 2)));
    const filter = filterOf(present, 10);
    assert.ok(present.every((hash) => filter.mayContain(hash)));
    let falsePositives = 0;
    for (let i = 0; i < count; i++) if (filter.mayContain(hashOf(key(i * 2 + 1)))) falsePositives++;
    const rate = falsePositives / count;
    assert.ok(rate < 0.013, `false positive rate ${rate}`);
  });
}

test('BloomFilter gets better with more bits per key', () => {
  const present = Array.from({ length: 20_000 }, (_, i) => hashOf(`present ${i}`));
  const rateAt = (bits: number): number => {
    const filter = filterOf(present, bits);
    assert.ok(present.every((hash) => filter.mayContain(hash)));
    let count = 0;
    for (let i = 0; i < 100_000; i++) if (filter.mayContain(hashOf(`absent ${i}`))) count++;
    return count / 100_000;
  };
  const rates = [1, 4, 8, 12, 20].map(rateAt);
  for (let i = 1; i < rates.length; i++) assert.ok(rates[i]! < rates[i - 1]!, `${rates}`);
  assert.ok(rates[4]! < 0.0005, `${rates}`);
});

test('BloomFilter serves tables of one key and of very many', () => {
  const one = filterOf([hashOf('one')], 10);
  assert.ok(one.mayContain(hashOf('one')));
  assert.equal(one.memoryBytes, 64);
});

test('BloomFilter.decode refuses what is no filter', () => {
  const good = new BloomFilterBuilder(10).encode();
  assert.ok(BloomFilter.decode(good) !== undefined);
  for (const wrong of [good.slice(0, 7), good.slice(0, -1), new Uint8Array([...good, 0])]) {
    assert.equal(BloomFilter.decode(wrong), undefined);
  }
  for (const [position, value] of [
    [0, 0],
    [0, 17],
    [1, 1],
    [4, 0],
    [7, 255],
  ] as const) {
    const mutant = good.slice();
    mutant[position] = value;
    assert.equal(BloomFilter.decode(mutant), undefined);
  }
});

test('hashKey depends on the bytes of the range alone', (t) => {
  const random = seededRandom(freshSeed());
  reportSeed(t, random.seed);
  for (let length = 0; length < 40; length++) {
    const bytes = random.bytes(length);
    const padded = new Uint8Array([1, 2, 3, ...bytes, 4, 5]);
    assert.equal(hashKey(padded, 3, 3 + length), hashKey(bytes, 0, length));
  }
});

test('hashKey is part of the format and never changes', () => {
  assert.deepEqual(['', 'a', 'abcd', 'stratakv', 'a key of 21 bytes here'].map(hashOf), GOLDEN);
});

test('hashKey spreads like chance: no more collisions than expected among a million keys', () => {
  const count = 1_000_000;
  const hashes = new Uint32Array(count);
  const bytes = utf8('0000000000000000');
  for (let i = 0; i < count; i++) {
    for (let j = 15, rest = i; j > 8; j--, rest = Math.floor(rest / 10)) bytes[j] = 48 + (rest % 10);
    hashes[i] = hashKey(bytes, 0, 16);
  }
  hashes.sort();
  let collisions = 0;
  for (let i = 1; i < count; i++) if (hashes[i] === hashes[i - 1]) collisions++;
  // count^2 / 2^33 = 116 are expected.
  assert.ok(collisions < 180, `${collisions} collisions`);
});

const GOLDEN = [237450808, 3890986214, 4211994159, 297912956, 1441828647];
