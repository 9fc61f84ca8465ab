/**
 * The exclusive lock on a store's directory, held by the kernel: it is gone the moment its owner is, however that died.
 *
 *   1. hold the directory open, so that its inode number stays its own
 *   2. take the lock      Linux           listen on an abstract socket named by the directory's device and inode
 *                         macOS, BSD      open LOCK with O_EXLOCK        (documented by libuv, not verified here)
 *                         Windows         open LOCK without sharing      (documented by libuv, not verified here)
 *   3. write into LOCK who holds it: {"pid":1,"hostname":"a","threadId":0,"startedAt":"2024-01-01T00:00:00.000Z"}
 *   release: empty LOCK, give up the lock. LOCK itself stays: unlinking a file that others may be opening is a race.
 *
 * LOCK only tells losers whom to blame; on Linux it takes no part in the exclusion, so that a read-only disk can be
 * locked and a stale or hostile LOCK keeps nobody out.
 *
 * Invariants: at most one DirectoryLock per directory and machine, across threads, processes, copies of this package,
 *             and symbolic links. The exception: abstract sockets are seen only inside one network namespace, so
 *             containers that share a directory but no network do not exclude each other.
 * Owns:       the socket or the descriptor of LOCK, and one of the directory.
 * Not chosen: a file that exists while locked, or a heartbeat in one: the first stays locked after kill -9, the second
 *             hands a store to a rival while its owner is merely stopped (SIGSTOP, a laptop asleep). flock(2) has no
 *             Node binding on Linux.
 */
import { createServer, type Server } from 'node:net';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { threadId } from 'node:worker_threads';
import { ioError, StorageError, systemErrorCode } from '../shared/errors.ts';
import { LOCK_NAME } from '../shared/file-names.ts';
import { type FileSystem, readFully } from '../shared/file-system.ts';
import { holdDirectory, type LockFile, openLockFile } from '../shared/node-file-system.ts';

/** O_EXLOCK | O_NONBLOCK of macOS and the BSDs; fs.constants does not name the first. */
const BSD_LOCK_FLAGS = 0x20 | 0x4;
/** UV_FS_O_EXLOCK of libuv for Windows: open with no sharing at all. */
const WINDOWS_LOCK_FLAGS = 0x10000000;
const BSDS: readonly string[] = ['darwin', 'freebsd', 'openbsd', 'netbsd'];

/** What sun_path holds on Linux. */
const SOCKET_NAME_LENGTH = 108;

const MAX_LOCK_BYTES = 4096;
/** The winner needs a moment between taking the lock and writing LOCK. */
const HOLDER_ATTEMPTS = 5;
const HOLDER_RETRY_MS = 2;

interface KernelLock {
  release(): Promise<void>;
}

interface Closable {
  close(): void;
}

/** Held until released, or until its thread or process ends. */
export class DirectoryLock {
  readonly #kernelLock: KernelLock;
  readonly #lockFile: LockFile | undefined;
  readonly #directory: Closable | undefined;
  #released: Promise<void> | undefined;

  constructor(kernelLock: KernelLock, lockFile: LockFile | undefined, directory: Closable | undefined) {
    this.#kernelLock = kernelLock;
    this.#lockFile = lockFile;
    this.#directory = directory;
  }

  /** Idempotent. Once it resolves, the next acquireLock succeeds. */
  release(): Promise<void> {
    this.#released ??= this.#release();
    return this.#released;
  }

  async #release(): Promise<void> {
    // Emptied while the lock is still held: afterwards LOCK may already name the next owner.
    recordHolder(this.#lockFile, '');
    try {
      await this.#kernelLock.release();
    } finally {
      this.#lockFile?.close();
      this.#directory?.close();
    }
  }
}

/**
 * Locks `directory`, which must exist, for this thread.
 *
 * @throws {@link StorageError} `STRATA_LOCKED`, naming the holder where it can be known.
 */
export async function acquireLock(fs: FileSystem, directory: string): Promise<DirectoryLock> {
  const held = ifPossible(() => holdDirectory(directory));
  let kernelLock: KernelLock | undefined;
  let lockFile: LockFile | undefined;
  const isForeign = ifPossible(() => !isHolderRecord(readStart(fs, join(directory, LOCK_NAME))));
  try {
    if (process.platform === 'linux' || process.platform === 'android') {
      kernelLock = await listen(socketName(fs, directory), directory);
      lockFile = ifPossible(() => openLockFile(join(directory, LOCK_NAME)));
    } else {
      lockFile = openExclusively(directory);
      kernelLock = { release: () => Promise.resolve() };
    }
    if (isForeign) lockFile = lockFile && { ...lockFile, replaceContent: undefined };
    recordHolder(lockFile, describeSelf());
    return new DirectoryLock(kernelLock, lockFile, held);
  } catch (error) {
    lockFile?.close();
    held?.close();
    throw isTaken(error) ? await lockedError(fs, directory) : error;
  }
}

/**
 * Node 22 binds exactly the bytes of an abstract name, Node 20 pads them with zeros to the full length. Padded by
 * ourselves, all versions mean the same socket; otherwise two of them could hold one store.
 */
function socketName(fs: FileSystem, directory: string): string {
  const stat = fs.stat(fs.realPath(directory));
  if (stat?.kind !== 'directory') throw ioError('lock', directory, new Error('not a directory'));
  return `\0stratakv-${stat.device}-${stat.inode}`.padEnd(SOCKET_NAME_LENGTH, '\0');
}

function listen(path: string, directory: string): Promise<KernelLock> {
  return new Promise((resolve, reject) => {
    // Whoever connects is sent away at once, as an open connection would keep the server from closing.
    const server = createServer((socket) => socket.destroy());
    server.on('error', (error) => reject(ioError('lock', directory, error)));
    // `exclusive`: a cluster worker would otherwise share the primary's handle with its siblings, and all would win.
    server.listen({ path, exclusive: true }, () => resolve({ release: () => closeServer(server) }));
    // A store left open must not keep its process alive.
    server.unref();
  });
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve, reject) => {
    server.close((error) => (error === undefined ? resolve() : reject(error)));
  });
}

function openExclusively(directory: string): LockFile {
  const path = join(directory, LOCK_NAME);
  if (process.platform === 'win32') return openLockFile(path, WINDOWS_LOCK_FLAGS);
  if (!BSDS.includes(process.platform)) {
    throw new StorageError(
      'STRATA_UNSUPPORTED',
      `no way to lock a directory is known for ${process.platform}`,
    );
  }
  try {
    return openLockFile(path, BSD_LOCK_FLAGS);
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw error;
    // A read-only disk without LOCK: lock the directory itself, as every other process here will.
    return { replaceContent: undefined, ...holdDirectory(directory, BSD_LOCK_FLAGS) };
  }
}

function isTaken(error: unknown): boolean {
  const code = systemErrorCode(error);
  return code === 'EADDRINUSE' || code === 'EAGAIN' || (process.platform === 'win32' && code === 'EBUSY');
}

function describeSelf(): string {
  const moment = new Date(performance.timeOrigin);
  // Fake timers of an application's tests may leave no time at all.
  const startedAt = Number.isFinite(moment.getTime()) ? moment.toISOString() : undefined;
  return `${JSON.stringify({ pid: process.pid, hostname: hostname(), threadId, startedAt })}\n`;
}

/** LOCK is information: a full or read-only disk must not keep the store from opening or closing. */
function recordHolder(lockFile: LockFile | undefined, text: string): void {
  ifPossible(() => lockFile?.replaceContent?.(Buffer.from(text)));
}

async function lockedError(fs: FileSystem, directory: string): Promise<StorageError> {
  let holder: string | undefined;
  for (let i = 0; i < HOLDER_ATTEMPTS && holder === undefined; i++) {
    if (i > 0) await delay(HOLDER_RETRY_MS);
    holder = ifPossible(() => readHolder(fs, join(directory, LOCK_NAME)));
  }
  const message = `the store in ${directory} is locked by ${holder ?? 'another process'}`;
  return new StorageError('STRATA_LOCKED', message, { file: join(directory, LOCK_NAME) });
}

/** Who LOCK says holds the store; undefined when it says nothing, or names a process that is no more. */
function readHolder(fs: FileSystem, path: string): string | undefined {
  const holder: unknown = JSON.parse(readStart(fs, path));
  if (typeof holder !== 'object' || holder === null) return undefined;
  const { pid, hostname: host } = holder as { pid?: unknown; hostname?: unknown };
  if (typeof pid !== 'number' || !Number.isSafeInteger(pid) || pid <= 0) return undefined;
  if (pid === process.pid && host === hostname()) return `this process (pid ${pid})`;
  if (host === hostname()) return isAlive(pid) ? `the process with pid ${pid}` : undefined;
  // Another host name in one kernel: a container, whose pids we can't look up. The name is not ours: quote it.
  const elsewhere = typeof host === 'string' ? ` on host ${JSON.stringify(host.slice(0, 64))}` : '';
  return `the process with pid ${pid}${elsewhere}`;
}

function readStart(fs: FileSystem, path: string): string {
  const file = fs.openRead(path);
  try {
    const bytes = Buffer.alloc(MAX_LOCK_BYTES);
    return bytes.toString('utf8', 0, readFully(file, bytes, 0));
  } finally {
    file.close();
  }
}

/** Whether this is what LOCK may hold, so that it may be replaced; anything else is a file of somebody else. */
function isHolderRecord(text: string): boolean {
  return text === '' || text.startsWith('{"pid":');
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return systemErrorCode(error) === 'EPERM';
  }
}

/** For what only informs: the lock itself never depends on it. */
function ifPossible<T>(run: () => T): T | undefined {
  try {
    return run();
  } catch {
    // Whatever the reason (read-only, full, hostile LOCK), the caller goes on without the information.
    return undefined;
  }
}
