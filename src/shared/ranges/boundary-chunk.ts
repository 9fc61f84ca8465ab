/**
 * Some boundaries of a RangeMap (range-map.ts), which never change: up to CHUNK_KEYS, in one piece of memory.
 *
 *   bytes       their keys, one behind the other            ends        where each ends
 *   heads       four bytes of each key behind the `prefix` that all of them share
 *   sequences   of the keys from each boundary to the next one; 0: not deleted
 *
 * A search compares heads, which lie side by side, and whole keys where heads are the same.
 *
 * Thread: any. Pure.
 */
import { compareBytes, headOf, sharedPrefixLength } from '../base/bytes.ts';
import { WALK_STEPS } from './stretch.ts';

const CHUNK_KEYS = 256;

/** Boundaries of a chunk, or one on its own. */
export type BoundaryPiece =
  | { readonly chunk: BoundaryChunk; readonly from: number; readonly to: number }
  | { readonly key: Uint8Array; readonly sequence: number };

export class BoundaryChunk {
  readonly bytes: Uint8Array;
  readonly ends: Uint32Array;
  readonly sequences: Float64Array;
  readonly #heads: Uint32Array;
  readonly #prefix: number;

  private constructor(bytes: Uint8Array, ends: Uint32Array, sequences: Float64Array) {
    this.bytes = bytes;
    this.ends = ends;
    this.sequences = sequences;
    const last = ends.length - 1;
    const lastStart = last === 0 ? 0 : ends[last - 1]!;
    const prefix = sharedPrefixLength(bytes, 0, ends[0]!, bytes, lastStart, ends[last]!);
    const heads = new Uint32Array(ends.length);
    for (let i = 0, start = 0; i <= last; i++) {
      heads[i] = headOf(bytes, start + prefix, ends[i]!);
      start = ends[i]!;
    }
    this.#heads = heads;
    this.#prefix = prefix;
  }

  /** The pieces, in order, in as few chunks as hold them, about equally filled. */
  static of(pieces: readonly BoundaryPiece[]): BoundaryChunk[] {
    const { bytes, ends, sequences } = join(pieces);
    const total = ends.length;
    const count = Math.ceil(total / CHUNK_KEYS);
    if (count === 1) return [new BoundaryChunk(bytes, ends, sequences)];
    const chunks: BoundaryChunk[] = [];
    for (let i = 0; i < count; i++) {
      const from = Math.floor((i * total) / count);
      const to = Math.floor(((i + 1) * total) / count);
      const start = from === 0 ? 0 : ends[from - 1]!;
      const own = ends.slice(from, to).map((end) => end - start);
      chunks.push(new BoundaryChunk(bytes.slice(start, ends[to - 1]!), own, sequences.slice(from, to)));
    }
    return chunks;
  }

  get count(): number {
    return this.ends.length;
  }

  /** A view. */
  key(at: number): Uint8Array {
    return this.bytes.subarray(at === 0 ? 0 : this.ends[at - 1]!, this.ends[at]!);
  }

  /** Whether boundary `at` is there, and has this key. */
  isAt(at: number, key: Uint8Array): boolean {
    return at < this.count && this.#compare(at, key, 0, key.length) === 0;
  }

  /** Whether bytes[start, end) lies from boundary `at` on and in front of the next one, which is in this chunk as well. */
  isBetween(at: number, bytes: Uint8Array, start: number, end: number): boolean {
    return (
      at + 1 < this.count &&
      this.#compare(at, bytes, start, end) <= 0 &&
      this.#compare(at + 1, bytes, start, end) > 0
    );
  }

  /**
   * The boundary behind which bytes[start, end) lies, at or behind it: `at` or one of the next few, which is not the last.
   * -1: none of those.
   */
  walk(at: number, bytes: Uint8Array, start: number, end: number): number {
    const limit = Math.min(at + WALK_STEPS, this.count - 1);
    for (let i = at; i < limit; i++) if (this.#compare(i + 1, bytes, start, end) > 0) return i;
    return -1;
  }

  /** < 0 when the first key comes before bytes[start, end). */
  compareFirst(bytes: Uint8Array, start: number, end: number): number {
    return this.#compare(0, bytes, start, end);
  }

  /** How many keys come before bytes[start, end). */
  countBelow(bytes: Uint8Array, start: number, end: number): number {
    const count = this.countUpTo(bytes, start, end);
    return count > 0 && this.#compare(count - 1, bytes, start, end) === 0 ? count - 1 : count;
  }

  /** How many keys come before bytes[start, end) or are it. */
  countUpTo(bytes: Uint8Array, start: number, end: number): number {
    const prefix = this.#prefix;
    const order = compareHead(this.bytes, prefix, bytes, start, end);
    if (order !== 0) return order < 0 ? 0 : this.count;
    const head = headOf(bytes, start + prefix, end);
    let count = countByHead(this.#heads, this.count, head);
    while (count > 0 && this.#heads[count - 1] === head && this.#compare(count - 1, bytes, start, end) > 0)
      count--;
    return count;
  }

  #compare(at: number, bytes: Uint8Array, start: number, end: number): number {
    return compareBytes(this.bytes, at === 0 ? 0 : this.ends[at - 1]!, this.ends[at]!, bytes, start, end);
  }
}

/** < 0: bytes[start, end) comes before all that begins with the first `prefix` bytes of `keys`, > 0: behind, 0: it does. */
export function compareHead(
  keys: Uint8Array,
  prefix: number,
  bytes: Uint8Array,
  start: number,
  end: number,
): number {
  for (let i = 0; i < prefix; i++) {
    if (start + i === end) return -1;
    const difference = bytes[start + i]! - keys[i]!;
    if (difference !== 0) return difference;
  }
  return 0;
}

/** How many of the first `length` heads, which rise, are at most `head`. */
export function countByHead(heads: Uint32Array, length: number, head: number): number {
  let low = 0;
  let high = length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (heads[middle]! <= head) low = middle + 1;
    else high = middle;
  }
  return low;
}

interface Boundaries {
  readonly bytes: Uint8Array;
  readonly ends: Uint32Array;
  readonly sequences: Float64Array;
}

function join(pieces: readonly BoundaryPiece[]): Boundaries {
  let count = 0;
  let byteLength = 0;
  for (const piece of pieces)
    if ('key' in piece) {
      count++;
      byteLength += piece.key.length;
    } else if (piece.to > piece.from) {
      count += piece.to - piece.from;
      byteLength += piece.chunk.ends[piece.to - 1]! - startOf(piece.chunk, piece.from);
    }
  const joined = {
    bytes: new Uint8Array(byteLength),
    ends: new Uint32Array(count),
    sequences: new Float64Array(count),
  };
  let place = 0;
  let position = 0;
  for (const piece of pieces)
    if ('key' in piece) {
      joined.bytes.set(piece.key, position);
      position += piece.key.length;
      joined.ends[place] = position;
      joined.sequences[place++] = piece.sequence;
    } else {
      const { chunk, from, to } = piece;
      const start = startOf(chunk, from);
      if (to > from) joined.bytes.set(chunk.bytes.subarray(start, chunk.ends[to - 1]!), position);
      for (let i = from; i < to; i++) {
        joined.ends[place] = position + chunk.ends[i]! - start;
        joined.sequences[place++] = chunk.sequences[i]!;
      }
      if (to > from) position = joined.ends[place - 1]!;
    }
  return joined;
}

function startOf({ ends }: BoundaryChunk, at: number): number {
  return at === 0 ? 0 : ends[at - 1]!;
}
