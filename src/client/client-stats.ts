/**
 * The shape of a client's `stats()`.
 *
 * Thread: the client's. Numbers since it attached; nothing here says anything about the store or other threads.
 */
import type { ReaderStats } from '../shared/read/reader-stats.ts';

/** A plain object, safe for JSON. */
export interface ClientStats extends ReaderStats {
  /** Now. */
  readonly openTables: number;
  readonly openScans: number;
  readonly openSnapshots: number;
}
