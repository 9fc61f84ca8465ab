/**
 * The disk as a job sees it: the store's file system, with each read and write in its turn (pacer.ts).
 *
 *   read    in pieces while readers wait, as one otherwise
 *   write   the same; and what was written goes to the disk bit by bit, so that no sync has much to do at once: others' reads
 *           would wait behind it
 *
 * Of both, the page cache keeps what it had (page-care.ts).
 *
 * Invariants: nothing of a job goes to the disk past its pacer, but names and sizes.
 * Thread:     the job's.
 * Owns:       the files that it opens, as their callers do.
 */
import type { FileSystem, StorageFile } from '../shared/files/file-system.ts';
import { type Pacer, PIECE_BYTES } from './pacer.ts';
import { PageCare } from './page-care.ts';

/** Written and not synced, while readers wait. */
const PACED_SYNC_BYTES: number = 1024 * 1024;

/** The end of a table is read when it is opened, soon after. */
const KEPT_END_BYTES: number = 1024 * 1024;

/** Bytes from..to of a file. */
interface Stretch {
  readonly from: number;
  readonly to: number;
}

class PacedFile implements StorageFile {
  readonly path: string;
  readonly #file: StorageFile;
  readonly #pacer: Pacer;
  readonly #care: PageCare;
  /** Of an input: what was in memory of it; and up to where what was not has been given up again. */
  readonly #residency: ReturnType<PageCare['lookAt']>;
  #givenUpTo = 0;
  #unsyncedBytes = 0;
  #writtenTo = 0;
  /** Of an output: what is to be given up once it is on the disk. */
  #cold: Stretch[] = [];

  constructor(file: StorageFile, isInput: boolean, pacer: Pacer, care: PageCare) {
    this.path = file.path;
    this.#file = file;
    this.#pacer = pacer;
    this.#care = care;
    this.#residency = isInput ? care.lookAt(file) : undefined;
  }

  readAt(into: Uint8Array, position: number): number {
    const piece = this.#piece(into);
    const count = this.#pacer.read(piece.length, () => this.#file.readAt(piece, position));
    if (this.#residency === undefined) return count;
    const isNext = position >= this.#givenUpTo && position - this.#givenUpTo <= PIECE_BYTES;
    const since = isNext ? this.#givenUpTo : position;
    this.#givenUpTo = this.#care.haveRead(this.#file, this.#residency, since, position, position + count);
    return count;
  }

  writeAt(bytes: Uint8Array, position: number): number {
    const piece = this.#piece(bytes);
    const count = this.#pacer.write(piece.length, () => this.#file.writeAt(piece, position));
    if (this.#care.isNextCold()) this.#cold.push({ from: position, to: position + count });
    this.#writtenTo = position + count;
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
    const end = this.#writtenTo - KEPT_END_BYTES;
    while (this.#cold.length > 0 && this.#cold[0]!.to <= end) {
      const { from, to } = this.#cold.shift()!;
      this.#file.giveUpPages?.(from, to - from);
    }
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
  const care = new PageCare();
  return {
    spec: fileSystem.spec,
    openRead: (path) => new PacedFile(fileSystem.openRead(path), true, pacer, care),
    createExclusive: (path) => new PacedFile(fileSystem.createExclusive(path), false, pacer, care),
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
