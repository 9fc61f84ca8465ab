/**
 * The deleted ranges of a table, as they lie in its meta block: searched where they are.
 *
 *   range deletes    30 [b........h)      50 [e..............p)
 *   boundaries       b        e           h          p
 *   sequences        30       50 30       50         none
 *
 *   bytes  0          n u32                     boundaries, 2 or more
 *          4          key end u32 * n           of each boundary's key, from where the keys begin
 *          4 + 4n     sequence end u32 * n      of each stretch's sequences, as a count from the first of all
 *          4 + 8n     sequences u64 * count     of each stretch, newest first: the first ones of a count are the first stretch's
 *                     keys
 *
 * A stretch is what lies between two boundaries; behind the last nothing is deleted. Of a stretch those deletes are kept that
 * some reader's moment sees as its newest: one, where no snapshot was open.
 *
 * Invariants: keys rise strictly, and so do the ends of keys; sequences of a stretch fall strictly; the first stretch has one.
 * Thread:     any. Pure.
 * Source:     RocksDB's fragmented range tombstones, with the boundaries shared.
 */
import { compareBytes, readU32, readU64, writeU32, writeU64 } from '../base/bytes.ts';
import { ROW_FIELDS } from '../base/entry-batch.ts';
import { MAX_BOUND_BYTES } from '../base/range-delete.ts';
import { type RangeSource, type RowsToCover, type Stretch, WALK_STEPS } from './stretch.ts';

const U32_BYTES = 4;
const U64_BYTES = 8;

/** A boundary, and what is deleted behind it, newest first. */
export interface RangeBoundary {
  readonly key: Uint8Array;
  readonly sequences: readonly number[];
}

export class RangeDeletes implements RangeSource {
  /** Of the section in the meta block. */
  readonly bytes: Uint8Array;
  readonly boundaryCount: number;
  readonly #keyEnds: Uint32Array;
  readonly #sequenceEnds: Uint32Array;
  readonly #sequences: Float64Array;
  readonly #keysAt: number;

  private constructor(bytes: Uint8Array) {
    const count = readU32(bytes, 0);
    this.bytes = bytes;
    this.boundaryCount = count;
    this.#keyEnds = new Uint32Array(count);
    this.#sequenceEnds = new Uint32Array(count);
    for (let i = 0; i < count; i++) {
      this.#keyEnds[i] = readU32(bytes, U32_BYTES * (1 + i));
      this.#sequenceEnds[i] = readU32(bytes, U32_BYTES * (1 + count + i));
    }
    const sequencesAt = U32_BYTES * (1 + 2 * count);
    this.#sequences = new Float64Array(this.#sequenceEnds[count - 1]!);
    for (let i = 0; i < this.#sequences.length; i++)
      this.#sequences[i] = readU64(bytes, sequencesAt + U64_BYTES * i);
    this.#keysAt = sequencesAt + U64_BYTES * this.#sequences.length;
  }

  /** undefined: these are not the bytes of such a section. Keeps `bytes`. */
  static decode(bytes: Uint8Array): RangeDeletes | undefined {
    if (bytes.length < U32_BYTES) return undefined;
    const count = readU32(bytes, 0);
    if (count < 2 || U32_BYTES * (1 + 2 * count) > bytes.length) return undefined;
    const total = readU32(bytes, U32_BYTES * 2 * count);
    if (total > bytes.length / U64_BYTES) return undefined;
    const keyBytes = bytes.length - U32_BYTES * (1 + 2 * count) - U64_BYTES * total;
    if (keyBytes < 0 || readU32(bytes, U32_BYTES * count) !== keyBytes) return undefined;
    const ranges = new RangeDeletes(bytes);
    return ranges.#isSound() ? ranges : undefined;
  }

  /** Two boundaries or more, the first with a sequence, the last without. */
  static of(boundaries: readonly RangeBoundary[]): RangeDeletes {
    const count = boundaries.length;
    const total = boundaries.reduce((sum, { sequences }) => sum + sequences.length, 0);
    const keyBytes = boundaries.reduce((sum, { key }) => sum + key.length, 0);
    const sequencesAt = U32_BYTES * (1 + 2 * count);
    const keysAt = sequencesAt + U64_BYTES * total;
    const bytes = new Uint8Array(keysAt + keyBytes);
    writeU32(bytes, 0, count);
    let keyEnd = 0;
    let sequenceEnd = 0;
    for (const [i, { key, sequences }] of boundaries.entries()) {
      bytes.set(key, keysAt + keyEnd);
      keyEnd += key.length;
      for (const sequence of sequences) writeU64(bytes, sequencesAt + U64_BYTES * sequenceEnd++, sequence);
      writeU32(bytes, U32_BYTES * (1 + i), keyEnd);
      writeU32(bytes, U32_BYTES * (1 + count + i), sequenceEnd);
    }
    return new RangeDeletes(bytes);
  }

  /** How many stretches have something deleted. */
  get count(): number {
    let count = 0;
    for (let i = 0; i < this.boundaryCount; i++) if (this.#sequenceEnds[i]! > this.#sequencesFrom(i)) count++;
    return count;
  }

  /** What the object costs. */
  get memoryBytes(): number {
    return this.bytes.length + U64_BYTES * (this.boundaryCount + this.#sequences.length);
  }

  /** The first key that is deleted, and the first behind all that are. */
  get start(): Uint8Array {
    return this.key(0);
  }

  get end(): Uint8Array {
    return this.key(this.boundaryCount - 1);
  }

  /** No key behind it is deleted: the last one in front of `end` where there is one (of a key and a zero, the key); else it. */
  get largestKey(): Uint8Array {
    const { end } = this;
    return end.at(-1) === 0 ? end.subarray(0, -1) : end;
  }

  /** The lowest and the highest sequence. */
  sequenceRange(): readonly [lowest: number, highest: number] {
    let [lowest, highest] = [Number.MAX_SAFE_INTEGER, 0];
    for (const sequence of this.#sequences) {
      lowest = Math.min(lowest, sequence);
      highest = Math.max(highest, sequence);
    }
    return [lowest, highest];
  }

  /** The key of a boundary: a view. */
  key(at: number): Uint8Array {
    const from = this.#keysAt + (at === 0 ? 0 : this.#keyEnds[at - 1]!);
    return this.bytes.subarray(from, this.#keysAt + this.#keyEnds[at]!);
  }

  /** What is deleted behind boundary `at`, newest first: a view. */
  sequencesOf(at: number): Float64Array {
    return this.#sequences.subarray(this.#sequencesFrom(at), this.#sequenceEnds[at]!);
  }

  /** The last boundary at or before `key`; -1: there is none. */
  find(key: Uint8Array): number {
    return this.#boundaryOf(key, 0, key.length);
  }

  /** The newest delete at or below `maxSequence` that covers bytes[start, end); 0: none does. */
  sequenceAt(bytes: Uint8Array, start: number, end: number, maxSequence: number): number {
    return this.#newest(this.#boundaryOf(bytes, start, end), maxSequence);
  }

  stretchAt(bytes: Uint8Array, start: number, end: number, maxSequence: number, into: Stretch): void {
    if (into.origin === this && this.#isBeside(into, bytes, start, end, maxSequence)) return;
    const at = this.#boundaryOf(bytes, start, end);
    into.origin = this;
    into.at = at;
    into.sequence = this.#newest(at, maxSequence);
    into.start = at < 0 ? undefined : this.key(at);
    into.end = at + 1 < this.boundaryCount ? this.key(at + 1) : undefined;
  }

  coverRows({ batch, maxSequence, near }: RowsToCover, from: number, to: number, into: Float64Array): void {
    const { keyBytes, rows } = batch;
    let at = near.origin === this ? near.at : -1;
    for (let row = from; row < to; row++) {
      const start = rows[row * ROW_FIELDS]!;
      const end = rows[row * ROW_FIELDS + 1]!;
      if (at >= 0) at = this.#walk(at, keyBytes, start, end);
      if (at < 0) at = this.#boundaryOf(keyBytes, start, end);
      into[row] = this.#newest(at, maxSequence);
    }
  }

  /** As BoundaryChunk.walk. */
  #walk(at: number, bytes: Uint8Array, start: number, end: number): number {
    const limit = Math.min(at + WALK_STEPS, this.boundaryCount - 1);
    for (let i = at; i < limit; i++) if (this.#compare(i + 1, bytes, start, end) > 0) return i;
    return -1;
  }

  /** Moves to the stretch before or behind, if the key lies there. */
  #isBeside(stretch: Stretch, bytes: Uint8Array, start: number, end: number, maxSequence: number): boolean {
    const { at } = stretch;
    if (at < 0) return false;
    if (this.#isBetween(at + 1, bytes, start, end)) {
      stretch.goOn(this.#newest(at + 1, maxSequence), this.key(at + 2));
      return true;
    }
    if (at === 0 || !this.#isBetween(at - 1, bytes, start, end)) return false;
    stretch.goBack(this.#newest(at - 1, maxSequence), this.key(at - 1));
    return true;
  }

  /** Whether the key lies from boundary `at` on and in front of the next one. */
  #isBetween(at: number, bytes: Uint8Array, start: number, end: number): boolean {
    return (
      at + 1 < this.boundaryCount &&
      this.#compare(at, bytes, start, end) <= 0 &&
      this.#compare(at + 1, bytes, start, end) > 0
    );
  }

  /** < 0 when the key of boundary `at` comes before bytes[start, end). */
  #compare(at: number, bytes: Uint8Array, start: number, end: number): number {
    const from = this.#keysAt + (at === 0 ? 0 : this.#keyEnds[at - 1]!);
    return compareBytes(this.bytes, from, this.#keysAt + this.#keyEnds[at]!, bytes, start, end);
  }

  #newest(at: number, maxSequence: number): number {
    if (at < 0) return 0;
    const end = this.#sequenceEnds[at]!;
    for (let i = this.#sequencesFrom(at); i < end; i++) {
      const sequence = this.#sequences[i]!;
      if (sequence <= maxSequence) return sequence;
    }
    return 0;
  }

  #sequencesFrom(at: number): number {
    return at === 0 ? 0 : this.#sequenceEnds[at - 1]!;
  }

  /** The last boundary at or before the key; -1: there is none. */
  #boundaryOf(bytes: Uint8Array, start: number, end: number): number {
    let low = 0;
    let high = this.boundaryCount;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#compare(middle, bytes, start, end) <= 0) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  #isSound(): boolean {
    const count = this.boundaryCount;
    for (let i = 0; i < count; i++) {
      const from = i === 0 ? 0 : this.#keyEnds[i - 1]!;
      const to = this.#keyEnds[i]!;
      if (to < from || to - from > MAX_BOUND_BYTES || this.#keysAt + to > this.bytes.length) return false;
      if (i > 0) {
        const before = i === 1 ? 0 : this.#keyEnds[i - 2]!;
        const keysAt = this.#keysAt;
        if (
          compareBytes(this.bytes, keysAt + before, keysAt + from, this.bytes, keysAt + from, keysAt + to) >=
          0
        )
          return false;
      }
      if (this.#sequenceEnds[i]! < this.#sequencesFrom(i)) return false;
      const sequences = this.sequencesOf(i);
      for (let s = 0; s < sequences.length; s++)
        if (
          sequences[s]! <= 0 ||
          sequences[s]! > Number.MAX_SAFE_INTEGER ||
          (s > 0 && sequences[s]! >= sequences[s - 1]!)
        )
          return false;
    }
    return this.sequencesOf(0).length > 0 && this.sequencesOf(count - 1).length === 0;
  }
}
