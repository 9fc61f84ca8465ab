/**
 * Deletes the files that nothing refers to any more, and gives tables their names for good.
 *
 *   DeletionQueue         in a running store: tables no live version holds, logs whose entries are in tables
 *   removeObsoleteFiles   what a job made and no manifest will ever name
 *   sortOutFiles          at open: what a crash left, and what the manifest says may go
 *   nameTables            NUMBER.sst.new -> NUMBER.sst, once a durable manifest names the table
 *
 * Invariants: a table, log or page is deleted only when a durable manifest says that it is obsolete, a table or page with its
 *             first name only when no manifest names it. Only names this store would write (file-names.ts) and only regular files
 *             are deleted; directories, links and foreign files are not touched.
 * Thread:     main.
 * Not chosen: deleting in parallel. Unlinking a large table can take long in the file system, and the four threads of
 *             libuv's pool are shared with the log; one at a time leaves them three.
 */
import { join } from 'node:path';
import { CorruptionError, systemErrorCode } from '../../shared/base/errors.ts';
import { type FileNumber, fileNumber } from '../../shared/base/ids.ts';
import {
  logPath,
  MANIFEST_NAME,
  newPagePath,
  newTablePath,
  pagePath,
  parseFileName,
  runPath,
  type StoreFile,
  tablePath,
} from '../../shared/files/file-names.ts';
import type { FileSystem } from '../../shared/files/file-system.ts';
import type { ManifestState, ObsoleteLog, ObsoleteTable } from '../manifest/manifest-state.ts';
import { isThisFile, isThisLog } from './file-identity.ts';

export interface ObsoleteFiles {
  readonly tables?: readonly FileNumber[];
  readonly logs?: readonly FileNumber[];
  /** Tables that no manifest has named. */
  readonly newTables?: readonly FileNumber[];
  /** Pages of manifests that have been replaced. */
  readonly pages?: readonly FileNumber[];
  /** Pages that no manifest has named. */
  readonly newPages?: readonly FileNumber[];
  /** Of an ingestion. */
  readonly runs?: readonly FileNumber[];
}

/** What a file that could not be deleted is reported to. It stays until the next open tries again. */
export type DeletionErrorHandler = (error: unknown, path: string) => void;

/**
 * Deletes in the background: resolves when all were tried, never rejects. A file that is gone already is fine. `onDeleted` is
 * told of each that is gone.
 */
export async function removeObsoleteFiles(
  fs: FileSystem,
  directory: string,
  files: ObsoleteFiles,
  onError: DeletionErrorHandler,
  onDeleted: (number: FileNumber, path: string) => void = () => undefined,
): Promise<void> {
  const under = (
    numbers: readonly FileNumber[] | undefined,
    pathOf: typeof tablePath,
  ): [FileNumber, string][] => (numbers ?? []).map((number) => [number, pathOf(directory, number)]);
  const paths = [
    ...under(files.tables, tablePath),
    ...under(files.logs, logPath),
    ...under(files.newTables, newTablePath),
    ...under(files.pages, pagePath),
    ...under(files.newPages, newPagePath),
    ...under(files.runs, runPath),
  ];
  for (const [number, path] of paths) {
    try {
      await fs.unlinkAsync(path);
      onDeleted(number, path);
    } catch (error) {
      if (systemErrorCode(error) === 'ENOENT') onDeleted(number, path);
      else onError(error, path);
    }
  }
}

/** What deletions of a running store need to know, and ask for. */
export interface DeletionHost {
  /** Whether the directory is still this store's. */
  mayDelete(): boolean;
  deleted(number: FileNumber, path: string): void;
  failed: DeletionErrorHandler;
}

/**
 * Deletions of a running store, one after the other, in the order in which files became useless: older data first, so that
 * what a crash leaves behind is never an old version without the newer one (repair relies on that).
 */
export class DeletionQueue {
  readonly #fs: FileSystem;
  readonly #directory: string;
  readonly #host: DeletionHost;
  #last: Promise<void> = Promise.resolve();
  /** What is kept, and what of it is to go. */
  readonly #keepers = new Map<ReadonlySet<FileNumber>, { tables: FileNumber[]; logs: FileNumber[] }>();
  #doneCount = 0;

  constructor(fs: FileSystem, directory: string, host: DeletionHost) {
    this.#fs = fs;
    this.#directory = directory;
    this.#host = host;
  }

  /** None of these tables and logs is deleted, whatever becomes of them, until what this returns is called. */
  keep(numbers: readonly FileNumber[]): () => void {
    const keeper = new Set(numbers);
    const late: { tables: FileNumber[]; logs: FileNumber[] } = { tables: [], logs: [] };
    this.#keepers.set(keeper, late);
    return () => {
      if (this.#keepers.delete(keeper) && late.tables.length + late.logs.length > 0) this.remove(late);
    };
  }

  /** Those that nobody keeps; the others go when they are given back. */
  #unkept(kind: 'tables' | 'logs', numbers: readonly FileNumber[] = []): readonly FileNumber[] {
    if (this.#keepers.size === 0) return numbers;
    return numbers.filter((number) => {
      for (const [keeper, late] of this.#keepers)
        if (keeper.has(number)) {
          late[kind].push(number);
          return false;
        }
      return true;
    });
  }

  /** Deletes in the background. */
  remove(given: ObsoleteFiles): void {
    const { deleted, failed } = this.#host;
    const tables = this.#unkept('tables', given.tables);
    const files = { ...given, tables, logs: this.#unkept('logs', given.logs) };
    this.#last = this.#last
      .then(() =>
        this.#host.mayDelete()
          ? removeObsoleteFiles(this.#fs, this.#directory, files, failed, deleted)
          : undefined,
      )
      .then(() => void this.#doneCount++);
  }

  /** How many calls of remove() have been carried out. */
  get doneCount(): number {
    return this.#doneCount;
  }

  /**
   * Resolves when all is deleted. Awaited before the lock is given up: by then the directory may be another store's, with
   * the same file names.
   */
  async done(): Promise<void> {
    await this.#last;
  }
}

/** A durable manifest names these tables: they are the store's from now on. One that has its name already is fine. */
export async function nameTables(
  fs: FileSystem,
  directory: string,
  numbers: readonly FileNumber[],
): Promise<void> {
  for (const number of numbers) {
    try {
      await fs.renameAsync(newTablePath(directory, number), tablePath(directory, number));
    } catch (error) {
      if (systemErrorCode(error) !== 'ENOENT' || fs.stat(tablePath(directory, number)) === undefined)
        throw error;
    }
  }
}

/**
 * A table, log or page that the manifest neither needs nor lists as obsolete shows that the manifest is not the one that belongs
 * to this directory as it is: an earlier copy was put back, or it is another store's.
 *
 * @throws {@link CorruptionError}
 */
export function refuseUnknownFiles(
  fs: FileSystem,
  directory: string,
  state: ManifestState,
  names: readonly string[] = fs.list(directory),
): void {
  const [name] = findUnknownFiles(fs, directory, state, names);
  if (name === undefined) return;
  throw new CorruptionError(
    `it does not know ${name}: it is out of date, or belongs to another store; repair takes in what the file holds`,
    { file: join(directory, MANIFEST_NAME) },
  );
}

/** Names of the tables, logs and pages that are neither needed nor those that the manifest lists as obsolete. */
export function findUnknownFiles(
  fs: FileSystem,
  directory: string,
  state: ManifestState,
  names: readonly string[] = fs.list(directory),
): string[] {
  const files = new KnownFiles(state);
  return names.filter((name) => {
    const file = parseFileName(name);
    const fate = file === undefined ? 'not-ours-to-judge' : files.fateOf(file);
    const mayBeUnknown = fate === 'unknown' || (fate === 'obsolete' && files.isListed(file!));
    if (!mayBeUnknown || fs.stat(join(directory, name))?.kind !== 'file') return false;
    return fate === 'unknown' || !files.isTheOne(fs, directory, file!);
  });
}

type Fate = 'needed' | 'to-be-named' | 'obsolete' | 'unknown' | 'not-ours-to-judge';

/** What is to become of the files of a store that is opened. */
class KnownFiles {
  readonly #live: ReadonlySet<number>;
  /** Logs and tables that are kept for changes(). */
  readonly #kept: ReadonlySet<number>;
  readonly #obsoleteTables: ReadonlyMap<number, ObsoleteTable>;
  readonly #obsoleteLogs: ReadonlyMap<number, ObsoleteLog>;
  readonly #pages: ReadonlySet<number>;
  readonly #obsoletePages: ReadonlyMap<number, ObsoleteTable>;
  readonly #logNumber: number;

  constructor(state: ManifestState) {
    const { levels, pages, keptLogs, keptTables, obsoleteTables, obsoleteLogs, obsoletePages } = state;
    this.#live = new Set(levels.flat().map((table) => table.number));
    this.#kept = new Set([...keptLogs, ...keptTables].map(({ number }) => number));
    this.#pages = new Set(pages.map((page) => page.number));
    this.#obsoletePages = new Map(obsoletePages.map((page) => [page.number, page]));
    this.#obsoleteTables = new Map(obsoleteTables.map((table) => [table.number, table]));
    this.#obsoleteLogs = new Map(obsoleteLogs.map((log) => [log.number, log]));
    this.#logNumber = state.logNumber;
  }

  /** By its name. */
  fateOf(file: StoreFile): Fate {
    switch (file.kind) {
      case 'table':
        if (this.#live.has(file.number) || this.#kept.has(file.number)) return 'needed';
        return this.isListed(file) ? 'obsolete' : 'unknown';
      case 'log':
        if (file.number >= this.#logNumber || this.#kept.has(file.number)) return 'needed';
        return this.isListed(file) ? 'obsolete' : 'unknown';
      case 'page':
        if (this.#pages.has(file.number)) return 'needed';
        return this.isListed(file) ? 'obsolete' : 'unknown';
      case 'new-page':
        return this.#pages.has(file.number) ? 'to-be-named' : 'obsolete';
      case 'new-table':
        return this.#live.has(file.number) ? 'to-be-named' : 'obsolete';
      case 'run':
      case 'manifest-temporary':
        return 'obsolete';
      default:
        return 'not-ours-to-judge';
    }
  }

  isListed(file: StoreFile): boolean {
    if (file.kind === 'table') return this.#obsoleteTables.has(file.number);
    if (file.kind === 'page') return this.#obsoletePages.has(file.number);
    return file.kind === 'log' && this.#obsoleteLogs.has(file.number);
  }

  /** By its content: whether it is the file that the list means. */
  isTheOne(fs: FileSystem, directory: string, file: StoreFile): boolean {
    if (file.kind === 'table')
      return isThisFile(fs, tablePath(directory, file.number), this.#obsoleteTables.get(file.number)!);
    if (file.kind === 'page')
      return isThisFile(fs, pagePath(directory, file.number), this.#obsoletePages.get(file.number)!);
    return file.kind === 'log' && isThisLog(fs, directory, this.#obsoleteLogs.get(file.number)!);
  }
}

export interface SortedFiles {
  /** Names of the files that were deleted. */
  readonly removed: readonly string[];
  /** What the manifest lists as obsolete, and is not there (any more). */
  readonly goneNumbers: readonly FileNumber[];
  /** The highest number in any file name of ours, deleted or not; 0 without one. New numbers must lie above it. */
  readonly highestNumber: number;
}

/**
 * Deletes what is obsolete, and names tables for good that a crash kept from it. Requires: refuseUnknownFiles() has let pass.
 * Synchronous: runs once, at open, before anything else needs the disk.
 */
export function sortOutFiles(
  fs: FileSystem,
  directory: string,
  state: ManifestState,
  onError: DeletionErrorHandler,
  names: readonly string[] = fs.list(directory),
): SortedFiles {
  const removed: string[] = [];
  const failed = new Set<number>();
  const files = new KnownFiles(state);
  let highestNumber = 0;
  for (const name of names) {
    const file = parseFileName(name);
    if (file === undefined) continue;
    if ('number' in file && file.kind !== 'set-aside') highestNumber = Math.max(highestNumber, file.number);
    const fate = files.fateOf(file);
    if (fate === 'obsolete') {
      if (removeRegularFile(fs, join(directory, name), onError)) removed.push(name);
      else if (file.kind === 'table' || file.kind === 'log' || file.kind === 'page') failed.add(file.number);
    }
    if (fate === 'to-be-named' && (file.kind === 'new-table' || file.kind === 'new-page')) {
      const path = (file.kind === 'new-table' ? tablePath : pagePath)(directory, file.number);
      if (fs.stat(path) === undefined) fs.rename(join(directory, name), path);
    }
  }
  const listed = [...state.obsoleteTables, ...state.obsoleteLogs, ...state.obsoletePages].map(
    ({ number }) => number,
  );
  return {
    removed,
    goneNumbers: listed.filter((number) => !failed.has(number)).map(fileNumber),
    highestNumber,
  };
}

function removeRegularFile(fs: FileSystem, path: string, onError: DeletionErrorHandler): boolean {
  try {
    if (fs.stat(path)?.kind !== 'file') return false;
    fs.unlink(path);
    return true;
  } catch (error) {
    onError(error, path);
    return false;
  }
}
