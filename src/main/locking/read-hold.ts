/**
 * What a reader has instead of the lock: it holds the directory open, writes nothing, and keeps nobody out.
 *
 *   holdForReading     looks whether anybody owns the store, as an opener would find out, without taking anything
 *
 *     Linux            the owner's socket in the network namespace, the sockets in the directory; LOCK for owners on other hosts
 *     macOS, BSD       a shared lock on LOCK, given up at once        (not verified here)
 *     Windows          LOCK is opened for a moment: an owner shares it with nobody        (not verified here)
 *
 * An owner may start right after the look, so whoever reads looks again when it has read (open-store.ts).
 *
 * Invariants: no file is made or changed. Any number of readers at once, beside a store that nobody owns.
 * Thread:     main.     Owns: descriptors of the directories.
 */

import { basename, join } from 'node:path';
import { systemErrorCode } from '../../shared/base/errors.ts';
import { randomHex } from '../../shared/base/random.ts';
import type { DirectoryAnchor } from '../../shared/files/directory-anchor.ts';
import { LOCK_NAME } from '../../shared/files/file-names.ts';
import type { FileSystem } from '../../shared/files/file-system.ts';
import { type HeldDirectory, holdDirectory, openLockBriefly } from '../../shared/files/lock-files.ts';
import {
  BSDS,
  type LockOptions,
  lockedError,
  namespaceName,
  type StoreLock,
  waitForOwner,
} from './directory-lock.ts';
import { supersedeForeignOwner, TAKE_OVER_AFTER_MS } from './foreign-owner.ts';
import { describeSelf } from './lock-record.ts';
import { isAnyoneListening, lookAt } from './lock-socket.ts';

/** O_SHLOCK | O_NONBLOCK of macOS and the BSDs; fs.constants does not name the first. */
const BSD_LOOK_FLAGS = 0x10 | 0x4;

/** A directory that is read. */
export class ReadHold implements StoreLock {
  readonly ownerId = '';
  readonly supersedes = false;
  readonly held: HeldDirectory | undefined;
  readonly #fs: FileSystem;
  readonly #directory: string;
  readonly #takeOverAfterMs: number;
  #within: HeldDirectory | undefined;
  /** LOCK names somebody elsewhere who was watched, and is taken for dead: that takes its time, and once will do. */
  #hasDeadOwner = false;

  constructor(fs: FileSystem, directory: string, held: HeldDirectory | undefined, takeOverAfterMs: number) {
    this.#fs = fs;
    this.#directory = directory;
    this.held = held;
    this.#takeOverAfterMs = takeOverAfterMs;
  }

  /** @throws {@link StorageError} STRATA_LOCKED while an owner runs. */
  async refuseOwned(): Promise<void> {
    const directory = this.#directory;
    const place = this.held?.anchor?.place ?? directory;
    if (await isOwned(this.#fs, directory, place, this.held)) throw await lockedError(directory, place);
    if (process.platform !== 'linux' || this.#fs.spec !== undefined || this.held === undefined) return;
    if (this.#hasDeadOwner) return;
    // One that is dead, or taken for dead, is no reason not to read what it has left.
    const self = describeSelf(randomHex(8), undefined);
    this.#hasDeadOwner = await supersedeForeignOwner(place, directory, self, this.#takeOverAfterMs);
  }

  get anchors(): readonly DirectoryAnchor[] {
    return [this.held, this.#within].flatMap((held) => (held?.anchor === undefined ? [] : [held.anchor]));
  }

  get within(): HeldDirectory | undefined {
    return this.#within;
  }

  holdWithin(directory: string): void {
    const anchor = this.held?.anchor;
    if (anchor === undefined || this.#within !== undefined) return;
    this.#within = holdDirectory(join(anchor.place, basename(directory)), directory);
  }

  /** Nobody is kept out, so nobody has to be told. */
  noteClosing(): void {}

  supersede(): void {}

  receive(): void {}

  hasLockFile(): boolean {
    return true;
  }

  release(lastStep: () => void = () => undefined): Promise<void> {
    lastStep();
    this.#within?.close();
    this.held?.close();
    return Promise.resolve();
  }
}

/** @throws {@link StorageError} STRATA_LOCKED while an owner runs. */
export async function holdForReading(
  fs: FileSystem,
  directory: string,
  { timeoutMs = 0, takeOverAfterMs = TAKE_OVER_AFTER_MS }: LockOptions,
): Promise<ReadHold> {
  return await waitForOwner(timeoutMs, async () => {
    // A disk of a test has directories of its own.
    const held = fs.spec === undefined ? holdDirectory(directory) : undefined;
    const hold = new ReadHold(fs, directory, held, takeOverAfterMs);
    try {
      await hold.refuseOwned();
      return hold;
    } catch (error) {
      await hold.release();
      throw error;
    }
  });
}

/** Whether an owner on this machine runs. */
export async function isOwnedHere(fs: FileSystem, directory: string): Promise<boolean> {
  const held = fs.spec === undefined ? holdDirectory(directory) : undefined;
  try {
    return await isOwned(fs, directory, held?.anchor?.place ?? directory, held);
  } finally {
    held?.close();
  }
}

async function isOwned(
  fs: FileSystem,
  directory: string,
  place: string,
  held: HeldDirectory | undefined,
): Promise<boolean> {
  if (process.platform === 'linux' || process.platform === 'android') {
    if ((await lookAt(namespaceName(fs, directory, held))) === 'alive') return true;
    return fs.spec === undefined && held !== undefined && (await isAnyoneListening(place));
  }
  const flags = BSDS.includes(process.platform) ? BSD_LOOK_FLAGS : 0;
  try {
    openLockBriefly(join(place, LOCK_NAME), flags);
    return false;
  } catch (error) {
    const code = systemErrorCode(error);
    return code === 'EAGAIN' || code === 'EBUSY';
  }
}
