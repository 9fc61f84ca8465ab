/**
 * A blocked bloom filter: "is this key certainly absent?" for the price of one cache line.
 *
 *   filter = u32 probes  u32 lines  line * lines            a line is 64 bytes = 16 words of 32 bits
 *   a key's line  = high bits of hash * lines               all its bits lie in this line
 *   a key's bit i = top 9 bits of finish(hash) * 0x9e3779b9^i, i = 1 .. probes
 *
 * One 32-bit hash per key serves every table, so a lookup hashes once however many tables it asks.
 *
 * Invariants: hashKey, the placement and the layout are part of the table format. A key that was added is never
 *             reported absent.
 * Thread: any; a filter is immutable once built.
 * Not chosen: a classic filter over the whole bit array. It needs 0.9 bits per key less for 1% false positives and
 *             takes a cache miss per probe, six of them, where this takes one.
 */
import { readU32, writeU32 } from '../base/bytes.ts';

const LINE_WORDS = 16;
const LINE_BYTES = 64;
const LINE_BITS = 512;
const HEADER_BYTES = 8;
const MAX_PROBES = 16;
const GOLDEN = 0x9e3779b9 | 0;
const IS_LITTLE_ENDIAN = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1;

/** A well mixed 32-bit hash of bytes[start, end), unsigned. */
export function hashKey(bytes: Uint8Array, start: number, end: number): number {
  let hash = (end - start) ^ 0x51ed270b;
  let position = start;
  for (; position + 4 <= end; position += 4) {
    const word =
      bytes[position]! |
      (bytes[position + 1]! << 8) |
      (bytes[position + 2]! << 16) |
      (bytes[position + 3]! << 24);
    hash = mixWord(hash, word);
  }
  if (position < end) {
    let word = 0;
    for (let shift = 0; position < end; position++, shift += 8) word |= bytes[position]! << shift;
    hash = mixWord(hash, word);
  }
  return finish(hash) >>> 0;
}

function mixWord(hash: number, word: number): number {
  // Both sides are multiplied: differences in neighbouring words (digits of a counter) must not cancel out.
  const mixed = Math.imul(word, 0xcc9e2d51);
  const sum = hash ^ Math.imul((mixed << 15) | (mixed >>> 17), 0x1b873593);
  return (Math.imul((sum << 13) | (sum >>> 19), 5) + 0xe6546b64) | 0;
}

function finish(hash: number): number {
  let mixed = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return mixed ^ (mixed >>> 16);
}

/** Fewer probes than the classic ln(2) * bits per key, as lines fill unevenly. */
function probeCount(bitsPerKey: number): number {
  return Math.min(MAX_PROBES, Math.max(1, Math.round(bitsPerKey * 0.6)));
}

export class BloomFilter {
  readonly #words: Uint32Array;
  readonly #lines: number;
  readonly #probes: number;

  constructor(words: Uint32Array, probes: number) {
    this.#words = words;
    this.#lines = words.length / LINE_WORDS;
    this.#probes = probes;
  }

  get memoryBytes(): number {
    return this.#words.byteLength;
  }

  /** false: no key with this hash was added. true: probably one was. */
  mayContain(hash: number): boolean {
    const base = Math.floor((hash * this.#lines) / 0x100000000) * LINE_WORDS;
    let mixed = finish(hash);
    for (let i = this.#probes; i > 0; i--) {
      mixed = Math.imul(mixed, GOLDEN);
      const bit = mixed >>> 23;
      if ((this.#words[base + (bit >>> 5)]! & (1 << (bit & 31))) === 0) return false;
    }
    return true;
  }

  /** A copy of what `bytes` hold; undefined when they are no filter. */
  static decode(bytes: Uint8Array): BloomFilter | undefined {
    if (bytes.length < HEADER_BYTES) return undefined;
    const probes = readU32(bytes, 0);
    const lines = readU32(bytes, 4);
    if (probes < 1 || probes > MAX_PROBES || lines < 1) return undefined;
    if (bytes.length !== HEADER_BYTES + lines * LINE_BYTES) return undefined;
    const words = new Uint32Array(lines * LINE_WORDS);
    if (IS_LITTLE_ENDIAN) new Uint8Array(words.buffer).set(bytes.subarray(HEADER_BYTES));
    else for (let i = 0; i < words.length; i++) words[i] = readU32(bytes, HEADER_BYTES + i * 4);
    return new BloomFilter(words, probes);
  }
}

/** Collects the hashes of a table's keys, then builds a filter that fits their real number. */
export class BloomFilterBuilder {
  readonly #bitsPerKey: number;
  #hashes = new Uint32Array(4096);
  #count = 0;

  /** `bitsPerKey` is above 0. */
  constructor(bitsPerKey: number) {
    this.#bitsPerKey = bitsPerKey;
  }

  /** Once per distinct key. */
  add(hash: number): void {
    if (this.#count === this.#hashes.length) {
      const grown = new Uint32Array(this.#count * 2);
      grown.set(this.#hashes);
      this.#hashes = grown;
    }
    this.#hashes[this.#count++] = hash;
  }

  get encodedLength(): number {
    return HEADER_BYTES + this.#lines() * LINE_BYTES;
  }

  encode(): Uint8Array {
    const lines = this.#lines();
    const probes = probeCount(this.#bitsPerKey);
    const bytes = new Uint8Array(HEADER_BYTES + lines * LINE_BYTES);
    writeU32(bytes, 0, probes);
    writeU32(bytes, 4, lines);
    for (let n = 0; n < this.#count; n++) {
      const hash = this.#hashes[n]!;
      const base = HEADER_BYTES + Math.floor((hash * lines) / 0x100000000) * LINE_BYTES;
      let mixed = finish(hash);
      for (let i = probes; i > 0; i--) {
        mixed = Math.imul(mixed, GOLDEN);
        const bit = mixed >>> 23;
        // Bit b of a little-endian word is bit b % 8 of byte b / 8.
        const position = base + (bit >>> 3);
        bytes[position] = bytes[position]! | (1 << (bit & 7));
      }
    }
    return bytes;
  }

  #lines(): number {
    return Math.max(1, Math.ceil((this.#count * this.#bitsPerKey) / LINE_BITS));
  }
}
