/**
 * backup(): brings one moment of an open store into a target, while writes go on.
 *
 *   1. capture         one moment of the store, as files that stay (capture.ts)
 *   2. target          ours, obeys conditions (probe.ts), and the store comes from the tip of its branch (branches.ts)
 *   3. lease           what is under way, and what it builds upon (leases.ts)
 *   4. files           those that the target does not have (upload-files.ts)
 *   5. tip, then the description: from here on the backup exists        6. the lease goes
 *
 * Invariants: a backup that ends before 5 does not exist; what it has uploaded is built upon by the next one, or purged. Backups
 *             of one engine come one after the other, so the tip of its branch is moved by nobody else while it may be moved at
 *             all.
 * Thread:     main.     Owns: the capture, and the lease.
 */

import type { Capture } from '../main/copy/capture.ts';
import { type CaptureSource, captureSourceOf } from '../main/copy/capture-source.ts';
import { unless } from '../shared/base/abortable.ts';
import { invalidArgument, isError, StorageError } from '../shared/base/errors.ts';
import { onePerThread } from '../shared/base/one-per-thread.ts';
import { ENGINE_MARK, PACKAGE_VERSION } from '../shared/base/package-version.ts';
import { wallClock } from '../shared/base/timers.ts';
import type { FileSystem } from '../shared/files/file-system.ts';
import { type BackupMoment, momentOf } from './backup-moment.ts';
import { branchOf, checkHistory, type History, moveTip, parentOf } from './branches.ts';
import {
  type BackupFile,
  type BackupInfo,
  type Description,
  encodeDescription,
  infoOf,
  listIds,
  newestDescription,
  readDescription,
} from './description.ts';
import { backupKey, nextId, randomUpload, TABLES } from './layout.ts';
import { OwnLease } from './leases.ts';
import { condemnedKeys } from './purge-lists.ts';
import type { BackupTarget } from './target.ts';
import { claimTarget } from './target-marker.ts';
import { TargetSession } from './target-session.ts';
import {
  checkTarget,
  functionOption,
  type ResolvedTransfer,
  resolveTransfer,
  type TransferOptions,
} from './transfer-options.ts';
import { candidatesFor, uploadFiles } from './upload-files.ts';

/** How far a backup, or a restore, has come. */
export interface TransferProgress {
  readonly files: number;
  readonly totalFiles: number;
  /** Of the files that are done. */
  readonly bytes: number;
  readonly totalBytes: number;
  /** What has moved between here and the target. */
  readonly transferredBytes: number;
}

export interface BackupOptions extends TransferOptions {
  /** Called after each file. */
  readonly onProgress?: ((progress: TransferProgress) => void) | undefined;
}

/** What is backed up: a StorageEngine that is open, for writing or read-only. */
export interface BackupSource {
  /** The directory of the store. */
  readonly path: string;
}

/** Backups of one engine wait for each other. */
const underWay = onePerThread('backups-under-way', () => new WeakMap<object, Promise<unknown>>());

/**
 * Backs an open store up into a target, while writes go on: one moment of it, every write acknowledged before the call included.
 * Tables that the target has are not uploaded again.
 *
 * @throws {@link StorageError} STRATA_CONFLICT for a store that does not come from the newest backup of its branch, or another
 * store's target; STRATA_EXISTS for a place that holds something else; STRATA_UNSUPPORTED for a target that ignores conditional
 * writes, or is of a newer format; STRATA_IO, also after `timeoutMs` without progress; STRATA_CLOSED; STRATA_CORRUPTION.
 * @example
 * const { id, uploadedBytes } = await backup(engine, directoryTarget('/mnt/backup/orders'));
 */
export async function backup(
  engine: BackupSource,
  target: BackupTarget,
  options?: BackupOptions,
): Promise<BackupInfo> {
  const source = sourceOf(engine);
  checkTarget(target);
  const terms = resolveTransfer(options, 'options', ['onProgress']);
  const onProgress = functionOption(options?.onProgress, 'onProgress');
  const before = underWay.get(engine);
  const work = (async (): Promise<BackupInfo> => {
    // How the one before ended is its own caller's affair.
    const turn = before?.catch(() => undefined);
    await (terms.signal === undefined ? turn : unless(terms.signal, Promise.resolve(turn)));
    const capture = await source.capture();
    try {
      const moment = await momentOf(source.fs, capture);
      const live = (): History => liveHistory(source);
      return await backUp({ capture, moment, live, fs: source.fs, terms, target, onProgress });
    } catch (error) {
      // Its files may have gone with it.
      if (isMissingFile(error, capture)) source.checkOpen();
      throw error;
    } finally {
      capture.release();
    }
  })();
  underWay.set(engine, work);
  return await work;
}

function isMissingFile(error: unknown, capture: Capture): boolean {
  const { file } = (isError(error) ? error : {}) as { file?: unknown };
  return capture.files.some(({ path }) => path === file);
}

interface Request {
  readonly capture: Capture;
  /** What of it is backed up. */
  readonly moment: BackupMoment;
  /** What the store has been through by now, which an archive may have shipped. */
  readonly live: () => History;
  /** That of the store. */
  readonly fs: FileSystem;
  readonly terms: ResolvedTransfer;
  readonly target: BackupTarget;
  readonly onProgress: BackupOptions['onProgress'];
}

async function backUp(request: Request): Promise<BackupInfo> {
  const session = new TargetSession(request.target, request.terms);
  try {
    const history = historyOf(request.capture);
    const marker = await claimTarget(session, history.storeId);
    await checkHistory(session, request.live());
    const description = await uploadAll(session, request, history, marker.targetId);
    return infoOf(description);
  } finally {
    session.close();
  }
}

/** Of everything that is visible. */
export function liveHistory({ history }: CaptureSource): History {
  const { storeId, branch: mark, changes, sequence } = history;
  return { storeId, epochs: changes.history.upTo(sequence()), mark };
}

/** @throws STRATA_INVALID_ARGUMENT for anything but an engine. */
export function sourceOf(engine: BackupSource): CaptureSource {
  const source = typeof engine === 'object' && engine !== null ? captureSourceOf(engine) : undefined;
  if (source === undefined)
    throw invalidArgument(`what is backed up must be an open StorageEngine${versionNote(engine)}`);
  return source;
}

/** An engine of another version of the package, which it says of itself. */
function versionNote(engine: unknown): string {
  const version =
    typeof engine === 'object' && engine !== null ? Reflect.get(engine, ENGINE_MARK) : undefined;
  if (version === undefined || version === PACKAGE_VERSION) return '';
  return `; this one is of stratakv ${String(version)}, and the backup of ${PACKAGE_VERSION}: import both from one version`;
}

function historyOf({ state }: Capture): History {
  return { storeId: state.storeId, epochs: state.epochs, mark: state.branch };
}

/** Steps 3 to 6. */
async function uploadAll(
  session: TargetSession,
  request: Request,
  history: History,
  targetId: string,
): Promise<Description> {
  const { capture, moment } = request;
  const upload = randomUpload();
  const id = nextId(await listIds(session), wallClock(), upload);
  const previous = await previousOf(session, history);
  const present = (await session.list(TABLES)).map(({ key }) => key);
  const reuses = candidatesFor(moment.files, present);
  const lease = await OwnLease.take(session, upload, id, reuses);
  try {
    const { files, uploadedBytes } = await bringFiles(session, request, upload, reuses, previous);
    const description: Description = {
      id,
      targetId,
      storeId: capture.storeId,
      branch: branchOf(history),
      position: capture.position,
      sequence: capture.sequence,
      timeMs: capture.timeMs,
      uploadedBytes,
      files,
      manifest: moment.manifest,
    };
    await moveTip(
      session,
      history,
      { position: capture.position, coveredMs: capture.timeMs },
      request.live(),
    );
    if (!(await session.create(backupKey(id), encodeDescription(description)))) throw revoked(session);
    await lease.end();
    await giveUp(lease, request.target);
    return description;
  } catch (error) {
    await lease.end();
    await giveUp(lease, request.target);
    throw error;
  }
}

async function bringFiles(
  session: TargetSession,
  { moment, fs, onProgress }: Request,
  upload: string,
  reuses: readonly string[],
  previous: Description | undefined,
): Promise<{ readonly files: BackupFile[]; readonly uploadedBytes: number }> {
  const reusable = await stillThere(session, reuses);
  const totalBytes = moment.files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const progress = { files: 0, totalFiles: moment.files.length, bytes: 0, totalBytes, transferredBytes: 0 };
  let uploadedBytes = 0;
  const parts = {
    session,
    fs,
    upload,
    reusable,
    known: new Map(previous?.files.map((file) => [file.name, file])),
    onBytes: (count: number): void => {
      progress.transferredBytes += count;
    },
    onFile: (file: BackupFile, uploaded: number): void => {
      uploadedBytes += uploaded;
      progress.files++;
      progress.bytes += file.sizeBytes;
      onProgress?.({ ...progress });
    },
  };
  return { files: await uploadFiles(parts, moment.files), uploadedBytes };
}

/** After the lease: what no purge has taken, or is about to take. */
async function stillThere(session: TargetSession, reuses: readonly string[]): Promise<Set<string>> {
  if (reuses.length === 0) return new Set();
  const condemned = await condemnedKeys(session);
  const present = new Set((await session.list(TABLES)).map(({ key }) => key));
  return new Set(reuses.filter((key) => present.has(key) && !condemned.has(key)));
}

/** What the store's files may be known from: the newest backup of its branch, or that which it was restored from. */
async function previousOf(session: TargetSession, history: History): Promise<Description | undefined> {
  const newest = await newestDescription(session, branchOf(history));
  const parent = parentOf(history);
  if (newest !== undefined || parent === undefined) return newest;
  return await readDescription(session, parent.backup);
}

/** A lease that stays runs out by itself, so this does not decide how the backup ends. */
async function giveUp(lease: OwnLease, target: BackupTarget): Promise<void> {
  const session = new TargetSession(target, resolveTransfer({ timeoutMs: 5_000 }, 'options'));
  try {
    await lease.remove(session);
  } catch {
    // See above.
  } finally {
    session.close();
  }
}

function revoked(session: TargetSession): StorageError {
  return new StorageError(
    'STRATA_CONFLICT',
    `a purge has given this backup in ${session.target.name} up, as it was not heard of for long: back up again`,
  );
}
