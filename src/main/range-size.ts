/**
 * approximateSize(): about how many bytes on disk hold the keys of a range, at the moment of the call.
 *
 *   a table inside the range      its whole file
 *   a table that a bound cuts     its file, in the proportion in which its blocks lie in the range (key-offset.ts)
 *   what is in no table yet       the logs behind each memtable, in the proportion of its entries in the range (tree-share.ts)
 *
 * Old versions and tombstones count, as they take room. Files that are kept for open scans and snapshots alone, or are about to
 * be deleted, do not.
 *
 * Invariants: of ranges that make up a larger one the sizes add up to its own, but for what was written in between.
 * Thread:     main. Only tables that a bound cuts are opened, one after the other, off the thread.
 */
import { compareKeys } from '../shared/base/bytes.ts';
import { StorageError } from '../shared/base/errors.ts';
import type { KeyRange } from '../shared/base/iterator.ts';
import { isEmptyRange } from '../shared/base/key-range.ts';
import type { TableInfo } from '../shared/base/version-edit.ts';
import { shareBefore } from '../shared/memtable/tree-share.ts';
import type { TableCache } from '../shared/read/table-cache.ts';
import type { Version } from '../shared/read/version.ts';
import { bytesBefore } from '../shared/table/key-offset.ts';
import { sumsOf } from './compaction/chunk-sums.ts';
import type { VersionSet } from './manifest/version-set.ts';
import type { LiveMemtable, MemtableList } from './write/memtable-list.ts';

/** What approximateSize() needs of a store. */
export interface RangeSizeParts {
  readonly versions: VersionSet;
  readonly memtables: MemtableList;
  readonly tables: TableCache;
  isClosing(): boolean;
}

export async function approximateSize(parts: RangeSizeParts, range: KeyRange): Promise<number> {
  if (isEmptyRange(range)) return 0;
  const { versions, memtables, tables } = parts;
  let bytes = 0;
  for (const live of memtables.frozen) bytes += logBytesIn(live, range);
  if (memtables.active !== undefined) bytes += logBytesIn(memtables.active, range);
  const pin = versions.pin();
  try {
    const { inside, cut } = tablesIn(pin.version, range);
    bytes += inside;
    for (const table of cut) {
      if (parts.isClosing()) throw new StorageError('STRATA_CLOSED', 'the store is closed');
      bytes += await cutBytes(tables, table, range);
    }
  } finally {
    pin.release();
  }
  return Math.round(bytes);
}

function logBytesIn(live: LiveMemtable, { start, end }: KeyRange): number {
  if (live.isEmpty) return 0;
  const { arena } = live.memtable;
  const before = start === undefined ? 0 : shareBefore(arena, start);
  const upTo = end === undefined ? 1 : shareBefore(arena, end);
  return (upTo - before) * live.logs().reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}

/** The bytes of the tables inside the range, and the tables that a bound cuts. */
function tablesIn(
  version: Version,
  range: KeyRange,
): { readonly inside: number; readonly cut: readonly TableInfo[] } {
  let inside = 0;
  const cut: TableInfo[] = [];
  for (const [level, { chunks }] of version.lists.entries())
    for (const chunk of chunks) {
      // Below level 0 a chunk is sorted, so what its ends say holds for the tables between them.
      const place = level === 0 ? 'cut' : placeOf(chunk.first.smallestKey, chunk.last.largestKey, range);
      if (place === 'inside') inside += sumsOf(chunk).sizeBytes;
      if (place !== 'cut') continue;
      for (const table of chunk.tables) {
        const its = placeOf(table.smallestKey, table.largestKey, range);
        if (its === 'inside') inside += table.sizeBytes;
        else if (its === 'cut') cut.push(table);
      }
    }
  return { inside, cut };
}

/** Where the keys from `smallest` to `largest` lie. */
function placeOf(
  smallest: Uint8Array,
  largest: Uint8Array,
  { start, end }: KeyRange,
): 'inside' | 'cut' | 'outside' {
  if (start !== undefined && compareKeys(largest, start) < 0) return 'outside';
  if (end !== undefined && compareKeys(smallest, end) >= 0) return 'outside';
  const isAfterStart = start === undefined || compareKeys(start, smallest) <= 0;
  return isAfterStart && (end === undefined || compareKeys(largest, end) < 0) ? 'inside' : 'cut';
}

async function cutBytes(tables: TableCache, table: TableInfo, { start, end }: KeyRange): Promise<number> {
  const { ready, release } = tables.fetch(table);
  try {
    await ready;
    const { index } = tables.reader(table);
    const all = index.blockOffset(index.blockCount);
    // Range deletes alone.
    if (all === 0) return table.sizeBytes;
    const before = start === undefined ? 0 : bytesBefore(index, table.smallestKey, start);
    const upTo = end === undefined ? all : bytesBefore(index, table.smallestKey, end);
    return ((upTo - before) / all) * table.sizeBytes;
  } finally {
    release();
  }
}
