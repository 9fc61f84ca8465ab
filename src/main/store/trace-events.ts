/**
 * What the trace tells of: the table of all its events, and the form of a record. docs/trace.md is the page about it.
 *
 *   points       something happened                       one record
 *   operations   something that takes a while             a record at its start, and one at its end or failure, with the same
 *                `id`
 *
 * Invariants: plain data, safe for JSON. No keys or values of the application. Bytes, counts and milliseconds, as the names say;
 *             `time` is in milliseconds since 1970.
 */
import type { GateState, StallReason } from './stalls.ts';

/** A table in a record. */
export interface TracedTable {
  readonly table: number;
  readonly bytes: number;
  readonly entries: number;
  readonly tombstones: number;
}

/** What is told of each thing that happens. */
export interface TracePoints {
  /** Opening: the store is this owner's. */
  lock: { readonly waitedMs: number; readonly isTakeover: boolean };
  /** Opening: the files went to another directory, out of the reach of an owner on another host that seems dead. */
  epoch: { readonly directory: string };
  /** Opening: the manifest was read, or written for a new store. `levels`: how many tables each has. */
  manifest: {
    readonly isNew: boolean;
    readonly levels: readonly number[];
    readonly bytes: number;
    readonly pages: number;
    readonly logNumber: number;
    readonly lastSequence: number;
    readonly ownerEpoch: number;
  };
  /** Recovery: a log was read. `bytes` of its `fileBytes` count; `isSealed`: a clean close had measured it. */
  'log-replayed': {
    readonly log: number;
    readonly fileBytes: number;
    readonly bytes: number;
    readonly tornBytes: number;
    readonly entries: number;
    readonly firstSequence: number;
    readonly isSealed: boolean;
  };
  /** Recovery: nothing of this log counts: it was given up before, or follows a gap that a power cut left. */
  'log-dropped': {
    readonly log: number;
    readonly fileBytes: number;
    readonly reason: 'given-up' | 'after-gap';
  };
  /** Opening: files that a crash or the last close left were deleted. */
  orphans: { readonly files: readonly string[]; readonly failed: number };
  'log-created': { readonly log: number };
  /** For reads. `openTables`: how many are open now. */
  'table-opened': { readonly table: number; readonly bytes: number; readonly openTables: number };
  'table-closed': { readonly table: number; readonly openTables: number };
  /** A table, log, page of the manifest or run of an ingestion is gone. */
  'file-deleted': { readonly file: string };
  /** Writes are slowed or held, or, with state `open`, no longer. */
  stall: {
    readonly state: GateState;
    readonly reason?: StallReason;
    readonly stalledMs?: number;
    readonly levelZeroRuns: number;
    readonly frozenMemtables: number;
  };
  /** As the event `backgroundError`. */
  'background-error': {
    readonly operation: string;
    readonly willRetry: boolean;
    readonly code: string;
    readonly message: string;
  };
  /** `count` records found the queue full, and are lost. */
  'records-dropped': { readonly count: number };
}

/** What is told at the start and at the end of each thing that takes a while. */
export interface TraceOperations {
  open: {
    readonly start: {
      readonly readOnly: boolean;
      readonly sync: boolean;
      readonly threads: number;
      readonly writeBufferBytes: number;
      readonly cacheBytes: number;
      readonly maxFileSizeBytes: number;
    };
    readonly end: { readonly lastSequence: number; readonly memtables: number };
  };
  /** The logs from `logNumber` on. */
  recovery: {
    readonly start: { readonly logNumber: number; readonly lastSequence: number };
    readonly end: { readonly logs: number; readonly memtables: number; readonly lastSequence: number };
  };
  /** `reason`: its memtable was full; flush(), compact(), an ingestion or upkeep asked; it was read from logs at open; the
   * store closes. */
  flush: {
    readonly start: {
      readonly reason: 'full' | 'requested' | 'recovered' | 'closing';
      readonly logs: readonly number[];
      readonly entries: number;
      readonly memtableBytes: number;
      readonly frozenMemtables: number;
    };
    /** Without a table: nothing was left to write. */
    readonly end: {
      readonly table?: TracedTable;
      readonly entriesWritten: number;
      readonly bytesWritten: number;
      readonly jobMs: number;
    };
  };
  /** Why: `reason`, and what the picker saw (compaction-picker.ts): the score of each level, due at 1. */
  compaction: {
    readonly start: {
      readonly reason: string;
      readonly kind: 'move' | 'merge' | 'drop';
      readonly level: number;
      readonly outputLevel: number;
      readonly score: number;
      readonly scores: readonly number[];
      readonly l0CompactionTrigger: number;
      readonly isAtRest: boolean;
      readonly parts: number;
      readonly inputs: readonly TracedTable[];
      readonly overlapping: readonly TracedTable[];
      readonly grandparents: number;
      readonly grandparentBytes: number;
    };
    readonly end: {
      readonly outputs: readonly TracedTable[];
      readonly bytesRead: number;
      readonly bytesWritten: number;
      readonly entriesRead: number;
      readonly entriesWritten: number;
    };
  };
  /** One attempt of a job, on its thread. `parent`: the id of the operation it works for, where that is traced. */
  job: {
    readonly start: {
      readonly kind: string;
      readonly parent?: number | undefined;
      readonly attempt: number;
      readonly isUrgent: boolean;
      readonly waitedMs: number;
      readonly running: number;
      readonly queued: number;
    };
    /** `jobMs`: what the job itself took, without the way to its thread and back. */
    readonly end: {
      readonly bytesRead?: number;
      readonly bytesWritten?: number;
      readonly entriesWritten?: number;
      readonly jobMs?: number;
    };
  };
  ingestion: {
    readonly start: { readonly source: 'engine' | 'client' };
    readonly end: {
      readonly records: number;
      readonly bytes: number;
      readonly entries: number;
      readonly tables: number;
      readonly tableBytes: number;
    };
  };
  close: {
    readonly start: { readonly operations: number; readonly frozenMemtables: number };
    readonly end: { readonly hasGivenUp: boolean };
  };
}

export type TracePointName = keyof TracePoints;
export type TraceOperationName = keyof TraceOperations;
export type TraceSeverity = 'debug' | 'info' | 'warn' | 'error';

interface Stamp {
  readonly time: number;
  /** The absolute path of the store, as it was opened. */
  readonly store: string;
  readonly severity: TraceSeverity;
}

export type TracePoint = {
  [K in TracePointName]: Stamp & { readonly event: K; readonly phase: 'point' } & TracePoints[K];
}[TracePointName];

export type TraceStart = {
  [K in TraceOperationName]: Stamp & {
    readonly event: K;
    readonly phase: 'start';
    readonly id: number;
  } & TraceOperations[K]['start'];
}[TraceOperationName];

export type TraceEnd = {
  [K in TraceOperationName]: Stamp & {
    readonly event: K;
    readonly phase: 'end';
    readonly id: number;
    readonly elapsedMs: number;
  } & TraceOperations[K]['end'];
}[TraceOperationName];

/** An operation that failed, or was cancelled. */
export interface TraceFailure extends Stamp {
  readonly event: TraceOperationName;
  readonly phase: 'error';
  readonly id: number;
  readonly elapsedMs: number;
  readonly code?: string;
  readonly message: string;
}

export type TraceRecord = TracePoint | TraceStart | TraceEnd | TraceFailure;

/** What `open()` takes as `logger`: a function is given records; an object, such as the console or a pino, lines of text. */
export type TraceLogger = ((record: TraceRecord) => void) | TraceLineLogger;

/** One method for each severity. */
export interface TraceLineLogger {
  debug(line: string): unknown;
  info(line: string): unknown;
  warn(line: string): unknown;
  error(line: string): unknown;
}
