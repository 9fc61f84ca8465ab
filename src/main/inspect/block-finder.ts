/**
 * Finds the blocks of a table whose index is lost, from the start of the file on: where one ends, the next begins.
 *
 *   ... payload | u32 length of the content | u8 codec | u32 checksum, seeded with (file number, offset)      table/format.ts
 *
 * Where a block begins is known, so each position behind it that could be the end of a trailer says whether its length fits, and
 * the checksum decides. The first block that is damaged ends the search: where the one behind it begins nothing tells.
 *
 * Invariants: what is found is intact. Reads a few MiB at a time, and checksums are worked out for a bounded multiple of the
 *             file's size.
 * Thread:     main.
 * Not chosen: repair's search (workers/block-search.ts), which goes on behind damage: it belongs to the workers.
 */
import { readU32, VarintReader } from '../../shared/base/bytes.ts';
import { blockChecksum } from '../../shared/table/block-checksum.ts';
import type { BlockSource } from '../../shared/table/block-source.ts';
import { BLOCK_TRAILER_BYTES, blockSeed } from '../../shared/table/format.ts';

export interface BlockPlace {
  readonly offset: number;
  readonly size: number;
}

/** What is read of a block at first, and at most at once. */
const FIRST_WINDOW_BYTES = 16384;
const WINDOW_BYTES: number = 4 * 1024 * 1024;
/** Contents beyond this are not looked for: it rules out most positions at a glance. */
const MAX_CONTENT_BYTES: number = 320 * 1024 * 1024;
/** How often the file's size may be checksummed in vain, so that a crafted file can't take for ever. */
const MAX_CHECKSUM_FACTOR = 16;
const HEAD_BYTES = 8;
const CODEC_SNAPPY = 1;
const CODEC_LZ4 = 2;

export class BlockFinder {
  readonly #source: BlockSource;
  readonly #number: number;
  #budget: number;

  /** `number`: of the table, as its checksums are seeded with it. */
  constructor(source: BlockSource, number: number) {
    this.#source = source;
    this.#number = number;
    this.#budget = MAX_CHECKSUM_FACTOR * source.sizeBytes + WINDOW_BYTES;
  }

  /** All that lie side by side from the start of the file on. */
  findAll(): BlockPlace[] {
    const places: BlockPlace[] = [];
    let offset = 0;
    for (let size = this.#sizeAt(offset); size > 0; size = this.#sizeAt(offset)) {
      places.push({ offset, size });
      offset += size;
    }
    return places;
  }

  /** The size of the block at `offset`; 0: none is found there. */
  #sizeAt(offset: number): number {
    const { sizeBytes } = this.#source;
    const headBytes = Math.min(HEAD_BYTES, sizeBytes - offset);
    if (headBytes < BLOCK_TRAILER_BYTES - 1) return 0;
    const head = this.#source.read(offset, headBytes);
    const varint = new VarintReader();
    const claimed = [-1, varint.read(head, 0, headBytes) < 0 ? -1 : varint.value, readU32(head, 0)];
    // Ends lie in (offset + trailer, size]; each window repeats the trailer's length of the one before.
    let windowBytes = FIRST_WINDOW_BYTES;
    for (let start = offset; start + BLOCK_TRAILER_BYTES <= sizeBytes; ) {
      // A copy, as the source's buffer is used for the candidates.
      const window = this.#source.read(start, Math.min(windowBytes, sizeBytes - start)).slice();
      windowBytes = Math.min(4 * windowBytes, WINDOW_BYTES);
      for (let at = 0; at + BLOCK_TRAILER_BYTES <= window.length; at++) {
        const codec = window[at + 4]!;
        if (codec > CODEC_LZ4) continue;
        const payload = start + at - offset;
        const length = readU32(window, at);
        const isFitting = codec < CODEC_SNAPPY ? length === payload : length === claimed[codec];
        if (payload === 0 || length === 0 || length > MAX_CONTENT_BYTES || !isFitting) continue;
        if (this.#isIntact(offset, payload + BLOCK_TRAILER_BYTES)) return payload + BLOCK_TRAILER_BYTES;
        if (this.#budget <= 0) return 0;
      }
      start += window.length - BLOCK_TRAILER_BYTES + 1;
      if (start - offset > MAX_CONTENT_BYTES) return 0;
    }
    return 0;
  }

  #isIntact(offset: number, size: number): boolean {
    this.#budget -= size;
    const bytes = this.#source.read(offset, size);
    const checksum = blockChecksum(bytes, 0, size - 4, blockSeed(this.#number, offset));
    return checksum === readU32(bytes, size - 4);
  }
}
