/**
 * The point lookup: the newest version of a key in the memtables and tables of one moment.
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
import type { Entry } from '../base/entry.ts';
import { LEVEL_COUNT, type Level } from '../base/ids.ts';
import type { TableInfo } from '../base/version-edit.ts';
import { hashKey } from '../table/bloom-filter.ts';
import type { TableReader } from '../table/table-reader.ts';
import type { ReadableMemtables } from './readable-memtables.ts';
import type { TableCache } from './table-cache.ts';
import type { Version } from './version.ts';

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

/** Where {@link lookupTables} would look into a block first, in a version that deletes no range. */
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

function holdsKey(table: TableInfo, key: Uint8Array): boolean {
  return compareKeys(table.smallestKey, key) <= 0 && compareKeys(key, table.largestKey) <= 0;
}
