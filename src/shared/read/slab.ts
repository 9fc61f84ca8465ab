/**
 * Cuts private buffers out of larger allocations, as Buffer.from does: each belongs to the caller alone.
 *
 * A span of entries is copied out in one piece: one native copy for all values, with what lies between them, and the keys built
 * behind it, each from the one before.
 *
 *   slab   .. | value  header diff  value  header diff  value | key key key | free
 *
 * A span of a merge is copied batch by batch: of a block first the keys, then the values in one piece; of a memtable each entry.
 *
 * Invariants: no two buffers handed out share a byte. What a buffer keeps alive besides itself is one slab at most.
 * Thread:     each has its own.     Owns: the slab that is being filled.
 * Not chosen: `slab.subarray()`, which asks for the species on the way: 35 ns for 13; an allocation per buffer, 90 ns.
 */
import { copyInto } from '../base/bytes.ts';
import { type EntryBatch, MAX_BATCH_ROWS } from '../base/entry-batch.ts';
import type { MergedSpan } from '../merge/merged-span.ts';
import { type BlockSpan, LARGE_BYTES, ROW_FIELDS } from '../table/block-span.ts';

const SLAB_BYTES = 16384;
/** Copying a key's beginning goes on to the next multiple of this. */
const WORD_BYTES = 4;
/** Up to here a loop over words beats the native call. */
const LOOP_COPY_BYTES = 96;
/** The same out of shared memory, where the native call is slower. */
const LOOP_COPY_SHARED_BYTES = 256;
const BATCH_ROWS_SHIFT = Math.log2(MAX_BATCH_ROWS);

type BufferView = new (memory: ArrayBuffer, start: number, length: number) => Buffer;

/** The class behind Buffer, whose constructor takes the place of `subarray`. */
const View: BufferView = viewClass();

function viewClass(): BufferView {
  const candidate = (Buffer as unknown as { readonly [Symbol.species]?: BufferView })[Symbol.species];
  if (typeof candidate === 'function' && candidate.prototype === Buffer.prototype) return candidate;
  // The documented way to the same buffer, should a future Node.js hide its class.
  return function view(memory: ArrayBuffer, start: number, length: number): Buffer {
    return Buffer.from(memory, start, length);
  } as unknown as BufferView;
}

class Slab {
  #bytes: Buffer = Buffer.allocUnsafeSlow(SLAB_BYTES);
  #memory: ArrayBuffer = this.#bytes.buffer as ArrayBuffer;
  #words: DataView = new DataView(this.#memory);
  #used = 0;

  /** What a span may take of the slab. */
  get room(): number {
    return SLAB_BYTES - WORD_BYTES - this.#used;
  }

  /** Begins another slab, which has room for any entry that may be part of a span. */
  renew(): void {
    this.#bytes = Buffer.allocUnsafeSlow(SLAB_BYTES);
    this.#memory = this.#bytes.buffer as ArrayBuffer;
    this.#words = new DataView(this.#memory);
    this.#used = 0;
  }

  copy(bytes: Uint8Array, start: number, end: number): Buffer {
    const length = end - start;
    if (length >= LARGE_BYTES) {
      // Memory of its own: one small slice must not keep a slab of others' bytes alive.
      const own = Buffer.allocUnsafeSlow(length);
      own.set(bytes.subarray(start, end));
      return own;
    }
    if (this.#used + length > SLAB_BYTES) this.renew();
    const at = this.#used;
    this.#used += length;
    copyInto(this.#bytes, at, bytes, start, end);
    return new View(this.#memory, at, length);
  }

  /** Copies out all entries of `span`, which must fit into the room, and moves its iterator to the last of them. */
  copySpan(span: BlockSpan, keys: boolean, values: boolean, into: [Buffer, Buffer][]): void {
    const slab = this.#bytes;
    const memory = this.#memory;
    const words = this.#words;
    const { rows, bytes, count } = span;
    const valuesStart = rows[2]!;
    // What takes a place in the block to its place in the slab.
    const shift = this.#used - valuesStart;
    if (values) {
      const end = rows[count * ROW_FIELDS - 1]!;
      slab.set(bytes.subarray(valuesStart, end), this.#used);
      this.#used += end - valuesStart;
    }
    let keyStart = this.#used;
    let keyEnd = keyStart + span.keyLength;
    copyInto(slab, keyStart, span.keyBytes, 0, span.keyLength);
    for (let row = 0; ; ) {
      const key = keys ? new View(memory, keyStart, keyEnd - keyStart) : undefined;
      const at = row * ROW_FIELDS;
      const valueStart = rows[at + 2]!;
      const value = values ? new View(memory, valueStart + shift, rows[at + 3]! - valueStart) : undefined;
      into.push([key, value] as [Buffer, Buffer]);
      if (++row === count) break;
      const overlap = rows[at + ROW_FIELDS]!;
      const diffStart = rows[at + ROW_FIELDS + 1]!;
      const diffEnd = rows[at + ROW_FIELDS + 2]!;
      if (overlap > LOOP_COPY_BYTES) slab.copyWithin(keyEnd, keyStart, keyStart + overlap);
      // By words: what the last one takes too much lies under the diff, or behind the span.
      else
        for (let i = 0; i < overlap; i += WORD_BYTES)
          words.setInt32(keyEnd + i, words.getInt32(keyStart + i, true), true);
      copyInto(slab, keyEnd + overlap, bytes, diffStart, diffEnd);
      keyStart = keyEnd;
      keyEnd += overlap + diffEnd - diffStart;
    }
    span.land(slab, keyStart, keyEnd);
    if (keys) this.#used = keyEnd;
  }

  /** Copies out all entries of `span`, which must fit into the room. */
  copyMergedSpan(span: MergedSpan, keys: boolean, values: boolean, into: [Buffer, Buffer][]): void {
    const memory = this.#memory;
    const { batches, batchCount, picks, count } = span;
    for (let i = 0; i < batchCount; i++)
      if (!batches[i]!.isScattered) this.#copyPiece(batches[i]!, keys, values);
    for (let i = 0; i < count; i++) {
      const pick = picks[i]!;
      const batch = batches[pick >>> BATCH_ROWS_SHIFT]!;
      const { rows } = batch;
      const at = (pick & (MAX_BATCH_ROWS - 1)) * ROW_FIELDS;
      const keyStart = rows[at]!;
      const keyEnd = rows[at + 1]!;
      const valueStart = rows[at + 2]!;
      const valueEnd = rows[at + 3]!;
      let { keyShift, valueShift } = batch;
      if (batch.isScattered) {
        const from = keys ? keyStart : valueStart;
        keyShift = valueShift = this.#used - from;
        this.#copyWords(batch, from, values ? valueEnd : keyEnd);
      }
      const key = keys ? new View(memory, keyStart + keyShift, keyEnd - keyStart) : undefined;
      const value = values ? new View(memory, valueStart + valueShift, valueEnd - valueStart) : undefined;
      into.push([key, value] as [Buffer, Buffer]);
    }
  }

  #copyPiece(batch: EntryBatch, keys: boolean, values: boolean): void {
    if (keys) {
      batch.keyShift = this.#used - batch.keysStart;
      this.#append(batch.keyBytes, batch.keysStart, batch.keysEnd);
    }
    if (values) {
      batch.valueShift = this.#used - batch.valuesStart;
      this.#append(batch.valueBytes, batch.valuesStart, batch.valuesEnd);
    }
  }

  #append(bytes: Uint8Array, start: number, end: number): void {
    const length = end - start;
    if (length <= LOOP_COPY_BYTES) copyInto(this.#bytes, this.#used, bytes, start, end);
    // Pieces are many bytes of private memory, which copyInto would look into.
    else this.#bytes.set(bytes.subarray(start, end), this.#used);
    this.#used += length;
  }

  #copyWords(batch: EntryBatch, start: number, end: number): void {
    const length = end - start;
    if (length > LOOP_COPY_SHARED_BYTES) copyInto(this.#bytes, this.#used, batch.keyBytes, start, end);
    else {
      const from = batch.words;
      const to = this.#words;
      const shift = this.#used - start;
      // By words: what the last one takes too much lies in the free part, and in the arena in front of its nodes.
      for (let i = start; i < end; i += WORD_BYTES) to.setInt32(i + shift, from.getInt32(i, true), true);
    }
    this.#used += length;
  }
}

/** Shared by all reads of this thread, as Buffer's pool is: a short scan doesn't use up a slab of its own. */
export const slab: Slab = new Slab();
