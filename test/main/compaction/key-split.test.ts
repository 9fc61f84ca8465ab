/** splitKeys(): ranges that follow on each other, cover everything, and are about equal. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type KeySample, splitKeys } from '../../../src/main/compaction/key-split.ts';
import { compareKeys } from '../../../src/shared/base/bytes.ts';
import { seededRandom } from '../../helpers/rng.ts';
import { freshSeed, reportSeed } from '../../helpers/run-budget.ts';

const sample = (key: string, bytes = 1): KeySample => ({ key: Buffer.from(key), bytes });
const show = (samples: readonly KeySample[], parts: number): string[] =>
  splitKeys(samples, parts).map(({ start, end }) =>
    [start, end].map((key) => (key === undefined ? '' : Buffer.from(key).toString())).join('..'),
  );

test('splitKeys() cuts at keys of the samples', () => {
  const letters = [...'abcdefgh'].map((key) => sample(key));
  assert.deepEqual(show(letters, 1), ['..']);
  assert.deepEqual(show(letters, 2), ['..e', 'e..']);
  assert.deepEqual(show(letters, 4), ['..c', 'c..e', 'e..g', 'g..']);
  assert.deepEqual(show(letters.toReversed(), 2), ['..e', 'e..']);
  assert.deepEqual(show([sample('a', 90), sample('b', 5), sample('c', 5)], 2), ['..b', 'b..']);
});

test('splitKeys() makes fewer ranges where there are fewer keys', () => {
  assert.deepEqual(show([], 4), ['..']);
  assert.deepEqual(show([sample('a')], 4), ['..']);
  assert.deepEqual(show([sample('a'), sample('a'), sample('a')], 3), ['..']);
  assert.deepEqual(show([sample('a'), sample('b')], 9), ['..b', 'b..']);
});

test('splitKeys(): any samples', (t) => {
  const seed = freshSeed();
  reportSeed(t, seed);
  const random = seededRandom(seed);
  for (let round = 0; round < 200; round++) {
    const samples = Array.from({ length: random.below(60) }, () =>
      sample(`${random.below(90)}`, random.below(50)),
    );
    const parts = random.between(1, 12);
    const ranges = splitKeys(samples, parts);
    assert.ok(ranges.length >= 1 && ranges.length <= parts);
    assert.equal(ranges[0]!.start, undefined);
    assert.equal(ranges.at(-1)!.end, undefined);
    for (let i = 1; i < ranges.length; i++) {
      assert.equal(ranges[i]!.start, ranges[i - 1]!.end);
      if (i > 1) assert.ok(compareKeys(ranges[i - 1]!.start!, ranges[i]!.start!) < 0);
    }
  }
});
