/**
 * How synchronous code says that it would have to wait for the disk.
 *
 *   1. an awaited read runs lookups and iterators, which are synchronous, with `disk.mayWait = false`
 *   2. where what they need is not in memory they throw a WouldWait, which says what that is
 *   3. the awaited read has it fetched (pending-reads.ts), and tries again: now it is there
 *
 * Invariants: thrown only while `mayWait` is false, and before anything was counted or changed by the step that throws. What a
 *             lookup has found by then is forgotten; an iterator is fit for close() alone.
 * Thread:     any.
 * Not chosen: asynchronous lookups and iterators beside the synchronous ones: all of the engine's inner loops twice. Saying so by
 *             return values: each of a dozen layers would have to look for one more of them, on reads from memory too.
 */

/** What has been fetched, and is where the next attempt finds it until it is given back. */
export interface Fetched {
  /** Rejects with what reading it threw. */
  readonly ready: Promise<void>;
  /** Once. Also while it is under way. */
  release(): void;
}

/** Something on the disk that a read can't do without. */
export interface Needed {
  /** Whether a table is to be opened for it, which nobody else is having opened. */
  readonly opensTable?: () => boolean;
  /** In the turn of the throw: later, the table may have been closed. `isUrgent`: somebody waits for it. */
  fetch(isUrgent: boolean): Fetched;
}

/** Not an Error: nobody but an awaited read sees one, and a stack trace costs more than all the rest. */
export class WouldWait {
  readonly needed: Needed;

  constructor(needed: Needed) {
    this.needed = needed;
  }
}
