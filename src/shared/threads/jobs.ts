/**
 * The whole protocol between main and the pool: a job is plain data, a result is plain data, big bytes never travel
 * (a memtable goes as its SharedArrayBuffer, tables go through the file system).
 *
 *   main:    pool.run(job)          -> JobReply
 *   worker:  runJob(job, fileSystem) the same function, callable without a thread (threads: 0, tests)
 *
 * A job writes tables, or runs of an ingestion, and nothing else; it never touches logs or the manifest, and leaves no state, no
 * open file and no unfinished I/O behind. A failed job removes the files it had begun. What a killed worker leaves is deleted
 * before its job runs again, or by the next open. A job that runs again gets, or takes, new file numbers.
 */

import type { WireError } from '../base/errors.ts';
import type { FileNumber, Level, SequenceNumber } from '../base/ids.ts';
import type { KeyRange } from '../base/iterator.ts';
import type { TableInfo } from '../base/version-edit.ts';
import type { FileSystemSpec } from '../files/file-system.ts';
import type { PackedRecords } from '../ingest/chunk.ts';
import type { RunMeta, RunSlice } from '../ingest/run.ts';
import type { CodecName } from '../table/compression.ts';

/** How tables are built. */
export interface TableOptions {
  readonly blockSizeBytes: number;
  readonly restartInterval: number;
  readonly compression: CodecName;
  /** 0 = no filter. */
  readonly bloomBitsPerKey: number;
}

/** What every job is given. */
export interface JobContext {
  readonly directory: string;
  readonly fileSystem: FileSystemSpec | undefined;
  /** The control block (control-block.ts), for cancellation and progress. */
  readonly control: SharedArrayBuffer;
  /** This job's slot in the control block. */
  readonly slot: number;
  /** It runs on the thread that calls the store, which must not be held for longer than the work takes. */
  readonly isInline?: boolean;
}

/** A frozen memtable -> one L0 table. Reads the arena in place. */
export interface FlushJob extends JobContext {
  readonly kind: 'flush';
  readonly memtable: SharedArrayBuffer;
  readonly output: FileNumber;
  readonly table: TableOptions;
  /** Open snapshots, ascending: versions none of them can see are dropped already here. */
  readonly snapshots: readonly SequenceNumber[];
  /** Deletes above this sequence stay, even those that hide nothing: a transaction may ask for them. undefined: none does. */
  readonly keepDeletesAbove?: SequenceNumber | undefined;
  /** The time by which each of them is read: what has expired by then counts as deleted. */
  readonly snapshotTimes: readonly number[];
  /** The same for reads of no snapshot. 0: nothing expires. */
  readonly nowMs: number;
  /** Key ranges of all tables, as in a compaction: a tombstone for a key that none can hold has nothing to hide. 'unknown':
   * all stay. */
  readonly deeper: readonly (readonly KeyBounds[])[] | 'unknown';
}

/** Tables of one or two levels -> tables of one level. */
export interface CompactJob extends JobContext {
  readonly kind: 'compact';
  /** Each run is sorted and disjoint in itself: one L0 table, or the chosen tables of one level. Newest first. */
  readonly inputs: readonly (readonly TableInfo[])[];
  readonly outputLevel: Level;
  /** Only keys in this range are merged (a part of a large compaction); unbounded = all. */
  readonly range: KeyRange;
  /** OutputNumbers, with room for as many tables as the job may write. */
  readonly outputs: SharedArrayBuffer;
  readonly maxFileSizeBytes: number;
  readonly table: TableOptions;
  /** Open snapshots, ascending. */
  readonly snapshots: readonly SequenceNumber[];
  /** As in a flush. */
  readonly keepDeletesAbove?: SequenceNumber | undefined;
  readonly snapshotTimes: readonly number[];
  readonly nowMs: number;
  /**
   * Key ranges of the tables below the output level, one list per level, sorted: a tombstone may go only where no
   * older version can lie below.
   */
  readonly deeper: readonly (readonly KeyBounds[])[];
  /** Tables of the level below the output, sorted: an output stops before it overlaps too much of them. */
  readonly grandparents: readonly TableInfo[];
}

/** An inclusive range of user keys. */
export interface KeyBounds {
  readonly smallest: Uint8Array;
  readonly largest: Uint8Array;
}

/** Reads and checks every block of a table against its checksums, its order and its meta data. */
export interface VerifyJob extends JobContext {
  readonly kind: 'verify';
  readonly table: TableInfo;
}

/** Finds out what of a file verifies as table `number` and, if asked to, copies that into a new table: repair's eyes. */
export interface SalvageJob extends JobContext {
  readonly kind: 'salvage';
  /** The file's name in the directory. */
  readonly file: string;
  /** Whose blocks are looked for: they carry the number of their table in their checksums. */
  readonly number: FileNumber;
  /** What a sound manifest says; places the entries in time where the table's own meta data are lost. */
  readonly sequences: SequenceBounds | undefined;
  /** undefined: only look. */
  readonly output: FileNumber | undefined;
  readonly table: TableOptions;
}

/** Ingestion, first phase: a chunk of records in any order -> one sorted run (ingest/run.ts). Reads the chunk in place. */
export interface IngestRunJob extends JobContext, PackedRecords {
  readonly kind: 'ingest-run';
  readonly output: FileNumber;
}

/** Ingestion, second phase: runs -> tables in which all entries bear one sequence; or, where runs are many, -> one run. */
export interface IngestMergeJob extends JobContext {
  readonly kind: 'ingest-merge';
  /** Oldest first: of equal keys the one in the last run counts. */
  readonly runs: readonly RunSlice[];
  readonly range: KeyRange;
  /** Length in bytes of the prefix that all keys of the range share. */
  readonly sharedLength: number;
  readonly output:
    | {
        readonly kind: 'tables';
        readonly sequence: SequenceNumber;
        /** OutputNumbers, with room for as many tables as the job may write. */
        readonly outputs: SharedArrayBuffer;
        readonly maxFileSizeBytes: number;
        readonly table: TableOptions;
        /** Tables of the level that the outputs will once be merged with: as in a compaction. */
        readonly grandparents: Grandparents;
      }
    | { readonly kind: 'run'; readonly number: FileNumber };
}

/** Sorted and disjoint tables, of which an output must not overlap too much. */
export type Grandparents = readonly Pick<TableInfo, 'largestKey' | 'sizeBytes'>[];

/** Both inclusive, of entries and deleted ranges. */
export interface SequenceBounds {
  readonly smallest: number;
  readonly largest: number;
  /** How many ranges the table deletes. */
  readonly rangeDeletes: number;
}

export type Job = FlushJob | CompactJob | VerifyJob | SalvageJob | IngestRunJob | IngestMergeJob;
export type JobKind = Job['kind'];
export type JobOf<K extends JobKind> = Extract<Job, { kind: K }>;

export interface JobStats {
  readonly bytesRead: number;
  readonly bytesWritten: number;
  readonly entriesRead: number;
  readonly entriesWritten: number;
  readonly elapsedMs: number;
}

export interface FlushResult {
  /** undefined: nothing was left to write. */
  readonly output: TableInfo | undefined;
  readonly stats: JobStats;
}

export interface CompactResult {
  readonly outputs: readonly TableInfo[];
  /** Inputs that were not read, as deleted ranges hide all of them. */
  readonly unread: readonly FileNumber[];
  readonly stats: JobStats;
}

export interface VerifyResult {
  readonly blockCount: number;
  readonly entryCount: number;
  /** Ranges of keys that the table deletes. */
  readonly rangeDeletes: number;
  readonly bytesRead: number;
}

/** Bytes of a file that don't verify, and why. */
export interface DamagedRange {
  readonly offset: number;
  readonly bytes: number;
  readonly reason: string;
}

export interface SalvageResult {
  /** The table as it is, when nothing is wrong with it. */
  readonly sound: TableInfo | undefined;
  /** undefined: not asked for, or nothing is left of the table. */
  readonly output: TableInfo | undefined;
  /** The number in intact meta data: another one than asked for means that the file bears another table's name. */
  readonly ownNumber: FileNumber | undefined;
  /** What verifies. */
  readonly entryCount: number;
  readonly tombstoneCount: number;
  readonly rangeDeleteCount: number;
  /** What is missing of what the table says it holds; undefined when it can't say any more. */
  readonly lostEntryCount: number | undefined;
  readonly lostTombstoneCount: number | undefined;
  readonly lostRangeDeleteCount: number | undefined;
  readonly damage: readonly DamagedRange[];
}

export interface IngestRunResult {
  readonly run: RunMeta;
}

export interface IngestMergeResult {
  /** Empty when a run was asked for. */
  readonly outputs: readonly TableInfo[];
  readonly run: RunMeta | undefined;
  readonly recordsRead: number;
}

export interface ResultOf {
  readonly flush: FlushResult;
  readonly compact: CompactResult;
  readonly verify: VerifyResult;
  readonly salvage: SalvageResult;
  readonly 'ingest-run': IngestRunResult;
  readonly 'ingest-merge': IngestMergeResult;
}

/** What a worker answers: an Error would lose its class and code on the way. */
export type JobReply<K extends JobKind = JobKind> =
  | { readonly ok: true; readonly value: ResultOf[K] }
  | { readonly ok: false; readonly error: WireError };
