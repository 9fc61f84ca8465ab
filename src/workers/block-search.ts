/**
 * Finds the blocks of a table whose index is lost, by their trailers (table/format.ts).
 *
 *   ... payload | u32 length of the content | u8 codec | u32 XXH64 (low half), seeded with (file number, offset)
 *
 *   1. walk the positions where a block may end: few have a codec and a plausible length at the right distance before them
 *   2. each says where it would have to begin: codec none by its length; the others by the content's length, which their
 *      payload begins with. The end of the block before is tried first
 *   3. the checksum decides. It is seeded with the place of the block, so that a copy of a block inside a value is none
 *
 * Invariants: what is found is intact, up to the chance of 2^-32 per candidate; `checksum` work is bounded by a multiple of
 *             the file's size, so that a crafted file can't take for ever. A block of more than 12 MiB may be missed.
 * Thread:     a worker's. Reads 16 MiB at a time.
 */
import { readU32, varintLength, writeU32, writeVarint } from '../shared/base/bytes.ts';
import { blockChecksum } from '../shared/table/block-checksum.ts';
import type { BlockSource } from '../shared/table/block-source.ts';
import { BLOCK_TRAILER_BYTES, blockSeed } from '../shared/table/format.ts';

const WINDOW_BYTES: number = 16 * 1024 * 1024;
/** A block that begins where none ended is looked for within this distance. */
const LOOKBACK_BYTES: number = 64 * 1024;
const MIN_WINDOW_BYTES: number = 4 * 1024 * 1024;
/** Contents are not larger than this here: it rules out most positions at a glance. */
const MAX_CONTENT_BYTES: number = 64 * 1024 * 1024;
const MAX_CHECKSUM_FACTOR = 64;

export interface BlockPlace {
  readonly offset: number;
  readonly size: number;
}

export class BlockSearch {
  readonly #source: BlockSource;
  readonly #fileNumber: number;
  #window: Buffer = Buffer.alloc(0);
  #windowStart = 0;
  #checksumBudget: number;

  constructor(source: BlockSource, fileNumber: number) {
    this.#source = source;
    this.#fileNumber = fileNumber;
    this.#checksumBudget = MAX_CHECKSUM_FACTOR * source.sizeBytes + WINDOW_BYTES;
  }

  /** The block that ends first of those that begin at or behind `from`. */
  next(from: number): BlockPlace | undefined {
    let start = from;
    for (;;) {
      this.#show(start);
      const found = this.#searchWindow(start);
      if (found !== undefined) return found;
      const windowEnd = this.#windowStart + this.#window.length;
      if (windowEnd >= this.#source.sizeBytes || this.#checksumBudget <= 0) return undefined;
      start = windowEnd - LOOKBACK_BYTES;
    }
  }

  /** Makes the window begin at or before `start` and reach far enough behind it. */
  #show(start: number): void {
    const { sizeBytes } = this.#source;
    const windowEnd = this.#windowStart + this.#window.length;
    const isInside = start >= this.#windowStart && start <= windowEnd;
    if (isInside && (windowEnd - start >= MIN_WINDOW_BYTES || windowEnd === sizeBytes)) return;
    const bytes = this.#source.read(start, Math.min(WINDOW_BYTES, sizeBytes - start));
    // A copy, as the source may reuse its buffer.
    this.#window = Buffer.from(bytes);
    this.#windowStart = start;
  }

  #searchWindow(start: number): BlockPlace | undefined {
    const window = this.#window;
    const from = start - this.#windowStart;
    for (let end = from + BLOCK_TRAILER_BYTES + 1; end <= window.length; end++) {
      const codec = window[end - 5]!;
      if (codec > 2) continue;
      const length = readU32(window, end - BLOCK_TRAILER_BYTES);
      if (length === 0 || length > MAX_CONTENT_BYTES) continue;
      const begin = this.#findBegin(from, end, codec, length);
      if (begin >= 0) return { offset: this.#windowStart + begin, size: end - begin };
      if (this.#checksumBudget <= 0) return undefined;
    }
    return undefined;
  }

  /** Where the block that ends at `end` begins, at or behind `from`; -1 when none ends there. */
  #findBegin(from: number, end: number, codec: number, length: number): number {
    const payloadEnd = end - BLOCK_TRAILER_BYTES;
    if (codec === 0) {
      const begin = payloadEnd - length;
      return begin >= from && this.#isIntact(begin, end) ? begin : -1;
    }
    const head = codec === 1 ? varintOf(length) : u32Of(length);
    const window = this.#window;
    if (window.subarray(from, from + head.length).equals(head) && this.#isIntact(from, end)) return from;
    const first = Math.max(from + 1, payloadEnd - LOOKBACK_BYTES);
    const region = window.subarray(0, payloadEnd);
    this.#checksumBudget -= (payloadEnd - first) / 16;
    let begin = region.indexOf(head, first);
    while (begin >= 0 && this.#checksumBudget > 0) {
      if (this.#isIntact(begin, end)) return begin;
      begin = region.indexOf(head, begin + 1);
    }
    return -1;
  }

  #isIntact(begin: number, end: number): boolean {
    this.#checksumBudget -= end - begin;
    const seed = blockSeed(this.#fileNumber, this.#windowStart + begin);
    return blockChecksum(this.#window, begin, end - 4, seed) === readU32(this.#window, end - 4);
  }
}

/** What a snappy payload begins with. */
function varintOf(length: number): Uint8Array {
  const bytes = new Uint8Array(varintLength(length));
  writeVarint(bytes, 0, length);
  return bytes;
}

/** What an lz4 payload begins with. */
function u32Of(length: number): Uint8Array {
  const bytes = new Uint8Array(4);
  writeU32(bytes, 0, length);
  return bytes;
}
