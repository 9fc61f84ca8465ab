/**
 * What is asked of all tables of a level again and again, kept for each chunk of its list (table-list.ts): after an edit only the
 * chunks that it has changed are walked.
 *
 * Thread:     main. Pure: a chunk never changes.
 */
import type { TableChunk } from '../../shared/read/table-list.ts';
import type { Version } from '../../shared/read/version.ts';

export interface ChunkSums {
  readonly sizeBytes: number;
  readonly entryCount: number;
  readonly tombstoneCount: number;
  /** Bounds of what single tables of the chunk have of each. */
  readonly most: {
    readonly tombstones: number;
    /** Tombstones per entry. */
    readonly tombstoneShare: number;
    /** Tombstones and shadowed versions per entry. */
    readonly garbageShare: number;
    readonly tombstonesPerByte: number;
  };
}

const known = new WeakMap<TableChunk, ChunkSums>();

export function sumsOf(chunk: TableChunk): ChunkSums {
  let sums = known.get(chunk);
  if (sums === undefined) {
    sums = sumUp(chunk);
    known.set(chunk, sums);
  }
  return sums;
}

function sumUp({ tables }: TableChunk): ChunkSums {
  let [sizeBytes, entryCount, tombstoneCount] = [0, 0, 0];
  const most = { tombstones: 0, tombstoneShare: 0, garbageShare: 0, tombstonesPerByte: 0 };
  for (const table of tables) {
    const entries = Math.max(1, table.entryCount);
    sizeBytes += table.sizeBytes;
    entryCount += table.entryCount;
    tombstoneCount += table.tombstoneCount;
    most.tombstones = Math.max(most.tombstones, table.tombstoneCount);
    most.tombstoneShare = Math.max(most.tombstoneShare, table.tombstoneCount / entries);
    most.garbageShare = Math.max(most.garbageShare, (table.tombstoneCount + table.shadowedCount) / entries);
    most.tombstonesPerByte = Math.max(most.tombstonesPerByte, table.tombstoneCount / table.sizeBytes);
  }
  return { sizeBytes, entryCount, tombstoneCount, most };
}

/** Bytes on disk for each entry, on average over all tables of a version. */
export function averageEntryBytesOf(version: Version): number {
  let entries = 0;
  for (const { chunks } of version.lists) for (const chunk of chunks) entries += sumsOf(chunk).entryCount;
  return entries === 0 ? 0 : version.sizeBytes / entries;
}
