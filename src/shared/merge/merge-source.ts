/**
 * A child of a merge (merging-iterator.ts) and the batch that was read ahead of it.
 *
 * Invariants: "stands" means the row of the batch: the child itself may be behind, until it catches up.
 * Owns:       the batch. The child is the merge's.
 * Thread:     any.
 */
import { compareBytes } from '../base/bytes.ts';
import { type EntryBatch, MAX_BATCH_ROWS, ROW_FIELDS, takeBatch } from '../base/entry-batch.ts';
import { settleBatch } from '../base/expiry.ts';
import type { InternalIterator } from '../base/iterator.ts';

/** How much further each time. */
const REACH_GROWTH = 2;

/** A child and where it stands: at `row` of the batch. */
export class Source {
  readonly iterator: InternalIterator;
  /** Breaks ties: position among the children. */
  readonly order: number;
  readonly batch: EntryBatch = takeBatch();
  row = 0;
  /** Of the row's key: see EntryBatch.headOf. */
  head = 0;
  reach = 1;
  readonly #nowMs: number;

  /** `nowMs`: entries that expire are shown as they are at that time; below 0: as what they are. */
  constructor(iterator: InternalIterator, order: number, nowMs: number) {
    this.iterator = iterator;
    this.order = order;
    this.#nowMs = nowMs;
  }

  /** Behind a move of the child. */
  readOne(): void {
    this.batch.setOne(this.iterator.entry);
    if (this.#nowMs >= 0) settleBatch(this.batch, this.#nowMs);
    this.row = 0;
  }

  /** Reads ahead from where the child stands. */
  readAhead(): void {
    this.row = 0;
    if (this.iterator.readBatch === undefined) this.batch.setOne(this.iterator.entry);
    else this.iterator.readBatch(this.batch, this.reach);
    if (this.#nowMs >= 0) settleBatch(this.batch, this.#nowMs);
  }

  reachFurther(): void {
    this.reach = Math.min(this.reach * REACH_GROWTH, MAX_BATCH_ROWS);
  }

  /** Takes the child to the row. */
  catchUp(): void {
    if (this.row > 0) this.iterator.moveTo!(this.batch, this.row);
  }
}

/** The keys of two rows, of which the first `skip` bytes are the same. */
export function compareRows(a: Source, aRow: number, b: Source, bRow: number, skip: number): number {
  const x = a.batch.rows;
  const y = b.batch.rows;
  const i = aRow * ROW_FIELDS;
  const j = bRow * ROW_FIELDS;
  return compareBytes(a.batch.keyBytes, x[i]! + skip, x[i + 1]!, b.batch.keyBytes, y[j]! + skip, y[j + 1]!);
}

export function compareSources(a: Source, b: Source, skip: number): number {
  const byKey = compareRows(a, a.row, b, b.row, skip);
  if (byKey !== 0) return byKey;
  const x = a.batch.sequences[a.row]!;
  const y = b.batch.sequences[b.row]!;
  return x !== y ? y - x : a.order - b.order;
}
