/**
 * Writes the content of one data block, entry by entry. The layout is in src/shared/table/format.ts.
 *
 * Owns:   its buffer, which grows with the largest block and is used for block after block.
 * Thread: the builder's. Keys and values may lie in shared memory; they are copied at once.
 */
import { copyInto, writeU32, writeVarint } from '../shared/base/bytes.ts';
import type { Entry } from '../shared/base/entry.ts';
import { U32_BYTES } from '../shared/table/format.ts';

/** Overlap, diff length and value length (5 each at most), kind, sequence (8). */
const MAX_ENTRY_HEADER_BYTES = 24;
/** A buffer that one huge value made larger than this is not kept. */
const MAX_KEPT_BYTES: number = 4 * 1024 * 1024;

export class BlockBuilder {
  readonly #restartInterval: number;
  readonly #initialBytes: number;
  #buffer: Uint8Array;
  #length = 0;
  readonly #restarts: number[] = [];
  #sinceRestart = 0;

  constructor(restartInterval: number, blockSizeBytes: number) {
    this.#restartInterval = restartInterval;
    this.#initialBytes = blockSizeBytes * 2 + 1024;
    this.#buffer = new Uint8Array(this.#initialBytes);
  }

  get isEmpty(): boolean {
    return this.#length === 0;
  }

  /** The size of the content if the block ended here. */
  get contentBytes(): number {
    return this.#length + (this.#restarts.length + 1) * U32_BYTES;
  }

  /** Appends `entry`, whose key shares `shared` bytes, and no more, with the key added before. */
  add(entry: Entry, shared: number, sequenceDelta: number): void {
    if (this.#sinceRestart === this.#restartInterval || this.#length === 0) {
      this.#restarts.push(this.#length);
      this.#sinceRestart = 0;
      shared = 0;
    }
    this.#sinceRestart++;
    const diffStart = entry.keyStart + shared;
    const diffLength = entry.keyEnd - diffStart;
    const valueLength = entry.valueEnd - entry.valueStart;
    const needed = this.#length + MAX_ENTRY_HEADER_BYTES + diffLength + valueLength;
    if (needed > this.#buffer.length) this.#grow(needed);

    const buffer = this.#buffer;
    let position = this.#length;
    if ((shared | diffLength | valueLength) < 128) {
      buffer[position] = shared;
      buffer[position + 1] = diffLength;
      buffer[position + 2] = valueLength;
      position += 3;
    } else {
      position = writeVarint(buffer, position, shared);
      position = writeVarint(buffer, position, diffLength);
      position = writeVarint(buffer, position, valueLength);
    }
    buffer[position++] = entry.kind;
    position = writeVarint(buffer, position, sequenceDelta);
    copyInto(buffer, position, entry.keyBytes, diffStart, entry.keyEnd);
    position += diffLength;
    copyInto(buffer, position, entry.valueBytes, entry.valueStart, entry.valueEnd);
    this.#length = position + valueLength;
  }

  /** Ends the block and returns its content, valid until the next `add`, which begins a new one. */
  finish(): Uint8Array {
    const total = this.contentBytes;
    if (total > this.#buffer.length) this.#grow(total);
    const buffer = this.#buffer;
    let position = this.#length;
    for (const restart of this.#restarts) {
      writeU32(buffer, position, restart);
      position += U32_BYTES;
    }
    writeU32(buffer, position, this.#restarts.length);
    this.#length = 0;
    this.#restarts.length = 0;
    if (buffer.length > MAX_KEPT_BYTES && this.#initialBytes <= MAX_KEPT_BYTES) {
      this.#buffer = new Uint8Array(this.#initialBytes);
    }
    return buffer.subarray(0, total);
  }

  #grow(needed: number): void {
    const grown = new Uint8Array(Math.max(needed + 64, Math.min(this.#buffer.length * 2, MAX_KEPT_BYTES)));
    grown.set(this.#buffer.subarray(0, this.#length));
    this.#buffer = grown;
  }
}
