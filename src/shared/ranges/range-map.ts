/**
 * Deleted ranges, one over the other: which of them is the newest, for each key. A value that never changes: with one range more
 * it is another RangeMap, which shares nearly all memory with the one before.
 *
 *   assign [b, h) 30     b:30 h:0
 *   assign [e, p) 50     b:30 e:50 p:0                a boundary, and the sequence of the keys from it to the next one
 *   assign [a, -) 60     a:60
 *
 * Boundaries lie in chunks of up to CHUNK_KEYS; what changes is copied: one chunk, and the list of chunks. So a reader that goes
 * on for long keeps what it began with, at no cost for writers, and 100,000 ranges are searched by two bisections.
 *
 * Invariants: boundaries rise strictly. Each range is newer than those before it. The first sequence of a map is not 0.
 * Thread:     any. Pure.
 * Not chosen: all sequences over each key (RocksDB's fragments): a range that grows with each delete, as retention makes them,
 *             would have as many as there were deletes. Who reads an older moment has a map of that moment.
 */
import { compareBytes } from '../base/bytes.ts';
import type { RangeSource, Stretch } from './stretch.ts';

const CHUNK_KEYS = 128;

interface Chunk {
  readonly keys: readonly Uint8Array[];
  /** Of the keys from the boundary on, up to the next one; 0: not deleted. */
  readonly sequences: readonly number[];
}

export class RangeMap implements RangeSource {
  static readonly EMPTY: RangeMap = new RangeMap([], 0);
  readonly #chunks: readonly Chunk[];
  /** How many boundaries there are. */
  readonly length: number;

  private constructor(chunks: readonly Chunk[], length: number) {
    this.#chunks = chunks;
    this.length = length;
  }

  /** This, with [start, end) deleted by `sequence`, which is newer than all others. Keeps the arrays it is given. */
  assign(start: Uint8Array, end: Uint8Array | undefined, sequence: number): RangeMap {
    const chunks = this.#chunks;
    const first = this.#chunkOf(start, 0, start.length);
    const isBounded = end !== undefined && chunks.length > 0;
    // What comes before all others joins the first chunk.
    const last = isBounded ? Math.max(0, this.#chunkOf(end, 0, end.length)) : chunks.length - 1;
    const keys: Uint8Array[] = [];
    const sequences: number[] = [];
    if (first >= 0) {
      const { keys: before, sequences: covered } = chunks[first]!;
      const count = countBelow(before, start, 0, start.length);
      for (let i = 0; i < count; i++) {
        keys.push(before[i]!);
        sequences.push(covered[i]!);
      }
    }
    keys.push(start);
    sequences.push(sequence);
    if (end !== undefined) this.#addRest(last, end, keys, sequences);
    const from = Math.max(0, first);
    let { length } = this;
    for (let i = from; i <= last; i++) length -= chunks[i]!.keys.length;
    const next = [...chunks.slice(0, from), ...chunksOf(keys, sequences), ...chunks.slice(last + 1)];
    return new RangeMap(next, length + keys.length);
  }

  /** What chunk `last` has from `end` on. */
  #addRest(last: number, end: Uint8Array, keys: Uint8Array[], sequences: number[]): void {
    if (last < 0) {
      keys.push(end);
      sequences.push(0);
      return;
    }
    const { keys: behind, sequences: covered } = this.#chunks[last]!;
    const count = countBelow(behind, end, 0, end.length);
    const next = behind[count];
    if (next === undefined || compareBytes(next, 0, next.length, end, 0, end.length) !== 0) {
      keys.push(end);
      // What was there right before the end goes on behind it.
      sequences.push(count > 0 ? covered[count - 1]! : 0);
    }
    for (let i = count; i < behind.length; i++) {
      keys.push(behind[i]!);
      sequences.push(covered[i]!);
    }
  }

  /** The sequence of the newest range that covers bytes[start, end); 0: none does. */
  sequenceAt(bytes: Uint8Array, start: number, end: number): number {
    const chunk = this.#chunks[this.#chunkOf(bytes, start, end)];
    if (chunk === undefined) return 0;
    return chunk.sequences[countUpTo(chunk.keys, bytes, start, end) - 1]!;
  }

  /** All of it is below or at the sequence that the map was made for: `maxSequence` counts for nothing. */
  stretchAt(bytes: Uint8Array, start: number, end: number, _maxSequence: number, into: Stretch): void {
    const place = this.#chunkOf(bytes, start, end);
    const chunk = this.#chunks[place];
    if (chunk === undefined) {
      into.sequence = 0;
      into.start = undefined;
      into.end = this.#chunks[0]?.keys[0];
      return;
    }
    const at = countUpTo(chunk.keys, bytes, start, end) - 1;
    into.sequence = chunk.sequences[at]!;
    into.start = chunk.keys[at];
    into.end = at + 1 < chunk.keys.length ? chunk.keys[at + 1] : this.#chunks[place + 1]?.keys[0];
  }

  /** All boundaries, with the sequence of the keys behind each; the last one has none unless the last range has no end. */
  *[Symbol.iterator](): Generator<readonly [key: Uint8Array, sequence: number]> {
    for (const { keys, sequences } of this.#chunks)
      for (let i = 0; i < keys.length; i++) yield [keys[i]!, sequences[i]!];
  }

  /** The last chunk that begins at or before the key; -1: there is none. */
  #chunkOf(bytes: Uint8Array, start: number, end: number): number {
    const chunks = this.#chunks;
    let low = 0;
    let high = chunks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const key = chunks[middle]!.keys[0]!;
      if (compareBytes(key, 0, key.length, bytes, start, end) <= 0) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}

/** How many of `keys` come before bytes[start, end). */
function countBelow(keys: readonly Uint8Array[], bytes: Uint8Array, start: number, end: number): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const key = keys[middle]!;
    if (compareBytes(key, 0, key.length, bytes, start, end) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** How many of `keys` come before bytes[start, end) or are it. */
function countUpTo(keys: readonly Uint8Array[], bytes: Uint8Array, start: number, end: number): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const key = keys[middle]!;
    if (compareBytes(key, 0, key.length, bytes, start, end) <= 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** In as few chunks as hold them, about equally filled. */
function chunksOf(keys: Uint8Array[], sequences: number[]): Chunk[] {
  const count = Math.ceil(keys.length / CHUNK_KEYS);
  if (count === 1) return [{ keys, sequences }];
  const chunks: Chunk[] = [];
  for (let i = 0; i < count; i++) {
    const from = Math.floor((i * keys.length) / count);
    const to = Math.floor(((i + 1) * keys.length) / count);
    chunks.push({ keys: keys.slice(from, to), sequences: sequences.slice(from, to) });
  }
  return chunks;
}
