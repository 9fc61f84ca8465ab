/**
 * The shape of a client's `stats()`.
 *
 * Thread: the client's. Numbers since it attached; nothing here says anything about the store or other threads.
 */

/** A plain object, safe for JSON. */
export interface ClientStats {
  /** This thread's block cache; `bytes` now. A hit or miss is one block asked for. */
  readonly cache: {
    readonly bytes: number;
    readonly capacityBytes: number;
    readonly hits: number;
    readonly misses: number;
  };
  /** How often a filter was asked, and how often it spared a read. */
  readonly bloom: { readonly checks: number; readonly rejections: number };
  /** Blocks read from files. */
  readonly blockReads: { readonly count: number; readonly bytes: number };
  /** Now. */
  readonly openTables: number;
  readonly openScans: number;
  readonly openSnapshots: number;
}
