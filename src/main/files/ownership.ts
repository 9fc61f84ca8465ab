/**
 * Whether the directory of an open store is still this store's: asked before whatever could do harm if it were not.
 *
 *   check()      before a manifest is put in force, a log is created, a file is deleted
 *   noteWrite()  a log was written to: half a second later somebody looks, so that a writer hears of it within a second
 *
 *   lost, once   the path leads nowhere, or to another directory      it was removed, moved or replaced
 *                LOCK names another owner, or is another file         it was taken over from another host, perhaps long ago
 *                the manifest or the log is not ours any more         files were removed from the directory, or put into it
 *                (asked half a second after a write)
 *
 * On Linux nothing that an owner does reaches a directory that has taken the place of its own (directory-anchor.ts), and nothing
 * that a superseded one does reaches its successor's files (epochs.ts). This is how it hears of either, and stops. Elsewhere the
 * path is all there is, and the look before each act is what keeps the new directory from harm.
 *
 * Invariants: what is lost stays lost. A look that fails says nothing: only an answer that the directory is another one counts.
 * Thread:     main.     Owns: one timer while there are writes.
 */
import { join } from 'node:path';
import { StorageError, systemErrorCode } from '../../shared/base/errors.ts';
import { clearTimeout, setTimeout } from '../../shared/base/timers.ts';
import { LOCK_NAME } from '../../shared/files/file-names.ts';
import { type Identity, identityOf, lookUpIdentity, readLockText } from '../../shared/files/lock-files.ts';
import type { DirectoryLock } from '../locking/directory-lock.ts';
import { type LockRecord, nameHolder, parseRecord } from '../locking/lock-record.ts';

/** How long after a write somebody looks; no more often than this. */
const LOOK_DELAY_MS = 500;

/** How the system says that a path does not lead to a directory (any more). */
const GONE: ReadonlySet<string | undefined> = new Set(['ENOENT', 'ENOTDIR', 'ELOOP', 'ESTALE']);

/** What is asked of the lock. */
export type OwnedLock = Pick<DirectoryLock, 'held' | 'ownerId' | 'hasLockFile'>;

export class Ownership {
  readonly #directory: string;
  readonly #lock: OwnedLock;
  readonly #filesProblem: () => StorageError | undefined;
  readonly #onLost: (error: StorageError) => void;
  #lost: StorageError | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isStopped = false;

  /**
   * `filesProblem` says whether the files of the store are still those that it made; `onLost` is called once, in the step that
   * finds out.
   */
  constructor(
    directory: string,
    lock: OwnedLock,
    filesProblem: () => StorageError | undefined,
    onLost: (error: StorageError) => void,
  ) {
    this.#directory = directory;
    this.#lock = lock;
    this.#filesProblem = filesProblem;
    this.#onLost = onLost;
  }

  get isLost(): boolean {
    return this.#lost !== undefined;
  }

  /** @throws {@link StorageError} when the directory is another's. */
  check(): void {
    const { held } = this.#lock;
    if (this.#lost === undefined && held !== undefined) {
      this.#judge(() => identityOf(this.#directory));
      this.#judgeRecord(held.anchor?.place ?? this.#directory);
    }
    if (this.#lost !== undefined) throw this.#lost;
  }

  /** Costs a comparison, and more only once in half a second. */
  noteWrite(): void {
    if (this.#timer !== undefined || this.#isStopped || this.#lock.held === undefined) return;
    this.#timer = setTimeout(() => {
      lookUpIdentity(this.#directory, (found, error) => {
        this.#timer = undefined;
        if (this.#isStopped) return;
        this.#judge(() => {
          if (error !== undefined) throw error;
          return found;
        });
        this.#judgeRecord(this.#lock.held?.anchor?.place ?? this.#directory);
        this.#judgeFiles();
      });
    }, LOOK_DELAY_MS).unref();
  }

  /** The store closes. */
  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
  }

  #judge(look: () => Identity | undefined): void {
    let found: Identity | undefined;
    try {
      found = look();
    } catch (error) {
      if (!GONE.has(systemErrorCode(error))) return;
    }
    const held = this.#lock.held!;
    if (found?.device === held.device && found.inode === held.inode) return;
    const what = found === undefined ? 'was removed or moved' : 'was replaced by another one';
    this.#lose(
      new StorageError(
        'STRATA_IO',
        `the directory ${this.#directory} ${what} while the store in it was open`,
        {
          file: this.#directory,
        },
      ),
    );
  }

  #judgeFiles(): void {
    let problem: StorageError | undefined;
    try {
      problem = this.#filesProblem();
    } catch {
      // A look that fails says nothing.
      return;
    }
    if (problem !== undefined) this.#lose(problem);
  }

  #judgeRecord(place: string): void {
    const record = readRecord(place);
    const isNamed = record?.ownerId !== undefined;
    if (isNamed ? record.ownerId === this.#lock.ownerId : this.#lock.hasLockFile()) return;
    const by = (record && nameHolder(record)) ?? 'another process';
    this.#lose(
      new StorageError('STRATA_LOCKED', `the store in ${this.#directory} was taken over by ${by}`, {
        file: join(this.#directory, LOCK_NAME),
      }),
    );
  }

  #lose(error: StorageError): void {
    if (this.#lost !== undefined) return;
    this.#lost = error;
    this.#onLost(error);
  }
}

function readRecord(place: string): LockRecord | undefined {
  try {
    return parseRecord(readLockText(join(place, LOCK_NAME)).text);
  } catch {
    // No LOCK, or one that can't be read: it names nobody.
    return undefined;
  }
}
