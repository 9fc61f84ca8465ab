/**
 * The CRC-32 of any part of a long array, for the price of a page: for searches that ask about many overlapping parts.
 *
 *   1. one pass notes the checksum of the bytes up to each page boundary
 *   2. crc(a, b) = crc(0, b) ^ advance(crc(0, a), b - a)       as in zlib's crc32_combine: a checksum is linear, and
 *      advance(c, n), n zero bytes behind it, is a product of polynomials modulo the CRC's. A seed is the checksum of
 *      something in front, and adds advance(seed, b - a)
 *
 * So a search over n candidates costs n small steps, however far each candidate claims to reach. Summing each up by itself
 * would be quadratic, and damaged or crafted bytes could make opening a store take hours.
 *
 * Thread: any; pure.
 */
import { crc32 } from '../base/checksum.ts';

const PAGE_BYTES = 4096;
/** The CRC's polynomial, with the bits in the order in which the checksum holds them; the highest bit is x^0. */
const POLYNOMIAL = 0xedb88320;
const ONE = 0x80000000;

/** Checksums of parts of one array, whose bytes must not change meanwhile. */
export class ChecksumRange {
  readonly #bytes: Uint8Array;
  readonly #start: number;
  readonly #end: number;
  /** Entry i: of bytes[start, start + i * PAGE_BYTES). */
  readonly #pages: Uint32Array;

  constructor(bytes: Uint8Array, start: number, end: number) {
    this.#bytes = bytes;
    this.#start = start;
    this.#end = end;
    this.#pages = new Uint32Array(Math.floor((end - start) / PAGE_BYTES) + 1);
    for (let page = 1; page < this.#pages.length; page++) {
      const at = start + page * PAGE_BYTES;
      this.#pages[page] = crc32(bytes, at - PAGE_BYTES, at, this.#pages[page - 1]!);
    }
  }

  /** crc32(bytes, from, to, seed); both lie within the range given to the constructor. */
  of(from: number, to: number, seed = 0): number {
    return (this.#upTo(to) ^ advance(this.#upTo(from) ^ seed, to - from)) >>> 0;
  }

  get end(): number {
    return this.#end;
  }

  #upTo(position: number): number {
    const page = Math.floor((position - this.#start) / PAGE_BYTES);
    return crc32(this.#bytes, this.#start + page * PAGE_BYTES, position, this.#pages[page]!);
  }
}

/** POWERS[i] = x^(2^i) modulo the polynomial; they repeat after 32. */
const POWERS: readonly number[] = (() => {
  const powers = [ONE >>> 1];
  while (powers.length < 32) powers.push(multiply(powers.at(-1)!, powers.at(-1)!));
  return powers;
})();

/** What the checksum of `length` zero bytes more contributes: `checksum` times x^(8 * length). */
function advance(checksum: number, length: number): number {
  let power = ONE;
  // Bits of `length` from the third on, as a byte is x^8; by division, as lengths may exceed 32 bits.
  for (let rest = length, i = 3; rest > 0; rest = Math.floor(rest / 2), i++) {
    if (rest % 2 === 1) power = multiply(POWERS[i & 31]!, power);
  }
  return multiply(power, checksum);
}

function multiply(a: number, b: number): number {
  let product = 0;
  for (let bit = ONE; bit !== 0; bit >>>= 1) {
    if ((a & bit) !== 0) product ^= b;
    b = (b & 1) === 0 ? b >>> 1 : (b >>> 1) ^ POLYNOMIAL;
  }
  return product >>> 0;
}
