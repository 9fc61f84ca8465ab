/**
 * Walks the records of a key range in a slice of a run file.
 *
 *   next()   moves to the next record of the range; false at its end
 *
 * `head` is the key's next six bytes behind those that all keys of the merge have in common, as a number in key order: it
 * settles most comparisons.
 *
 * Invariants: nothing is returned from a block whose checksum was not compared. A slice never ends early.
 * Owns:       the open file and one block.
 * Lifetime:   what the fields point to is valid until the next move.
 * Thread:     a worker's; synchronous.
 */
import { compareBytes, headOf, readU32, VarintReader } from '../shared/base/bytes.ts';
import { crc32 } from '../shared/base/checksum.ts';
import { CorruptionError } from '../shared/base/errors.ts';
import type { KeyRange } from '../shared/base/iterator.ts';
import { readFully, type StorageFile } from '../shared/files/file-system.ts';
import { RUN_BLOCK_BYTES, RUN_HEADER_BYTES, type RunSlice } from '../shared/ingest/run.ts';

const TWO_BYTES = 0x10000;

export class RunReader {
  bytes: Uint8Array = new Uint8Array(RUN_BLOCK_BYTES);
  recordStart = 0;
  keyStart = 0;
  keyEnd = 0;
  recordEnd = 0;
  head = 0;
  /** Of the runs of a merge, a higher one is newer. */
  readonly age: number;
  readonly #file: StorageFile;
  readonly #endOffset: number;
  readonly #range: KeyRange;
  readonly #sharedLength: number;
  readonly #varint = new VarintReader();
  readonly #header = new Uint8Array(RUN_HEADER_BYTES);
  #offset: number;
  #blockEnd = 0;

  constructor(file: StorageFile, slice: RunSlice, age: number, range: KeyRange, sharedLength: number) {
    this.#file = file;
    this.#offset = slice.start;
    this.#endOffset = slice.end;
    this.#range = range;
    this.#sharedLength = sharedLength;
    this.age = age;
  }

  /** Stands on the first record of the range; false when there is none. */
  seekToFirst(): boolean {
    const { start } = this.#range;
    for (let stands = this.next(); stands; stands = this.next())
      if (start === undefined || this.#compareKey(start) >= 0) return true;
    return false;
  }

  next(): boolean {
    if (!this.#read()) return false;
    const { end } = this.#range;
    return end === undefined || this.#compareKey(end) < 0;
  }

  #compareKey(key: Uint8Array): number {
    return compareBytes(this.bytes, this.keyStart, this.keyEnd, key, 0, key.length);
  }

  #read(): boolean {
    if (this.recordEnd === this.#blockEnd && !this.#nextBlock()) return false;
    const { bytes } = this;
    const varint = this.#varint;
    const start = this.recordEnd;
    let position = varint.read(bytes, start, this.#blockEnd);
    const keyLength = varint.value;
    if (position >= 0) position = varint.read(bytes, position, this.#blockEnd);
    if (position < 0 || position + keyLength + varint.value > this.#blockEnd)
      throw this.#corrupt('a record runs past the end of its block');
    this.recordStart = start;
    this.keyStart = position;
    this.keyEnd = position + keyLength;
    this.recordEnd = this.keyEnd + varint.value;
    const from = position + this.#sharedLength;
    this.head = headOf(bytes, from, this.keyEnd) * TWO_BYTES + (headOf(bytes, from + 4, this.keyEnd) >>> 16);
    return true;
  }

  close(): void {
    this.#file.close();
  }

  #nextBlock(): boolean {
    if (this.#offset === this.#endOffset) return false;
    const header = this.#header;
    if (readFully(this.#file, header, this.#offset) !== header.length)
      throw this.#corrupt('a block header is cut short');
    const length = readU32(header, 4);
    if (length === 0 || length > this.#endOffset - this.#offset - RUN_HEADER_BYTES)
      throw this.#corrupt('a block runs past the end of the run');
    if (length > this.bytes.length || this.bytes.length > Math.max(length, RUN_BLOCK_BYTES))
      this.bytes = new Uint8Array(Math.max(length, RUN_BLOCK_BYTES));
    const payload = this.bytes.subarray(0, length);
    if (readFully(this.#file, payload, this.#offset + RUN_HEADER_BYTES) !== length)
      throw this.#corrupt('a block is cut short');
    if (crc32(payload, 0, length, crc32(header, 4, RUN_HEADER_BYTES)) !== readU32(header, 0))
      throw this.#corrupt('block checksum mismatch');
    this.#offset += RUN_HEADER_BYTES + length;
    this.recordEnd = 0;
    this.#blockEnd = length;
    return true;
  }

  #corrupt(message: string): CorruptionError {
    return new CorruptionError(message, { file: this.#file.path, offset: this.#offset });
  }
}
