/**
 * When awaited reads let the event loop turn: by what the clock says of them, however many they are.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ReadTurns, TURN_MS } from '../../../src/shared/read/read-turns.ts';

/** Awaited reads in a row, each of which takes so long; after which of them one waited. */
async function waitsOf(count: number, readMs: number, perRead = 1): Promise<number[]> {
  let time = 1000;
  const turns = new ReadTurns(() => time);
  const waits: number[] = [];
  for (let i = 0; i < count; i++) {
    time += readMs;
    const result = turns.after(perRead, i);
    if (typeof result !== 'number') waits.push(i);
    assert.equal(await result, i);
  }
  return waits;
}

/** How far apart they are; the first is counted from the beginning. */
function gapsOf(waits: readonly number[]): number[] {
  return waits.map((at, i) => at - (waits[i - 1] ?? -1));
}

test('quick reads wait once in a millisecond of them, whatever one takes, and slow ones each time', async () => {
  for (const readMs of [0.0005, 0.001, 0.01, 0.1]) {
    const perTurn = TURN_MS / readMs;
    const gaps = gapsOf(await waitsOf(20 * perTurn, readMs));
    assert.ok(gaps.length >= 8, `${readMs} ms: ${gaps.length} turns`);
    // The clock is looked at after a stride of up to 128 reads, or about twenty times in a millisecond.
    for (const gap of gaps)
      assert.ok(gap >= perTurn && gap <= 1.5 * perTurn + 130, `${readMs} ms: ${gap} reads without a turn`);
  }
  assert.ok((await waitsOf(20, 2)).length >= 9);
});

test('a read of many keys counts as many', async () => {
  const gaps = gapsOf(await waitsOf(400, 0.1, 100));
  assert.ok(gaps.length >= 25, `${gaps.length}`);
  assert.equal((await waitsOf(1000, 0)).length, 0, 'reads that take no time never wait');
});

test('where the event loop turns by itself no read waits', async () => {
  let time = 0;
  const turns = new ReadTurns(() => time);
  for (let i = 0; i < 200; i++) {
    for (let j = 0; j < 50; j++) assert.equal(turns.after(1, j), j);
    time += 0.9 * TURN_MS;
    for (let j = 0; j < 50; j++) assert.equal(turns.after(1, j), j);
    await new Promise((resolve) => setImmediate(resolve));
    time += 10;
  }
});

test('all that comes before the turn waits for it, and is settled when settled() is', async () => {
  let time = 0;
  const turns = new ReadTurns(() => time);
  assert.equal(turns.settled(), undefined);
  assert.equal(turns.after(1, 'first'), 'first');
  time += 2 * TURN_MS;
  let done = 0;
  for (let i = 0; i < 1000; i++) {
    const result = turns.after(1, i);
    assert.ok(result instanceof Promise, `read ${i} does not wait`);
    void result.then(() => done++);
  }
  assert.ok(turns.due(1) instanceof Promise);
  assert.equal(done, 0);
  await turns.settled();
  assert.equal(done, 1000);
  assert.equal(turns.settled(), undefined);
  assert.equal(turns.after(1, 'later'), 'later', 'the turn has come');
});
