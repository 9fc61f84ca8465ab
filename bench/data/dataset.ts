/**
 * Dataset: the keys and values of a benchmark, made on demand from a record number; the same for every store.
 *
 *   key     prefix | 16 decimal digits of 2 x record (LevelDB's db_bench has the same 16 digits); a missing key is the odd
 *           number behind it, so that it lies between two present ones and only a filter can tell
 *   value   `valueBytes` of a pool of 100-byte pieces, each 50 random bytes twice: half compressible, as in db_bench
 *
 * Invariants: a key's bytes are never reused, as a store may still hold it when the next one is made. Values are slices of
 *             one pool, which nobody writes to. The same record and generation give the same bytes in every process.
 * Not chosen: all keys up front: for 16 million they would be the largest thing in memory and in the garbage collector.
 */
import { Random } from './random.ts';

export interface Shape {
  /** Part of a workload's name, '' for the default. */
  readonly suffix: string;
  readonly keyPrefix: string;
  readonly valueBytes: number;
}

const DIGITS = 16;
const ZERO = 0x30;
const KEYS_PER_WINDOW = 4096;
const PIECE_BYTES = 100;
const MIN_POOL_BYTES: number = 4 * 1024 * 1024;
/** Prime, so that neighbours in key order have unrelated values and all pieces are used. */
const VALUE_STRIDE = 7919;
const GENERATION_STRIDE = 104_729;
const POOL_SEED = 301;

export class Dataset {
  readonly records: number;
  readonly shape: Shape;
  readonly keyBytes: number;
  readonly #template: Buffer;
  readonly #pool: Buffer;
  /** Where a value may begin: only at a piece, as one cut in the middle would compress less. */
  readonly #pieces: number;
  #window: Buffer = Buffer.alloc(0);
  #used = 0;

  constructor(records: number, shape: Shape) {
    this.records = records;
    this.shape = shape;
    this.#template = Buffer.from(shape.keyPrefix + '0'.repeat(DIGITS));
    this.keyBytes = this.#template.length;
    this.#pool = makePool(Math.max(MIN_POOL_BYTES, shape.valueBytes * 16));
    this.#pieces = Math.floor((this.#pool.length - shape.valueBytes) / PIECE_BYTES);
  }

  /** Of keys and values of a record. */
  get recordBytes(): number {
    return this.keyBytes + this.shape.valueBytes;
  }

  key(record: number): Buffer {
    return this.#make(record * 2);
  }

  /** A key that is never stored, right behind `key(record)`. */
  missingKey(record: number): Buffer {
    return this.#make(record * 2 + 1);
  }

  /** `generation`: how often the record has been overwritten. */
  value(record: number, generation = 0): Buffer {
    const at = ((record * VALUE_STRIDE + generation * GENERATION_STRIDE) % this.#pieces) * PIECE_BYTES;
    return this.#pool.subarray(at, at + this.shape.valueBytes);
  }

  /** Throws unless `found` is the value of `record`. */
  expect(record: number, found: Uint8Array | undefined): void {
    if (found === undefined) throw new Error(`record ${record} was not found`);
    if (Buffer.compare(this.value(record), found) !== 0)
      throw new Error(`record ${record} has another value than was written`);
  }

  #make(number: number): Buffer {
    if (this.#used === this.#window.length) {
      this.#window = Buffer.allocUnsafeSlow(this.keyBytes * KEYS_PER_WINDOW).fill(this.#template);
      this.#used = 0;
    }
    const window = this.#window;
    const start = this.#used;
    this.#used += this.keyBytes;
    let rest = number;
    for (let at = this.#used - 1; rest > 0; at--) {
      const next = Math.floor(rest / 10);
      window[at] = ZERO + rest - next * 10;
      rest = next;
    }
    return window.subarray(start, this.#used);
  }
}

function makePool(bytes: number): Buffer {
  const random = new Random(POOL_SEED);
  const pool = Buffer.alloc(Math.ceil(bytes / PIECE_BYTES) * PIECE_BYTES);
  for (let piece = 0; piece < pool.length; piece += PIECE_BYTES) {
    const half = piece + PIECE_BYTES / 2;
    for (let at = piece; at < half; at++) pool[at] = random.below(256);
    pool.copyWithin(half, piece, half);
  }
  return pool;
}
