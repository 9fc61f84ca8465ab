/**
 * A span of a merge: rows of several sources' batches in the order in which they are handed out, to be copied out together.
 *
 *   batches   those that rows were picked from; each notes the piece of it that holds them, from the first to the last
 *   picks     place of the batch in `batches` * MAX_BATCH_ROWS + row
 *
 * Only what the user sees and small entries are picked; a large key or value, which gets memory of its own, ends the span.
 *
 * Invariants: a piece of a block's batch is copied in one go, with what lies between its rows, and is counted so; of a memtable's
 *             the entry from its key to the end of its value, with the moment at which it expires.
 * Lifetime:   filled and taken within one synchronous call; `clear` lets go of the batches. Those that stay in the list behind
 *             `batchCount` are pooled ones, which hold no bytes once their merge is closed.
 */
import { copyInto } from '../base/bytes.ts';
import { type EntryBatch, MAX_BATCH_ROWS, ROW_FIELDS } from '../base/entry-batch.ts';
import { LARGE_BYTES } from '../table/block-span.ts';

const MIN_KEY_BYTES = 64;

export class MergedSpan {
  readonly picks: Int32Array = new Int32Array(MAX_BATCH_ROWS);
  /** The first `batchCount` of these. */
  readonly batches: EntryBatch[] = [];
  batchCount = 0;
  count = 0;
  /** Empty for want of room, and for nothing else. */
  isCramped = false;
  /** The merge stands behind the span on an entry that was not looked at; otherwise on one that is done with. */
  isAhead = false;
  /** The last key that was decided on, in the first `keyLength` bytes: nobody sees its other versions. */
  key: Uint8Array = new Uint8Array(MIN_KEY_BYTES);
  keyLength = 0;
  maxRows = 0;
  maxSequence = 0;
  /** Keys from this one on are not part of the span. */
  end: Uint8Array | undefined;
  #maxBytes = 0;
  #used = 0;

  /** Begins an empty span: at most `maxRows` (> 0) entries that take at most `maxBytes`, with sequences up to `maxSequence`. */
  begin(maxRows: number, maxBytes: number, maxSequence: number, end: Uint8Array | undefined): void {
    this.clear();
    this.isCramped = false;
    this.isAhead = false;
    this.maxRows = maxRows < MAX_BATCH_ROWS ? maxRows : MAX_BATCH_ROWS;
    this.maxSequence = maxSequence;
    this.end = end;
    this.#maxBytes = maxBytes;
    this.#used = 0;
  }

  /** Picks a row; false when it is large or there is no room for it. */
  pick(batch: EntryBatch, row: number): boolean {
    const rows = batch.rows;
    const at = row * ROW_FIELDS;
    const keyStart = rows[at]!;
    const keyEnd = rows[at + 1]!;
    const valueStart = rows[at + 2]!;
    const valueEnd = rows[at + 3]!;
    if (keyEnd - keyStart >= LARGE_BYTES || valueEnd - valueStart >= LARGE_BYTES) return false;
    const isFirst = batch.place < 0;
    const used =
      this.#used +
      (batch.isScattered
        ? valueEnd - keyStart
        : isFirst
          ? keyEnd - keyStart + valueEnd - valueStart
          : keyEnd - batch.keysEnd + valueEnd - batch.valuesEnd);
    if (used > this.#maxBytes) {
      this.isCramped = this.count === 0;
      return false;
    }
    this.#used = used;
    if (isFirst) {
      batch.place = this.batchCount;
      this.batches[this.batchCount++] = batch;
      batch.keysStart = keyStart;
      batch.valuesStart = valueStart;
    }
    batch.keysEnd = keyEnd;
    batch.valuesEnd = valueEnd;
    this.picks[this.count++] = batch.place * MAX_BATCH_ROWS + row;
    return true;
  }

  setKey(bytes: Uint8Array, start: number, end: number): void {
    this.keyLength = end - start;
    if (this.keyLength > this.key.length) this.key = new Uint8Array(this.keyLength * 2);
    copyInto(this.key, 0, bytes, start, end);
  }

  /** Lets go of the batches. */
  clear(): void {
    for (let i = 0; i < this.batchCount; i++) this.batches[i]!.place = -1;
    this.batchCount = 0;
    this.count = 0;
  }
}
