/**
 * verifyBackup(): reads everything that a backup, or all of them, need, and checks it.
 *
 *   marker, descriptions, tips of branches      by their own checksums
 *   manifest       as open() reads it; it names exactly the files of the description
 *   each segment   of the archive, where all backups are verified: its SHA-256
 *   each object    SHA-256, CRC-32 and size, read from the first byte to the last; what several backups share once
 *
 * Invariants: changes nothing. What is missing, damaged or too short is STRATA_CORRUPTION with the name of the object.
 * Thread:     main.
 * Not chosen: the checksums of blocks as well. The CRC-32 of a table is that which its writer took of all of them.
 */

import { decodeManifest, type ManifestState } from '../main/manifest/manifest.ts';
import { CorruptionError, invalidArgument, StorageError } from '../shared/base/errors.ts';
import { now } from '../shared/base/timers.ts';
import { logName, tableName } from '../shared/files/file-names.ts';
import type { TransferProgress } from './backup.ts';
import { readTips } from './branches.ts';
import {
  type BackupFile,
  checkTargetOf,
  type Description,
  readDescription,
  readDescriptions,
} from './description.ts';
import { backupKey, ID_PATTERN } from './layout.ts';
import type { BackupTarget } from './target.ts';
import { needMarker } from './target-marker.ts';
import { type Sink, TargetSession } from './target-session.ts';
import { checkTarget, functionOption, resolveTransfer, type TransferOptions } from './transfer-options.ts';
import { Sums } from './upload-files.ts';
import { type VerifiedArchive, verifySegments } from './verify-segments.ts';

export interface VerifyBackupOptions extends TransferOptions {
  /** Of one backup. Default: all of them. */
  readonly id?: string | undefined;
  readonly onProgress?: ((progress: TransferProgress) => void) | undefined;
}

export interface BackupVerifyReport {
  /** How many backups are in order. */
  readonly backups: number;
  /** Objects that were read, each once, and their bytes. */
  readonly objects: number;
  readonly bytes: number;
  /** Where all backups were verified: of the archive behind them. */
  readonly archive: VerifiedArchive | undefined;
  readonly elapsedMs: number;
}

/**
 * Reads all that a backup consists of, or all backups do, and checks it against the checksums that were taken when it was made.
 * @throws {@link StorageError} STRATA_CORRUPTION for the first damage, with the name of the object; STRATA_INVALID_ARGUMENT for
 * an unknown id; STRATA_NO_DATABASE, STRATA_UNSUPPORTED, STRATA_IO.
 */
export async function verifyBackup(
  target: BackupTarget,
  options?: VerifyBackupOptions,
): Promise<BackupVerifyReport> {
  checkTarget(target);
  const startedAt = now();
  const terms = resolveTransfer(options, 'options', ['id', 'onProgress']);
  const onProgress = functionOption(options?.onProgress, 'onProgress');
  const session = new TargetSession(target, terms);
  try {
    const { targetId } = await needMarker(session);
    const { id } = options ?? {};
    const descriptions =
      id === undefined ? await readDescriptions(session) : [await needDescription(session, id)];
    if (id === undefined) await readTips(session);
    const objects = new Map<string, BackupFile>();
    for (const description of descriptions) {
      const file = session.nameOf(backupKey(description.id));
      checkTargetOf(description, targetId, file);
      manifestOf(description, file);
      for (const one of description.files) addObject(objects, one, file);
    }
    const bytes = await readObjects(session, [...objects.values()], onProgress);
    const log = id === undefined ? await verifySegments(session, descriptions) : undefined;
    return {
      backups: descriptions.length,
      objects: objects.size + (log?.archive.segments ?? 0),
      bytes: bytes + (log?.bytes ?? 0),
      archive: log?.archive,
      elapsedMs: now() - startedAt,
    };
  } finally {
    session.close();
  }
}

/** The backup that a caller names. @throws STRATA_INVALID_ARGUMENT: there is none of that id. */
export async function needDescription(session: TargetSession, id: unknown): Promise<Description> {
  if (typeof id !== 'string') throw invalidArgument('the id of a backup is a string');
  const found = ID_PATTERN.test(id) ? await readDescription(session, id) : undefined;
  if (found !== undefined) return found;
  throw new StorageError(
    'STRATA_INVALID_ARGUMENT',
    `there is no backup '${id.slice(0, 64)}' in ${session.target.name}`,
  );
}

/** The manifest of a backup, as open() would read it; its files are those of the description. */
export function manifestOf({ manifest, files, storeId, sequence }: Description, file: string): ManifestState {
  const state = decodeManifest(Buffer.from(manifest, 'utf8'), file);
  if (state.storeId !== storeId || state.lastSequence !== sequence)
    throw new CorruptionError('the manifest is of another store or moment', { file });
  const named = new Map(files.map((one) => [one.name, one]));
  for (const { number, sizeBytes, checksum } of [...state.levels.flat(), ...state.keptTables]) {
    const one = named.get(tableName(number as Parameters<typeof tableName>[0]));
    if (one?.sizeBytes !== sizeBytes || one.checksum !== checksum)
      throw new CorruptionError(`table ${number} of the manifest is not among its files`, { file });
  }
  for (const { number, sizeBytes } of [...state.sealedLogs, ...state.keptLogs])
    if (named.get(logName(number as Parameters<typeof logName>[0]))?.sizeBytes !== sizeBytes)
      throw new CorruptionError(`log ${number} of the manifest is not among its files`, { file });
  return state;
}

function addObject(objects: Map<string, BackupFile>, one: BackupFile, file: string): void {
  const before = objects.get(one.object);
  if (before !== undefined && before.sha256 !== one.sha256)
    throw new CorruptionError(`two backups disagree on ${one.object}`, { file });
  objects.set(one.object, one);
}

async function readObjects(
  session: TargetSession,
  objects: readonly BackupFile[],
  onProgress: VerifyBackupOptions['onProgress'],
): Promise<number> {
  const totalBytes = objects.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const progress = { files: 0, totalFiles: objects.length, bytes: 0, totalBytes, transferredBytes: 0 };
  await session.each(objects, async (one) => {
    await session.download(one.object, one.sizeBytes, new CheckingSink(one));
    progress.files++;
    progress.bytes += one.sizeBytes;
    progress.transferredBytes += one.sizeBytes;
    onProgress?.({ ...progress });
  });
  return totalBytes;
}

/** Keeps nothing but the checksums. */
export class CheckingSink implements Sink {
  readonly #expected: BackupFile;
  #sums = new Sums();

  constructor(expected: BackupFile) {
    this.#expected = expected;
  }

  begin(): void {
    this.#sums = new Sums();
  }

  write(bytes: Uint8Array): void {
    this.#sums.add(bytes);
  }

  end(): string | undefined {
    const { sha256, checksum } = this.#expected;
    const isSame = this.#sums.sha256() === sha256 && this.#sums.crc32 === checksum;
    return isSame ? undefined : 'the checksum does not match';
  }
}
