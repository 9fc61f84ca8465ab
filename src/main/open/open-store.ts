/**
 * Opens a store: from a path to what RunningStore makes the parts of.
 *
 *   1. the directory: created if allowed      5. check that every table is there (check-tables.ts), and that no file is unknown
 *   2. the lock; a reader: nobody has it      6. recover the logs into memtables
 *   3. the epoch: where the files are         7. only now delete what is obsolete: nothing is touched in a store that can't
 *   4. the manifest: loaded, or a new store      be opened
 *
 * Invariants: a failure, whatever it is, gives back the lock and leaves the store as it was; what is not a store does not even
 *             get a LOCK. A directory with tables or logs but no manifest is damage, never an empty store. From step 2 on the
 *             directory is reached through its descriptor, where there is one: what the path leads to may change.
 * Thread:     main.
 */

import { dirname, join } from 'node:path';
import { CorruptionError, StorageError, systemErrorCode } from '../../shared/base/errors.ts';
import type { FileNumber } from '../../shared/base/ids.ts';
import { randomId } from '../../shared/base/random.ts';
import { now } from '../../shared/base/timers.ts';
import { MANIFEST_NAME, parseFileName } from '../../shared/files/file-names.ts';
import type { FileSystem, FileSystemSpec } from '../../shared/files/file-system.ts';
import { createNodeFileSystem, loadFileSystem } from '../../shared/files/node-file-system.ts';
import { ControlBlock } from '../../shared/threads/control-block.ts';
import { refuseUnknownFiles, sortOutFiles } from '../files/deletion-queue.ts';
import { beginEpoch, findEpochs } from '../files/epochs.ts';
import { firstGroupOf } from '../files/file-identity.ts';
import { type CreatedDirectories, noDatabase, prepareDirectory } from '../files/store-directory.ts';
import { requireThreads } from '../jobs/worker-pool.ts';
import { acquireLock, type LockOptions, type StoreLock } from '../locking/directory-lock.ts';
import { holdForReading } from '../locking/read-hold.ts';
import { checkTables, FULLY_CHECKED_TABLES } from '../manifest/check-tables.ts';
import {
  emptyState,
  loadManifest,
  type ManifestState,
  manifestStamp,
  saveManifest,
} from '../manifest/manifest.ts';
import { PAGE_LIMITS, type PageLimits } from '../manifest/manifest-pages.ts';
import type { ObsoleteLog } from '../manifest/manifest-state.ts';
import { type EngineOptions, resolveDirectory } from '../store/open-request.ts';
import { type ResolvedOptions, resolveOptions } from '../store/options.ts';
import type { TimeSource } from '../store/store-clock.ts';
import type { Trace } from '../store/trace.ts';
import { beginOpen, traceManifest } from './open-trace.ts';
import { type RecoveredState, recoverTraced } from './recovery.ts';

/** So often a store that is opened without a lock may change while it is read. */
const READ_ATTEMPTS = 10;

/** What tests may put in place of the real thing. */
export interface OpenInternals {
  readonly fileSystem?: FileSystemSpec | undefined;
  readonly workerUrl?: URL | undefined;
  /** A job's worker is terminated after this long without a sign of life. */
  readonly stallLimitMs?: number | undefined;
  /** close() gives up after this long without progress. */
  readonly closeLimitMs?: number | undefined;
  /** How many writes may be made while an ingestion builds its tables. */
  readonly ingestHeadroom?: number | undefined;
  /** Of the manifest: small ones give a small store pages. */
  readonly pageLimits?: PageLimits | undefined;
  /** A store is at rest after this long without a write. */
  readonly restMs?: number | undefined;
  /** The memory of used memtables is given up after this long without a new one. */
  readonly arenaRestMs?: number | undefined;
  /** The store's time is what this says. */
  readonly clock?: TimeSource | undefined;
}

/** A store on disk, locked and read, not yet running. */
export interface Opened {
  readonly fs: FileSystem;
  /** What the application opened. */
  readonly path: string;
  /** Where the files are: `path`, unless the store was taken over once. */
  readonly directory: string;
  readonly options: ResolvedOptions;
  readonly lock: StoreLock;
  readonly control: ControlBlock;
  readonly state: ManifestState;
  readonly recovered: RecoveredState;
  /** All logs that the manifest has not done with. */
  readonly logs: readonly ObsoleteLog[];
  /** Files that the manifest lists as obsolete, and that are gone. */
  readonly goneNumbers: readonly FileNumber[];
  /** The highest number in the name of any file of the store. */
  readonly highestFileNumber: number;
  /** Obsolete files that could not be deleted. */
  readonly deletionErrors: readonly unknown[];
  readonly pageLimits: PageLimits;
  readonly trace: Trace;
}

/** Returns what `start` makes of the store; what that throws is a failure of the open like any other. */
export async function openStore<T>(
  path: string,
  userOptions: EngineOptions | undefined,
  internals: OpenInternals,
  trace: Trace,
  start: (opened: Opened) => T,
): Promise<T> {
  const options = resolveOptions(userOptions);
  // Before anything is made, rather than at the first flush.
  if (options.threads > 0 && internals.workerUrl === undefined) requireThreads();
  const span = beginOpen(trace, options);
  try {
    return await openTraced(path, options, internals, trace, (opened) => {
      const started = start(opened);
      const { lastSequence, memtables } = opened.recovered;
      span?.end({ lastSequence, memtables: memtables.length });
      return started;
    });
  } catch (error) {
    span?.fail(error);
    throw error;
  }
}

async function openTraced<T>(
  path: string,
  options: ResolvedOptions,
  internals: OpenInternals,
  trace: Trace,
  start: (opened: Opened) => T,
): Promise<T> {
  const root = resolveDirectory(path);
  const disk = await loadFileSystem(internals.fileSystem);
  const created = prepareDirectory(disk, root, options);
  const pageLimits = internals.pageLimits ?? PAGE_LIMITS;
  if (options.readOnly) {
    const { lock, ...loaded } = await openToRead(disk, root, options, created, trace);
    try {
      return start({ ...loaded, path: root, lock, pageLimits, trace });
    } catch (error) {
      await lock.release();
      throw error;
    }
  }
  let lock: StoreLock | undefined;
  let fs = disk;
  try {
    const askedAt = now();
    lock = await acquireLock(disk, root, waitsOf(options));
    if (trace.wants('lock')) trace.point('lock', { waitedMs: now() - askedAt, isTakeover: lock.supersedes });
    fs = throughAnchors(disk, lock);
    const located = await locate(disk, fs, root, lock, false);
    fs = located.fs;
    if (located.isMoved && trace.wants('epoch')) trace.point('epoch', { directory: located.directory });
    const loaded = await load(fs, located.directory, options, created, trace);
    return start({ ...loaded, path: root, lock, pageLimits, trace });
  } catch (error) {
    // Without the lock they may be files of whoever has it, and the directory is in use.
    const held = fs;
    const takeBack = (): void => {
      if (!isLocked(error)) created.takeBackDirectories();
    };
    if (lock === undefined) takeBack();
    else {
      created.takeBackFiles(held);
      await lock.release(takeBack);
    }
    throw error;
  }
}

function waitsOf({ lockTimeoutMs, takeOverAfterMs }: ResolvedOptions): LockOptions {
  return { timeoutMs: lockTimeoutMs, takeOverAfterMs };
}

type Loaded = Omit<Opened, 'path' | 'lock' | 'pageLimits' | 'trace'>;

/**
 * Without a lock, an owner may come and go while the store is read: then it is read again. Once nobody owns it and the manifest
 * is still the same, what was read is one moment of the store; watched-files.ts keeps it so.
 */
async function openToRead(
  disk: FileSystem,
  root: string,
  options: ResolvedOptions,
  created: CreatedDirectories,
  trace: Trace,
): Promise<Loaded & { readonly lock: StoreLock }> {
  for (let attempt = 1; ; attempt++) {
    const lock = await holdForReading(disk, root, waitsOf(options));
    try {
      const { fs, directory, epoch } = await locate(disk, throughAnchors(disk, lock), root, lock, true);
      const stamp = manifestStamp(fs, directory);
      const isSame = (): boolean => {
        const { current, unfinishedMove } = findEpochs(fs, root);
        const hasMoved = current.number !== epoch || unfinishedMove !== undefined;
        return !hasMoved && manifestStamp(fs, directory) === stamp;
      };
      let loaded: Loaded | undefined;
      let failure: unknown;
      try {
        loaded = await load(fs, directory, options, created, trace);
      } catch (error) {
        failure = error;
      }
      await lock.refuseOwned();
      if (isSame() || attempt === READ_ATTEMPTS) {
        if (loaded === undefined) throw failure;
        const watched = { root, directory, epoch, stamp };
        return {
          ...loaded,
          fs: disk.spec === undefined ? createNodeFileSystem(lock.anchors, watched) : fs,
          lock,
        };
      }
      await lock.release();
    } catch (error) {
      await lock.release();
      throw error;
    }
  }
}

function isLocked(error: unknown): boolean {
  return error instanceof StorageError && error.code === 'STRATA_LOCKED';
}

/** The same disk, with the directories that the lock holds reached through their descriptors. */
export function throughAnchors(disk: FileSystem, lock: StoreLock): FileSystem {
  return disk.spec === undefined && lock.anchors.length > 0 ? createNodeFileSystem(lock.anchors) : disk;
}

interface Located {
  readonly fs: FileSystem;
  readonly directory: string;
  readonly epoch: number;
  /** Whether the files were moved there now. */
  readonly isMoved: boolean;
}

/** Step 3: where the files of the store are, and the file system that reaches them. */
export async function locate(
  disk: FileSystem,
  fs: FileSystem,
  root: string,
  lock: StoreLock,
  isReadOnly: boolean,
): Promise<Located> {
  const epochs = findEpochs(fs, root);
  const hold = (directory: string): FileSystem => {
    lock.holdWithin(directory);
    return throughAnchors(disk, lock);
  };
  const mustMove = lock.supersedes || epochs.unfinishedMove !== undefined;
  if (mustMove && !isReadOnly) {
    const { directory, number } = await beginEpoch(fs, root, epochs, hold);
    lock.supersede();
    return { fs: throughAnchors(disk, lock), directory, epoch: number, isMoved: true };
  }
  if (epochs.unfinishedMove !== undefined)
    throw new StorageError(
      'STRATA_READ_ONLY',
      `the store in ${root} was being taken over from another host when that ended: open it for writing once`,
    );
  const { number, directory } = epochs.current;
  return { fs: number === 0 ? fs : hold(directory), directory, epoch: number, isMoved: false };
}

/** Steps 4 to 7. */
async function load(
  fs: FileSystem,
  directory: string,
  options: ResolvedOptions,
  created: CreatedDirectories,
  trace: Trace,
): Promise<Loaded> {
  // Once: the lock is held, and until the end of this nothing of ours comes or goes. A list of 20,000 names takes 10 ms.
  const names = fs.list(directory);
  const { state, isNew } = await loadOrCreate(fs, directory, options, created, names);
  traceManifest(trace, state, isNew);
  checkTables(fs, directory, state.levels.flat(), FULLY_CHECKED_TABLES, () => names);
  refuseUnknownFiles(fs, directory, state, names);
  const recovered = recoverTraced(trace, fs, directory, state, options.writeBufferBytes, names);
  const logs = options.readOnly ? [] : logsFrom(fs, directory, state.logNumber, names);
  const deletionErrors: unknown[] = [];
  const { removed, goneNumbers, highestNumber } = options.readOnly
    ? { removed: [], goneNumbers: [], highestNumber: 0 }
    : sortOutFiles(fs, directory, state, (error) => deletionErrors.push(error), names);
  if ((removed.length > 0 || deletionErrors.length > 0) && trace.wants('orphans'))
    trace.point('orphans', { files: removed, failed: deletionErrors.length });
  const control = new ControlBlock();
  control.diskUse.setBound(options.backgroundBytesPerSecond);
  return {
    fs,
    directory,
    options,
    control,
    state,
    recovered,
    logs,
    goneNumbers,
    highestFileNumber: highestNumber,
    deletionErrors,
  };
}

/** With what each is known by once it is obsolete. */
function logsFrom(
  fs: FileSystem,
  directory: string,
  logNumber: number,
  names: readonly string[],
): ObsoleteLog[] {
  return names
    .map(parseFileName)
    .flatMap((file) => (file?.kind === 'log' && file.number >= logNumber ? [file] : []))
    .map(({ number }) => ({ number, firstGroup: firstGroupOf(fs, directory, number) }));
}

async function loadOrCreate(
  fs: FileSystem,
  directory: string,
  options: ResolvedOptions,
  directories: CreatedDirectories,
  names: readonly string[],
): Promise<{ readonly state: ManifestState; readonly isNew: boolean }> {
  const state = loadManifest(fs, directory, directory, () => names.length);
  if (state !== undefined) {
    if (options.errorIfExists)
      throw new StorageError('STRATA_EXISTS', `the store ${directory} exists already`);
    return { state, isNew: false };
  }
  refuseWithoutManifest(directory, names);
  if (!options.createIfMissing || options.readOnly) throw noDatabase(directory);
  directories.makesStore();
  const created = emptyState(randomId());
  await saveManifest(fs, directory, created);
  syncParent(fs, directory);
  return { state: created, isNew: true };
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

/** A store's first file is its manifest: files of a store without one mean that it was lost. */
function refuseWithoutManifest(directory: string, names: readonly string[]): void {
  const orphaned = names.filter((name) => {
    const kind = parseFileName(name)?.kind;
    return kind === 'log' || kind === 'table' || kind === 'run' || kind === 'page';
  });
  if (orphaned.length > 0)
    throw new CorruptionError(`the manifest is missing, but there are ${orphaned.length} tables and logs`, {
      file: join(directory, MANIFEST_NAME),
    });
}
