/**
 * Deletes the files that nothing refers to any more.
 *
 *   removeObsoleteFiles   in a running store: tables no live version holds, logs whose entries are in tables
 *   removeOrphans         at open: what a crash left between writing a file and the manifest that names it
 *
 * Invariants: called only when a manifest without these files is durable. Only names this store would write
 *             (file-names.ts) and only regular files are deleted; directories, links and foreign files are not touched.
 * Thread:     main.
 * Not chosen: deleting in parallel. Unlinking a large table can take long in the file system, and the four threads of
 *             libuv's pool are shared with the log; one at a time leaves them three.
 */
import { join } from 'node:path';
import { systemErrorCode } from '../shared/errors.ts';
import { logPath, parseFileName, runPath, tablePath } from '../shared/file-names.ts';
import type { FileSystem } from '../shared/file-system.ts';
import type { FileNumber } from '../shared/ids.ts';

export interface ObsoleteFiles {
  readonly tables?: readonly FileNumber[];
  readonly logs?: readonly FileNumber[];
  /** Of a bulk load. */
  readonly runs?: readonly FileNumber[];
}

/** What a file that could not be deleted is reported to. It stays until the next open collects it as an orphan. */
export type DeletionErrorHandler = (error: unknown, path: string) => void;

/** Deletes in the background: resolves when all were tried, never rejects. A file that is gone already is fine. */
export async function removeObsoleteFiles(
  fs: FileSystem,
  directory: string,
  files: ObsoleteFiles,
  onError: DeletionErrorHandler,
): Promise<void> {
  const paths = [
    ...(files.tables ?? []).map((number) => tablePath(directory, number)),
    ...(files.logs ?? []).map((number) => logPath(directory, number)),
    ...(files.runs ?? []).map((number) => runPath(directory, number)),
  ];
  for (const path of paths) {
    try {
      await fs.unlinkAsync(path);
    } catch (error) {
      if (systemErrorCode(error) !== 'ENOENT') onError(error, path);
    }
  }
}

/**
 * Deletions of a running store, one after the other, in the order in which files became useless: older data first, so that
 * what a crash leaves behind is never an old version without the newer one (repair relies on that).
 */
export class DeletionQueue {
  readonly #fs: FileSystem;
  readonly #directory: string;
  readonly #onError: DeletionErrorHandler;
  #last: Promise<void> = Promise.resolve();
  #doneCount = 0;

  constructor(fs: FileSystem, directory: string, onError: DeletionErrorHandler) {
    this.#fs = fs;
    this.#directory = directory;
    this.#onError = onError;
  }

  /** Deletes in the background. */
  remove(files: ObsoleteFiles): void {
    this.#last = this.#last
      .then(() => removeObsoleteFiles(this.#fs, this.#directory, files, this.#onError))
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

/** What the manifest says is needed. */
export interface LiveFiles {
  readonly liveTables: ReadonlySet<FileNumber>;
  /** Logs below this number hold nothing that the tables don't. */
  readonly minLogNumber: FileNumber;
}

export interface OrphanReport {
  /** Names of the files that were deleted. */
  readonly removed: readonly string[];
  /** The highest number in any file name of ours, deleted or not; 0 without one. New numbers must lie above it. */
  readonly highestNumber: number;
}

/** Synchronous: runs once, at open, before anything else needs the disk. */
export function removeOrphans(
  fs: FileSystem,
  directory: string,
  live: LiveFiles,
  onError: DeletionErrorHandler,
): OrphanReport {
  const removed: string[] = [];
  let highestNumber = 0;
  for (const name of fs.list(directory)) {
    const file = parseFileName(name);
    if (file === undefined) continue;
    if (file.kind === 'table' || file.kind === 'log' || file.kind === 'run')
      highestNumber = Math.max(highestNumber, file.number);
    const isOrphan =
      file.kind === 'manifest-temporary' ||
      file.kind === 'run' ||
      (file.kind === 'table' && !live.liveTables.has(file.number)) ||
      (file.kind === 'log' && file.number < live.minLogNumber);
    if (isOrphan && removeRegularFile(fs, join(directory, name), onError)) removed.push(name);
  }
  return { removed, highestNumber };
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
