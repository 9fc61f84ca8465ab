/**
 * restore(): makes a store of a backup, in a directory that is empty, or where an earlier restore was interrupted.
 *
 *   1. choose        the backup (choose-backup.ts); nothing is made if there is none
 *   2. directory     made if need be, locked, and found empty (restore-stage.ts)
 *   3. stage         files into DIR/restoring, each checked and synced, and the manifest
 *   4. replay        for a position or time behind the backup: what the archive has, up to there (archive/replay-archive.ts)
 *   5. move up       into DIR, the manifest last: until then nothing opens it
 *
 * The manifest says which branch of the target the store goes on as, and its epochs end at the moment of the backup: the first
 * opening begins a new one, so the store and the one that was backed up are told apart from there on.
 *
 * Invariants: what was interrupted, however, is not openable, and can be restored into again. When it resolves, all of it is
 *             durable.
 * Thread:     main.     Owns: the lock of the directory.
 */

import { acquireLock } from '../main/locking/directory-lock.ts';
import { loadManifest } from '../main/manifest/manifest.ts';
import { resolveDirectory } from '../main/store/open-request.ts';
import { now, wallClock } from '../shared/base/timers.ts';
import { type FileSystem, type StorageFile, writeFullyAsync } from '../shared/files/file-system.ts';
import { nodeFileSystem } from '../shared/files/node-file-system.ts';
import type { TransferProgress } from './backup.ts';
import { checkPoint, chooseBackup, POINT_NAMES, type RestorePoint } from './choose-backup.ts';
import { type BackupFile, checkTargetOf, type Description, infoOf } from './description.ts';
import type { FoundPlan } from './find-plan.ts';
import { backupKey } from './layout.ts';
import { type OpenStore, type ReachedPlace, reachedBy, replayArchive } from './replay-archive.ts';
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

/** What a restore is given; the file system by tests. */
export interface RestoreInternals {
  readonly fileSystem?: FileSystem | undefined;
  /** Opens the store that was made, to replay an archive onto it. */
  readonly open: OpenStore;
}

/** See restore() in main/backup.ts. */
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
    const { targetId, storeId } = await needMarker(session);
    const { description, plan } = await chooseBackup(session, storeId, point);
    checkTargetOf(description, targetId, session.nameOf(backupKey(description.id)));
    const work = {
      session,
      fs,
      open: internals.open,
      root,
      description,
      plan,
      goal: goalText(point, plan),
      onProgress,
    };
    const { downloadedBytes, reached } = await restoreInto(work);
    const { id, position, time, files, bytes } = infoOf(description);
    const place = reached ?? { position, time };
    return { id, ...place, files, bytes, downloadedBytes, elapsedMs: now() - startedAt };
  } finally {
    session.close();
  }
}

interface Restore {
  readonly session: TargetSession;
  readonly fs: FileSystem;
  readonly open: OpenStore;
  readonly root: string;
  readonly description: Description;
  /** undefined: the backup alone. */
  readonly plan: FoundPlan | undefined;
  /** What the caller asked for; '': a backup. */
  readonly goal: string;
  readonly onProgress: RestoreOptions['onProgress'];
}

interface Restored {
  readonly downloadedBytes: number;
  /** undefined: the place of the backup. */
  readonly reached: ReachedPlace | undefined;
}

function goalText({ position, time }: RestorePoint, plan: FoundPlan | undefined): string {
  return plan === undefined ? '' : (position ?? time?.toString() ?? 'latest');
}

/** Steps 2 to 5. */
async function restoreInto(work: Restore): Promise<Restored> {
  const { session, fs, root, description, plan, goal } = work;
  const state = manifestOf(description, session.nameOf(backupKey(description.id)));
  await RestoreStage.makeRoot(fs, root);
  const lock = await acquireLock(fs, root);
  try {
    const stage = await RestoreStage.begin(fs, root, description, goal);
    if (stage.isDone) {
      const reached = plan && reachedBy(plan, description.storeId, loadManifest(fs, root)!);
      await stage.cleanUp();
      return { downloadedBytes: 0, reached };
    }
    let downloadedBytes = await bringFiles(work, stage);
    const parent = {
      branch: description.branch,
      backup: description.id,
      sequence: description.sequence,
      bornMs: wallClock(),
    };
    let reached: ReachedPlace | undefined;
    if (plan === undefined) await stage.writeManifest(state, parent);
    else {
      await stage.writeManifest(state, parent);
      const replayed = await replayArchive(session, plan, work.open, stage.directory);
      downloadedBytes += replayed.bytes;
      await stage.writeManifest(replayed.state, {
        ...parent,
        branch: plan.goal.branch,
        sequence: replayed.sequence,
      });
      reached = reachedBy(plan, description.storeId, replayed.state, replayed.timeMs);
    }
    await stage.moveUp();
    await stage.cleanUp();
    return { downloadedBytes, reached };
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
