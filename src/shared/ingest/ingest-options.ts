/**
 * What ingest() takes, reports meanwhile and returns; validated at the call.
 *
 * Thread: any. Pure.
 */
import { types } from 'node:util';
import { invalidArgument } from '../base/errors.ts';
import { type Bytes, describe } from '../base/input-bytes.ts';
import { checkObject } from '../base/option-checks.ts';
import { signalOption } from '../base/signals.ts';

/** Key and value. Both are copied before the source is asked for the next record. */
export type IngestRecord = readonly [key: Bytes, value: Bytes];

/** Records in any order, as many as you like: an array, a Map, a generator, a stream of pairs. */
export type IngestSource = Iterable<IngestRecord> | AsyncIterable<IngestRecord>;

/** Options of ingest. */
export interface IngestOptions {
  /** Called a few times a second, and when a phase ends. What it throws ends the ingestion. */
  readonly onProgress?: ((progress: IngestProgress) => void) | undefined;
  /** Ends the ingestion with the signal's reason; nothing of it is in the store then. */
  readonly signal?: AbortSignal | undefined;
  /** How many records the source has, about, where neither its `length` nor its `size` says: for progress alone. */
  readonly estimatedRecords?: number | undefined;
}

/**
 * How far an ingestion is. `sorting`: the source is read, and sorted piece by piece. `merging`: tables are built. `installing`:
 * they are given their place, for which writes are held for a moment.
 */
export type IngestPhase = 'sorting' | 'merging' | 'installing';

/** How far an ingestion is. */
export interface IngestProgress {
  readonly phase: IngestPhase;
  /** Records that have passed this phase. */
  readonly records: number;
  /** Bytes of their keys and values. */
  readonly bytes: number;
  /** How many records there will be: as the source or `estimatedRecords` says, and known once it has ended. */
  readonly estimatedTotal: number | undefined;
}

/** What an ingestion did. */
export interface IngestReport {
  /** Records taken from the source. */
  readonly records: number;
  /** Bytes of their keys and values. */
  readonly bytes: number;
  /** Entries stored: one for each different key. */
  readonly entries: number;
  /** Tables added to the store, and their size on disk. */
  readonly tables: number;
  readonly tableBytes: number;
  readonly elapsedMs: number;
}

export interface ResolvedIngest {
  readonly onProgress: (progress: IngestProgress) => void;
  readonly signal: AbortSignal | undefined;
  readonly estimatedRecords: number | undefined;
}

const NAMES: ReadonlySet<string> = new Set(['onProgress', 'signal', 'estimatedRecords']);

export function resolveIngest(source: unknown, options: IngestOptions = {}): ResolvedIngest {
  checkObject(options, 'ingest options', NAMES);
  const { onProgress, estimatedRecords } = options;
  const signal = signalOption(options.signal);
  if (!isIterable(source))
    throw invalidArgument(`the source of an ingest must be iterable, not ${describe(source)}`);
  if (onProgress !== undefined && typeof onProgress !== 'function')
    throw invalidArgument("option 'onProgress' must be a function");
  if (estimatedRecords !== undefined && !(Number.isFinite(estimatedRecords) && estimatedRecords >= 0))
    throw invalidArgument("option 'estimatedRecords' must be a number of at least 0");
  return {
    onProgress: onProgress ?? (() => undefined),
    signal,
    estimatedRecords: estimatedRecords ?? sizeOf(source),
  };
}

function isIterable(source: unknown): source is object {
  if (typeof source !== 'object' || source === null) return false;
  return Symbol.asyncIterator in source || Symbol.iterator in source;
}

function sizeOf(source: object): number | undefined {
  if (Array.isArray(source)) return source.length;
  return types.isMap(source) ? source.size : undefined;
}
