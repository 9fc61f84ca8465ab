/** The memory of memtables: used again, bounded, and given up by a store that rests. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ArenaPool } from '../../../src/main/write/arena-pool.ts';
import { Entry, EntryKind } from '../../../src/shared/base/entry.ts';
import { givenUp } from '../../../src/shared/base/reclaim.ts';
import { lend, type MemtableArena } from '../../../src/shared/memtable/arena.ts';
import { Memtable } from '../../../src/shared/memtable/memtable.ts';
import { MemtableIterator } from '../../../src/shared/memtable/memtable-iterator.ts';
import { until } from '../../helpers/engines.ts';
import { seededRandom } from '../../helpers/rng.ts';

const BYTES = 65_536;
const encoder = new TextEncoder();

function put(memtable: Memtable, key: string, value: string): void {
  const [k, v] = [encoder.encode(key), encoder.encode(value)];
  memtable.append(EntryKind.Put, k, 0, k.length, v, 0, v.length);
}

function textOf({ keyBytes, keyStart, keyEnd, valueBytes, valueStart, valueEnd }: Entry): string {
  const key = Buffer.from(keyBytes.subarray(keyStart, keyEnd)).toString();
  return `${key}=${Buffer.from(valueBytes.subarray(valueStart, valueEnd)).toString()}`;
}

function contents(memtable: Memtable): string[] {
  const iterator = new MemtableIterator(memtable, Number.MAX_SAFE_INTEGER);
  const found: string[] = [];
  for (let ok = iterator.seekToFirst(); ok; ok = iterator.next()) found.push(textOf(iterator.entry));
  return found;
}

test('memory that was used before holds what a new memtable is given, and nothing else', () => {
  const random = seededRandom(7);
  const pool = new ArenaPool(BYTES);
  let sequence = 1;
  for (let round = 0; round < 30; round++) {
    const arena = pool.take(BYTES, sequence);
    const memtable = new Memtable(arena);
    assert.equal(memtable.nextSequence, sequence);
    assert.deepEqual(contents(memtable), []);
    const expected = new Map<string, string>();
    const keySpace = 1 + random.below(2000);
    while (memtable.hasRoom(64, 1)) {
      const key = `k${random.below(keySpace)}`;
      const value = `${round}:${memtable.nextSequence}`;
      put(memtable, key, value);
      expected.set(key, value);
    }
    sequence = memtable.nextSequence;
    const entry = new Entry();
    for (const [key, value] of expected) {
      assert.ok(memtable.lookup(encoder.encode(key), sequence, entry));
      assert.equal(textOf(entry), `${key}=${value}`);
    }
    const newest = new Map(
      contents(memtable)
        .reverse()
        .map((text) => text.split('=') as [string, string]),
    );
    assert.deepEqual(newest, expected, `round ${round}`);
    pool.give(arena);
  }
  assert.equal(pool.reusedCount, 29);
  pool.close();
});

test('an iterator over memory that was used again fails instead of reading it', () => {
  const pool = new ArenaPool(BYTES);
  const memtable = new Memtable(pool.take(BYTES, 1));
  for (let i = 0; i < 500; i++) put(memtable, `k${i}`, 'old');
  const [begun, fresh] = [new MemtableIterator(memtable, 1000), new MemtableIterator(memtable, 1000)];
  assert.ok(begun.seekToFirst());
  pool.give(memtable.arena);
  pool.take(BYTES, 501);
  assert.throws(() => fresh.seekToFirst(), /used again/);
  assert.throws(() => begun.next(), /used again/);
  assert.throws(() => fresh.seekToLast(), /used again/);
  assert.throws(() => fresh.seek(encoder.encode('k')), /used again/);
  pool.close();
});

test('lent memory, memory of another size and what exceeds the bound are not used again', () => {
  const pool = new ArenaPool(BYTES);
  const lentArena = pool.take(BYTES, 1);
  lend(lentArena.bytes, lentArena.dataStart, lentArena.dataStart + 4);
  pool.give(lentArena);
  const large = pool.take(2 * BYTES, 1);
  assert.equal(large.capacityBytes, 2 * BYTES);
  pool.give(large);
  assert.equal(pool.freeCount, 0);
  const many: MemtableArena[] = Array.from({ length: 6 }, () => pool.take(BYTES, 1));
  for (const arena of many) pool.give(arena);
  assert.equal(pool.freeCount, 3);
  assert.equal(pool.freeBytes, 3 * BYTES);
  pool.close();
  assert.equal(pool.freeCount, 0);
});

test('free memory is given up after a rest, not before what waits for clients, and the collector frees it by itself', async () => {
  const size = 32 * 1024 * 1024;
  let mayRest = false;
  let asked = 0;
  let told = 0;
  const pool = new ArenaPool(size, 50, {
    mayRest: () => {
      asked++;
      return mayRest;
    },
    givenUp: (byteLength) => {
      told += byteLength;
    },
  });
  const before = givenUp().count;
  (() => {
    const arenas = [pool.take(size, 1), pool.take(size, 1)];
    for (const arena of arenas) arena.bytes.fill(1, arena.dataStart);
    for (const arena of arenas) pool.give(arena);
  })();
  await until(() => asked > 2);
  assert.equal(pool.freeCount, 2);
  mayRest = true;
  await until(() => pool.freeCount === 0);
  assert.equal(told, 2 * size);
  // Nobody forces a collection.
  await until(() => givenUp().count <= before);
});
