/**
 * The exclusive lock on a store's directory, held by the kernel: it is gone the moment its owner is, however that died.
 *
 *   1. hold the directory open, so that its inode number stays its own
 *   2. take the lock      Linux           listen on an abstract socket named by the directory's device and inode: one owner
 *                                         in a network namespace; then on a socket in the directory (lock-socket.ts): one
 *                                         owner on this kernel, containers included
 *                         macOS, BSD      open LOCK with O_EXLOCK        (documented by libuv, not verified here)
 *                         Windows         open LOCK without sharing      (documented by libuv, not verified here)
 *   3. Linux: an owner on another host that shows signs of life keeps us out (foreign-owner.ts)
 *   4. write into LOCK who holds it, and every few seconds again (lock-record.ts)
 *   release: close the socket, empty LOCK, give up the lock
 *
 * On Linux LOCK takes no part in the exclusion within a kernel, so that a read-only disk can be locked and a stale or hostile
 * LOCK keeps nobody out.
 *
 * Invariants: at most one DirectoryLock per directory and kernel, across threads, processes, containers, copies of this
 *             package, and symbolic links. Where the file system has no sockets (9p, some FUSE), owners in different network
 *             namespaces are told apart by LOCK alone, as hosts are.
 * Owns:       the sockets, the descriptor of LOCK, and one of the directory.
 * Not chosen: a file that exists while locked, or a heartbeat in one, as the only lock: the first stays locked after kill -9,
 *             the second hands a store to a rival while its owner is merely stopped (SIGSTOP, a laptop asleep). flock(2) has
 *             no Node binding on Linux.
 */
import { basename, join } from 'node:path';
import { ioError, StorageError, systemErrorCode } from '../../shared/base/errors.ts';
import { onePerThread } from '../../shared/base/one-per-thread.ts';
import { randomHex } from '../../shared/base/random.ts';
import { clearInterval, delay, now, setInterval } from '../../shared/base/timers.ts';
import type { DirectoryAnchor } from '../../shared/files/directory-anchor.ts';
import { LOCK_NAME } from '../../shared/files/file-names.ts';
import type { FileSystem } from '../../shared/files/file-system.ts';
import {
  type HeldDirectory,
  holdDirectory,
  type LockFile,
  lockExists,
  openLockFile,
  readLockText,
  removeLockFile,
} from '../../shared/files/lock-files.ts';
import { supersedeForeignOwner, TAKE_OVER_AFTER_MS } from './foreign-owner.ts';
import {
  BEAT_MS,
  describeSelf,
  encodeRecord,
  isOurRecord,
  type LockRecord,
  nameHolder,
  parseRecord,
} from './lock-record.ts';
import { claimBySocket, closeServer, listen, type SocketClaim, type Visit } from './lock-socket.ts';
import { refuseRuntime } from './runtimes.ts';

/** O_EXLOCK | O_NONBLOCK of macOS and the BSDs; fs.constants does not name the first. */
const BSD_LOCK_FLAGS = 0x20 | 0x4;
/** UV_FS_O_EXLOCK of libuv for Windows: open with no sharing at all. */
const WINDOWS_LOCK_FLAGS = 0x10000000;
export const BSDS: readonly string[] = ['darwin', 'freebsd', 'openbsd', 'netbsd'];

/** What sun_path holds on Linux. */
const SOCKET_NAME_LENGTH = 108;

/** The winner needs a moment between taking the lock and writing LOCK. */
const HOLDER_ATTEMPTS = 5;
const HOLDER_RETRY_MS = 2;
/** How often a lock that is waited for is tried. */
const FIRST_POLL_MS = 10;
const LONGEST_POLL_MS = 100;

export interface LockOptions {
  /** How long to wait for an owner to go. Default: not at all. */
  readonly timeoutMs?: number | undefined;
  /** Time without a sign of life after which an owner on another host counts as dead; 0 = at once. Default 60 s. */
  readonly takeOverAfterMs?: number | undefined;
}

interface Releasable {
  release(): Promise<void>;
}

/** What has been taken of a lock, in this order. */
interface Parts {
  held?: HeldDirectory | undefined;
  /** Where the files are, if not there. */
  within?: HeldDirectory | undefined;
  kernelLock?: Releasable | undefined;
  claim?: SocketClaim | undefined;
  lockFile?: LockFile | undefined;
}

/** Owners of this thread that are closing, by their ids: LOCK may not say so yet. */
const closingHere = onePerThread('closing-owners', () => new Set<string>());

/** What an open store asks of the lock on its directory; a reader has one that locks nothing (read-hold.ts). */
export type StoreLock = Pick<DirectoryLock, keyof DirectoryLock>;

/** Held until released, or until its thread or process ends. */
export class DirectoryLock {
  /** Random, for each lock taken: LOCK names it. */
  readonly ownerId: string;
  /** An owner elsewhere, which may go on one day, was taken for dead. */
  readonly supersedes: boolean;
  /** The directory that is locked, whatever its path leads to by now; undefined where it can't be held. */
  readonly held: HeldDirectory | undefined;
  readonly #directory: string;
  readonly #parts: Parts;
  #record: LockRecord;
  #beat: NodeJS.Timeout | undefined;
  #beating: Promise<void> | undefined;
  #released: Promise<void> | undefined;

  constructor(directory: string, parts: Parts, record: LockRecord, supersedes: boolean) {
    this.#directory = directory;
    this.#parts = parts;
    this.#record = record;
    this.held = parts.held;
    this.ownerId = record.ownerId ?? '';
    this.supersedes = supersedes;
    if (supersedes) return;
    recordHolder(parts.lockFile, encodeRecord(record));
    this.#startBeating();
  }

  /**
   * The owner that this one supersedes is out of reach of the files (epochs.ts): LOCK is ours from now on, as a new file, so that
   * what the other one still has open is no longer LOCK. Until then LOCK tells of the other one: should this one end in the
   * midst of it, the next has to do the same.
   */
  supersede(): void {
    const { held } = this.#parts;
    const path = join(held?.anchor?.place ?? this.#directory, LOCK_NAME);
    if (!this.supersedes || held === undefined || this.#parts.lockFile !== undefined) return;
    removeLockFile(path);
    this.#parts.lockFile = openLockFile(path);
    recordHolder(this.#parts.lockFile, encodeRecord(this.#record));
    this.#startBeating();
  }

  /**
   * Whether LOCK is still the file that this lock wrote its record into. A name that is gone is no sign of another owner: LOCK is
   * made anew.
   */
  hasLockFile(): boolean {
    const { held, lockFile } = this.#parts;
    if (held === undefined || lockFile?.replaceContent === undefined || this.#released !== undefined)
      return true;
    const path = join(held.anchor?.place ?? this.#directory, LOCK_NAME);
    return (
      ifPossible(() => {
        if (lockFile.isNamed(path)) return true;
        if (lockExists(path)) return false;
        const renewed = openLockFile(path);
        this.#parts.lockFile = renewed;
        lockFile.close();
        recordHolder(renewed, encodeRecord(this.#record));
        return true;
      }) ?? true
    );
  }

  #startBeating(): void {
    if (this.#parts.lockFile?.rewrite === undefined) return;
    this.#beat = setInterval(() => {
      this.hasLockFile();
      this.#showLife();
    }, BEAT_MS).unref();
  }

  /** How files in the directories that are held are reached, whatever becomes of their paths. */
  get anchors(): readonly DirectoryAnchor[] {
    const all = [this.held, this.#parts.within];
    return all.flatMap((held) => (held?.anchor === undefined ? [] : [held.anchor]));
  }

  /** The directory in the locked one that is held as well. */
  get within(): HeldDirectory | undefined {
    return this.#parts.within;
  }

  /** Holds a directory in the locked one as well, until the lock is released. */
  holdWithin(directory: string): void {
    const anchor = this.held?.anchor;
    if (anchor === undefined || this.#parts.within !== undefined) return;
    this.#parts.within = holdDirectory(join(anchor.place, basename(directory)), directory);
  }

  /** Who connects to the socket in the directory is passed to `visit`. Without such a socket nobody does. */
  receive(visit: Visit): void {
    this.#parts.claim?.receive(visit);
  }

  /** From now on the error of whoever is refused says that the owner is about to go. */
  noteClosing(): void {
    if (this.#released !== undefined) return;
    this.#record = { ...this.#record, isClosing: true };
    closingHere.add(this.ownerId);
    // Not within the call: a disk that does not answer is what close() has a limit for.
    this.#showLife();
  }

  /**
   * Idempotent. Once it resolves, the next acquireLock succeeds. `lastStep` is carried out when nothing of the lock is in
   * the directory any more and the kernel still holds it for us: to delete the directory, say.
   */
  release(lastStep: () => void = () => undefined): Promise<void> {
    this.#released ??= this.#release(lastStep);
    return this.#released;
  }

  async #release(lastStep: () => void): Promise<void> {
    clearInterval(this.#beat);
    // It would put the record back that is about to be emptied.
    await this.#beating;
    try {
      await releaseParts(this.#parts, lastStep);
    } finally {
      closingHere.delete(this.ownerId);
    }
  }

  #showLife(): void {
    const rewrite = this.#parts.lockFile?.rewrite;
    // A disk that does not answer gets no second call.
    if (rewrite === undefined || this.#beating !== undefined || this.#released !== undefined) return;
    this.#beating = new Promise((resolve) => {
      rewrite(encodeRecord(this.#record), () => {
        this.#beating = undefined;
        resolve();
      });
    });
  }
}

/** In the order that leaves no moment in which two own the store. */
async function releaseParts(
  { held, within, kernelLock, claim, lockFile }: Parts,
  lastStep: () => void = () => undefined,
): Promise<void> {
  // Emptied while the lock is still held: afterwards LOCK may already name the next owner.
  recordHolder(lockFile, new Uint8Array(0));
  try {
    await claim?.release();
    lastStep();
  } finally {
    try {
      await kernelLock?.release();
    } finally {
      lockFile?.close();
      within?.close();
      held?.close();
    }
  }
}

/**
 * Locks `directory`, which must exist, for this thread.
 *
 * @throws {@link StorageError} `STRATA_LOCKED`, naming the holder where it can be known.
 */
export async function acquireLock(
  fs: FileSystem,
  directory: string,
  options: LockOptions = {},
): Promise<DirectoryLock> {
  return await waitForOwner(options.timeoutMs ?? 0, () =>
    acquireOnce(fs, directory, options.takeOverAfterMs ?? TAKE_OVER_AFTER_MS),
  );
}

/** What `attempt` resolves with, once it is not STRATA_LOCKED any more, or the time is over. */
export async function waitForOwner<T>(timeoutMs: number, attempt: () => Promise<T>): Promise<T> {
  refuseRuntime();
  const deadline = now() + timeoutMs;
  for (let pollMs = FIRST_POLL_MS; ; pollMs = Math.min(2 * pollMs, LONGEST_POLL_MS)) {
    try {
      return await attempt();
    } catch (error) {
      const leftMs = deadline - now();
      if (!(error instanceof StorageError && error.code === 'STRATA_LOCKED') || leftMs <= 0) throw error;
      await delay(Math.min(pollMs, leftMs));
    }
  }
}

async function acquireOnce(
  fs: FileSystem,
  directory: string,
  takeOverAfterMs: number,
): Promise<DirectoryLock> {
  const parts: Parts = { held: ifPossible(() => holdDirectory(directory)) };
  const place = parts.held?.anchor?.place ?? directory;
  const isForeignFile = ifPossible(() => !isOurRecord(readLockText(join(place, LOCK_NAME)).text)) ?? false;
  try {
    let supersedes = false;
    const self = describeSelf(randomHex(8), undefined);
    if (process.platform === 'linux' || process.platform === 'android') {
      parts.kernelLock = await lockInNamespace(fs, directory, parts.held);
      // A disk of a test is nobody else's.
      if (fs.spec === undefined && parts.held !== undefined) {
        parts.claim = await claimBySocket(place, () => ifPossible(() => readRecord(place)?.socket));
        if (parts.claim === undefined) throw await lockedError(directory, place);
        supersedes = await supersedeForeignOwner(place, directory, self, takeOverAfterMs);
      }
      if (!supersedes) parts.lockFile = ifPossible(() => openLockFile(join(place, LOCK_NAME)));
    } else {
      parts.lockFile = openExclusively(directory);
    }
    if (isForeignFile && parts.lockFile !== undefined)
      parts.lockFile = { ...parts.lockFile, replaceContent: undefined, rewrite: undefined };
    const socket = parts.claim?.name;
    return new DirectoryLock(directory, parts, socket === undefined ? self : { ...self, socket }, supersedes);
  } catch (error) {
    const isTakenNow = isTaken(error);
    const failure = isTakenNow ? await lockedError(directory, place) : error;
    // LOCK is somebody else's: it is not to be emptied.
    await releaseParts({
      ...parts,
      lockFile: parts.lockFile && { ...parts.lockFile, replaceContent: undefined },
    });
    throw failure;
  }
}

/**
 * Node 22 binds exactly the bytes of an abstract name, Node 20 pads them with zeros to the full length. Padded by
 * ourselves, all versions mean the same socket; otherwise two of them could hold one store.
 */
async function lockInNamespace(
  fs: FileSystem,
  directory: string,
  held: HeldDirectory | undefined,
): Promise<Releasable> {
  const server = await listen(namespaceName(fs, directory, held), directory);
  return { release: () => closeServer(server) };
}

/** What the owner of a directory is called in a network namespace. */
export function namespaceName(fs: FileSystem, directory: string, held: HeldDirectory | undefined): string {
  const found = fs.spec === undefined && held !== undefined ? held : fs.stat(fs.realPath(directory));
  if (found === undefined || ('kind' in found && found.kind !== 'directory'))
    throw ioError('lock', directory, new Error('not a directory'));
  return `\0stratakv-${found.device}-${found.inode}`.padEnd(SOCKET_NAME_LENGTH, '\0');
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
    const held = holdDirectory(directory, directory, BSD_LOCK_FLAGS);
    return { replaceContent: undefined, rewrite: undefined, isNamed: () => true, close: () => held.close() };
  }
}

function isTaken(error: unknown): boolean {
  const code = systemErrorCode(error);
  return code === 'EADDRINUSE' || code === 'EAGAIN' || (process.platform === 'win32' && code === 'EBUSY');
}

/** LOCK is information: a full or read-only disk must not keep the store from opening or closing. */
function recordHolder(lockFile: LockFile | undefined, record: Uint8Array): void {
  ifPossible(() => lockFile?.replaceContent?.(record));
}

function readRecord(place: string): LockRecord | undefined {
  return parseRecord(readLockText(join(place, LOCK_NAME)).text);
}

export async function lockedError(directory: string, place: string): Promise<StorageError> {
  let holder: string | undefined;
  for (let i = 0; i < HOLDER_ATTEMPTS && holder === undefined; i++) {
    if (i > 0) await delay(HOLDER_RETRY_MS);
    const record = ifPossible(() => readRecord(place));
    const isClosing = record?.ownerId !== undefined && closingHere.has(record.ownerId);
    holder = record && nameHolder(isClosing ? { ...record, isClosing } : record);
  }
  const message = `the store in ${directory} is locked by ${holder ?? 'another process'}`;
  return new StorageError('STRATA_LOCKED', message, { file: join(directory, LOCK_NAME) });
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
