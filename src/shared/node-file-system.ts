/**
 * The real disk: FileSystem (file-system.ts) on node:fs, and the raw opens that the directory lock needs.
 *
 * Every error of the operating system leaves this file as a StorageError `STRATA_IO` whose `cause` it is; but for what a
 * LockFile does once it is open, which only informs.
 *
 * Invariants: no symbolic link is followed to a file, and only regular files are opened: a FIFO or device in the
 *             directory of a store is refused, not waited for.
 * Thread:     any. A descriptor belongs to the thread that opened it and never crosses to another.
 * Owns:       descriptors are numbers, closed by their StorageFile; Node closes a terminated worker's.
 * Not chosen: FileHandle, but where nothing else can sync (restricted-sync.ts). Its garbage collection closes files behind our back (an error from Node 25 on), and it has
 *             no synchronous forms. node:fs/promises costs an object and a hop more per call.
 */
import * as fs from 'node:fs';
import { invalidArgument, ioError, systemErrorCode } from './errors.ts';
import type { FileStat, FileSystem, FileSystemSpec, StorageFile } from './file-system.ts';
import { type FileMapping, mapFile } from './memory-map.ts';
import { IS_RESTRICTED } from './permission.ts';
import { finishSyncs, oweSync, syncDirectory as restrictedSync, syncFile } from './restricted-sync.ts';
import { delay, now } from './timers.ts';

const IS_WINDOWS = process.platform === 'win32';
const FILE_MODE = 0o600;
const DIRECTORY_MODE = 0o700;

// Absent on Windows, where symbolic links need privileges to make.
const NO_FOLLOW: number = fs.constants.O_NOFOLLOW ?? 0;
// Opening a FIFO would otherwise wait for a writer, for ever; without effect on regular files.
const NO_WAIT: number = fs.constants.O_NONBLOCK ?? 0;

const READ_FLAGS = fs.constants.O_RDONLY | NO_FOLLOW | NO_WAIT;
const CREATE_FLAGS = fs.constants.O_RDWR | fs.constants.O_CREAT | fs.constants.O_EXCL | NO_FOLLOW;
const LOCK_FLAGS = fs.constants.O_RDWR | fs.constants.O_CREAT | NO_FOLLOW | NO_WAIT;

/** Windows: virus scanners and indexers open files for moments; 1 + 2 + ... + 512 ms outlasts them. */
const RENAME_ATTEMPTS = 10;

class NodeFile implements StorageFile {
  readonly path: string;
  #fd: number;

  constructor(path: string, fd: number) {
    this.path = path;
    this.#fd = fd;
  }

  readAt(into: Uint8Array, position: number): number {
    return attempt('read', this.path, () => fs.readSync(this.#fd, into, 0, into.length, position));
  }

  writeAt(bytes: Uint8Array, position: number): number {
    return attempt('write', this.path, () => fs.writeSync(this.#fd, bytes, 0, bytes.length, position));
  }

  writeAtAsync(bytes: Uint8Array, position: number): Promise<number> {
    return new Promise((resolve, reject) => {
      fs.write(this.#fd, bytes, 0, bytes.length, position, (error, count) => {
        if (error === null) resolve(count);
        else reject(ioError('write', this.path, error));
      });
    });
  }

  datasync(): void {
    if (IS_RESTRICTED) oweSync(this.path, 'file');
    else attempt('sync', this.path, () => fs.fdatasyncSync(this.#fd));
  }

  datasyncAsync(): Promise<void> {
    if (IS_RESTRICTED) return syncFile(this.path, fs.fstatSync(this.#fd));
    return promised('sync', this.path, (done) => fs.fdatasync(this.#fd, done));
  }

  size(): number {
    return attempt('stat', this.path, () => fs.fstatSync(this.#fd).size);
  }

  map(): FileMapping | undefined {
    return mapFile(this.#fd, this.size());
  }

  close(): void {
    if (this.#fd < 0) return;
    const fd = this.#fd;
    // Given up first: a descriptor is gone even when close reports an error, and its number may be reused at once.
    this.#fd = -1;
    attempt('close', this.path, () => fs.closeSync(fd));
  }
}

/** The disk of this machine. */
export const nodeFileSystem: FileSystem = {
  spec: undefined,
  openRead: (path) => attempt('open', path, () => new NodeFile(path, openRegular(path, READ_FLAGS))),
  createExclusive: (path) =>
    attempt('create', path, () => new NodeFile(path, fs.openSync(path, CREATE_FLAGS, FILE_MODE))),
  rename: (from, to) => attempt('rename', from, () => renamePatiently(from, to)),
  renameAsync,
  unlink: (path) => attempt('delete', path, () => fs.unlinkSync(path)),
  unlinkAsync: (path) => promised('delete', path, (done) => fs.unlink(path, done)),
  makeDirectory,
  removeDirectory: (path) => attempt('delete', path, () => fs.rmdirSync(path)),
  list: (directory) => attempt('list', directory, () => fs.readdirSync(directory)),
  stat: (path) => attempt('stat', path, () => toFileStat(fs.lstatSync(path, { throwIfNoEntry: false }))),
  realPath: (path) => attempt('resolve', path, () => fs.realpathSync.native(path)),
  syncDirectory,
  syncDirectoryAsync,
  finishSyncs: IS_RESTRICTED ? finishSyncs : undefined,
};

/**
 * The file system that `spec` describes; the real disk without one.
 *
 * The module is code of whoever opened the store, named by them in the same process: nothing on disk can name it.
 */
export async function loadFileSystem(spec: FileSystemSpec | undefined): Promise<FileSystem> {
  if (spec === undefined) return nodeFileSystem;
  const module: { createFileSystem?: unknown } = await import(spec.module);
  if (typeof module.createFileSystem !== 'function') {
    throw invalidArgument(`file system module ${spec.module} does not export createFileSystem`);
  }
  return module.createFileSystem(spec.options) as FileSystem;
}

/** Whether the working directory is there still. Asked of the system, as process.cwd() keeps what it was told once. */
export function hasWorkingDirectory(): boolean {
  try {
    fs.realpathSync.native('.');
    return true;
  } catch (error) {
    return systemErrorCode(error) !== 'ENOENT';
  }
}

/** A LOCK file that is open; closing it gives up a lock taken with it. */
export interface LockFile {
  /** Replaces the whole content; undefined when the file could only be opened for reading. */
  readonly replaceContent: ((content: Uint8Array) => void) | undefined;
  close(): void;
}

/**
 * Opens (or creates) the LOCK file at `path`. `extraFlags` go to open(2) as they are: that is how the systems that
 * lock on opening are asked to. Without permission to write, the file is opened for reading, which locks as well.
 */
export function openLockFile(path: string, extraFlags = 0): LockFile {
  return attempt('open', path, () => {
    try {
      return lockFile(openOwnLockFile(path, LOCK_FLAGS | extraFlags), true);
    } catch (error) {
      if (!isWriteRefused(error)) throw error;
      return lockFile(openRegular(path, READ_FLAGS | extraFlags), false);
    }
  });
}

/** Opens a directory only to hold it: while it is open its inode number can't be given to another directory. */
export function holdDirectory(path: string, extraFlags = 0): { close(): void } {
  const flags = fs.constants.O_RDONLY | (fs.constants.O_DIRECTORY ?? 0) | extraFlags;
  return attempt('open', path, () => new NodeFile(path, fs.openSync(path, flags)));
}

function lockFile(fd: number, isWritable: boolean): LockFile {
  const replaceContent = (content: Uint8Array): void => {
    fs.ftruncateSync(fd, 0);
    fs.writeSync(fd, content, 0, content.length, 0);
  };
  let isOpen = true;
  return {
    replaceContent: isWritable ? replaceContent : undefined,
    close: () => {
      if (!isOpen) return;
      isOpen = false;
      fs.closeSync(fd);
    },
  };
}

/** LOCK is the one file we overwrite, so it must be ours alone: a second hard link would be somebody else's file. */
function openOwnLockFile(path: string, flags: number): number {
  const fd = openRegular(path, flags);
  if (IS_WINDOWS || fs.fstatSync(fd).nlink <= 1) return fd;
  fs.closeSync(fd);
  throw new Error('the file has another hard link');
}

function openRegular(path: string, flags: number): number {
  const fd = fs.openSync(path, flags, FILE_MODE);
  try {
    if (!fs.fstatSync(fd).isFile()) throw new Error('not a regular file');
    return fd;
  } catch (error) {
    fs.closeSync(fd);
    throw error;
  }
}

function isWriteRefused(error: unknown): boolean {
  const code = systemErrorCode(error);
  return code === 'EROFS' || code === 'EACCES' || code === 'EPERM';
}

function toFileStat(stats: fs.Stats | undefined): FileStat | undefined {
  if (stats === undefined) return undefined;
  const kind = stats.isFile() ? 'file' : stats.isDirectory() ? 'directory' : 'other';
  return { kind, sizeBytes: stats.size, device: stats.dev, inode: stats.ino };
}

function makeDirectory(path: string): boolean {
  try {
    fs.mkdirSync(path, DIRECTORY_MODE);
    return true;
  } catch (error) {
    if (systemErrorCode(error) === 'EEXIST') return false;
    throw ioError('create', path, error);
  }
}

function syncDirectory(path: string): void {
  // Windows can't flush a directory; NTFS journals names itself, so there a power cut may undo the last renames.
  if (IS_WINDOWS) return;
  attempt('sync', path, () => {
    const fd = fs.openSync(path, fs.constants.O_RDONLY);
    try {
      if (IS_RESTRICTED) oweSync(path, 'directory');
      else fs.fsyncSync(fd);
    } finally {
      fs.closeSync(fd);
    }
  });
}

async function syncDirectoryAsync(path: string): Promise<void> {
  if (IS_WINDOWS) return;
  if (IS_RESTRICTED) return await restrictedSync(path);
  const fd = attempt('sync', path, () => fs.openSync(path, fs.constants.O_RDONLY));
  try {
    await promised('sync', path, (done) => fs.fsync(fd, done));
  } finally {
    attempt('close', path, () => fs.closeSync(fd));
  }
}

function renamePatiently(from: string, to: string): void {
  for (let tries = 1; ; tries++) {
    try {
      fs.renameSync(from, to);
      return;
    } catch (error) {
      if (!isRenameWorthRetrying(error, tries)) throw error;
      // Spinning, as a synchronous call has nothing to wait on; only workers and tests rename synchronously.
      const end = now() + 2 ** (tries - 1);
      while (now() < end);
    }
  }
}

async function renameAsync(from: string, to: string): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      return await promised('rename', from, (done) => fs.rename(from, to, done));
    } catch (error) {
      if (!isRenameWorthRetrying(error, tries)) throw error;
      await delay(2 ** (tries - 1));
    }
  }
}

function isRenameWorthRetrying(error: unknown, tries: number): boolean {
  if (!IS_WINDOWS || tries > RENAME_ATTEMPTS) return false;
  const code = systemErrorCode(error);
  return code === 'EPERM' || code === 'EBUSY' || code === 'EACCES';
}

function attempt<T>(action: string, path: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    throw ioError(action, path, error);
  }
}

type Done = (error: NodeJS.ErrnoException | null) => void;

function promised(action: string, path: string, start: (done: Done) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    start((error) => {
      if (error === null || error === undefined) resolve();
      else reject(ioError(action, path, error));
    });
  });
}
