/**
 * The room arithmetic suffices: filled to the brim, whatever the keys, an arena that said "there is room" had it.
 *
 * A write that runs out of room half-way would leave entries in the log that no index finds, so this must never happen.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WriteBatch } from '../../../src/shared/log/write-batch.ts';
import { capacityFor, dataStartOf, MemtableArena } from '../../../src/shared/memtable/arena.ts';
import { memtableIterator } from '../../../src/shared/memtable/memtable-iterator.ts';
import { KeyGenerator, MIXED_KEYS } from '../../helpers/key-generator.ts';
import { MemtableModel } from '../../helpers/memtable-model.ts';
import { type Random, seededRandom } from '../../helpers/rng.ts';
import { runSeed } from '../../helpers/run-budget.ts';
import { toBytes, toText } from '../../helpers/sorted-model.ts';

const KIB = 1024;

/** Keys of write number i, among them those that split as many nodes at once as can be. */
const SHAPES: readonly { readonly name: string; readonly keys: (random: Random) => (i: number) => string }[] =
  [
    { name: 'rising', keys: () => (i) => String(i).padStart(8, '0') },
    { name: 'falling', keys: () => (i) => String(10_000_000 - i) },
    { name: 'equal', keys: () => () => 'k' },
    { name: 'random', keys: (random) => () => Buffer.from(random.bytes(5)).toString('latin1') },
    {
      name: 'inwards from both ends',
      keys: () => (i) => (i % 2 ? String(i).padStart(7, '0') : `z${10_000_000 - i}`),
    },
    { name: 'bisecting', keys: () => (i) => bitReversed(i) },
    {
      name: 'mixed',
      keys: (random) => {
        const generator = new KeyGenerator(random, MIXED_KEYS);
        return () => generator.next();
      },
    },
    ...[3, 17, 64, 100, 333].map((series) => ({
      name: `${series} series in step`,
      keys: () => (i: number) => `${String(i % series).padStart(3, '0')}/${String(i).padStart(7, '0')}`,
    })),
  ];

function bitReversed(i: number): string {
  return [...i.toString(2).padStart(20, '0')].reverse().join('');
}

for (const { name, keys } of SHAPES) {
  test(`single writes, keys ${name}: filled to the brim`, (t) => {
    const random = seededRandom(runSeed(t));
    for (const capacity of [6, 9, 16, 40, 128, 700].map((n) => n * KIB + 8 * random.below(64))) {
      const next = keys(random);
      const model = new MemtableModel(capacity);
      for (let i = 0; ; i++) {
        const key = next(i);
        const value = random.chance(0.5) ? '' : 'v'.repeat(random.below(60));
        if (!model.hasRoom(key, value)) break;
        model.append(key, value);
      }
      assertSorted(model);
    }
  });

  test(`batches, keys ${name}: filled to the brim`, (t) => {
    const random = seededRandom(runSeed(t));
    for (const count of [1, 33, 64, 333])
      for (let capacity = 600 * KIB; capacity < 645 * KIB; capacity += 15 * KIB)
        fillWithBatches(keys(random), count, capacity);
  });
}

function fillWithBatches(next: (i: number) => string, count: number, capacity: number): void {
  const { memtable } = new MemtableModel(capacity);
  const batch = new WriteBatch();
  for (let i = 0; ; ) {
    batch.clear();
    for (let n = 0; n < count; n++) batch.put(toBytes(next(i++)), '');
    if (!memtable.hasRoom(batch.byteLength, count)) break;
    memtable.appendEncoded(WriteBatch.encoded(batch), 0, batch.byteLength);
  }
  assert.ok(memtable.arena.entryCount > count);
}

test('an arena made for some content has room for it, and little more; its buckets end before its data', (t) => {
  const random = seededRandom(runSeed(t));
  const sizes = [
    0,
    1,
    7,
    8,
    1000,
    64 * KIB,
    64 * KIB * KIB,
    ...Array.from({ length: 200 }, () => random.below(1e6)),
  ];
  for (const content of sizes) {
    const capacity = capacityFor(content);
    const arena = MemtableArena.create(capacity, 1);
    assert.ok(arena.freeBytes >= content, `${arena.freeBytes} bytes for ${content}`);
    assert.ok(arena.freeBytes < content + 2300, `${arena.freeBytes} bytes for ${content}`);
    assert.equal(arena.dataStart % 1024, 0);
    const lastBucket = Math.floor((arena.capacityBytes - 1) / 1024);
    assert.ok(128 + 4 * lastBucket + 4 <= arena.dataStart, `the last bucket of ${arena.capacityBytes} bytes`);
    assert.ok(arena.usedBytes >= 128 && arena.usedBytes < 200, 'nothing is in use yet');
  }
});

/**
 * The worst there is: every leaf and every inner node full, then one write into each at once. Series written in step get
 * there by themselves: their leaves and the nodes above them split in the same batches.
 */
test('series in step whose leaves and inner nodes all split in one batch', () => {
  const series = 120;
  const rounds = 1100;
  const worst = roomBefore(series, rounds)
    .map((size, round) => ({ ...size, round }))
    .sort((x, y) => y.needed - x.needed)
    .slice(0, 3);
  for (const { round, used, needed } of worst)
    for (const slack of [0, 8, 4 * KIB, needed >> 1]) {
      const capacity = leastCapacity(used + needed - slack);
      assert.ok(writeInStep(series, round + 1, capacity), `a batch ran out of room at ${capacity} bytes`);
    }
});

/** Of an arena in which data and nodes may take so many bytes. */
function leastCapacity(contentBytes: number): number {
  let capacity = contentBytes;
  while (capacity - dataStartOf(capacity) < contentBytes) capacity++;
  return capacity;
}

/** How much data and nodes take in a large arena before each round, and how much the round then adds. */
function roomBefore(series: number, rounds: number): { readonly used: number; readonly needed: number }[] {
  const { memtable } = new MemtableModel(64 * KIB * KIB);
  const sizes: { readonly used: number; readonly needed: number }[] = [];
  for (let round = 0; round < rounds; round++) {
    const used = contentOf(memtable.arena);
    const batch = stepBatch(series, round);
    memtable.appendEncoded(WriteBatch.encoded(batch), 0, batch.byteLength);
    sizes.push({ used, needed: contentOf(memtable.arena) - used });
  }
  return sizes;
}

function contentOf({ capacityBytes, dataStart, freeBytes }: MemtableArena): number {
  return capacityBytes - dataStart - freeBytes;
}

/** True when each round either fitted or was said not to. */
function writeInStep(series: number, rounds: number, capacity: number): boolean {
  const { memtable } = new MemtableModel(capacity);
  for (let round = 0; round < rounds; round++) {
    const batch = stepBatch(series, round);
    if (!memtable.hasRoom(batch.byteLength, series)) return true;
    try {
      memtable.appendEncoded(WriteBatch.encoded(batch), 0, batch.byteLength);
    } catch {
      return false;
    }
  }
  return true;
}

function stepBatch(series: number, round: number): WriteBatch {
  const batch = new WriteBatch();
  for (let s = 0; s < series; s++)
    batch.put(`${String(s).padStart(3, '0')}/${String(round).padStart(5, '0')}`, '');
  return batch;
}

function assertSorted(model: MemtableModel): void {
  const iterator = memtableIterator(model.memtable.arena.buffer);
  let count = 0;
  let previous: string | undefined;
  for (let ok = iterator.seekToFirst(); ok; ok = iterator.next()) {
    const { keyBytes, keyStart, keyEnd } = iterator.entry;
    const key = toText(keyBytes.subarray(keyStart, keyEnd));
    assert.ok(previous === undefined || previous <= key);
    previous = key;
    count++;
  }
  assert.equal(count, model.writes.length);
}
