/**
 * The real disk: FileSystem (file-system.ts) on node:fs.
 *
 * Every error of the operating system leaves this file as a StorageError `STRATA_IO` whose `cause` it is.
 *
 * Invariants: no symbolic link is followed to a file, and only regular files are opened: a FIFO or device in the
 *             directory of a store is refused, not waited for.
 * Thread:     any. A descriptor belongs to the thread that opened it; reader threads (disk/reader-threads.ts) read it for that
 *             one.
 * Owns:       descriptors are numbers, closed by their StorageFile; Node closes a terminated worker's.
 * Not chosen: FileHandle, but where nothing else can sync (restricted-sync.ts). Its garbage collection closes files behind our
 *             back (an error from Node 25 on), and it has no synchronous forms. node:fs/promises costs an object and a hop more
 *             per call.
 */
import * as fs from 'node:fs';
import { invalidArgument, ioError, systemErrorCode } from '../base/errors.ts';
import { delay, now } from '../base/timers.ts';
import { type DirectoryAnchor, nameOf, placeOf } from './directory-anchor.ts';
import type { FileStat, FileSystem, FileSystemSpec, StorageFile, WatchedStore } from './file-system.ts';
import { type FileMapping, mapFile } from './memory-map.ts';
import { IS_RESTRICTED } from './permission.ts';
import { finishSyncs, oweSync, syncDirectory as restrictedSync, syncFile } from './restricted-sync.ts';
import { systemCalls } from './system-calls.ts';
import { watchFiles } from './watched-files.ts';

const IS_WINDOWS = process.platform === 'win32';
const FILE_MODE = 0o600;
const DIRECTORY_MODE = 0o700;

// Absent on Windows, where symbolic links need privileges to make.
const NO_FOLLOW: number = fs.constants.O_NOFOLLOW ?? 0;
// Opening a FIFO would otherwise wait for a writer, for ever; without effect on regular files.
const NO_WAIT: number = fs.constants.O_NONBLOCK ?? 0;

export const READ_FLAGS: number = fs.constants.O_RDONLY | NO_FOLLOW | NO_WAIT;
const CREATE_FLAGS = fs.constants.O_RDWR | fs.constants.O_CREAT | fs.constants.O_EXCL | NO_FOLLOW;

/** Windows: virus scanners and indexers open files for moments; 1 + 2 + ... + 512 ms outlasts them. */
const RENAME_ATTEMPTS = 10;

class NodeFile implements StorageFile {
  readonly path: string;
  #fd: number;
  /** null: nobody has asked. */
  #readResident: StorageFile['readResident'] | null = null;

  constructor(path: string, fd: number) {
    this.path = path;
    this.#fd = fd;
  }

  readAt(into: Uint8Array, position: number): number {
    return attempt('read', this.path, () => fs.readSync(this.#fd, into, 0, into.length, position));
  }

  readAtAsync(into: Uint8Array, position: number): Promise<number> {
    return counted('read', this.path, (done) => fs.read(this.#fd, into, 0, into.length, position, done));
  }

  /** Looked up when first asked for, as that loads koffi. */
  get readResident(): StorageFile['readResident'] {
    if (this.#readResident === null) {
      const native = systemCalls();
      const read = native?.readNoWait;
      this.#readResident =
        read &&
        ((into, position) => {
          const count = read(this.#fd, into, position);
          if (count >= 0) return count;
          if (native.wouldNeverTell()) this.#readResident = undefined;
          return undefined;
        });
    }
    return this.#readResident;
  }

  get descriptor(): number {
    return this.#fd;
  }

  writeAt(bytes: Uint8Array, position: number): number {
    return attempt('write', this.path, () => fs.writeSync(this.#fd, bytes, 0, bytes.length, position));
  }

  writeAtAsync(bytes: Uint8Array, position: number): Promise<number> {
    return counted('write', this.path, (done) => fs.write(this.#fd, bytes, 0, bytes.length, position, done));
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

  isLinked(): boolean {
    return attempt('stat', this.path, () => fs.fstatSync(this.#fd).nlink > 0);
  }

  map(): FileMapping | undefined {
    const { size, uid } = attempt('stat', this.path, () => fs.fstatSync(this.#fd));
    return mapFile(this.#fd, size, uid === process.geteuid?.());
  }

  noReadAhead(): void {
    systemCalls()?.noReadAhead?.(this.#fd);
  }

  giveUpPages(position: number, byteLength: number): void {
    systemCalls()?.dontNeed?.(this.#fd, position, byteLength);
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
export const nodeFileSystem: FileSystem = createNodeFileSystem([]);

/** The same, with directories that are reached through descriptors, which must stay open as long as this is used. */
export function createNodeFileSystem(
  anchors: readonly DirectoryAnchor[],
  watched?: WatchedStore,
): FileSystem {
  const fs = createPlain(anchors);
  return watched === undefined ? fs : { ...watchFiles(fs, watched), spec: { anchors, watched } };
}

function createPlain(anchors: readonly DirectoryAnchor[]): FileSystem {
  const at = (path: string): string => placeOf(path, anchors);
  const act = <T>(action: string, path: string, run: (place: string) => T): T =>
    attempt(action, path, () => naming(anchors, () => run(at(path))));
  const actAsync = (
    action: string,
    path: string,
    start: (place: string, done: Done) => void,
  ): Promise<void> =>
    promised(action, path, (done) => start(at(path), (error) => done(named(error, anchors))));
  return {
    spec: anchors.length === 0 ? undefined : { anchors },
    openRead: (path) => act('open', path, (place) => new NodeFile(path, openRegular(place, READ_FLAGS))),
    openReadAsync: (path) => openReadAsync(path, at(path), anchors),
    createExclusive: (path) =>
      act('create', path, (place) => new NodeFile(path, fs.openSync(place, CREATE_FLAGS, FILE_MODE))),
    createExclusiveAsync: (path) =>
      new Promise((resolve, reject) => {
        fs.open(at(path), CREATE_FLAGS, FILE_MODE, (error, fd) => {
          if (error === null) resolve(new NodeFile(path, fd));
          else reject(ioError('create', path, named(error, anchors)));
        });
      }),
    rename: (from, to) => act('rename', from, (place) => renamePatiently(place, at(to))),
    renameAsync: (from, to) =>
      renameAsync(from, (done) => fs.rename(at(from), at(to), (error) => done(named(error, anchors)))),
    linkAsync: (from, to) => actAsync('link', from, (place, done) => fs.link(place, at(to), done)),
    unlink: (path) => act('delete', path, (place) => fs.unlinkSync(place)),
    unlinkAsync: (path) => actAsync('delete', path, (place, done) => fs.unlink(place, done)),
    makeDirectory: (path) => act('create', path, makeDirectory),
    removeDirectory: (path) => act('delete', path, (place) => fs.rmdirSync(place)),
    list: (directory) => act('list', directory, (place) => fs.readdirSync(place)),
    stat: (path) => act('stat', path, (place) => toFileStat(fs.lstatSync(place, { throwIfNoEntry: false }))),
    realPath: (path) => attempt('resolve', path, () => fs.realpathSync.native(path)),
    syncDirectory: (path) => act('sync', path, syncDirectory),
    syncDirectoryAsync: (path) => syncDirectoryAsync(path, at(path)),
    finishSyncs: IS_RESTRICTED ? finishSyncs : undefined,
  };
}

/**
 * The file system that `spec` describes; the real disk without one.
 *
 * The module is code of whoever opened the store, named by them in the same process: nothing on disk can name it.
 */
export async function loadFileSystem(spec: FileSystemSpec | undefined): Promise<FileSystem> {
  if (spec === undefined) return nodeFileSystem;
  if ('anchors' in spec) return createNodeFileSystem(spec.anchors, spec.watched);
  const module: { createFileSystem?: unknown } = await import(spec.module);
  if (typeof module.createFileSystem !== 'function') {
    throw invalidArgument(`file system module ${spec.module} does not export createFileSystem`);
  }
  return module.createFileSystem(spec.options) as FileSystem;
}

/** Whether the working directory is there still. Asked of the system, as process.cwd() caches its answer. */
export function hasWorkingDirectory(): boolean {
  try {
    fs.realpathSync.native('.');
    return true;
  } catch (error) {
    return systemErrorCode(error) !== 'ENOENT';
  }
}

/** A regular file, never a link, a FIFO or a device; its descriptor. */
export function openRegular(path: string, flags: number): number {
  const fd = fs.openSync(path, flags, FILE_MODE);
  try {
    if (!fs.fstatSync(fd).isFile()) throw new Error('not a regular file');
    return fd;
  } catch (error) {
    fs.closeSync(fd);
    throw error;
  }
}

/** {@link openRegular} for reading, in libuv's pool. */
function openReadAsync(
  path: string,
  place: string,
  anchors: readonly DirectoryAnchor[],
): Promise<StorageFile> {
  return new Promise((resolve, reject) => {
    const fail = (error: NodeJS.ErrnoException): void => reject(ioError('open', path, named(error, anchors)));
    fs.open(place, READ_FLAGS, FILE_MODE, (error, fd) => {
      if (error !== null) return fail(error);
      fs.fstat(fd, (statError, stats) => {
        if (statError === null && stats.isFile()) return resolve(new NodeFile(path, fd));
        fs.closeSync(fd);
        fail(statError ?? new Error('not a regular file'));
      });
    });
  });
}

function toFileStat(stats: fs.Stats | undefined): FileStat | undefined {
  if (stats === undefined) return undefined;
  const kind = stats.isFile() ? 'file' : stats.isDirectory() ? 'directory' : 'other';
  return {
    kind,
    sizeBytes: stats.size,
    device: stats.dev,
    inode: stats.ino,
    modifiedMs: stats.mtimeMs,
  };
}

function makeDirectory(path: string): boolean {
  try {
    fs.mkdirSync(path, DIRECTORY_MODE);
    return true;
  } catch (error) {
    if (systemErrorCode(error) === 'EEXIST') return false;
    throw error;
  }
}

function syncDirectory(place: string): void {
  // Windows can't flush a directory; NTFS journals names itself, so there a power cut may undo the last renames.
  if (IS_WINDOWS) return;
  const fd = fs.openSync(place, fs.constants.O_RDONLY);
  try {
    if (IS_RESTRICTED) oweSync(place, 'directory');
    else fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}

async function syncDirectoryAsync(path: string, place: string): Promise<void> {
  if (IS_WINDOWS) return;
  if (IS_RESTRICTED) return await restrictedSync(place);
  const fd = attempt('sync', path, () => fs.openSync(place, fs.constants.O_RDONLY));
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

async function renameAsync(from: string, start: (done: Done) => void): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      return await promised('rename', from, start);
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

/** The system names the places it was asked for; whoever reads the error knows the directory. */
function naming<T>(anchors: readonly DirectoryAnchor[], run: () => T): T {
  try {
    return run();
  } catch (error) {
    throw named(error as NodeJS.ErrnoException, anchors);
  }
}

function named<E extends NodeJS.ErrnoException | null>(error: E, anchors: readonly DirectoryAnchor[]): E {
  if (error === null || error === undefined || anchors.length === 0) return error;
  error.message = nameOf(error.message, anchors);
  if (error.path !== undefined) error.path = nameOf(error.path, anchors);
  return error;
}

function attempt<T>(action: string, path: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    throw ioError(action, path, error);
  }
}

/** Resolves with how many bytes were read or written. On a closed file Node throws in the call. */
function counted(
  action: string,
  path: string,
  start: (done: (error: NodeJS.ErrnoException | null, count: number) => void) => void,
): Promise<number> {
  return new Promise((resolve, reject) => {
    attempt(action, path, () =>
      start((error, count) => {
        if (error === null) resolve(count);
        else reject(ioError(action, path, error));
      }),
    );
  });
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
