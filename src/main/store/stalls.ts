/**
 * How writes enter a store, and why they are slowed or held: what `stats()` and the event `stall` say. The gate is
 * write/write-gate.ts.
 */

/**
 * Why writes are slowed or held: memtables wait for their flush; too many tables in L0; too much is left to compact; an
 * ingestion is taking its place in the order of writes.
 */
export type StallReason = 'memtables' | 'level0' | 'compaction-debt' | 'ingest';

/** How writes enter: at once, at a limited rate, or not until there is room. */
export type GateState = 'open' | 'slow' | 'closed';

/** A stall began, changed or, with state `open`, ended. */
export interface StallEvent {
  readonly state: GateState;
  /** Absent when the stall ended. */
  readonly reason?: StallReason;
  /** When a stall ended: how long it lasted, slow and closed together. */
  readonly stalledMs?: number;
}
