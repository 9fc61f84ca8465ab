/**
 * The file under a table that is being built: gathers blocks into large writes, keeps the checksum of the whole file,
 * and has the system write them to the disk bit by bit.
 *
 *   reserve(n)  room for n bytes at `buffer[position]`        ->  the caller writes there
 *   commit(n)   n bytes were written there
 *
 * Invariants: bytes reach the file in order, each once. Offsets are plain numbers beyond 2^31: no bitwise operators.
 * Owns:   its buffer, not the file.
 * Thread: a worker's; all calls are synchronous, as asynchronous ones would take main's threads.
 */
import { crc32 } from '../shared/base/checksum.ts';
import { type StorageFile, writeFully } from '../shared/files/file-system.ts';

const BUFFER_BYTES: number = 512 * 1024;

/**
 * Sync this often: otherwise a table's dirty pages pile up and the final sync, and every sync of the log meanwhile,
 * waits for all of them.
 */
const SYNC_INTERVAL_BYTES: number = 8 * 1024 * 1024;

export class TableFileWriter {
  readonly #file: StorageFile;
  #buffer = new Uint8Array(BUFFER_BYTES);
  #length = 0;
  #written = 0;
  #synced = 0;
  #checksum = 0;

  constructor(file: StorageFile) {
    this.#file = file;
  }

  /** The file offset of the next byte. */
  get offset(): number {
    return this.#written + this.#length;
  }

  /** Of all bytes written by `finish`. */
  get checksum(): number {
    return this.#checksum;
  }

  /** Room for `length` bytes, to be filled and committed before the next call. */
  reserve(length: number): Uint8Array {
    if (this.#length + length > this.#buffer.length) {
      this.#flush();
      // One huge value: a buffer for it alone, given up again at the next flush.
      if (length > this.#buffer.length) this.#buffer = new Uint8Array(length);
    }
    return this.#buffer.subarray(this.#length, this.#length + length);
  }

  commit(length: number): void {
    this.#length += length;
  }

  write(bytes: Uint8Array): void {
    this.reserve(bytes.length).set(bytes);
    this.commit(bytes.length);
  }

  /** Everything is on the disk once this returns. */
  finish(): void {
    this.#flush();
    this.#file.datasync();
  }

  #flush(): void {
    const bytes = this.#buffer.subarray(0, this.#length);
    writeFully(this.#file, bytes, this.#written);
    this.#checksum = crc32(bytes, 0, bytes.length, this.#checksum);
    this.#written += bytes.length;
    this.#length = 0;
    if (this.#buffer.length > BUFFER_BYTES) this.#buffer = new Uint8Array(BUFFER_BYTES);
    if (this.#written - this.#synced >= SYNC_INTERVAL_BYTES) {
      this.#file.datasync();
      this.#synced = this.#written;
    }
  }
}
