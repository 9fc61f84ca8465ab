/**
 * Copies between any two places, in shared memory and in private.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { copyBytes, copyInto } from '../../../src/shared/base/bytes.ts';
import type { Random } from '../../helpers/rng.ts';
import { seededRandom } from '../../helpers/rng.ts';
import { runSeed } from '../../helpers/run-budget.ts';

const ROOM_BYTES = 80_000;
/** Around the lengths at which the way of copying changes, and more than one piece. */
const LENGTHS = [0, 1, 24, 25, 100, 511, 512, 513, 4096, 16383, 16384, 16385, 50_000];

/** A view that begins anywhere in memory of its own. */
function room(random: Random, isShared: boolean): Uint8Array {
  const offset = random.below(20);
  const memory = isShared ? new SharedArrayBuffer(ROOM_BYTES + offset) : new ArrayBuffer(ROOM_BYTES + offset);
  const view = new Uint8Array(memory, offset, ROOM_BYTES);
  view.set(random.bytes(ROOM_BYTES));
  return view;
}

for (const [from, to] of [
  ['private', 'private'],
  ['private', 'shared'],
  ['shared', 'private'],
  ['shared', 'shared'],
] as const)
  test(`copyInto: from ${from} to ${to} memory, just what was asked for`, (t) => {
    const random = seededRandom(runSeed(t));
    for (let i = 0; i < 200; i++) {
      const source = room(random, from === 'shared');
      const target = room(random, to === 'shared');
      const length = random.pick(LENGTHS);
      const start = random.chance(0.3) ? 0 : random.below(ROOM_BYTES - length + 1);
      const bytes = random.chance(0.3) ? source.subarray(start, start + length) : source;
      const at = bytes === source ? start : 0;
      const position = random.below(ROOM_BYTES - length + 1);
      const expected = Buffer.from(target);
      expected.set(source.subarray(start, start + length), position);
      copyInto(target, position, bytes, at, at + length);
      assert.equal(Buffer.compare(expected, target), 0, `${length} bytes from ${start} to ${position}`);
      assert.deepEqual(
        copyBytes(bytes, at, at + length),
        new Uint8Array(source.slice(start, start + length)),
      );
    }
  });
