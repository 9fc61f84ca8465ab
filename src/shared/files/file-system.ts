/**
 * Everything the store may do to a disk. One file implements it on node:fs (node-file-system.ts); tests put a faulty
 * disk under every thread by naming another module in {@link FileSystemSpec}.
 *
 * Files are write-once: created exclusively, written front to back, synced, closed, later only read and unlinked.
 * There is no truncate, no reopen for writing and no append mode, so recovery can't damage what it recovers.
 *
 * Every method throws (or rejects with) a StorageError `STRATA_IO` whose `cause` is the operating system's error.
 * The synchronous forms are for workers and for tiny operations; the *Async forms for main, where a disk may be slow:
 * all threads share one libuv pool of 4, so a worker that used the asynchronous ones could freeze main's log.
 */

import { ioError } from '../base/errors.ts';
import type { DirectoryAnchor } from './directory-anchor.ts';
import type { FileMapping } from './memory-map.ts';

/** How to make a FileSystem in another thread: plain data, cloneable. undefined = the real disk. */
export type FileSystemSpec = ModuleSpec | AnchoredSpec;

/** A file system of a test. */
export interface ModuleSpec {
  /** URL of a module that exports `createFileSystem(options)`. */
  readonly module: string;
  readonly options?: unknown;
}

/** The real disk, with directories that are reached through descriptors of this process (directory-anchor.ts). */
export interface AnchoredSpec {
  readonly anchors: readonly DirectoryAnchor[];
  /** Of a reader that has no lock. */
  readonly watched?: WatchedStore | undefined;
}

/** A store whose owner may come at any time, as it was when it was read (watched-files.ts). */
export interface WatchedStore {
  readonly root: string;
  /** Where its files are: `root`, or the directory of this epoch. */
  readonly directory: string;
  readonly epoch: number;
  /** {@link stampOf} its manifest. */
  readonly stamp: string | undefined;
}

export interface FileStat {
  readonly kind: 'file' | 'directory' | 'other';
  readonly sizeBytes: number;
  /** Device and inode: the identity of a file or directory however it was reached. */
  readonly device: number;
  readonly inode: number;
  /** When its content was last changed, in milliseconds of the file system's clock. */
  readonly modifiedMs: number;
}

/** What distinguishes a file from another one of its name without reading it; undefined: there is none. */
export function stampOf(stat: FileStat | undefined): string | undefined {
  return stat && [stat.device, stat.inode, stat.sizeBytes, stat.modifiedMs].join(' ');
}

export interface StorageFile {
  readonly path: string;
  /** Reads at `position` into `into`; returns the count, which is short at the end of the file or at any time. */
  readAt(into: Uint8Array, position: number): number;
  /** The same without waiting for the disk within the call; absent: {@link readAt} is used. `into` stays as it is until then. */
  readAtAsync?(into: Uint8Array, position: number): Promise<number>;
  /** What of it memory has, read in the call without waiting for the disk; undefined: that would wait. Absent: it can't be
   * told. */
  readonly readResident?: ((into: Uint8Array, position: number) => number | undefined) | undefined;
  /** The number of the descriptor, for reader threads (disk/reader-threads.ts). Absent: only this object reads it. */
  readonly descriptor?: number;
  /** Writes `bytes` at `position`; returns the count written, which may be short. Use {@link writeFully}. */
  writeAt(bytes: Uint8Array, position: number): number;
  writeAtAsync(bytes: Uint8Array, position: number): Promise<number>;
  /** fdatasync: what was written before the call survives power loss once it returns. */
  datasync(): void;
  datasyncAsync(): Promise<void>;
  size(): number;
  /** Whether the file still has a name; undefined: unknown. */
  isLinked?(): boolean;
  /** The whole file as memory, where that can be had; undefined: read it. Outlives the file's close. */
  map?(): FileMapping | undefined;
  /** From now on reads bring into memory what was asked for, and no more. Absent: it can't be said. */
  readonly noReadAhead?: (() => void) | undefined;
  /** Gives up what memory has of a part of the file and the disk has, too. Absent: it can't be said. */
  readonly giveUpPages?: ((position: number, byteLength: number) => void) | undefined;
  /** Idempotent. */
  close(): void;
}

export interface FileSystem {
  /** What to send to a worker so that it builds the same file system; undefined = the real disk. */
  readonly spec: FileSystemSpec | undefined;
  /** Opens a regular file for reading; symbolic links are refused. */
  openRead(path: string): StorageFile;
  /** The same without waiting for the disk within the call; absent: {@link openRead} is used. */
  openReadAsync?: ((path: string) => Promise<StorageFile>) | undefined;
  /** Creates a file that must not exist, mode 0600, for writing (and reading back). */
  createExclusive(path: string): StorageFile;
  /** The same without waiting for the disk within the call; absent: {@link createExclusive} is used. */
  createExclusiveAsync?: ((path: string) => Promise<StorageFile>) | undefined;
  rename(from: string, to: string): void;
  renameAsync(from: string, to: string): Promise<void>;
  /** A second name for a file, which must not exist; absent: there is no such thing. */
  linkAsync?: ((from: string, to: string) => Promise<void>) | undefined;
  unlink(path: string): void;
  unlinkAsync(path: string): Promise<void>;
  /** Creates one directory, mode 0700, in a parent that exists; false when something of that name is there already. */
  makeDirectory(path: string): boolean;
  removeDirectory(path: string): void;
  list(directory: string): string[];
  /** lstat; undefined when nothing is there (ENOENT), an error for anything else. */
  stat(path: string): FileStat | undefined;
  /** The path with all symbolic links resolved. */
  realPath(path: string): string;
  /** fsync of a directory: creates, renames and unlinks in it survive power loss once it returns. */
  syncDirectory(path: string): void;
  syncDirectoryAsync(path: string): Promise<void>;
  /**
   * Where syncs can only be asynchronous (Node's permission model): carries out what `datasync` and `syncDirectory` have left to
   * be done in `directory` by this thread. The asynchronous syncs do so, too; who calls only the synchronous ones calls this.
   */
  readonly finishSyncs?: ((directory: string) => Promise<void>) | undefined;
}

/**
 * Closes what was only read, or what is synced or not needed any more: then an error means nothing, and whoever
 * closes has something more important to finish.
 */
export function closeQuietly(file: { close(): void }): void {
  try {
    file.close();
  } catch {
    // See above; the descriptor is gone even so.
  }
}

/** One call moves at most this much: Node truncates lengths to 32 bits without a word. */
const MAX_TRANSFER_BYTES = 16 * 1024 * 1024;

/** Writes all of `bytes`, however short the single writes come out. */
export function writeFully(file: StorageFile, bytes: Uint8Array, position: number): void {
  let done = 0;
  while (done < bytes.length) {
    const count = file.writeAt(nextChunk(bytes, done), position + done);
    checkProgress(count, file);
    done += count;
  }
}

export async function writeFullyAsync(file: StorageFile, bytes: Uint8Array, position: number): Promise<void> {
  let done = 0;
  while (done < bytes.length) {
    const count = await file.writeAtAsync(nextChunk(bytes, done), position + done);
    checkProgress(count, file);
    done += count;
  }
}

/** Reads until `into` is full or the file ends; returns how many bytes it got. */
export function readFully(file: StorageFile, into: Uint8Array, position: number): number {
  let done = 0;
  while (done < into.length) {
    const count = file.readAt(nextChunk(into, done), position + done);
    if (count === 0) break;
    done += count;
  }
  return done;
}

/** {@link readFully} without waiting for the disk within the call, where the file can do that. */
export async function readFullyAsync(file: StorageFile, into: Uint8Array, position: number): Promise<number> {
  let done = 0;
  while (done < into.length) {
    const part = nextChunk(into, done);
    const count =
      file.readAtAsync === undefined
        ? file.readAt(part, position + done)
        : await file.readAtAsync(part, position + done);
    if (count === 0) break;
    done += count;
  }
  return done;
}

function nextChunk(bytes: Uint8Array, done: number): Uint8Array {
  if (done === 0 && bytes.length <= MAX_TRANSFER_BYTES) return bytes;
  return bytes.subarray(done, Math.min(bytes.length, done + MAX_TRANSFER_BYTES));
}

function checkProgress(count: number, file: StorageFile): void {
  if (count <= 0) throw ioError('write', file.path, new Error('the write made no progress'));
}
