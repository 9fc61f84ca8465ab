/**
 * restore(): makes a store of a backup, in a directory that is empty, or where an earlier restore was interrupted.
 *
 *   1. choose        the backup (choose-backup.ts); nothing is made if there is none
 *   2. directory     made if need be, locked, and found empty (restore-stage.ts)
 *   3. stage         files into DIR/restoring, each checked and synced, and the manifest
 *   4. move up       into DIR, the manifest last: until then nothing opens it
 *
 * The manifest says which branch of the target the store goes on as, and its epochs end at the moment of the backup: the first
 * opening begins a new one, so the store and the one that was backed up are told apart from there on.
 *
 * Invariants: what was interrupted, however, is not openable, and can be restored into again. When it resolves, all of it is
 *             durable.
 * Thread:     main.     Owns: the lock of the directory.
 */

import { acquireLock } from '../main/locking/directory-lock.ts';
import { resolveDirectory } from '../main/store/open-request.ts';
import { now } from '../shared/base/timers.ts';
import { type FileSystem, type StorageFile, writeFullyAsync } from '../shared/files/file-system.ts';
import { nodeFileSystem } from '../shared/files/node-file-system.ts';
import type { TransferProgress } from './backup.ts';
import { checkPoint, chooseBackup, POINT_NAMES, type RestorePoint } from './choose-backup.ts';
import { type BackupFile, checkTargetOf, type Description, infoOf } from './description.ts';
import { backupKey } from './layout.ts';
import { RestoreStage, refuseNonEmpty } from './restore-stage.ts';
import type { BackupTarget } from './target.ts';
import { needMarker } from './target-marker.ts';
import { type Sink, TargetSession } from './target-session.ts';
import { checkTarget, functionOption, resolveTransfer, type TransferOptions } from './transfer-options.ts';
import { CheckingSink, manifestOf } from './verify-backup.ts';

export interface RestoreOptions extends TransferOptions, RestorePoint {
  /** Called after each file. */
  readonly onProgress?: ((progress: TransferProgress) => void) | undefined;
}

export interface RestoreReport {
  /** The backup. */
  readonly id: string;
  /** Where the store goes on from. */
  readonly position: string;
  readonly time: number;
  /** Of the store, without its manifest. */
  readonly files: number;
  readonly bytes: number;
  /** The rest was there already, from a restore that was interrupted. */
  readonly downloadedBytes: number;
  readonly elapsedMs: number;
}

/** What tests may put in place of the real thing. */
export interface RestoreInternals {
  readonly fileSystem?: FileSystem | undefined;
}

/**
 * Makes a store of a backup, the newest by default, in a directory that is empty or does not exist. What an interrupted restore
 * has left there is used. The store goes on with a history of its own.
 * @throws {@link StorageError} STRATA_EXISTS for a directory with anything in it; STRATA_INVALID_ARGUMENT for an unknown id;
 * STRATA_POSITION_LOST for a position or time that the target does not reach; STRATA_CORRUPTION for a damaged backup;
 * STRATA_NO_DATABASE where there is no backup; STRATA_LOCKED, STRATA_UNSUPPORTED, STRATA_IO.
 * @example
 * await restore(directoryTarget('/mnt/backup/orders'), './db_data');
 * const engine = await StorageEngine.open('./db_data');
 */
export async function restore(
  target: BackupTarget,
  directory: string,
  options?: RestoreOptions,
): Promise<RestoreReport> {
  return await restoreWith({}, target, directory, options);
}

/** The same with parts replaced, for tests. */
export async function restoreWith(
  internals: RestoreInternals,
  target: BackupTarget,
  directory: string,
  options?: RestoreOptions,
): Promise<RestoreReport> {
  checkTarget(target);
  const startedAt = now();
  const root = resolveDirectory(directory);
  const terms = resolveTransfer(options, 'options', ['onProgress', ...POINT_NAMES]);
  const onProgress = functionOption(options?.onProgress, 'onProgress');
  const point = options ?? {};
  checkPoint(point);
  const fs = internals.fileSystem ?? nodeFileSystem;
  const session = new TargetSession(target, terms);
  try {
    refuseNonEmpty(fs, root);
    const { targetId } = await needMarker(session);
    const description = await chooseBackup(session, point);
    checkTargetOf(description, targetId, session.nameOf(backupKey(description.id)));
    const downloadedBytes = await restoreInto({ session, fs, root, description, onProgress });
    const { id, position, time, files, bytes } = infoOf(description);
    return { id, position, time, files, bytes, downloadedBytes, elapsedMs: now() - startedAt };
  } finally {
    session.close();
  }
}

interface Restore {
  readonly session: TargetSession;
  readonly fs: FileSystem;
  readonly root: string;
  readonly description: Description;
  readonly onProgress: RestoreOptions['onProgress'];
}

/** Steps 2 to 4. Returns how many bytes were downloaded. */
async function restoreInto(work: Restore): Promise<number> {
  const { session, fs, root, description } = work;
  const state = manifestOf(description, session.nameOf(backupKey(description.id)));
  await RestoreStage.makeRoot(fs, root);
  const lock = await acquireLock(fs, root);
  try {
    const stage = await RestoreStage.begin(fs, root, description);
    if (stage.isDone) {
      await stage.cleanUp();
      return 0;
    }
    const downloadedBytes = await bringFiles(work, stage);
    await stage.writeManifest(state);
    await stage.moveUp();
    await stage.cleanUp();
    return downloadedBytes;
  } finally {
    await lock.release();
  }
}

async function bringFiles(
  { session, fs, description, onProgress }: Restore,
  stage: RestoreStage,
): Promise<number> {
  const { files } = description;
  const totalBytes = files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const progress = { files: 0, totalFiles: files.length, bytes: 0, totalBytes, transferredBytes: 0 };
  await session.each(files, async (file) => {
    const path = stage.pathOf(file.name);
    if (!(await stage.holds(file))) {
      const sink = new FileSink(fs, path, file);
      try {
        await session.download(file.object, file.sizeBytes, sink);
      } finally {
        sink.close();
      }
      progress.transferredBytes += file.sizeBytes;
    }
    progress.files++;
    progress.bytes += file.sizeBytes;
    onProgress?.({ ...progress });
  });
  return progress.transferredBytes;
}

/** Writes what is downloaded, and checks and syncs it. */
class FileSink implements Sink {
  readonly #fs: FileSystem;
  readonly #path: string;
  readonly #check: CheckingSink;
  #file: StorageFile | undefined;
  #position = 0;

  constructor(fs: FileSystem, path: string, expected: BackupFile) {
    this.#fs = fs;
    this.#path = path;
    this.#check = new CheckingSink(expected);
  }

  async begin(): Promise<void> {
    this.close();
    if (this.#fs.stat(this.#path) !== undefined) await this.#fs.unlinkAsync(this.#path);
    this.#file = (await this.#fs.createExclusiveAsync?.(this.#path)) ?? this.#fs.createExclusive(this.#path);
    this.#position = 0;
    this.#check.begin();
  }

  async write(bytes: Uint8Array): Promise<void> {
    this.#check.write(bytes);
    await writeFullyAsync(this.#file!, bytes, this.#position);
    this.#position += bytes.length;
  }

  async end(): Promise<string | undefined> {
    const problem = this.#check.end();
    if (problem === undefined) await this.#file!.datasyncAsync();
    return problem;
  }

  close(): void {
    this.#file?.close();
    this.#file = undefined;
  }
}
