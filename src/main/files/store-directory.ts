/**
 * The directory of a store: what has to exist before a store can be opened in it, and what goes again when
 * that fails.
 *
 *   1. what is there: refuse what is plainly no store, before the lock writes anything into it
 *   2. a new one: make it and the parents it lacks, durably
 *   -  the open failed: take back the files it made (under the lock), then the directories (without it)
 *
 * Invariants: an open that fails leaves what was there before it, and nothing else. Only what this open made is taken
 *             back: a file that was there before it, or that another opener may have made, stays.
 * Thread:     main.
 */
import { dirname, join } from 'node:path';
import { ioError, StorageError } from '../../shared/base/errors.ts';
import {
  LOCK_NAME,
  MANIFEST_NAME,
  MANIFEST_TEMPORARY_NAME,
  parseFileName,
  RESTORING_NAME,
} from '../../shared/files/file-names.ts';
import type { FileSystem } from '../../shared/files/file-system.ts';
import { makeDirectories, removeDirectories } from '../../shared/files/make-directories.ts';
import { isManifestOfOurs, loadManifest } from '../manifest/manifest.ts';
import type { ResolvedOptions } from '../store/options.ts';
import { refuseForeignEngine, refuseForeignFile } from './foreign-engines.ts';

/** What the making of a store writes, in the order in which it is taken back: without its manifest nothing is a store. */
const FILES_OF_A_NEW_STORE: readonly string[] = [MANIFEST_NAME, MANIFEST_TEMPORARY_NAME];

/** What an open has made so far, to be taken back should it fail. */
export class CreatedDirectories {
  readonly #fs: FileSystem;
  readonly #directory: string;
  readonly #made: readonly string[];
  readonly #hadLockFile: boolean;
  #makesStore = false;

  constructor(fs: FileSystem, directory: string, made: readonly string[]) {
    this.#fs = fs;
    this.#directory = directory;
    this.#made = made;
    this.#hadLockFile = made.length === 0 && fs.stat(join(directory, LOCK_NAME)) !== undefined;
  }

  /** From here on a manifest in the directory is of our making: call it under the lock, when there is none. */
  makesStore(): void {
    this.#makesStore = true;
  }

  /**
   * Deletes the files that this open made. Under its lock only: without it they may be those of somebody else, who was
   * faster. `fs` reaches the directory that is locked, whatever the path leads to by now. Never throws, as the open has failed
   * for a reason that matters more.
   */
  takeBackFiles(fs: FileSystem): void {
    for (const name of this.#makesStore ? FILES_OF_A_NEW_STORE : []) this.#delete(fs, name);
    if (!this.#hadLockFile) this.#delete(fs, LOCK_NAME);
  }

  /** Removes the directories that this open made and that are empty. Never throws. */
  takeBackDirectories(): void {
    removeDirectories(this.#fs, this.#made);
  }

  #delete(fs: FileSystem, name: string): void {
    try {
      fs.unlink(join(this.#directory, name));
    } catch {
      // It was not made, or the disk takes no more changes.
    }
  }
}

/** Makes sure that there is a directory that may hold a store. */
export function prepareDirectory(
  fs: FileSystem,
  directory: string,
  options: ResolvedOptions,
): CreatedDirectories {
  const found = fs.stat(directory);
  if (found !== undefined) {
    if (found.kind === 'file') refuseForeignFile(fs, directory);
    if (found.kind === 'file') throw ioError('open', directory, new Error('it is a file, not a directory'));
    refuseHalfRestored(fs, directory);
    refuseForeign(fs, directory, options);
    return new CreatedDirectories(fs, directory, []);
  }
  if (!options.createIfMissing || options.readOnly) throw noDatabase(directory);
  const made = makeDirectories(fs, directory);
  try {
    // Every new entry on the path must survive, or everything in the directory goes with it.
    for (const one of made) fs.syncDirectory(dirname(one));
  } catch (error) {
    removeDirectories(fs, made);
    throw error;
  }
  return new CreatedDirectories(fs, directory, made);
}

export function noDatabase(directory: string): StorageError {
  return new StorageError('STRATA_NO_DATABASE', `the store ${directory} does not exist`);
}

/** What a restore that was interrupted has left is no store yet. Its manifest comes last. */
export function refuseHalfRestored(fs: FileSystem, directory: string): void {
  if (fs.stat(join(directory, RESTORING_NAME))?.kind !== 'directory') return;
  if (fs.stat(join(directory, MANIFEST_NAME)) !== undefined) return;
  throw new StorageError(
    'STRATA_NO_DATABASE',
    `the store ${directory} does not exist yet: a restore into it is under way, or was interrupted and can be run again`,
  );
}

/** Before the lock, as that may leave a LOCK behind: a directory that is plainly no store is not to be written to. */
function refuseForeign(fs: FileSystem, directory: string, options: ResolvedOptions): void {
  const manifest = join(directory, MANIFEST_NAME);
  if (fs.stat(manifest) === undefined) {
    const names = fs.list(directory);
    refuseForeignEngine(fs, directory, names);
    const isNobodys = !names.some((name) => parseFileName(name) !== undefined);
    if (isNobodys && (!options.createIfMissing || options.readOnly)) throw noDatabase(directory);
  } else if (!isManifestOfOurs(fs, manifest)) loadManifest(fs, directory);
}
