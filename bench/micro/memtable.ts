/**
 * The memtable: insertion in random and in key order, look-ups, a walk. Sizes that fit the caches and one that does not.
 * An insertion's share of a fresh arena (pages touched for the first time) and of making the key is part of it.
 */
import { Entry, EntryKind } from '../../src/shared/base/entry.ts';
import { MemtableArena } from '../../src/shared/memtable/arena.ts';
import { Memtable } from '../../src/shared/memtable/memtable.ts';
import { memtableIterator } from '../../src/shared/memtable/memtable-iterator.ts';
import { type Micro, makeDataset, randomOrder } from './micro.ts';

const SMALL = 10_000;
const LARGE = 300_000;
const ARENA_BYTES_PER_ENTRY = 256;
const LOOKUPS = 1000;
const data = makeDataset(LARGE);

function inOrder(count: number): Uint32Array {
  return Uint32Array.from({ length: count }, (_, i) => i);
}

function insertAll(order: Uint32Array): Memtable {
  const table = new Memtable(MemtableArena.create(order.length * ARENA_BYTES_PER_ENTRY, 1));
  for (const record of order) {
    const key = data.key(record);
    const value = data.value(record);
    table.append(EntryKind.Put, key, 0, key.length, value, 0, value.length);
  }
  return table;
}

function inserts(name: string, order: Uint32Array): Micro {
  return { name, operationsPerCall: order.length, make: () => () => insertAll(order).arena.entryCount };
}

function lookups(count: number): Micro {
  return {
    name: `memtable lookup, ${count.toLocaleString('en')} entries`,
    operationsPerCall: LOOKUPS,
    make: () => {
      const order = randomOrder(count);
      const table = insertAll(order);
      const keys = Array.from(order.subarray(0, count - (count % LOOKUPS)), (record) => data.key(record));
      const entry = new Entry();
      let at = 0;
      return () => {
        let found = 0;
        for (let i = 0; i < LOOKUPS; i++) if (table.lookup(keys[at + i]!, count + 1, entry)) found++;
        at = (at + LOOKUPS) % keys.length;
        return found;
      };
    },
  };
}

const walk: Micro = {
  name: `memtable walk, ${SMALL.toLocaleString('en')} entries`,
  operationsPerCall: SMALL,
  make: () => {
    const iterator = memtableIterator(insertAll(randomOrder(SMALL)).arena.buffer);
    return () => {
      let steps = 0;
      for (let stands = iterator.seekToFirst(); stands; stands = iterator.next()) steps++;
      return steps;
    };
  },
};

export const MEMTABLE_MICROS: readonly Micro[] = [
  inserts(`memtable insert, random, ${SMALL.toLocaleString('en')}`, randomOrder(SMALL)),
  inserts(`memtable insert, random, ${LARGE.toLocaleString('en')}`, randomOrder(LARGE)),
  inserts(`memtable insert, in order, ${SMALL.toLocaleString('en')}`, inOrder(SMALL)),
  lookups(SMALL),
  lookups(LARGE),
  walk,
];
