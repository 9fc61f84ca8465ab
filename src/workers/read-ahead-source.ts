/**
 * Where a compaction's input comes from: a file read front to back, in large pieces.
 *
 *   read(offset, length)   inside the piece in memory: a view of it; else the piece that begins at `offset` is read first
 *
 * A system call per block of 2 KiB took a tenth of a compaction.
 *
 * Lifetime: what `read` returns is valid until the next read or close; whoever keeps bytes copies them.
 * Owns:     its file; close is idempotent.
 * Thread:   the one that made it.
 */
import type { StorageFile } from '../shared/files/file-system.ts';
import { type BlockSource, checkInside, readExactly } from '../shared/table/block-source.ts';

/** Stays in the processor's second cache beside all else a merge touches, for a few inputs. */
const PIECE_BYTES = 131072;

export class ReadAheadSource implements BlockSource {
  readonly path: string;
  readonly sizeBytes: number;
  readonly #file: StorageFile;
  /** Bytes of the file from `#start` on. */
  #piece: Uint8Array = new Uint8Array(0);
  #start = 0;

  constructor(file: StorageFile) {
    this.path = file.path;
    this.sizeBytes = file.size();
    this.#file = file;
  }

  read(offset: number, length: number): Uint8Array {
    checkInside(this, offset, length);
    if (offset < this.#start || offset + length > this.#start + this.#piece.length)
      this.#load(offset, length);
    return this.#piece.subarray(offset - this.#start, offset - this.#start + length);
  }

  readNow(offset: number, length: number): Uint8Array {
    return this.read(offset, length);
  }

  async readLater(offset: number, length: number): Promise<Uint8Array> {
    return this.read(offset, length).slice();
  }

  close(): void {
    this.#file.close();
    this.#piece = new Uint8Array(0);
  }

  #load(offset: number, length: number): void {
    const wanted = Math.min(Math.max(length, PIECE_BYTES), this.sizeBytes - offset);
    const size = this.#piece.buffer.byteLength;
    // A table's index and filter are read first, and may be ten times as large as what follows.
    const room = size >= wanted && size <= 2 * wanted ? this.#piece.buffer : new ArrayBuffer(wanted);
    const piece = new Uint8Array(room, 0, wanted);
    // Holds nothing while the read may fail.
    this.#piece = piece.subarray(0, 0);
    readExactly(this.#file, piece, offset);
    this.#piece = piece;
    this.#start = offset;
  }
}
