/** ChecksumRange: the same as crc32 over the bytes, for any part. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { crc32 } from '../../../src/shared/base/checksum.ts';
import { ChecksumRange } from '../../../src/shared/files/checksum-range.ts';
import { seededRandom } from '../../helpers/rng.ts';
import { freshSeed, reportSeed } from '../../helpers/run-budget.ts';

test('ChecksumRange.of() is crc32 of the part, across pages and for empty parts', (t) => {
  const random = seededRandom(freshSeed());
  reportSeed(t, random.seed);
  const bytes = random.bytes(20_000);
  for (const [start, end] of [
    [0, 20_000],
    [1, 19_999],
    [4095, 12_289],
    [5000, 5001],
  ] as const) {
    const range = new ChecksumRange(bytes, start, end);
    assert.equal(range.of(start, end), crc32(bytes, start, end));
    assert.equal(range.of(end, end), 0);
    for (let i = 0; i < 300; i++) {
      const from = random.between(start, end);
      const to = random.between(from, end);
      assert.equal(range.of(from, to), crc32(bytes, from, to), `${from} to ${to} of ${start} to ${end}`);
      const seed = random.next() >>> 0;
      assert.equal(range.of(from, to, seed), crc32(bytes, from, to, seed), `${from} to ${to} with ${seed}`);
    }
  }
});
