/**
 * A chunk of a bulk load: records as they came from the source, one behind the other, in memory that main fills and a
 * worker sorts in place.
 *
 *   record = varint key length | varint value length | key | value
 *
 * Invariants: main hands a chunk over in a message and does not touch it until the job has ended; the message is the
 *             release that makes its bytes whole for the worker, so no Atomics are needed.
 * Thread:     main writes, then one worker reads.
 * Not chosen: a list of where the records are: the worker finds that out by walking them, and main has the longer way.
 */
import { compareBytes, copyInto, writeVarint } from './bytes.ts';

/** Two varints: of a key length up to 64 KiB and of a value length up to 256 MiB. */
export const MAX_RECORD_HEADER_BYTES = 8;

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

  /** Where the next record goes: how many bytes are in use. */
  get end(): number {
    return this.#end;
  }

  get recordCount(): number {
    return this.#recordCount;
  }

  /** Whether each key lies above the one before: then there is nothing to sort and nothing to drop. */
  get isSorted(): boolean {
    return this.#isSorted;
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
