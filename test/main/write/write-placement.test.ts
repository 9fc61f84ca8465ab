/**
 * Which log writes are made in place, and when: as many as a turn of the event loop may be kept waiting for, the next ones in
 * the next turn, none large after a slow one.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WriteBatch } from '../../../src/main/index.ts';
import { WritePlacement } from '../../../src/main/write/write-placement.ts';
import { openTiny } from '../../helpers/engines.ts';

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

test('what the allowance is spent for waits for the next turn, unless it would not be made in place then', async () => {
  const clock = new Clock();
  const { placement } = clock;
  assert.equal(placement.awaitsTurn(256 * KIB), false, 'nothing is spent');
  clock.tryWrite(200 * KIB);
  assert.equal(placement.awaitsTurn(50 * KIB), false, 'what still fits');
  assert.equal(placement.awaitsTurn(100 * KIB), true);
  assert.equal(placement.awaitsTurn(256 * KIB), true);
  assert.equal(placement.awaitsTurn(256 * KIB + 1), false, 'it would never fit');
  await new Promise<void>((resolve) => placement.afterTurn(resolve));
  assert.equal(placement.awaitsTurn(256 * KIB), false);
  assert.equal(clock.tryWrite(230 * KIB, 5), true, 'a slow one');
  assert.equal(placement.awaitsTurn(100 * KIB), false, 'the pool takes it');
  assert.equal(placement.awaitsTurn(32 * KIB), true);
});

test('what waits for a turn proceeds with all of the allowance, and not within the turn', async () => {
  const clock = new Clock();
  clock.tryWrite(256 * KIB);
  let isWritten: boolean | undefined;
  clock.placement.afterTurn(() => {
    isWritten = clock.tryWrite(256 * KIB);
  });
  await Promise.resolve();
  assert.equal(isWritten, undefined);
  await turn();
  assert.equal(isWritten, true);
});

test('the process stays for what waits for a turn, and for nothing else here', async () => {
  const waiting = (): number =>
    process.getActiveResourcesInfo().filter((name) => name === 'Immediate').length;
  const before = waiting();
  const clock = new Clock();
  clock.tryWrite(256 * KIB);
  assert.equal(waiting(), before);
  clock.placement.afterTurn(() => {});
  assert.ok(waiting() > before);
  await turn();
});

test('after a slow write large ones go elsewhere for a while, small ones do not', async () => {
  const clock = new Clock();
  assert.equal(clock.tryWrite(64 * KIB, 5), true);
  await turn();
  assert.equal(clock.tryWrite(64 * KIB), false);
  assert.equal(clock.tryWrite(32 * KIB), true);
  clock.nowMs += 8;
  assert.equal(clock.tryWrite(64 * KIB), true);
});

test('the while grows with each slow write that follows, and starts short after a calm', async () => {
  const clock = new Clock();
  const slowWrites = async (pausesMs: readonly number[]): Promise<void> => {
    for (const pauseMs of pausesMs) {
      assert.equal(clock.tryWrite(64 * KIB, 5), true);
      clock.nowMs += pauseMs - 1;
      assert.equal(clock.tryWrite(64 * KIB), false, `before ${pauseMs} ms`);
      clock.nowMs += 1;
      await turn();
    }
  };
  await slowWrites([8, 32, 128, 500, 500]);
  assert.equal(clock.tryWrite(64 * KIB), true, 'a quick one changes nothing');
  clock.nowMs += 1000;
  await turn();
  await slowWrites([500]);
  clock.nowMs += 2000;
  await slowWrites([8, 32]);
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

test('writes go on where the global timers are false ones', async (t) => {
  const engine = await openTiny(t, { writeBufferSize: 64 * 1024 * KIB });
  t.mock.method(globalThis, 'setImmediate', () => undefined);
  const value = new Uint8Array(100 * KIB);
  for (let i = 0; i < 8; i++) await engine.put(`key ${i}`, value);
  assert.equal(engine.getSync('key 7')?.length, value.length);
});
