/**
 * Blocks in WebAssembly: the module made of assembly/ (Snappy, XXH64, lookup, index), its memory, and copies in and out.
 *
 *   memory   0 table | TABLE_BYTES input, SLACK | output, SLACK
 *            0 key, RESULT_AT result            in a lookup, which needs no table
 *
 * A block that is read is loaded once, as it is on disk; its checksum is taken and its content decoded where it lies. A lookup
 * does that and the search in one call: what it saves is not so much the calls as the views that each of them needs.
 *
 * Measured for 4 KiB blocks, copies included: decode 1.5 us against 3.4 in TypeScript (English text 2.8 against 11.4),
 * compress 2.2 us against 13 by snappyjs (text 9.4 against 26). The checksum of 2.2 KiB, as much as such a block takes on
 * disk: 0.17 us with the copy, against 0.50 for zlib.crc32.
 *
 * Invariants: the module checks every element of a stream against both ends before it carries it out, and can reach nothing
 *             but its own memory.
 * Thread:     any; each has a module and a memory of its own, made at the first use.
 * Not chosen: the native package `snappy`, which needs a binary per platform and measured slower.
 */
import { copyInto } from '../base/bytes.ts';
import { BLOCKS_WASM } from './blocks-binary.ts';

const PAGE_BYTES = 65536;
const TABLE_BYTES = 32768;
/** Copies in the module are up to 64 bytes wide and may run over an end by that much. */
const SLACK_BYTES = 64;
/** Snappy's offsets have 16 bits here: longer inputs are compressed in fragments. */
const FRAGMENT_BYTES = 65536;
/** Where a lookup puts what it found, and what that has at which place. */
const RESULT_AT: number = TABLE_BYTES - 32;
const RESULT_WORD: number = RESULT_AT / 4;
const RESULT_DELTA: number = (RESULT_AT + 16) / 8;
/** Room for a block's content that is there from the start: no common block is turned away, however well it compresses. */
const CONTENT_ROOM_BYTES = 131072;
/** Of XXH64; what is hashed piece by piece is cut at multiples of it. */
const STRIPE_BYTES = 32;
/** Larger blocks hold one huge value each: rare, and not worth keeping megabytes of memory for. */
export const MAX_WASM_BLOCK_BYTES = 1048576;

interface BlockExports {
  readonly memory: WebAssembly.Memory;
  decode(input: number, inputEnd: number, output: number, outputEnd: number): number;
  compress(input: number, inputEnd: number, output: number, table: number, shift: number): number;
  hashBegin(seed: number): void;
  hashStripes(input: number, end: number): void;
  hashEnd(input: number, end: number, total: number): number;
  lookup(
    sealed: number,
    length: number,
    seed: number,
    output: number,
    outputEnd: number,
    key: number,
    keyLength: number,
    maxDelta: number,
    largestDelta: number,
    result: number,
  ): number;
  index(
    content: number,
    contentEnd: number,
    largestDelta: number,
    key: number,
    maxPrefix: number,
    output: number,
    outputEnd: number,
  ): number;
  readonly prefix: { readonly value: number };
}

/** What a lookup found: the value lies in [valueStart, valueEnd) of `bytes`. */
export interface LookupResult {
  bytes: Uint8Array;
  valueStart: number;
  valueEnd: number;
  kind: number;
  /** Above the base sequence. */
  delta: number;
}

/** The index of a block's entries: prefix, heads and offsets as kept-block.ts has them, in `words` from `start` on. */
export interface BlockIndex {
  words: Uint32Array;
  start: number;
  count: number;
  prefixLength: number;
}

export class BlockModule {
  readonly #exports: BlockExports;
  readonly result: LookupResult;
  /** What `index` made. */
  readonly blockIndex: BlockIndex;
  #bytes: Uint8Array;
  #words: Uint32Array;
  #doubles: Float64Array;
  #loadedLength = 0;

  constructor() {
    const module = new WebAssembly.Module(Buffer.from(BLOCKS_WASM, 'base64'));
    this.#exports = new WebAssembly.Instance(module).exports as unknown as BlockExports;
    const { buffer } = this.#exports.memory;
    this.#bytes = new Uint8Array(buffer);
    this.#words = new Uint32Array(buffer);
    this.#doubles = new Float64Array(buffer);
    this.result = { bytes: this.#bytes, valueStart: 0, valueEnd: 0, kind: 0, delta: 0 };
    this.blockIndex = { words: this.#words, start: 0, count: 0, prefixLength: 0 };
  }

  /** Brings a block in: the following calls are about it, until the next one of another method. */
  load(block: Uint8Array): void {
    this.#reserve(TABLE_BYTES + block.length + SLACK_BYTES);
    this.#bytes.set(block, TABLE_BYTES);
    this.#loadedLength = block.length;
  }

  /** The low half of XXH64 of the first `length` bytes that are loaded. */
  hashLoaded(length: number, seed: number): number {
    const stripesEnd = TABLE_BYTES + length - (length % STRIPE_BYTES);
    this.#exports.hashBegin(seed);
    this.#exports.hashStripes(TABLE_BYTES, stripesEnd);
    return this.#exports.hashEnd(stripesEnd, TABLE_BYTES + length, length) >>> 0;
  }

  /**
   * What the Snappy elements in loaded bytes [start, end) give, which must be exactly `length` bytes, or undefined: a view of
   * the module's memory, valid until its next use.
   */
  viewLoaded(start: number, end: number, length: number): Uint8Array | undefined {
    const to = TABLE_BYTES + this.#loadedLength + SLACK_BYTES;
    this.#reserve(to + length + SLACK_BYTES);
    const outputEnd = this.#exports.decode(TABLE_BYTES + start, TABLE_BYTES + end, to, to + length);
    return outputEnd === to + length ? this.#bytes.subarray(to, outputEnd) : undefined;
  }

  /**
   * Looks for the newest entry of `key` at most `maxDelta` above the base sequence in the block `sealed`, in which no entry may
   * be more than `largestDelta` above it. Returns one of Found
   * (block.ts), with `result` about the entry that is here, until the next call of anything; undefined: not a block that this
   * can read, or none at all.
   */
  lookup(
    sealed: Uint8Array,
    seed: number,
    key: Uint8Array,
    maxDelta: number,
    largestDelta: number,
  ): 0 | 1 | 2 | undefined {
    if (key.length > RESULT_AT - SLACK_BYTES) return undefined;
    const length = sealed.length;
    const to = TABLE_BYTES + roundUp(length + SLACK_BYTES);
    this.#reserve(to + CONTENT_ROOM_BYTES);
    const bytes = this.#bytes;
    copyInto(bytes, 0, key, 0, key.length);
    bytes.set(sealed, TABLE_BYTES);
    const end = bytes.length - SLACK_BYTES;
    const found = this.#exports.lookup(
      TABLE_BYTES,
      length,
      seed,
      to,
      end,
      0,
      key.length,
      maxDelta,
      largestDelta,
      RESULT_AT,
    );
    if (found === 0 || found === 2) return found;
    if (found !== 1) return undefined;
    const { result } = this;
    result.bytes = bytes;
    result.valueStart = this.#words[RESULT_WORD + 1]!;
    result.valueEnd = this.#words[RESULT_WORD + 2]!;
    result.kind = this.#words[RESULT_WORD + 3]!;
    result.delta = this.#doubles[RESULT_DELTA]!;
    return 1;
  }

  /** The content of the block that the lookup before was in: valid until the next call of another method. */
  lookedUp(sealedLength: number): Uint8Array {
    const from = TABLE_BYTES + roundUp(sealedLength + SLACK_BYTES);
    return this.#bytes.subarray(from, this.#words[RESULT_WORD]);
  }

  /**
   * Makes `blockIndex` of a block's content, of which no entry may be more than `largestDelta` above the base sequence: valid
   * until the next call of anything. Of a longer common prefix than `maxPrefix` the rest belongs to the keys. false: the content
   * does not decode, or is too large. What the module has decoded last stays where it is, if that is the content.
   */
  index(content: Uint8Array, largestDelta: number, maxPrefix: number): boolean {
    const length = content.length;
    const isHere = content.buffer === this.#bytes.buffer;
    const from = isHere ? content.byteOffset : TABLE_BYTES;
    const to = roundUp(from + length + SLACK_BYTES);
    if (!isHere) {
      if (length > MAX_WASM_BLOCK_BYTES) return false;
      this.#reserve(to + 3 * length + CONTENT_ROOM_BYTES);
      this.#bytes.set(content, TABLE_BYTES);
    }
    const end = this.#bytes.length - SLACK_BYTES;
    if (to > end) return false;
    const count = this.#exports.index(from, from + length, largestDelta, 0, maxPrefix, to, end);
    if (count === 0) return false;
    const { blockIndex } = this;
    blockIndex.words = this.#words;
    blockIndex.start = to / 4;
    blockIndex.count = count;
    blockIndex.prefixLength = this.#exports.prefix.value;
    return true;
  }

  /** The low half of XXH64 of bytes[start, end), however many. */
  hash(bytes: Uint8Array, start: number, end: number, seed: number): number {
    if (end - start <= FRAGMENT_BYTES) {
      this.load(bytes.subarray(start, end));
      return this.hashLoaded(end - start, seed);
    }
    const total = end - start;
    this.#exports.hashBegin(seed);
    while (end - start > FRAGMENT_BYTES) {
      this.load(bytes.subarray(start, start + FRAGMENT_BYTES));
      this.#exports.hashStripes(TABLE_BYTES, TABLE_BYTES + FRAGMENT_BYTES);
      start += FRAGMENT_BYTES;
    }
    this.load(bytes.subarray(start, end));
    const stripesEnd = TABLE_BYTES + end - start - ((end - start) % STRIPE_BYTES);
    this.#exports.hashStripes(TABLE_BYTES, stripesEnd);
    return this.#exports.hashEnd(stripesEnd, TABLE_BYTES + end - start, total) >>> 0;
  }

  /** Writes the elements for `input` to `output` from `position` on; returns the position behind them. */
  compress(input: Uint8Array, output: Uint8Array, position: number): number {
    const from = TABLE_BYTES;
    const to = from + input.length + SLACK_BYTES;
    this.#reserve(to + input.length + Math.ceil(input.length / 6) + SLACK_BYTES);
    const bytes = this.#bytes;
    bytes.set(input, from);
    let end = to;
    for (let done = 0; done < input.length; done += FRAGMENT_BYTES) {
      const length = Math.min(FRAGMENT_BYTES, input.length - done);
      const shift = shiftFor(length);
      bytes.fill(0, 0, 2 << (32 - shift));
      end = this.#exports.compress(from + done, from + done + length, end, 0, shift);
    }
    output.set(bytes.subarray(to, end), position);
    return position + end - to;
  }

  #reserve(byteLength: number): void {
    if (byteLength <= this.#bytes.length) return;
    this.#exports.memory.grow(Math.ceil((byteLength - this.#bytes.length) / PAGE_BYTES));
    const { buffer } = this.#exports.memory;
    this.#bytes = new Uint8Array(buffer);
    this.#words = new Uint32Array(buffer);
    this.#doubles = new Float64Array(buffer);
  }
}

/** The table has about an entry per input byte, up to 2^14 of 2 bytes: clearing it must not cost more than it finds. */
function shiftFor(length: number): number {
  return length <= 8192 ? 20 : 18;
}

/** Content begins on a line of its own. */
function roundUp(byteLength: number): number {
  return (byteLength + 63) & ~63;
}

let shared: BlockModule | undefined;
let isMissing = false;

/** undefined where WebAssembly, or what the module needs of it, is switched off. */
export function blockModule(): BlockModule | undefined {
  if (shared === undefined && !isMissing) {
    try {
      shared = new BlockModule();
    } catch {
      // `node --jitless`, or a policy against generated code: the slower way does the same.
      isMissing = true;
    }
  }
  return shared;
}
