/**
 * What is asked of deleted ranges of keys: how new the newest delete that covers a key is, and how far around it that holds.
 *
 *   range deletes    30 [b........h)      50 [e..............p)       at sequence 60
 *   stretches        [-  b)  [b  e)  [e          p)  [p   -)
 *   sequence           0       30         50            0
 *
 * A key's entry is deleted when its sequence is below that of its stretch.
 *
 * Thread: any.
 */
import type { EntryBatch } from '../base/entry-batch.ts';

/** How many boundaries are tried one after the other, before a key is searched for: keys and boundaries are walked in step. */
export const WALK_STEPS = 4;

/** A stretch of keys that the same newest delete covers. Filled by {@link RangeSource.stretchAt}. */
export class Stretch {
  /** 0: nothing covers these keys. */
  sequence = 0;
  /** The first key; undefined: from the first there is. */
  start: Uint8Array | undefined;
  /** The first key behind it; undefined: to the end. */
  end: Uint8Array | undefined;
  /** Where its source has found it: who walks along asks for the next one soon. The source's own affair. */
  origin: object | undefined;
  place = 0;
  at = 0;

  /** Nothing covers any key. */
  clear(): void {
    this.sequence = 0;
    this.start = undefined;
    this.end = undefined;
    this.origin = undefined;
  }

  /** Takes a stretch of the same source that is the next one: where this one ends. `end`: where that does. */
  goOn(sequence: number, end: Uint8Array | undefined): void {
    this.sequence = sequence;
    this.start = this.end;
    this.end = end;
    this.at++;
  }

  /** The one before. */
  goBack(sequence: number, start: Uint8Array | undefined): void {
    this.sequence = sequence;
    this.end = this.start;
    this.start = start;
    this.at--;
  }
}

/** Rows, and a stretch that does not begin behind the first of them: where to begin, if it is one of the same source. */
export interface RowsToCover {
  readonly batch: EntryBatch;
  readonly maxSequence: number;
  readonly near: Stretch;
}

/** Deleted ranges of one place: a memtable, a table, a level. */
export interface RangeSource {
  /** Makes `into` a stretch around the key bytes[start, end), with the newest delete at or below `maxSequence` that covers it. */
  stretchAt(bytes: Uint8Array, start: number, end: number, maxSequence: number, into: Stretch): void;
  /** The same for rows of a batch, whose keys don't fall: the sequence for each of them, into its place. */
  coverRows(rows: RowsToCover, from: number, to: number, into: Float64Array): void;
}
