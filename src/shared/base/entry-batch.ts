/**
 * A batch: the entry that an iterator stands on and some of those right behind it, decoded ahead of the walk into flat arrays.
 * A merge compares and consumes rows of batches, and asks its children once per batch instead of once per entry.
 *
 *   row          key start | key end | value start | value end         in keyBytes and valueBytes
 *                sequence, kind; ref: the entry's place, by which its iterator finds it again, but for row 0
 *
 *   block        the keys lie one behind the other in the batch's own room; the values lie in the block, in order
 *   scattered    key and value lie side by side where the iterator has them: a memtable's arena
 *   one entry    where the iterator has them: from iterators that make no batches, and for keys too long for the room
 *
 * Invariants: row 0 is the entry stood on. Filling a batch moves nothing, reads no block and throws nothing about what lies
 *             behind row 0: damage ends the batch, and is met by the move that comes to it.
 * Lifetime:   valid until the iterator moves; `moveTo` takes it to a row. `release` lets go of all bytes.
 */
import { copyInto, headOf } from './bytes.ts';
import type { Entry } from './entry.ts';

export const MAX_BATCH_ROWS = 256;
export const ROW_FIELDS = 4;
export const KEY_ROOM_BYTES = 8192;
/** Copying a key's beginning goes on to the next multiple of this. */
const WORD_BYTES = 4;
const NOTHING = new Uint8Array(0);
const NO_WORDS = new DataView(new ArrayBuffer(0));
/** Up to here a loop over words beats the native call. */
const LOOP_COPY_BYTES = 96;

export class EntryBatch {
  count = 0;
  keyBytes: Uint8Array = NOTHING;
  valueBytes: Uint8Array = NOTHING;
  readonly rows: Uint32Array = new Uint32Array(MAX_BATCH_ROWS * ROW_FIELDS);
  readonly sequences: Float64Array = new Float64Array(MAX_BATCH_ROWS);
  readonly kinds: Uint8Array = new Uint8Array(MAX_BATCH_ROWS);
  readonly refs: Uint32Array = new Uint32Array(MAX_BATCH_ROWS);
  isScattered = false;
  /** The bytes of a scattered batch, to be copied by words. */
  words: DataView = NO_WORDS;
  /** Of the run that takes from it (merged-span.ts): its place there, -1 = none, and the bytes from the first row to the last. */
  place = -1;
  keysStart = 0;
  keysEnd = 0;
  valuesStart = 0;
  valuesEnd = 0;
  /** What takes a place in the bytes to the one it was copied to. */
  keyShift = 0;
  valueShift = 0;
  readonly #room: Uint8Array = new Uint8Array(KEY_ROOM_BYTES + WORD_BYTES);
  readonly #roomWords: DataView = new DataView(this.#room.buffer);

  /** Only the entry itself, where it is. */
  setOne(entry: Entry): void {
    this.isScattered = false;
    this.keyBytes = entry.keyBytes;
    this.valueBytes = entry.valueBytes;
    this.count = 0;
    this.add(entry.keyStart, entry.keyEnd, entry.valueStart, entry.valueEnd, entry.sequence, entry.kind);
  }

  /** Begins a block's batch with the entry stood on, whose key has to fit into the room. */
  beginBlock(entry: Entry): void {
    const keyLength = entry.keyEnd - entry.keyStart;
    this.isScattered = false;
    this.keyBytes = this.#room;
    this.valueBytes = entry.valueBytes;
    copyInto(this.#room, 0, entry.keyBytes, entry.keyStart, entry.keyEnd);
    this.count = 0;
    this.add(0, keyLength, entry.valueStart, entry.valueEnd, entry.sequence, entry.kind);
  }

  /** Begins a scattered batch without entries. `words` are those of `bytes`. */
  beginScattered(bytes: Uint8Array, words: DataView): void {
    this.isScattered = true;
    this.keyBytes = bytes;
    this.valueBytes = bytes;
    this.words = words;
    this.count = 0;
  }

  /**
   * Builds the next key behind the one at [start, end) in the room: its first `overlap` bytes, then the diff. Returns where
   * the new key ends; -1 when the room is full.
   */
  buildKey(
    start: number,
    end: number,
    overlap: number,
    bytes: Uint8Array,
    diffStart: number,
    diffEnd: number,
  ): number {
    const keyEnd = end + overlap + diffEnd - diffStart;
    if (keyEnd > KEY_ROOM_BYTES) return -1;
    const room = this.#room;
    if (overlap > LOOP_COPY_BYTES) room.copyWithin(end, start, start + overlap);
    else {
      const words = this.#roomWords;
      // By words: what the last one takes too much lies under the diff, or behind the key.
      for (let i = 0; i < overlap; i += WORD_BYTES)
        words.setInt32(end + i, words.getInt32(start + i, true), true);
    }
    copyInto(room, end + overlap, bytes, diffStart, diffEnd);
    return keyEnd;
  }

  add(
    keyStart: number,
    keyEnd: number,
    valueStart: number,
    valueEnd: number,
    sequence: number,
    kind: number,
  ): void {
    const row = this.count++;
    const rows = this.rows;
    const at = row * ROW_FIELDS;
    rows[at] = keyStart;
    rows[at + 1] = keyEnd;
    rows[at + 2] = valueStart;
    rows[at + 3] = valueEnd;
    this.sequences[row] = sequence;
    this.kinds[row] = kind;
  }

  /** Leaves out the rows behind the first one of which `isLeftOut` says so. */
  leaveOut(isLeftOut: Uint8Array): void {
    const { rows, sequences, kinds, refs, count } = this;
    let kept = 1;
    for (let row = 1; row < count; row++) {
      if (isLeftOut[row] === 1) continue;
      if (kept < row) {
        // One by one: a native call for four numbers takes longer.
        for (let field = 0; field < ROW_FIELDS; field++)
          rows[kept * ROW_FIELDS + field] = rows[row * ROW_FIELDS + field]!;
        sequences[kept] = sequences[row]!;
        kinds[kept] = kinds[row]!;
        refs[kept] = refs[row]!;
      }
      kept++;
    }
    this.count = kept;
  }

  /** Makes `entry` the one of `row`. */
  readRow(row: number, entry: Entry): void {
    const rows = this.rows;
    const at = row * ROW_FIELDS;
    entry.keyBytes = this.keyBytes;
    entry.keyStart = rows[at]!;
    entry.keyEnd = rows[at + 1]!;
    entry.valueBytes = this.valueBytes;
    entry.valueStart = rows[at + 2]!;
    entry.valueEnd = rows[at + 3]!;
    entry.sequence = this.sequences[row]!;
    entry.kind = this.kinds[row]!;
  }

  /** Four bytes of the row's key behind the first `skip`, as a signed number in key order; missing bytes count as zero. */
  headOf(row: number, skip: number): number {
    const rows = this.rows;
    const at = row * ROW_FIELDS;
    // A small integer, unlike an unsigned word: kept in a field, it allocates nothing.
    return headOf(this.keyBytes, rows[at]! + skip, rows[at + 1]!) ^ -0x80000000;
  }

  /** Lets go of the bytes. */
  release(): void {
    this.count = 0;
    this.place = -1;
    this.keyBytes = NOTHING;
    this.valueBytes = NOTHING;
    this.words = NO_WORDS;
  }
}

/** Of closed merges, for the next ones: a short scan should not pay for making them. */
const idleBatches: EntryBatch[] = [];
const MAX_IDLE_BATCHES = 32;

export function takeBatch(): EntryBatch {
  return idleBatches.pop() ?? new EntryBatch();
}

/** The batch must not be used any more. */
export function giveBack(batch: EntryBatch): void {
  batch.release();
  if (idleBatches.length < MAX_IDLE_BATCHES) idleBatches.push(batch);
}
