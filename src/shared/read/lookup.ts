/**
 * Everything one read needs of one moment: memtables, version, sequence; and the point lookup through it.
 *
 *   memtables, newest first -> L0, newest first -> L1..L7, one table each
 *
 * The first version of the key at or below the sequence ends the search, tombstone or not.
 *
 * Invariants: data in a shallower place is newer than data for the same key in a deeper one, so the order above is the
 *             order of age.
 * Thread:     any.      Lifetime: a view over the current state is good for one synchronous call.
 */
import { compareKeys } from '../base/bytes.ts';
import { LEVEL_COUNT, type Level } from '../base/ids.ts';
import type { Entry, InternalIterator, KeyRange } from '../base/iterator.ts';
import type { TableMeta } from '../base/version-edit.ts';
import { ConcatIterator } from '../merge/concat-iterator.ts';
import { hashKey } from '../table/bloom-filter.ts';
import type { TableReader } from '../table/table-reader.ts';
import type { ScanReads } from './scan-reads.ts';
import type { TableCache } from './table-cache.ts';
import type { TableList } from './table-list.ts';
import type { Version } from './version.ts';

/** A memtable as reads see it. */
export interface ReadableMemtable {
  readonly memtable: { lookup(key: Uint8Array, maxSequence: number, into: Entry): boolean };
  /** Over the entries up to `maxSequence`, however long it lives. */
  iterator(maxSequence: number): InternalIterator;
}

export interface ReadableMemtables {
  readonly active: ReadableMemtable | undefined;
  /** Oldest first. */
  readonly frozen: readonly ReadableMemtable[];
}

/**
 * The newest version of `key` at or below `sequence`, in `into`; false: there is none anywhere. A tombstone is found,
 * with kind Delete. What `into` points to is valid until the next lookup.
 */
export function lookup(
  memtables: ReadableMemtables,
  version: Version,
  tables: TableCache,
  key: Uint8Array,
  sequence: number,
  into: Entry,
): boolean {
  return (
    lookupMemtables(memtables, key, sequence, into) || lookupTables(version, tables, key, sequence, into)
  );
}

/** The first part of {@link lookup}. */
export function lookupMemtables(
  memtables: ReadableMemtables,
  key: Uint8Array,
  sequence: number,
  into: Entry,
): boolean {
  if (memtables.active?.memtable.lookup(key, sequence, into)) return true;
  const { frozen } = memtables;
  for (let i = frozen.length - 1; i >= 0; i--)
    if (frozen[i]!.memtable.lookup(key, sequence, into)) return true;
  return false;
}

/** The second part of {@link lookup}. */
export function lookupTables(
  version: Version,
  tables: TableCache,
  key: Uint8Array,
  sequence: number,
  into: Entry,
): boolean {
  const hash = hashKey(key, 0, key.length);
  const newest = version.levelZero;
  for (let i = 0; i < newest.length; i++) {
    const table = newest[i]!;
    if (holdsKey(table, key) && tables.reader(table).lookup(key, hash, sequence, into)) return true;
  }
  for (let level = 1; level < LEVEL_COUNT; level++) {
    if (version.lists[level]!.length === 0) continue;
    const table = version.tableContaining(level as Level, key);
    if (table !== undefined && tables.reader(table).lookup(key, hash, sequence, into)) return true;
  }
  return false;
}

/** Where {@link lookupTables} would look into a block first. */
export class TableSearch {
  /** Good until another table has to be opened. */
  reader: TableReader | undefined;
  block = 0;

  /** false: no table has the key. */
  locate(version: Version, tables: TableCache, key: Uint8Array, hash: number): boolean {
    const newest = version.levelZero;
    for (let i = 0; i < newest.length; i++) {
      const table = newest[i]!;
      if (holdsKey(table, key) && this.#locateIn(tables.reader(table), key, hash)) return true;
    }
    for (let level = 1; level < LEVEL_COUNT; level++) {
      if (version.lists[level]!.length === 0) continue;
      const table = version.tableContaining(level as Level, key);
      if (table !== undefined && this.#locateIn(tables.reader(table), key, hash)) return true;
    }
    return false;
  }

  #locateIn(reader: TableReader, key: Uint8Array, hash: number): boolean {
    this.block = reader.locate(key, hash);
    this.reader = reader;
    return this.block >= 0;
  }
}

function holdsKey(table: TableMeta, key: Uint8Array): boolean {
  return compareKeys(table.smallestKey, key) <= 0 && compareKeys(key, table.largestKey) <= 0;
}

/** What a scan reads: fixed when the scan is made, whatever happens to the store meanwhile. */
export interface ScanSources {
  /** Newest first. */
  readonly memtables: readonly ReadableMemtable[];
  readonly version: Version;
  readonly sequence: number;
  /** false: blocks that are not cached are read past the cache. */
  readonly fillCache: boolean;
}

/** Of a moment's memtables, newest first. */
export function newestFirst<M extends ReadableMemtable>({
  active,
  frozen,
}: {
  readonly active: M | undefined;
  readonly frozen: readonly M[];
}): readonly M[] {
  if (frozen.length === 0) return active === undefined ? NO_MEMTABLES : [active];
  const memtables = frozen.toReversed();
  if (active !== undefined) memtables.unshift(active);
  return memtables;
}

const NO_MEMTABLES: readonly never[] = [];

/** Iterators over all sources that may have keys in the range, newest first: the children of a merge. `reads`: the scan's. */
export function openSources(
  { memtables, version, sequence, fillCache }: ScanSources,
  tables: TableCache,
  range: KeyRange,
  reads: ScanReads,
): InternalIterator[] {
  const iterators: InternalIterator[] = [];
  for (let i = 0; i < memtables.length; i++) iterators.push(memtables[i]!.iterator(sequence));
  const runs = version.levelZeroRuns;
  for (let order = 0; order < runs.length; order++) {
    const run = runs[order]!;
    if (!meets(run, range)) continue;
    const open = (place: number): InternalIterator =>
      tables.iterator(run[place]!, fillCache, { scan: reads, order, place });
    iterators.push(new ConcatIterator(run, open));
  }
  for (let level = 1; level < LEVEL_COUNT; level++) {
    const list = version.lists[level]!;
    if (!meets(list, range)) continue;
    const order = runs.length + level - 1;
    const open = (place: number): InternalIterator =>
      tables.iterator(list.at(place)!, fillCache, { scan: reads, order, place });
    iterators.push(new ConcatIterator(list, open));
  }
  return iterators;
}

/** The tables of a version as sorted runs, newest first, as {@link openSources} counts them. */
export function runsOf(version: Version): readonly TableRun[] {
  return [...version.levelZeroRuns, ...version.lists.slice(1)];
}

/** Sorted and disjoint tables. */
export type TableRun = readonly TableMeta[] | TableList;

/** Whether keys of these tables, which are sorted, may lie in the range. */
export function meets(metas: TableRun, { start, end }: KeyRange): boolean {
  return (
    metas.length > 0 &&
    (start === undefined || compareKeys(start, metas.at(metas.length - 1)!.largestKey) <= 0) &&
    (end === undefined || compareKeys(metas.at(0)!.smallestKey, end) < 0)
  );
}
