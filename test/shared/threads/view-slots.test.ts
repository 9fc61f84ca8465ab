/** Which views a client reads with, as the owner sees it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PIN_SLOTS, ViewSlots } from '../../../src/shared/threads/view-slots.ts';

const used = (slots: ViewSlots, count: number): number[] =>
  Array.from({ length: count }, (_, view) => view).filter(slots.inUse());

test('each pinned view is in use by itself, until it is unpinned', () => {
  const slots = new ViewSlots();
  const owner = new ViewSlots(slots.buffer);
  assert.deepEqual(used(owner, 10), []);
  const pins = [1, 4, 7].map((view) => slots.pin(view));
  slots.beginRead(9);
  assert.deepEqual(used(owner, 10), [1, 4, 7, 9]);
  slots.endRead();
  slots.unpin(pins[1]!);
  assert.deepEqual(used(owner, 10), [1, 7]);
});

test('more pinned views than slots: all from the first without one on are in use', () => {
  const slots = new ViewSlots();
  const pins = Array.from({ length: PIN_SLOTS + 3 }, (_, i) => slots.pin(2 * i));
  const first = 2 * PIN_SLOTS;
  const expected = [...Array.from({ length: PIN_SLOTS }, (_, i) => 2 * i)];
  assert.deepEqual(used(slots, first), expected);
  assert.ok([first, first + 1, first + 1000].every(slots.inUse()));
  for (const pin of pins.slice(0, 10)) slots.unpin(pin);
  assert.ok([first, first + 1].every(slots.inUse()));
  for (const pin of pins.slice(10)) slots.unpin(pin);
  assert.deepEqual(used(slots, first + 10), []);
  // Slots are there again.
  slots.pin(1000);
  assert.deepEqual(used(slots, 2000), [1000]);
});

test('numbers of views wrap', () => {
  const slots = new ViewSlots();
  const last = 2 ** 31 - 1;
  slots.pin(last);
  slots.beginRead(-(2 ** 31));
  const inUse = slots.inUse();
  assert.deepEqual([last - 1, last, -(2 ** 31), -(2 ** 31) + 1].map(inUse), [false, true, true, false]);
  const crowded = new ViewSlots();
  for (let i = 0; i <= PIN_SLOTS; i++) crowded.pin(last);
  assert.deepEqual([last - 1, last, -(2 ** 31), 5 - 2 ** 31].map(crowded.inUse()), [false, true, true, true]);
});
