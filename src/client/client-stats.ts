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
  /** Writes that wait in this thread until those before them are answered; bytes in the form of the log, bounded by the
   * engine's `maxHeldBytes`. */
  readonly heldWrites: number;
  readonly heldBytes: number;
  /** Of writes that are on their way: sent and not answered. */
  readonly sentBytes: number;
}
