/**
 * Random sources of every kind for merges, beside the rows that they hold: memtables live, frozen and seen from another thread,
 * single tables, levels of several tables, plain arrays.
 */

import { EntryKind } from '../../src/shared/base/entry.ts';
import type { InternalIterator } from '../../src/shared/base/iterator.ts';
import { MemtableArena } from '../../src/shared/memtable/arena.ts';
import { ConcurrentMemtable } from '../../src/shared/memtable/concurrent-memtable.ts';
import { Memtable } from '../../src/shared/memtable/memtable.ts';
import { MemtableIterator } from '../../src/shared/memtable/memtable-iterator.ts';
import { ConcatIterator } from '../../src/shared/merge/concat-iterator.ts';
import { TableIterator } from '../../src/shared/table/table-iterator.ts';
import { ArrayIterator } from './array-iterator.ts';
import type { Random } from './rng.ts';
import { buildTable, compareRows, openTable, type Row } from './tables.ts';

const MEMTABLE_BYTES = 1 << 21;
const NO_VALUE = new Uint8Array(0);

export interface MergeSources {
  readonly iterators: InternalIterator[];
  readonly rows: Row[];
  readonly highestSequence: number;
  /** Writes into the memtables that are live, above all sequences so far. */
  disturb(count: number): void;
}

/** Few different keys, so that versions meet; in one of several styles, each hard on another shortcut. */
export function keyMaker(random: Random): () => Uint8Array {
  const text = (value: string): Uint8Array => new TextEncoder().encode(value);
  const tiny = (length: number): Uint8Array =>
    Uint8Array.from({ length }, () => random.pick([0, 0x61, 0x62, 0x80, 0xff]));
  const prefix = random.pick(['user:', 'p'.repeat(30), 'q'.repeat(130), 'r'.repeat(700)]);
  const spread = random.pick([20, 300, 3000]);
  return random.pick([
    () => tiny(random.below(7)),
    () => text(String(random.below(spread)).padStart(16, '0')),
    () => text(prefix + random.below(spread)),
    () =>
      random.chance(0.03) ? tiny(random.pick([30, 120, 2047, 2048, 2100, 9000])) : tiny(random.below(5)),
    // Heads of four bytes that are equal, and keys that go on in zeroes.
    () => text(`abcd${'\0'.repeat(random.below(6))}${random.chance(0.5) ? random.below(9) : ''}`),
  ]);
}

function randomRow(random: Random, key: Uint8Array, sequence: number): Row {
  if (random.chance(0.12)) return { key, sequence, kind: EntryKind.Delete, value: NO_VALUE };
  const length = random.chance(0.02) ? random.pick([127, 128, 300, 2047, 2048, 5000]) : random.below(50);
  return { key, sequence, kind: EntryKind.Put, value: random.bytes(length) };
}

function append(memtable: Memtable, { kind, key, value }: Row): void {
  memtable.append(kind, key, 0, key.length, value, 0, value.length);
}

/** A level: tables cut between keys. */
function levelOf(rows: readonly Row[], random: Random): InternalIterator {
  const options = {
    blockSizeBytes: random.pick([64, 300, 4096]),
    restartInterval: random.pick([1, 2, 16, 256]),
  };
  const parts: Row[][] = [[]];
  let previous: Row | undefined;
  const cuts = random.pick([0, 0.02, 0.2]);
  for (const row of rows) {
    const isNewKey = previous !== undefined && Buffer.compare(previous.key, row.key) !== 0;
    if (isNewKey && random.chance(cuts)) parts.push([]);
    parts.at(-1)!.push(row);
    previous = row;
  }
  const bounds = parts.map((part) => ({ smallestKey: part[0]!.key, largestKey: part.at(-1)!.key }));
  const readers = parts.map((part) => openTable(buildTable(part, options).bytes));
  return new ConcatIterator(bounds, (index) => new TableIterator(readers[index]!));
}

export function randomSources(random: Random, count: number): MergeSources {
  const makeKey = keyMaker(random);
  const iterators: InternalIterator[] = [];
  const live: Memtable[] = [];
  const rows: Row[] = [];
  let sequence = 1;
  const size = random.pick([1, 10, 100, 400]);
  const memtables = random.below(count + 1);
  // Sequences of memtables are consecutive; those of tables lie anywhere below.
  const tables: Row[][] = Array.from({ length: count - memtables }, () => []);
  let part = 0;
  const isDense = random.chance(0.5);
  for (let i = tables.length === 0 ? 0 : random.between(1, size) * tables.length; i > 0; i--) {
    if (isDense || random.chance(0.1)) part = random.below(tables.length);
    tables[part]!.push(randomRow(random, makeKey(), sequence++));
  }
  for (const table of tables) {
    const sorted = table.sort(compareRows);
    rows.push(...sorted);
    if (sorted.length === 0 || random.chance(0.1))
      iterators.push(new ArrayIterator(sorted.map((row) => ({ ...row, kind: row.kind as EntryKind }))));
    else iterators.push(levelOf(sorted, random));
  }
  for (let i = 0; i < memtables; i++) {
    const arena = MemtableArena.create(MEMTABLE_BYTES, sequence);
    const memtable = new Memtable(arena);
    for (let n = random.below(size + 1); n > 0; n--) {
      const row = randomRow(random, makeKey(), sequence++);
      append(memtable, row);
      rows.push(row);
    }
    const isShared = random.chance(0.4);
    const bound = i === memtables - 1 ? sequence - 1 : Number.MAX_SAFE_INTEGER;
    iterators.push(
      isShared ? new ConcurrentMemtable(arena.buffer).iterator(bound) : new MemtableIterator(memtable, bound),
    );
    if (i === memtables - 1) live.push(memtable);
  }
  return {
    iterators,
    rows: rows.sort(compareRows),
    highestSequence: sequence - 1,
    disturb: (writes) => {
      for (const memtable of live)
        for (let n = 0; n < writes; n++) append(memtable, randomRow(random, makeKey(), sequence++));
    },
  };
}
