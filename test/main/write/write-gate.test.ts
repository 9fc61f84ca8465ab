/**
 * WriteGate: says when a stall begins and ends, once each, and spaces groups by their bytes.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { StallEvent } from '../../../src/main/store/stalls.ts';
import { MAX_DELAY_MS, WriteGate } from '../../../src/main/write/write-gate.ts';

test('a stall is told when it begins, changes and ends, and counted once', async () => {
  const events: StallEvent[] = [];
  const gate = new WriteGate((event) => events.push(event));
  gate.set('open');
  gate.set('slow', 'level0', 100);
  gate.set('slow', 'level0', 50);
  gate.set('closed', 'level0');
  await delay(20);
  assert.ok(gate.stalledMs >= 15);
  gate.set('open');
  gate.set('open');
  assert.deepEqual(
    events.map(({ state, reason }) => [state, reason]),
    [
      ['slow', 'level0'],
      ['closed', 'level0'],
      ['open', undefined],
    ],
  );
  assert.equal(gate.stallCount, 1);
  assert.ok(events[2]!.stalledMs! >= 15);
  const total = gate.stalledMs;
  await delay(10);
  assert.equal(gate.stalledMs, total, 'an open gate counts no time');
});

test('while slow, the next group waits until the bytes of the last are paid for', () => {
  const gate = new WriteGate(() => {});
  gate.charge(1_000_000);
  assert.equal(gate.delayMs(), 0);
  gate.set('slow', 'level0', 1000);
  assert.equal(gate.delayMs(), 0, 'the first group enters at once');
  gate.charge(50_000);
  assert.ok(gate.delayMs() > 30 && gate.delayMs() <= 50);
  gate.charge(50_000);
  assert.ok(gate.delayMs() > 80 && gate.delayMs() <= 100);
  gate.set('open');
  assert.equal(gate.delayMs(), 0);
});

test('no debt is longer than a second, and a change of the rate is one for those who wait', () => {
  let looks = 0;
  const gate = new WriteGate(
    () => {},
    () => looks++,
  );
  gate.set('slow', 'level0', 1000);
  gate.charge(128 * 1024 * 1024);
  assert.ok(gate.delayMs() <= MAX_DELAY_MS && gate.delayMs() > MAX_DELAY_MS / 2, 'a large batch');
  gate.charge(128 * 1024 * 1024);
  assert.ok(gate.delayMs() <= MAX_DELAY_MS, 'and another one');
  gate.set('slow', 'level0', 10);
  assert.ok(gate.delayMs() <= MAX_DELAY_MS, 'slower');
  gate.set('slow', 'level0', 100);
  assert.ok(gate.delayMs() <= MAX_DELAY_MS / 5, 'faster');
  assert.equal(looks, 3);
  gate.set('slow', 'compaction-debt', 100);
  assert.equal(looks, 3, 'the reason alone changes no delay');
  gate.set('closed', 'level0');
  assert.equal(gate.delayMs(), 0);
  gate.set('slow', 'level0', 100);
  assert.equal(gate.delayMs(), 0, 'what came before it was closed is forgotten');
  assert.equal(looks, 5);
});

test('slow without a rate makes nobody wait', () => {
  const gate = new WriteGate(() => {});
  gate.set('slow', 'level0');
  for (let i = 0; i < 100; i++) {
    gate.charge(1000);
    assert.equal(gate.delayMs(), 0);
  }
});
