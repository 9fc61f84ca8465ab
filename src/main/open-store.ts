/**
 * Opens a store: from a path to what Runtime makes the parts of.
 *
 *   1. the directory: created if allowed      5. recover the logs into memtables
 *   2. the lock                               6. only now delete orphans: nothing is touched in a store that can't be opened
 *   3. the manifest: loaded, or a new store
 *   4. check that every table is there
 *
 * Invariants: a failure gives back the lock and leaves the store as it was; what is not a store does not even get a LOCK. A directory with tables or logs but no manifest
 *             is damage, never an empty store.
 * Thread:     main.
 */
import { randomUUID } from 'node:crypto';
import { dirname, join, resolve } from 'node:path';
import { ControlBlock } from '../shared/control-block.ts';
import {
  CorruptionError,
  invalidArgument,
  ioError,
  StorageError,
  systemErrorCode,
} from '../shared/errors.ts';
import { MANIFEST_NAME, parseFileName, tablePath } from '../shared/file-names.ts';
import type { FileSystem, FileSystemSpec } from '../shared/file-system.ts';
import { describe } from '../shared/input-bytes.ts';
import { loadFileSystem } from '../shared/node-file-system.ts';
import { acquireLock, type DirectoryLock } from './directory-lock.ts';
import { emptyState, isManifestOfOurs, loadManifest, type ManifestState, saveManifest } from './manifest.ts';
import { removeOrphans } from './obsolete-files.ts';
import { type EngineOptions, type ResolvedOptions, resolveOptions } from './options.ts';
import { type RecoveredState, recoverLogs } from './recovery.ts';

/** What tests may put in place of the real thing. */
export interface OpenInternals {
  readonly fileSystem?: FileSystemSpec | undefined;
  readonly workerUrl?: URL | undefined;
  /** After so long without a sign of life a job's worker is terminated. */
  readonly stallLimitMs?: number | undefined;
  /** After so long without any progress close() gives up. */
  readonly closeLimitMs?: number | undefined;
  /** How many writes may be made while a bulk load builds its tables. */
  readonly ingestHeadroom?: number | undefined;
}

/** A store on disk, locked and read, not yet running. */
export interface OpenedStore {
  readonly fs: FileSystem;
  readonly directory: string;
  readonly options: ResolvedOptions;
  readonly lock: DirectoryLock;
  readonly control: ControlBlock;
  readonly state: ManifestState;
  readonly recovered: RecoveredState;
  /** The highest number in the name of any file of the store. */
  readonly highestFileNumber: number;
  /** Orphans that could not be deleted. */
  readonly deletionErrors: readonly unknown[];
}

export async function openStore(
  path: string,
  userOptions: EngineOptions | undefined,
  internals: OpenInternals,
): Promise<OpenedStore> {
  const options = resolveOptions(userOptions);
  const directory = resolveDirectory(path);
  const fs = await loadFileSystem(internals.fileSystem);
  prepareDirectory(fs, directory, options);
  const lock = await acquireLock(fs, directory);
  try {
    const state = await loadOrCreate(fs, directory, options);
    checkTables(fs, directory, state);
    const recovered = recoverLogs(fs, directory, state, options.writeBufferBytes);
    const deletionErrors: unknown[] = [];
    const highestFileNumber = options.readOnly ? 0 : collectOrphans(fs, directory, state, deletionErrors);
    return {
      fs,
      directory,
      options,
      lock,
      control: new ControlBlock(),
      state,
      recovered,
      highestFileNumber,
      deletionErrors,
    };
  } catch (error) {
    await lock.release();
    throw error;
  }
}

/** An absolute path; throws STRATA_INVALID_ARGUMENT for what can't be one. */
export function resolveDirectory(path: unknown): string {
  if (typeof path !== 'string' || path.length === 0)
    throw invalidArgument(
      `the path of a store must be a string, not ${path === '' ? 'empty' : describe(path)}`,
    );
  if (path.includes('\0')) throw invalidArgument('the path of a store must not contain a zero byte');
  return resolve(path);
}

/** Makes sure that there is a directory. */
function prepareDirectory(fs: FileSystem, directory: string, options: ResolvedOptions): void {
  const found = fs.stat(directory);
  if (found !== undefined) {
    if (found.kind === 'file') throw ioError('open', directory, new Error('it is a file, not a directory'));
    refuseForeign(fs, directory, options);
    return;
  }
  if (!options.createIfMissing || options.readOnly) throw noDatabase(directory);
  const parents = [dirname(directory)];
  while (fs.stat(parents[0]!) === undefined) parents.unshift(dirname(parents[0]!));
  fs.makeDirectory(directory);
  // Every new entry on the path must survive, or everything in the directory goes with it.
  for (const parent of parents) fs.syncDirectory(parent);
}

/** Before the lock, as that may leave a LOCK behind: a directory that is plainly no store is not to be written to. */
function refuseForeign(fs: FileSystem, directory: string, options: ResolvedOptions): void {
  const manifest = join(directory, MANIFEST_NAME);
  if (fs.stat(manifest) === undefined) {
    const isNobodys = !fs.list(directory).some((name) => parseFileName(name) !== undefined);
    if (isNobodys && (!options.createIfMissing || options.readOnly)) throw noDatabase(directory);
  } else if (!isManifestOfOurs(fs, manifest)) loadManifest(fs, directory);
}

async function loadOrCreate(
  fs: FileSystem,
  directory: string,
  options: ResolvedOptions,
): Promise<ManifestState> {
  const state = loadManifest(fs, directory);
  if (state !== undefined) {
    if (options.errorIfExists)
      throw new StorageError('STRATA_EXISTS', `the store ${directory} exists already`);
    return state;
  }
  refuseWithoutManifest(fs, directory);
  if (!options.createIfMissing || options.readOnly) throw noDatabase(directory);
  const created = emptyState(randomUUID());
  await saveManifest(fs, directory, created);
  syncParent(fs, directory);
  return created;
}

/** A directory that was there already may be as new as the store, and its entry not yet on the disk. */
function syncParent(fs: FileSystem, directory: string): void {
  try {
    fs.syncDirectory(dirname(fs.realPath(directory)));
  } catch (error) {
    // Somebody who may not open the parent did not create the directory in it either.
    const code = systemErrorCode(error);
    if (code !== 'EACCES' && code !== 'EPERM') throw error;
  }
}

function noDatabase(directory: string): StorageError {
  return new StorageError('STRATA_NO_DATABASE', `the store ${directory} does not exist`);
}

/** A store's first file is its manifest: files of a store without one mean that it was lost. */
function refuseWithoutManifest(fs: FileSystem, directory: string): void {
  const orphaned = fs.list(directory).filter((name) => {
    const kind = parseFileName(name)?.kind;
    return kind === 'log' || kind === 'table' || kind === 'run';
  });
  if (orphaned.length > 0)
    throw new CorruptionError(`the manifest is missing, but there are ${orphaned.length} tables and logs`, {
      file: join(directory, MANIFEST_NAME),
    });
}

/** Every table must be there in its full length before anything else is believed. */
function checkTables(fs: FileSystem, directory: string, state: ManifestState): void {
  for (const table of state.levels.flat()) {
    const file = tablePath(directory, table.number);
    const found = fs.stat(file);
    if (found === undefined)
      throw new CorruptionError('a table that the manifest names is missing', { file });
    if (found.kind !== 'file') throw new CorruptionError('a table is not a regular file', { file });
    if (found.sizeBytes !== table.sizeBytes)
      throw new CorruptionError(`the table has ${found.sizeBytes} bytes, not ${table.sizeBytes}`, {
        file,
        offset: Math.min(found.sizeBytes, table.sizeBytes),
      });
  }
}

function collectOrphans(fs: FileSystem, directory: string, state: ManifestState, errors: unknown[]): number {
  const liveTables = new Set(state.levels.flat().map((table) => table.number));
  const live = { liveTables, minLogNumber: state.logNumber as never };
  return removeOrphans(fs, directory, live, (error) => errors.push(error)).highestNumber;
}
