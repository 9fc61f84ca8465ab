/**
 * The contract of all internal iterators: over a memtable, a block, a table, a level, a merge of them.
 *
 * Order: user key ascending (unsigned bytes), then sequence number descending, so that the newest version of a key
 * comes first. `next` walks in this order, `prev` against it.
 *
 *   it.seek(key)        first entry whose user key is >= key          (its newest version)
 *   it.seekBefore(key)  last entry whose user key is < key            (its oldest version)
 *   it.seekToFirst() / it.seekToLast()
 *   each returns whether the iterator now stands on an entry; `next`/`prev` require that it does.
 *
 * Lifetime:   everything reachable through `entry` is valid until the next move, and `entry` itself may be another object
 *             after it: read `it.entry` again after each move. Copy what must live longer.
 * Errors:     a bad block throws CorruptionError from the move that meets it. An iterator never ends early.
 * Not chosen: `{ key, value }` objects or generators, which allocate per entry in the merge loop.
 */

import { compareBytes } from './bytes.ts';
import type { Entry } from './entry.ts';
import type { EntryBatch } from './entry-batch.ts';

export interface InternalIterator {
  readonly entry: Entry;
  seekToFirst(): boolean;
  seek(key: Uint8Array): boolean;
  next(): boolean;
  seekToLast(): boolean;
  seekBefore(key: Uint8Array): boolean;
  prev(): boolean;
  /**
   * Going forward: decodes the entry it stands on and some of those behind it, `maxRows` at most, into `batch`, without moving.
   * Missing where nothing is gained by it.
   */
  readBatch?(batch: EntryBatch, maxRows: number): void;
  /** Moves to `row` of the batch that was read where it stands. There with {@link readBatch}. */
  moveTo?(batch: EntryBatch, row: number): void;
  /**
   * Going forward, from a tombstone that the reader sees: moves past it and other entries that show the reader nothing, all of
   * whose keys come before `limit`, as many of them as can be passed at less cost than that of a step each. Stands then on an
   * entry that no newer one of this iterator hides; false: nowhere.
   */
  skipDead?(limit: KeyLimit): boolean;
  /**
   * Going backward: moves from the entry it stands on, which may be passed as well, past entries that show the reader nothing,
   * all of whose keys come after `limit`. May leave out versions of a key that newer ones of this iterator hide.
   */
  skipDeadBefore?(limit: KeyLimit): boolean;
  /** Gives up what the iterator holds. Idempotent. */
  close(): void;
}

const EMPTY: Uint8Array = new Uint8Array(0);

/** A key that is not to be reached; without one, there is no limit. */
export class KeyLimit {
  isThere = false;
  bytes: Uint8Array = EMPTY;
  start = 0;
  end = 0;

  set(bytes: Uint8Array, start: number, end: number): void {
    this.isThere = true;
    this.bytes = bytes;
    this.start = start;
    this.end = end;
  }

  /** < 0 when it comes before `key`. */
  compare(key: Uint8Array): number {
    return compareBytes(this.bytes, this.start, this.end, key, 0, key.length);
  }

  clear(): void {
    this.isThere = false;
    this.bytes = EMPTY;
  }
}

/** A range of user keys: `start` inclusive, `end` exclusive, undefined = unbounded. */
export interface KeyRange {
  readonly start?: Uint8Array | undefined;
  readonly end?: Uint8Array | undefined;
}
