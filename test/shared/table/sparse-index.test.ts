/** Separators and the search for the block of a key. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compareKeys } from '../../../src/shared/base/bytes.ts';
import {
  SparseIndex,
  SparseIndexBuilder,
  shortestSeparator,
} from '../../../src/shared/table/sparse-index.ts';
import { seededRandom } from '../../helpers/rng.ts';
import { freshSeed, reportSeed } from '../../helpers/run-budget.ts';
import { utf8 } from '../../helpers/tables.ts';

function separatorOf(last: Uint8Array, next: Uint8Array): Uint8Array {
  return shortestSeparator(last, last.length, next, 0, next.length);
}

test('shortestSeparator is what one would write down', () => {
  const cases: readonly [last: string, next: string, separator: string][] = [
    ['abc', 'abf', 'abd'],
    ['abcdef', 'abf', 'abd'],
    ['abc', 'abd', 'abc'],
    ['abcdef', 'abd', 'abce'],
    ['abc', 'abdxyz', 'abd'],
    ['ab', 'abc', 'ab'],
    ['ab', 'ab', 'ab'],
    ['', 'a', ''],
    ['a', 'c', 'b'],
  ];
  for (const [last, next, separator] of cases) {
    assert.equal(Buffer.from(separatorOf(utf8(last), utf8(next))).toString(), separator, `${last} ${next}`);
  }
  assert.deepEqual([...separatorOf(new Uint8Array([1, 255, 255]), new Uint8Array([2]))], [1, 255, 255]);
  assert.deepEqual([...separatorOf(new Uint8Array([1, 255, 7, 9]), new Uint8Array([2]))], [1, 255, 8]);
});

test('shortestSeparator lies in [last, next), and nothing shorter does', (t) => {
  const random = seededRandom(freshSeed());
  reportSeed(t, random.seed);
  // Three byte values, so that every key up to the separator's length can be tried.
  const values = [0, 254, 255];
  const keysOfLength = (length: number): number[][] =>
    length === 0 ? [[]] : keysOfLength(length - 1).flatMap((key) => values.map((value) => [...key, value]));
  const allKeys = [0, 1, 2, 3].flatMap(keysOfLength).map((key) => Uint8Array.from(key));
  for (const last of allKeys) {
    for (const next of allKeys) {
      if (compareKeys(last, next) >= 0) continue;
      const separator = separatorOf(last, next);
      assert.ok(compareKeys(last, separator) <= 0 && compareKeys(separator, next) < 0);
      const shorter = allKeys.filter((key) => key.length < separator.length);
      assert.ok(!shorter.some((key) => compareKeys(last, key) <= 0 && compareKeys(key, next) < 0));
    }
  }
});

test('SparseIndex.find returns the first block whose separator is >= key', (t) => {
  const random = seededRandom(freshSeed());
  reportSeed(t, random.seed);
  for (let round = 0; round < 200; round++) {
    const prefix = random.bytes(random.below(6));
    const key = (): Uint8Array => {
      const tail = Array.from({ length: random.below(8) }, () => random.pick([0, 0, 1, 97, 255]));
      return Uint8Array.from([...(random.chance(0.9) ? prefix : []), ...tail]);
    };
    const separators = Array.from({ length: random.between(1, 40) }, key).sort(compareKeys);
    const builder = new SparseIndexBuilder();
    let end = 0;
    for (const [i, separator] of separators.entries()) {
      builder.add(100 + i, separator);
      end += 100 + i;
    }
    const bytes = builder.encode();
    assert.equal(bytes.length, builder.encodedLength);
    const index = SparseIndex.decode(bytes, end);
    assert.ok(index !== undefined);
    assert.equal(index.blockCount, separators.length);
    assert.equal(index.blockOffset(separators.length), end);
    for (let i = 0; i < 40; i++) {
      const wanted = i < separators.length && random.chance(0.5) ? separators[i]! : key();
      const expected = separators.findIndex((separator) => compareKeys(separator, wanted) >= 0);
      assert.equal(index.find(wanted), expected < 0 ? separators.length : expected);
    }
  }
});

test('SparseIndex keeps offsets beyond 4 GiB', () => {
  const builder = new SparseIndexBuilder();
  for (const key of ['a', 'b', 'c']) builder.add(0xfffffff0, utf8(key));
  const index = SparseIndex.decode(builder.encode(), 3 * 0xfffffff0);
  assert.equal(index?.blockOffset(2), 2 * 0xfffffff0);
  assert.equal(index?.blockSize(2), 0xfffffff0);
});

test('SparseIndex.decode refuses what is no index of blocks that fill the file', () => {
  const builder = new SparseIndexBuilder();
  builder.add(100, utf8('abc'));
  builder.add(200, utf8('b'));
  const good = builder.encode();
  assert.ok(SparseIndex.decode(good, 300) !== undefined);
  assert.equal(SparseIndex.decode(good, 301), undefined);
  for (let length = 0; length < good.length; length++) {
    assert.equal(SparseIndex.decode(good.slice(0, length), 300), undefined);
  }
  for (const [position, value] of [
    [0, 0],
    [0, 3],
    [3, 255],
    [4, 9],
    [12, 5],
    [16, 3],
  ] as const) {
    const mutant = good.slice();
    mutant[position] = value;
    assert.equal(SparseIndex.decode(mutant, 300), undefined, `byte ${position}`);
  }
});
