/**
 * The files of a running store: who may create, name and delete them, and when.
 *
 *   versions     tables: named for good when a durable manifest names them, deleted when no live version holds them
 *   logs         created for a memtable; taken back when nothing of it came to the disk
 *   deletions    one after the other, as long as the directory is this store's
 *   ownership    asked before each of these
 *
 * Thread: main.     Owns: these parts.
 */
import { join } from 'node:path';

import type { StorageError } from '../shared/base/errors.ts';
import { History } from '../shared/changes/history.ts';
import { MANIFEST_NAME } from '../shared/files/file-names.ts';
import type { FileSystem } from '../shared/files/file-system.ts';
import { type Identity, identityOf } from '../shared/files/lock-files.ts';
import type { TableCache } from '../shared/read/table-cache.ts';
import { DeletionQueue, nameTables } from './files/deletion-queue.ts';
import { traceDeleted } from './files/job-outputs.ts';
import { Ownership } from './files/ownership.ts';
import { changedError } from './manifest/manifest.ts';
import { type VersionHost, VersionSet } from './manifest/version-set.ts';
import type { Opened } from './open/open-store.ts';
import type { Trace } from './store/trace.ts';
import { type LogFiles, LogWriter } from './write/log-writer.ts';

/** Who hears of what happens to the files. */
export interface FilesHost
  extends Pick<VersionHost, 'installed' | 'reservedRanges' | 'unreadAfter' | 'poisoned'> {
  /** The directory is another's, or another owner's. */
  lost(error: StorageError): void;
  deletionFailed(error: unknown): void;
}

export class StoreFiles {
  readonly ownership: Ownership;
  readonly deletions: DeletionQueue;
  readonly versions: VersionSet;
  readonly #fs: FileSystem;
  readonly #logFiles: LogFiles;
  readonly #directory: string;
  readonly #host: FilesHost;
  readonly #path: string;
  readonly #within: Identity | undefined;
  readonly #trace: Trace;
  #newestLog: LogWriter | undefined;

  constructor(opened: Opened, tables: TableCache, host: FilesHost) {
    const { fs, path, directory, lock } = opened;
    this.#fs = fs;
    this.#directory = directory;
    this.#host = host;
    this.#path = path;
    this.#within = lock.within;
    this.#trace = opened.trace;
    this.ownership = new Ownership(
      path,
      lock,
      () => this.#problem(),
      (error) => host.lost(error),
    );
    this.deletions = new DeletionQueue(fs, directory, {
      mayDelete: () => !this.versions.isPoisoned && this.#isOurs(),
      deleted: (number, file) => {
        this.versions.noteDeleted(number);
        traceDeleted(this.#trace, file);
      },
      failed: (error) => host.deletionFailed(error),
    });
    this.versions = this.#makeVersions(opened, tables);
    this.#logFiles = {
      createExclusive: (file) => {
        this.ownership.check();
        return fs.createExclusive(file);
      },
      syncDirectoryAsync: (synced) => fs.syncDirectoryAsync(synced),
    };
  }

  #makeVersions(opened: Opened, tables: TableCache): VersionSet {
    const { fs, directory, control, state, logs, highestFileNumber, pageLimits } = opened;
    const history = History.atOpening(state, opened.recovered.epochs);
    const host: VersionHost = {
      checkOwnership: () => this.ownership.check(),
      nameForGood: (added) =>
        nameTables(
          fs,
          directory,
          added.map((table) => table.number),
        ),
      obsolete: (removed) => {
        const numbers = removed.map((table) => table.number);
        for (const number of numbers) tables.evict(number);
        this.deletions.remove({ tables: numbers });
      },
      obsoletePages: (numbers, wereNamed) =>
        this.deletions.remove(wereNamed ? { pages: numbers } : { newPages: numbers }),
      dropped: ({ logs: keptLogs, tables: keptTables }) => {
        for (const number of keptTables) tables.evict(number);
        this.deletions.remove({ logs: keptLogs, tables: keptTables });
      },
      installed: (edit) => this.#host.installed(edit),
      reservedRanges: () => this.#host.reservedRanges(),
      unreadAfter: () => this.#host.unreadAfter(),
      poisoned: (error) => this.#host.poisoned(error),
    };
    const versions = VersionSet.create(
      fs,
      directory,
      control,
      state,
      host,
      logs,
      pageLimits,
      history,
      opened.options.retention,
    );
    versions.bumpFileNumber(highestFileNumber);
    versions.raiseOwnerEpoch(opened.recovered.latestEpoch + 1);
    // What is listed as obsolete and could be deleted is gone by now.
    for (const number of opened.goneNumbers) versions.noteDeleted(number);
    return versions;
  }

  /** What shows that somebody else has changed the files of the store. */
  #problem(): StorageError | undefined {
    const epoch = this.#directory === this.#path ? undefined : identityOf(this.#directory);
    const isMoved =
      this.#within !== undefined &&
      (epoch?.device !== this.#within.device || epoch.inode !== this.#within.inode);
    if (isMoved) return changedError(this.#directory);
    if (!this.versions.isManifestOurs()) return changedError(join(this.#directory, MANIFEST_NAME));
    if (this.#newestLog?.isLinked === false) return changedError(this.#newestLog.path);
    return undefined;
  }

  #isOurs(): boolean {
    try {
      this.ownership.check();
      return true;
    } catch {
      // It has been reported, and every write is refused by now.
      return false;
    }
  }

  /** A log with a number past all files. When it can't be created, its number is free again. */
  createLog(): LogWriter {
    const { versions } = this;
    const number = versions.allocateFileNumber();
    try {
      const writer = LogWriter.create(this.#logFiles, this.#directory, number);
      versions.noteLog(number, () => writer.firstGroup);
      this.#newestLog = writer;
      if (this.#trace.wants('log-created')) this.#trace.point('log-created', { log: number });
      return writer;
    } catch (error) {
      versions.giveBackFileNumber(number);
      throw error;
    }
  }

  /** Deletes a log of which nothing came to the disk; false: it can't be deleted. */
  discardLog(writer: LogWriter): boolean {
    if (this.#newestLog === writer) this.#newestLog = undefined;
    // A number is used again only where no record of the discarded log can be taken for one of the new log.
    const { hasNothing } = writer;
    writer.retire();
    try {
      this.#fs.unlink(writer.path);
      traceDeleted(this.#trace, writer.path);
    } catch (error) {
      this.#host.deletionFailed(error);
      return false;
    }
    if (hasNothing) this.versions.giveBackFileNumber(writer.number);
    return true;
  }
}
