/**
 * The sparse index: for each data block where it lies, and a separator that says which keys it may hold.
 *
 *   index = u32 n  u32 block size * n  u32 separator end * n  separators
 *
 * Block i starts where block i - 1 ends, the first at 0. Separator i is >= the last key of block i and < the first key
 * of block i + 1, the shortest such; where versions of one key go on in the next block, it is that key.
 *
 * Decoded into flat arrays. Separators of a table mostly begin alike, so the search compares the four bytes after the
 * prefix common to all of them as one number, and whole keys only where those are equal.
 *
 * Invariants: n >= 1; the sizes add up to the offset of the meta block. Immutable.
 * Thread: any.
 * Not chosen: an object per block; 30,000 of them per table would be the largest thing on the heap.
 */
import { compareBytes, headOf, readU32, sharedPrefixLength, writeU32 } from '../base/bytes.ts';
import { BLOCK_TRAILER_BYTES, U32_BYTES } from './format.ts';

export class SparseIndex {
  readonly blockCount: number;
  readonly #offsets: Float64Array;
  readonly #separators: Uint8Array;
  /** Separator i lies in [ends[i], ends[i + 1]). */
  readonly #ends: Uint32Array;
  readonly #commonLength: number;
  readonly #heads: Uint32Array;

  private constructor(offsets: Float64Array, separators: Uint8Array, ends: Uint32Array) {
    const count = offsets.length - 1;
    this.blockCount = count;
    this.#offsets = offsets;
    this.#separators = separators;
    this.#ends = ends;
    // They are sorted: what the first and the last have in common, all have.
    this.#commonLength = sharedPrefixLength(
      separators,
      0,
      ends[1]!,
      separators,
      ends[count - 1]!,
      ends[count]!,
    );
    this.#heads = new Uint32Array(count);
    for (let i = 0; i < count; i++) {
      this.#heads[i] = headOf(separators, ends[i]! + this.#commonLength, ends[i + 1]!);
    }
  }

  get memoryBytes(): number {
    return (
      this.#offsets.byteLength + this.#ends.byteLength + this.#heads.byteLength + this.#separators.byteLength
    );
  }

  blockOffset(index: number): number {
    return this.#offsets[index]!;
  }

  blockSize(index: number): number {
    return this.#offsets[index + 1]! - this.#offsets[index]!;
  }

  /** A view: not to be kept. */
  separator(index: number): Uint8Array {
    return this.#separators.subarray(this.#ends[index]!, this.#ends[index + 1]!);
  }

  /** The first block whose separator is >= key: the one that holds `key`, if any does. blockCount: none does. */
  find(key: Uint8Array): number {
    const common = this.#commonLength;
    const separators = this.#separators;
    const ends = this.#ends;
    if (common > 0) {
      const shared = sharedPrefixLength(separators, 0, common, key, 0, key.length);
      if (shared < common) {
        return shared === key.length || key[shared]! < separators[shared]! ? 0 : this.blockCount;
      }
    }
    const head = headOf(key, common, key.length);
    const heads = this.#heads;
    let low = 0;
    let high = this.blockCount;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const order = heads[middle]! - head;
      const isBelow =
        order < 0 ||
        (order === 0 &&
          compareBytes(separators, ends[middle]! + common, ends[middle + 1]!, key, common, key.length) < 0);
      if (isBelow) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Copies what it needs of `bytes`; undefined when they are no index of blocks that fill [0, dataEnd). */
  static decode(bytes: Uint8Array, dataEnd: number): SparseIndex | undefined {
    if (bytes.length < U32_BYTES) return undefined;
    const count = readU32(bytes, 0);
    const separatorsStart = U32_BYTES + count * 2 * U32_BYTES;
    if (count === 0 || separatorsStart > bytes.length) return undefined;
    const offsets = new Float64Array(count + 1);
    const ends = new Uint32Array(count + 1);
    let offset = 0;
    let end = 0;
    for (let i = 0; i < count; i++) {
      const size = readU32(bytes, U32_BYTES + i * U32_BYTES);
      const nextEnd = readU32(bytes, U32_BYTES + (count + i) * U32_BYTES);
      if (size <= BLOCK_TRAILER_BYTES || nextEnd < end) return undefined;
      offset += size;
      end = nextEnd;
      offsets[i + 1] = offset;
      ends[i + 1] = end;
    }
    if (offset !== dataEnd || end !== bytes.length - separatorsStart) return undefined;
    return new SparseIndex(offsets, bytes.slice(separatorsStart), ends);
  }
}

/** Collects blocks in order, then encodes the index. */
export class SparseIndexBuilder {
  readonly #sizes: number[] = [];
  readonly #separators: Uint8Array[] = [];
  #separatorBytes = 0;

  /** `separator` is kept. */
  add(blockSize: number, separator: Uint8Array): void {
    this.#sizes.push(blockSize);
    this.#separators.push(separator);
    this.#separatorBytes += separator.length;
  }

  get blockCount(): number {
    return this.#sizes.length;
  }

  get encodedLength(): number {
    return U32_BYTES + this.#sizes.length * 2 * U32_BYTES + this.#separatorBytes;
  }

  encode(): Uint8Array {
    const count = this.#sizes.length;
    const bytes = new Uint8Array(this.encodedLength);
    const separatorsStart = U32_BYTES + count * 2 * U32_BYTES;
    writeU32(bytes, 0, count);
    let end = 0;
    for (let i = 0; i < count; i++) {
      const separator = this.#separators[i]!;
      bytes.set(separator, separatorsStart + end);
      end += separator.length;
      writeU32(bytes, U32_BYTES + i * U32_BYTES, this.#sizes[i]!);
      writeU32(bytes, U32_BYTES + (count + i) * U32_BYTES, end);
    }
    return bytes;
  }
}

/**
 * The shortest key that is >= last and < next, where last < next; `last` itself where they are equal, which happens
 * when versions of one key go on in the next block.
 */
export function shortestSeparator(
  last: Uint8Array,
  lastLength: number,
  next: Uint8Array,
  nextStart: number,
  nextEnd: number,
): Uint8Array {
  const shared = sharedPrefixLength(last, 0, lastLength, next, nextStart, nextEnd);
  // `last` is a prefix of `next`, or equal: nothing shorter is >= last.
  if (shared === lastLength) return last.slice(0, lastLength);
  // A proper prefix of `next`, one byte longer than what they share, lies between.
  if (nextEnd - nextStart > shared + 1) return next.slice(nextStart, nextStart + shared + 1);
  // `next` ends with the byte that differs, so one below it must do, or a successor of `last` behind it.
  const from = last[shared]! + 1 < next[nextStart + shared]! ? shared : shared + 1;
  for (let i = from; i < lastLength; i++) {
    if (last[i]! < 0xff) {
      const separator = last.slice(0, i + 1);
      separator[i]! += 1;
      return separator;
    }
  }
  return last.slice(0, lastLength);
}
