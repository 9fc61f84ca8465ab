/**
 * The disk as a job sees it: the store's file system, with each read and write in its turn (pacer.ts).
 *
 *   read    in pieces while readers wait, as one otherwise
 *   write   the same; and what was written goes to the disk bit by bit, so that no sync has much to do at once: others' reads would
 *           wait behind it
 *
 * Invariants: nothing of a job goes to the disk past its pacer, but names and sizes.
 * Thread:     the job's.
 * Owns:       the files that it opens, as their callers do.
 */
import type { FileSystem, StorageFile } from '../shared/file-system.ts';
import { type Pacer, PIECE_BYTES } from './pacer.ts';

/** Written and not synced, while readers wait. */
const PACED_SYNC_BYTES: number = 1024 * 1024;

class PacedFile implements StorageFile {
  readonly path: string;
  readonly #file: StorageFile;
  readonly #pacer: Pacer;
  #unsyncedBytes = 0;

  constructor(file: StorageFile, pacer: Pacer) {
    this.path = file.path;
    this.#file = file;
    this.#pacer = pacer;
  }

  readAt(into: Uint8Array, position: number): number {
    const piece = this.#piece(into);
    return this.#pacer.read(piece.length, () => this.#file.readAt(piece, position));
  }

  writeAt(bytes: Uint8Array, position: number): number {
    const piece = this.#piece(bytes);
    const count = this.#pacer.write(piece.length, () => this.#file.writeAt(piece, position));
    this.#unsyncedBytes += count;
    if (this.#unsyncedBytes >= PACED_SYNC_BYTES && this.#pacer.standsBack) this.datasync();
    return count;
  }

  writeAtAsync(bytes: Uint8Array, position: number): Promise<number> {
    return this.#file.writeAtAsync(bytes, position);
  }

  datasync(): void {
    this.#pacer.sync(this.#unsyncedBytes, () => this.#file.datasync());
    this.#unsyncedBytes = 0;
  }

  datasyncAsync(): Promise<void> {
    return this.#file.datasyncAsync();
  }

  size(): number {
    return this.#file.size();
  }

  close(): void {
    this.#file.close();
  }

  /** Whoever reads or writes expects that it may be less than was asked for. */
  #piece(bytes: Uint8Array): Uint8Array {
    return this.#pacer.standsBack ? bytes.subarray(0, PIECE_BYTES) : bytes;
  }
}

/** Spelt out, as a file system may be an object of a class. What jobs have no use for is left out where it may be. */
export function pacedFileSystem(fileSystem: FileSystem, pacer: Pacer): FileSystem {
  return {
    spec: fileSystem.spec,
    openRead: (path) => new PacedFile(fileSystem.openRead(path), pacer),
    createExclusive: (path) => new PacedFile(fileSystem.createExclusive(path), pacer),
    rename: (from, to) => fileSystem.rename(from, to),
    renameAsync: (from, to) => fileSystem.renameAsync(from, to),
    unlink: (path) => fileSystem.unlink(path),
    unlinkAsync: (path) => fileSystem.unlinkAsync(path),
    makeDirectory: (path) => fileSystem.makeDirectory(path),
    removeDirectory: (path) => fileSystem.removeDirectory(path),
    list: (directory) => fileSystem.list(directory),
    stat: (path) => fileSystem.stat(path),
    realPath: (path) => fileSystem.realPath(path),
    syncDirectory: (path) => fileSystem.syncDirectory(path),
    syncDirectoryAsync: (path) => fileSystem.syncDirectoryAsync(path),
    finishSyncs: undefined,
  };
}
