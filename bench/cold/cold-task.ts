/**
 * What the parent tells a cold child, what the child answers, and what a result holds. Plain JSON.
 *
 *   parent: task  ->  child: (rehearses)  'ready'  ->  parent: (drops the page cache, puts it under limits)  'go'
 *   ->  child: opens the store, measures  ->  'measured' or 'failed'
 */
import type { Latency } from '../measure/measurement.ts';
import type { StoreName } from '../stores/store.ts';

/** How a store is opened; only ours has more than one way. */
export type Mode = 'default' | 'mmap-off' | 'no-koffi';

/** Where the reads of the disk are counted, when the child is under limits. */
export interface ReadCounter {
  readonly file: string;
  /** major:minor */
  readonly disk: string;
}

export interface ColdTask {
  readonly kind: 'cold';
  readonly store: StoreName;
  readonly mode: Mode;
  readonly row: string;
  readonly directory: string;
  /** For what is thrown away. */
  readonly scratch: string;
  readonly records: number;
  readonly valueBytes: number;
  readonly cacheBytes: number;
  readonly seconds: number;
  readonly seed: number;
  readonly counter: ReadCounter | undefined;
}

/** Milliseconds that a timer of 1 ms fired late. */
export interface LoopDelay {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
  /** The part of the time in which somebody who came would have waited over 10 ms, 0 to 1. */
  readonly heldShare: number;
  /** How often the timer fired; 0: the loop never turned. */
  readonly turns: number;
}

export interface ColdMeasurement {
  /** Keys looked up, or entries read. */
  readonly operations: number;
  readonly seconds: number;
  readonly opsPerSecond: number;
  /** Microseconds of a call: a get, a getMany, a scan of 100; null for the scan of everything. */
  readonly latencyUs: Latency | null;
  readonly loop: LoopDelay;
  readonly openMs: number;
  readonly cpuSeconds: number;
  /** Of the disk, as the controller counts them; null without limits. */
  readonly diskReadsPerSecond: number | null;
  /** Read from the disk by this process, page cache misses of mapped files included; null where the system does not say. */
  readonly diskBytesPerSecond: number | null;
  /** Of the writer beside the reads; null where there is none. */
  readonly putsPerSecond: number | null;
}

export interface ColdOutcome {
  readonly store: StoreName;
  readonly mode: Mode;
  readonly row: string;
  readonly measurement: ColdMeasurement | undefined;
  readonly error: string | undefined;
}

export type ColdReply =
  | { readonly kind: 'measured'; readonly measurement: ColdMeasurement }
  | { readonly kind: 'failed'; readonly message: string };

/** A store and how it is opened, as tables name it. */
export function contestant(store: StoreName, mode: Mode): string {
  return mode === 'default' ? store : `${store} ${mode}`;
}
