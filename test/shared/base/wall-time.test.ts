/** The wall clock, finer than it tells. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { processClock, wallClock } from '../../../src/shared/base/timers.ts';
import { wallOffset } from '../../../src/shared/base/wall-time.ts';

test('the sum is never behind the wall clock, and hardly before it', () => {
  const offset = wallOffset();
  let ahead = 0;
  for (let i = 0; i < 20_000; i++) {
    const before = processClock();
    const wall = wallClock();
    const after = processClock();
    assert.ok(Math.floor(after + offset) >= wall, 'the wall clock shows what the sum does not');
    ahead = Math.max(ahead, before + offset - (wall + 1));
  }
  assert.ok(ahead < 0.5, `${ahead} ms before the wall clock`);
  assert.ok(Math.abs(wallOffset() - offset) < 0.5, 'asked again, it is much the same');
});
