/**
 * The part of a log that is in memory while the log is walked (log-reader.ts).
 *
 *   log      0 ............ base [ bytes ] loadedUpTo ............ end
 *
 * The walk asks for a stretch (want) and stops; whoever drives it has the bytes read (read, readAwaited) and lets it go on. So
 * one walk serves callers who wait for the disk in the call and those who don't.
 *
 *   whole     `bytes` have room for all of the log, which stays: it becomes a memtable
 *   sliding   a piece at a time; what lies before the stretch that is wanted leaves
 *
 * Invariants: base <= loadedUpTo <= base + bytes.length. What is wanted never has more bytes than the window.
 * Thread:     main.     Owns: with `sliding`, the bytes.
 */
import { assert } from '../../shared/base/assert.ts';
import { ioError } from '../../shared/base/errors.ts';
import { readFully, type StorageFile } from '../../shared/files/file-system.ts';

/** What is read of a file at once: small enough to be in the processor's cache still when it is judged. */
const PIECE_BYTES: number = 256 * 1024;
/** The rest of a piece, the next piece, and no record is copied too often. */
const WINDOW_BYTES: number = 4 * PIECE_BYTES;

export class LogWindow {
  readonly bytes: Uint8Array;
  /** Where bytes[0] is in the log. */
  base = 0;
  loadedUpTo = 0;
  #wantedUpTo = 0;

  private constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  /** For all of a log. `isLoaded`: it is there already. */
  static whole(bytes: Uint8Array, isLoaded: boolean): LogWindow {
    const window = new LogWindow(bytes);
    if (isLoaded) window.loadedUpTo = bytes.length;
    return window;
  }

  /** For a log of which `length` bytes are walked: most logs are far shorter than a window, and zeroed bytes cost time. */
  static sliding(length: number): LogWindow {
    return new LogWindow(new Uint8Array(Math.min(length, WINDOW_BYTES)));
  }

  /** Whether [from, to) may be wanted: a record that is longer is looked at in pieces. */
  holds(from: number, to: number): boolean {
    return to - from <= this.bytes.length;
  }

  /** The end of a piece that begins at `from`, in a log that ends at `end`. */
  pieceEnd(from: number, end: number): number {
    return Math.min(end, from + Math.min(PIECE_BYTES, this.bytes.length));
  }

  /** Whether there is anything to be read for [from, to), which is wanted from now on. */
  want(from: number, to: number): boolean {
    if (from < this.base || to - this.base > this.bytes.length) this.#slideTo(from);
    assert(to - this.base <= this.bytes.length, 'the window of a log is too small');
    this.#wantedUpTo = to;
    return to > this.loadedUpTo;
  }

  #slideTo(from: number): void {
    const kept = from >= this.base && from < this.loadedUpTo;
    if (kept) this.bytes.copyWithin(0, from - this.base, this.loadedUpTo - this.base);
    else this.loadedUpTo = from;
    this.base = from;
  }

  /** Reads what is wanted, waiting for the disk in the call. */
  read(file: StorageFile): void {
    const into = this.#missing();
    if (readFully(file, into, this.loadedUpTo) !== into.length) throw shrank(file.path);
    this.loadedUpTo = this.#wantedUpTo;
  }

  /** Reads what is wanted. */
  async readAwaited(file: StorageFile): Promise<void> {
    if (file.readAtAsync === undefined) {
      this.read(file);
      return;
    }
    while (this.loadedUpTo < this.#wantedUpTo) {
      const count = await file.readAtAsync(this.#missing(), this.loadedUpTo);
      if (count === 0) throw shrank(file.path);
      this.loadedUpTo += count;
    }
  }

  #missing(): Uint8Array {
    return this.bytes.subarray(this.loadedUpTo - this.base, this.#wantedUpTo - this.base);
  }
}

function shrank(path: string): Error {
  return ioError('read', path, new Error('it shrank while being read'));
}
