/**
 * The raw system calls that owning a directory needs, apart from the FileSystem of the store: LOCK, the sockets beside it, the
 * descriptor of the directory, and what the kernel says of itself.
 *
 * Invariants: no link is followed to a file; LOCK is only written to when it is a regular file with one name. Errors are the
 *             system's own: who asks decides what they mean.
 * Thread:     any.      Owns: descriptors, until their holders are closed.
 */
import * as fs from 'node:fs';
import { ioError, systemErrorCode } from '../base/errors.ts';
import { CLOSED_PLACE, type DirectoryAnchor } from './directory-anchor.ts';
import { openRegular, READ_FLAGS } from './node-file-system.ts';
import { IS_RESTRICTED } from './permission.ts';

const IS_WINDOWS = process.platform === 'win32';
const LOCK_FLAGS =
  fs.constants.O_RDWR |
  fs.constants.O_CREAT |
  (fs.constants.O_NOFOLLOW ?? 0) |
  (fs.constants.O_NONBLOCK ?? 0);
const SOCKET_MODE = 0o600;
/** More than any record has. */
const MAX_LOCK_BYTES = 4096;

/** A LOCK file that is open; closing it gives up a lock taken with it. */
export interface LockFile {
  /** Replaces the whole content; undefined when the file could only be opened for reading. */
  readonly replaceContent: ((content: Uint8Array) => void) | undefined;
  /** Whether the file still has its name, or any: one that was deleted, or replaced, has not. */
  isNamed(path: string): boolean;
  /** Writes a content that is not shorter, on libuv's pool: the file system notes when. `done` is called in any case. */
  readonly rewrite: ((content: Uint8Array, done: () => void) => void) | undefined;
  close(): void;
}

/**
 * Opens (or creates) the LOCK file at `path`. `extraFlags` go to open(2) as they are: that is how the systems that
 * lock on opening are asked to. Without permission to write, the file is opened for reading, which locks as well.
 */
export function openLockFile(path: string, extraFlags = 0): LockFile {
  try {
    return lockFile(openOwnLockFile(path, LOCK_FLAGS | extraFlags), true);
  } catch (error) {
    if (!isWriteRefused(error)) throw ioError('open', path, error);
  }
  try {
    return lockFile(openRegular(path, READ_FLAGS | extraFlags), false);
  } catch (error) {
    throw ioError('open', path, error);
  }
}

function lockFile(fd: number, isWritable: boolean): LockFile {
  let isOpen = true;
  const replaceContent = (content: Uint8Array): void => {
    // Shortened afterwards: whoever reads meanwhile sees something of a record, never nothing.
    fs.writeSync(fd, content, 0, content.length, 0);
    fs.ftruncateSync(fd, content.length);
  };
  const rewrite = (content: Uint8Array, done: () => void): void => {
    if (isOpen) fs.write(fd, content, 0, content.length, 0, done);
    else done();
  };
  return {
    replaceContent: isWritable ? replaceContent : undefined,
    isNamed: (path) => {
      const found = fs.lstatSync(path, { throwIfNoEntry: false });
      const own = fs.fstatSync(fd);
      return found?.dev === own.dev && found.ino === own.ino;
    },
    rewrite: isWritable ? rewrite : undefined,
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

function isWriteRefused(error: unknown): boolean {
  const code = systemErrorCode(error);
  return code === 'EROFS' || code === 'EACCES' || code === 'EPERM';
}

/** Device and inode: what a path leads to, whatever it is called. */
export interface Identity {
  readonly device: number;
  readonly inode: number;
}

/** A directory that is held open: its inode number can't be given to another one meanwhile. */
export interface HeldDirectory extends Identity {
  /** How to reach its files through the descriptor; undefined where that can't be done. */
  readonly anchor: DirectoryAnchor | undefined;
  close(): void;
}

/** `name` is what callers call it. */
export function holdDirectory(path: string, name: string = path, extraFlags = 0): HeldDirectory {
  const flags = fs.constants.O_RDONLY | (fs.constants.O_DIRECTORY ?? 0) | extraFlags;
  let fd: number;
  try {
    fd = fs.openSync(path, flags);
  } catch (error) {
    throw ioError('open', name, error);
  }
  const { dev, ino } = fs.fstatSync(fd);
  const anchor = anchorOf(name, fd, dev, ino);
  let isOpen = true;
  return {
    device: dev,
    inode: ino,
    anchor,
    close: () => {
      if (!isOpen) return;
      isOpen = false;
      if (anchor !== undefined) anchor.place = CLOSED_PLACE;
      fs.closeSync(fd);
    },
  };
}

/** The same directory through a descriptor of our own; undefined: the other one is closed by now. */
export function holdAgain({ directory, place, device, inode }: DirectoryAnchor): HeldDirectory | undefined {
  let held: HeldDirectory;
  try {
    held = holdDirectory(`${place}/.`, directory);
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw error;
  }
  if (held.device === device && held.inode === inode) return held;
  held.close();
  return undefined;
}

/** undefined without /proc, and under Node's permission model, which knows paths and no descriptors. */
function anchorOf(
  directory: string,
  fd: number,
  device: number,
  inode: number,
): { -readonly [K in keyof DirectoryAnchor]: DirectoryAnchor[K] } | undefined {
  if (IS_RESTRICTED || (process.platform !== 'linux' && process.platform !== 'android')) return undefined;
  const place = `/proc/self/fd/${fd}`;
  try {
    const seen = fs.statSync(`${place}/.`);
    return seen.dev === device && seen.ino === inode ? { directory, place, device, inode } : undefined;
  } catch {
    // No /proc here: the directory is reached by its path, as on other systems.
    return undefined;
  }
}

/** Where a path leads, links included; undefined: nowhere. */
export function identityOf(path: string): Identity | undefined {
  const stat = fs.statSync(path, { throwIfNoEntry: false });
  return stat === undefined ? undefined : { device: stat.dev, inode: stat.ino };
}

/** As {@link identityOf}, on libuv's pool. `done` gets undefined when there is nothing, or nobody knows. */
export function lookUpIdentity(
  path: string,
  done: (found: Identity | undefined, error: unknown) => void,
): void {
  fs.stat(path, (error, stat) =>
    done(error === null ? { device: stat.dev, inode: stat.ino } : undefined, error ?? undefined),
  );
}

/** The start of a file, and when it was last written. */
export function readLockText(path: string): { readonly text: string; readonly modifiedMs: number } {
  const fd = openRegular(path, READ_FLAGS);
  try {
    const bytes = Buffer.alloc(MAX_LOCK_BYTES);
    const length = fs.readSync(fd, bytes, 0, MAX_LOCK_BYTES, 0);
    return { text: bytes.toString('utf8', 0, length), modifiedMs: fs.fstatSync(fd).mtimeMs };
  } finally {
    fs.closeSync(fd);
  }
}

export function listNames(directory: string): string[] {
  return fs.readdirSync(directory);
}

/** For nobody but the owner of the store. One that is gone is fine: a starter beside us took it for that of the dead. */
export function restrictSocket(path: string): void {
  try {
    fs.chmodSync(path, SOCKET_MODE);
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw error;
  }
}

/** Deletes a socket, and nothing else; one that is gone is fine. */
export function removeSocket(path: string): void {
  if (fs.lstatSync(path, { throwIfNoEntry: false })?.isSocket() !== true) return;
  try {
    fs.unlinkSync(path);
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw error;
  }
}

export function lockExists(path: string): boolean {
  return fs.lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

/** Deletes a LOCK file: whoever has it open goes on with a file of no name. One that is gone is fine. */
export function removeLockFile(path: string): void {
  fs.rmSync(path, { force: true });
}

/** Opens LOCK for reading and closes it again, to see whether that can be done. */
export function openLockBriefly(path: string, flags: number): void {
  fs.closeSync(openRegular(path, READ_FLAGS | flags));
}

/** The number that statfs(2) gives to a kind of file system. */
export function fileSystemType(path: string): number {
  return fs.statfsSync(path).type;
}

/** A line that the kernel says, such as /proc/sys/kernel/random/boot_id. */
export function readKernelLine(path: string): string {
  return fs.readFileSync(path, 'latin1').trim();
}

/** What a link of the kernel's says, such as /proc/self/ns/net. */
export function readKernelLink(path: string): string {
  return fs.readlinkSync(path);
}
