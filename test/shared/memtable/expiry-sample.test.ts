/** What a sample says of when a memtable's entries expire. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EntryKind } from '../../../src/shared/base/entry.ts';
import { EXPIRY_BYTES, writeExpiry } from '../../../src/shared/base/expiry.ts';
import { MemtableArena } from '../../../src/shared/memtable/arena.ts';
import { sampleExpiry } from '../../../src/shared/memtable/expiry-sample.ts';
import { Memtable } from '../../../src/shared/memtable/memtable.ts';

/** Every third stays; the i-th of the others expires at i + 1. Keys in the order that `keyOf` gives. */
function memtableOf(count: number, keyOf: (i: number) => number): Memtable {
  const memtable = new Memtable(MemtableArena.create(count * 120 + 65536, 1));
  const value = new Uint8Array(EXPIRY_BYTES);
  for (let i = 0; i < count; i++) {
    const key = Buffer.from(String(keyOf(i)).padStart(9, '0'));
    writeExpiry(value, 0, i + 1);
    const kind = i % 3 === 0 ? EntryKind.Put : EntryKind.ExpiringPut;
    memtable.append(kind, key, 0, key.length, value, 0, value.length);
  }
  return memtable;
}

test('an empty memtable, and one of a few entries: all of them', () => {
  assert.deepEqual([...sampleExpiry(memtableOf(0, (i) => i).arena).moments], []);
  const { weight, moments } = sampleExpiry(memtableOf(500, (i) => (i * 7) % 500).arena);
  assert.equal(weight, 1);
  const wanted = Array.from({ length: 500 }, (_, i) => i + 1).filter((moment) => moment % 3 !== 1);
  assert.deepEqual([...moments], wanted);
});

for (const [name, step] of [
  ['in their order', 1],
  ['in another order', 7919],
] as const)
  test(`many entries ${name}: a few thousand stand for them`, () => {
    const count = 100_000;
    const { weight, moments } = sampleExpiry(memtableOf(count, (i) => (i * step) % count).arena);
    assert.ok(moments.length > 500 && moments.length < 8000, `${moments.length} moments`);
    const estimate = weight * moments.length;
    assert.ok(Math.abs(estimate / ((2 * count) / 3) - 1) < 0.2, `${estimate} of ${(2 * count) / 3}`);
    const median = moments[moments.length >> 1]!;
    assert.ok(Math.abs(median / count - 0.5) < 0.1, `half of them by ${median}`);
  });
