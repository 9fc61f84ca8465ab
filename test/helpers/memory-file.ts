/**
 * A StorageFile in memory. Writes and reads can be made short, as the system's may be.
 */
import type { StorageFile } from '../../src/shared/files/file-system.ts';

export class MemoryFile implements StorageFile {
  readonly path: string;
  syncCount = 0;
  isClosed = false;
  readonly #maxTransferBytes: number;
  #bytes: Uint8Array;
  #length: number;

  constructor(
    path = '000001.sst',
    content: Uint8Array = new Uint8Array(0),
    maxTransferBytes: number = Number.POSITIVE_INFINITY,
  ) {
    this.path = path;
    this.#bytes = content.slice();
    this.#length = content.length;
    this.#maxTransferBytes = maxTransferBytes;
  }

  /** A copy of the content. */
  get content(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  readAt(into: Uint8Array, position: number): number {
    const count = Math.max(0, Math.min(into.length, this.#length - position, this.#maxTransferBytes));
    into.set(this.#bytes.subarray(position, position + count));
    return count;
  }

  writeAt(bytes: Uint8Array, position: number): number {
    const count = Math.min(bytes.length, this.#maxTransferBytes);
    const end = position + count;
    if (end > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(end, this.#bytes.length * 2));
      grown.set(this.#bytes.subarray(0, this.#length));
      this.#bytes = grown;
    }
    this.#bytes.set(bytes.subarray(0, count), position);
    this.#length = Math.max(this.#length, end);
    return count;
  }

  writeAtAsync(bytes: Uint8Array, position: number): Promise<number> {
    return Promise.resolve(this.writeAt(bytes, position));
  }

  datasync(): void {
    this.syncCount++;
  }

  datasyncAsync(): Promise<void> {
    this.syncCount++;
    return Promise.resolve();
  }

  size(): number {
    return this.#length;
  }

  close(): void {
    this.isClosed = true;
  }
}
