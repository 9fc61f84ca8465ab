/**
 * A chunk of an ingestion: records as they came from the source, one behind the other, in memory that one thread fills and
 * another, or the same, sorts in place.
 *
 *   record = varint key length | varint value length | key | value
 *
 * Invariants: main hands a chunk over in a message and does not touch it until the job has ended; the message is the
 *             release that makes its bytes whole for the worker, so no Atomics are needed. A client sorts its chunks itself.
 * Thread:     main writes, then one worker reads; or a client does both.
 * Not chosen: a list of where the records are: the worker finds that out by walking them, and main has the longer way.
 */
import { compareBytes, copyInto, writeVarint } from '../base/bytes.ts';

/** Two varints: of a key length up to 64 KiB and of a value length up to 256 MiB. */
export const MAX_RECORD_HEADER_BYTES = 8;

/** What is in a chunk, as plain data. */
export interface PackedRecords {
  /** The memory of the chunk, and how much of it is in use. */
  readonly records: SharedArrayBuffer;
  readonly recordBytes: number;
  readonly recordCount: number;
  /** The keys strictly rise. */
  readonly isSorted: boolean;
}

export class IngestChunk {
  readonly buffer: SharedArrayBuffer;
  readonly #bytes: Uint8Array;
  #end = 0;
  #recordCount = 0;
  #isSorted = true;
  #lastKeyStart = 0;
  #lastKeyEnd = 0;

  constructor(capacityBytes: number) {
    this.buffer = new SharedArrayBuffer(capacityBytes);
    this.#bytes = new Uint8Array(this.buffer);
  }

  get capacityBytes(): number {
    return this.#bytes.length;
  }

  get recordCount(): number {
    return this.#recordCount;
  }

  /** What it holds. A sorted chunk has nothing to sort and nothing to drop. */
  get packed(): PackedRecords {
    return {
      records: this.buffer,
      recordBytes: this.#end,
      recordCount: this.#recordCount,
      isSorted: this.#isSorted,
    };
  }

  /** Forgets what it held. */
  reset(): void {
    this.#end = 0;
    this.#recordCount = 0;
    this.#isSorted = true;
  }

  hasRoom(keyLength: number, valueLength: number): boolean {
    return this.#end + MAX_RECORD_HEADER_BYTES + keyLength + valueLength <= this.#bytes.length;
  }

  /** Copies one record in. Requires: {@link hasRoom}. */
  add(key: Uint8Array, keyLength: number, value: Uint8Array, valueLength: number): void {
    const bytes = this.#bytes;
    const keyStart = writeVarint(bytes, writeVarint(bytes, this.#end, keyLength), valueLength);
    const keyEnd = keyStart + keyLength;
    copyInto(bytes, keyStart, key, 0, keyLength);
    // A view of a Buffer costs more than the copy: a whole one needs none.
    if (valueLength === value.length) bytes.set(value, keyEnd);
    else copyInto(bytes, keyEnd, value, 0, valueLength);
    if (this.#isSorted) {
      if (this.#recordCount > 0)
        this.#isSorted =
          compareBytes(bytes, this.#lastKeyStart, this.#lastKeyEnd, bytes, keyStart, keyEnd) < 0;
      this.#lastKeyStart = keyStart;
      this.#lastKeyEnd = keyEnd;
    }
    this.#end = keyEnd + valueLength;
    this.#recordCount++;
  }
}
