/**
 * Tally: what the loops count with, in the measuring thread (meter.ts) as in a reader thread (threads/reader-tally.ts).
 *
 *   operations   counted by the loops
 *   lap()        called now and then: whether the time is up
 *   record()     a call that began at `sinceMs` has ended now
 */
import type { RecordableHistogram } from 'node:perf_hooks';

export interface Tally {
  operations: number;
  lap(): boolean;
  record(sinceMs: number): void;
}

const NS_PER_MS = 1e6;

/** The time since `sinceMs`, in nanoseconds, of which a histogram takes one at least. */
export function recordSince(histogram: RecordableHistogram, sinceMs: number): void {
  histogram.record(Math.max(1, Math.round((performance.now() - sinceMs) * NS_PER_MS)));
}
