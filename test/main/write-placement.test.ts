/**
 * Which log writes are made in place: as many as a turn of the event loop may be kept waiting for, none large after a slow one.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WriteBatch } from '../../src/main/index.ts';
import { WritePlacement } from '../../src/main/write-placement.ts';
import { openTiny } from '../helpers/engines.ts';

const KIB = 1024;

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** A disk of which each write takes as long as the test says. */
class Clock {
  nowMs = 1000;
  writes = 0;
  readonly placement: WritePlacement = new WritePlacement(() => this.nowMs);

  tryWrite(byteLength: number, tookMs = 0): boolean {
    return this.placement.tryInPlace(byteLength, () => {
      this.writes++;
      this.nowMs += tookMs;
    });
  }
}

test('writes go in place until the allowance of the turn is spent, and again in the next one', async () => {
  const clock = new Clock();
  for (let i = 0; i < 2; i++) {
    assert.equal(clock.tryWrite(100 * KIB), true);
    assert.equal(clock.tryWrite(100 * KIB), true);
    assert.equal(clock.tryWrite(100 * KIB), false);
    assert.equal(clock.tryWrite(10 * KIB), true, 'what still fits');
    await Promise.resolve();
    assert.equal(clock.tryWrite(100 * KIB), false, 'a microtask is no turn');
    await turn();
  }
  assert.equal(clock.writes, 6, 'what is refused is not written');
});

test('small writes that follow each other leave the loop its turn, too', () => {
  const clock = new Clock();
  let count = 0;
  while (count < 2000 && clock.tryWrite(100)) count++;
  assert.ok(count > 500 && count < 1000, `${count} writes`);
});

test('no write above the allowance is made in place', () => {
  assert.equal(new Clock().tryWrite(257 * KIB), false);
});

test('after a slow write large ones go elsewhere for a while, small ones do not', async () => {
  const clock = new Clock();
  assert.equal(clock.tryWrite(64 * KIB, 5), true);
  await turn();
  assert.equal(clock.tryWrite(64 * KIB), false);
  assert.equal(clock.tryWrite(32 * KIB), true);
  clock.nowMs += 1000;
  assert.equal(clock.tryWrite(64 * KIB), true);
});

test('what the write throws is thrown', () => {
  const placement = new WritePlacement();
  assert.throws(() => placement.tryInPlace(1, () => assert.fail('no room')), /no room/);
});

for (const [name, valueBytes] of [
  ['puts', 50],
  ['large batches', 50 * KIB],
] as const)
  test(`${name} that are awaited one after another let the event loop turn`, async (t) => {
    const engine = await openTiny(t, { writeBufferSize: 64 * 1024 * KIB });
    let turns = 0;
    const timer = setInterval(() => turns++, 0);
    t.after(() => clearInterval(timer));
    const value = new Uint8Array(valueBytes);
    for (let i = 0; i < 4000 && turns < 3; i++) await engine.write(new WriteBatch().put(`key ${i}`, value));
    assert.ok(turns >= 3, 'the timer ran meanwhile');
  });
