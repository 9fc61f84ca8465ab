/**
 * The options of reads and scans: validated at the call. Bounds come out in one form (key-range.ts).
 *
 * `S` is the snapshot that the reader takes: the engine's or a client's.
 *
 * Thread: any. Pure.
 */
import type { Entry } from '../base/entry.ts';
import { invalidArgument } from '../base/errors.ts';
import { describe } from '../base/input-bytes.ts';
import type { KeyRange as HalfOpenRange } from '../base/iterator.ts';
import { boundsOf, type KeyRange, RANGE_NAMES } from '../base/key-range.ts';
import { boolean, checkObject } from '../base/option-checks.ts';
import { signalOption, throwIfAborted } from '../base/signals.ts';
import { viewInArena } from '../memtable/value-view.ts';
import type { ScanLimits } from './scan.ts';
import { slab } from './slab.ts';

/** Options of get, getMany and has. */
export interface ReadOptionsOf<S> {
  /** Read the moment of this snapshot. Default: now. */
  readonly snapshot?: S | undefined;
  /** false: blocks that are not in the cache are read past it. Default true. */
  readonly fillCache?: boolean | undefined;
  /**
   * Hand out memory of the store instead of a copy where there is memory that never changes: a value that is not in a table yet.
   * Never write to it: everybody would read that. It lies in a SharedArrayBuffer, which some interfaces refuse, and keeps a
   * whole write buffer alive. Worth it for large values that are looked at and dropped. Default false.
   */
  readonly zeroCopy?: boolean | undefined;
  /** Ends a read that waits for the disk with the signal's reason. A read without a promise only looks at it first. */
  readonly signal?: AbortSignal | undefined;
}

/** What a scan covers and gives. */
export interface ScanOptionsOf<S> extends KeyRange {
  /** Start at the largest key. Default false. */
  readonly reverse?: boolean | undefined;
  /** The most entries to return: an integer from 0. Default: no limit, as -1 (LevelDB's interfaces) and Infinity mean. */
  readonly limit?: number | undefined;
  /** Read the moment of this snapshot. Default: the moment of the call. */
  readonly snapshot?: S | undefined;
  /** false: the key's slot is undefined, and no time is spent on it. */
  readonly keys?: boolean | undefined;
  /** false: the value's slot is undefined, and no time is spent on it. */
  readonly values?: boolean | undefined;
  /** false: blocks that are not in the cache are read past it, for a scan of what is not read again soon. Default true: of each
   * table the first few blocks that such a scan reads are offered to the cache. */
  readonly fillCache?: boolean | undefined;
  /** Ends the scan with the signal's reason, and gives back what it holds within the abort. */
  readonly signal?: AbortSignal | undefined;
}

const READ_NAMES: ReadonlySet<string> = new Set(['snapshot', 'fillCache', 'zeroCopy', 'signal']);
const SCAN_NAMES: ReadonlySet<string> = new Set([
  ...RANGE_NAMES,
  'reverse',
  'limit',
  'snapshot',
  'keys',
  'values',
  'fillCache',
  'signal',
]);

/** What read options say. They are read here, once, as reading them may run code of the application. */
export interface ResolvedRead<S> {
  readonly snapshot: S | undefined;
  readonly fillCache: boolean;
  readonly zeroCopy: boolean;
  readonly signal: AbortSignal | undefined;
}

/** Throws the signal's reason if it is aborted. */
export function resolveRead<S>(options: ReadOptionsOf<S> | undefined): ResolvedRead<S> | undefined {
  if (options === undefined) return undefined;
  checkObject(options, 'read options', READ_NAMES);
  const signal = signalOption(options.signal);
  throwIfAborted(signal);
  return {
    snapshot: options.snapshot,
    fillCache: boolean(options, 'fillCache', true),
    zeroCopy: boolean(options, 'zeroCopy', false),
    signal,
  };
}

/** What a lookup left in `entry`, for the caller to keep. */
export function takeValue(entry: Entry, options: { readonly zeroCopy?: boolean } | undefined): Buffer {
  const view = options?.zeroCopy ? viewInArena(entry) : undefined;
  return view ?? slab.copy(entry.valueBytes, entry.valueStart, entry.valueEnd);
}

export interface ResolvedScan<S> extends ScanLimits {
  readonly range: HalfOpenRange;
  readonly reverse: boolean;
  readonly fillCache: boolean;
  readonly snapshot: S | undefined;
}

export function resolveScan<S>(options: ScanOptionsOf<S> = {}): ResolvedScan<S> {
  checkObject(options, 'scan options', SCAN_NAMES);
  const signal = signalOption(options.signal);
  return {
    range: boundsOf(options),
    reverse: boolean(options, 'reverse', false),
    limit: limitOf(options.limit),
    keys: boolean(options, 'keys', true),
    values: boolean(options, 'values', true),
    fillCache: boolean(options, 'fillCache', true),
    snapshot: options.snapshot,
    signal,
  };
}

function limitOf(limit: unknown): number {
  if (limit === undefined || limit === -1 || limit === Number.POSITIVE_INFINITY)
    return Number.POSITIVE_INFINITY;
  if (typeof limit !== 'number' || !Number.isSafeInteger(limit) || limit < 0)
    throw invalidArgument(
      `option 'limit' must be an integer from 0, or -1 or Infinity for no limit, not ${describe(limit)}`,
    );
  return limit;
}
