/**
 * What a table is to the rest of the engine, and what a job changed.
 *
 * Keys are private copies backed by exactly their bytes: TableInfo crosses threads by structured clone, which copies
 * whole backing buffers.
 */
import type { FileNumber, Level, SequenceNumber } from './ids.ts';

/** One table of a version. Immutable. */
export interface TableInfo {
  readonly number: FileNumber;
  /** Size of the file on disk, in bytes. */
  readonly sizeBytes: number;
  /** CRC32 of the whole file. */
  readonly checksum: number;
  readonly entryCount: number;
  readonly tombstoneCount: number;
  /** Entries whose key has a newer version in the same table: kept for snapshots, to be dropped once they close. */
  readonly shadowedCount: number;
  /** Bytes of keys and values before compression. */
  readonly rawBytes: number;
  /** User keys, both inclusive. */
  readonly smallestKey: Uint8Array;
  readonly largestKey: Uint8Array;
  readonly smallestSequence: SequenceNumber;
  readonly largestSequence: SequenceNumber;
  /** Ranges of deleted keys that it holds (table/range-deletes.ts); absent: none. Its bounds hold them as well. */
  readonly rangeDeletes?: number | undefined;
  /** Of its entries that expire; absent: none does. */
  readonly expiry?: TableExpiry | undefined;
}

/** When the entries of a table expire. */
export interface TableExpiry {
  /** How many of its entries do. */
  readonly count: number;
  /** The moments of the first, the last, and EXPIRY_STEPS - 1 in between, evenly apart in number, rising: ms since 1970. */
  readonly moments: readonly number[];
}

export const EXPIRY_STEPS = 8;

/** A table and the level it is added to or removed from. */
export interface LeveledTable {
  readonly level: Level;
  readonly table: TableInfo;
}

/** The whole effect of one flush or compaction: persisted and installed once, or not at all. */
export interface VersionEdit {
  readonly added: readonly LeveledTable[];
  readonly removed: readonly { readonly level: Level; readonly number: FileNumber }[];
  /** Logs below this number hold nothing that the tables don't. Absent: unchanged. */
  readonly logNumber?: FileNumber;
  /** Of a flush or an ingestion: from now on the tables hold all writes up to this sequence, and no others. */
  readonly through?: number;
}
