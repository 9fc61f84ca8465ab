/**
 * The description of a backup: backups/<id>.json, the one object that makes what was uploaded a backup.
 *
 *   {"format":1,"id","targetId","storeId","branch",
 *    "position","sequence","time",              the moment: exactly the writes up to there
 *    "uploadedBytes",
 *    "files":[{"name","object","sizeBytes","checksum","sha256"}],     checksum: CRC-32, as in the manifest
 *    "manifest":"..."}                           the text of manifest.json of the copy
 *
 * or, where a purge has given up on an upload whose writer was not heard of for long, {"format":1,"id","revoked":true}: the
 * writer, should it wake up, finds the name taken. Such an object stays for ever, as nobody can tell that the writer never will.
 *
 * Invariants: a description is written if there is none, and never changed. Names of files and objects are what file-names.ts and
 *             layout.ts know, each once; so whatever a description says, restore writes within its directory.
 * Thread:     main.
 */
import { CorruptionError } from '../shared/base/errors.ts';
import { parseFileName } from '../shared/files/file-names.ts';
import {
  BACKUPS,
  BRANCH_PATTERN,
  backupKey,
  contentOf,
  ID_PATTERN,
  idOf,
  OBJECT_PATTERN,
  objectKey,
} from './layout.ts';
import { openSealed, type SealedFields, sealText, TARGET_FORMAT } from './sealed-text.ts';
import type { TargetSession } from './target-session.ts';

/** A file of the store, and the object that holds it. */
export interface BackupFile {
  /** In the store's directory. */
  readonly name: string;
  readonly object: string;
  readonly sizeBytes: number;
  /** CRC-32 of all of it. */
  readonly checksum: number;
  readonly sha256: string;
}

export interface Description {
  readonly id: string;
  readonly targetId: string;
  readonly storeId: string;
  readonly branch: string;
  readonly position: string;
  readonly sequence: number;
  readonly timeMs: number;
  readonly uploadedBytes: number;
  readonly files: readonly BackupFile[];
  /** The text of manifest.json. */
  readonly manifest: string;
}

/** A backup, as callers see it. */
export interface BackupInfo {
  /** Rises from backup to backup. */
  readonly id: string;
  /** Of its moment: a consumer of changes can go on from there. */
  readonly position: string;
  /** Of its moment, in milliseconds since 1970. */
  readonly time: number;
  /** Of the store, without its manifest. */
  readonly files: number;
  /** All of them together. */
  readonly bytes: number;
  /** What of that the target did not have yet. */
  readonly uploadedBytes: number;
  /** `main`, or that of a store that was restored from a backup. */
  readonly branch: string;
}

export function infoOf(description: Description): BackupInfo {
  return {
    id: description.id,
    position: description.position,
    time: description.timeMs,
    files: description.files.length,
    bytes: description.files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    uploadedBytes: description.uploadedBytes,
    branch: description.branch,
  };
}

export function encodeDescription({ timeMs, ...description }: Description): Uint8Array {
  return sealText({ format: TARGET_FORMAT, ...description, time: timeMs });
}

export function encodeRevoked(id: string): Uint8Array {
  return sealText({ format: TARGET_FORMAT, id, revoked: true });
}

/** undefined: the upload was revoked. */
export function decodeDescription(bytes: Uint8Array, file: string, id: string): Description | undefined {
  const fields = openSealed(bytes, file);
  if (fields.text('id', ID_PATTERN) !== id) fields.fail('id');
  if (fields.has('revoked')) return undefined;
  return {
    id,
    targetId: fields.text('targetId', /./),
    storeId: fields.text('storeId', /./),
    branch: fields.text('branch', BRANCH_PATTERN),
    position: fields.text('position', /./),
    sequence: fields.count('sequence'),
    timeMs: fields.count('time'),
    uploadedBytes: fields.count('uploadedBytes'),
    files: filesOf(fields),
    manifest: fields.text('manifest', /./),
  };
}

function filesOf(fields: SealedFields): BackupFile[] {
  const files = fields.list('files').map((item) => ({
    name: item.text('name'),
    object: item.text('object', OBJECT_PATTERN),
    sizeBytes: item.count('sizeBytes'),
    checksum: item.count('checksum'),
    sha256: item.text('sha256', /^[0-9a-f]{64}$/),
  }));
  for (const file of files) {
    const kind = parseFileName(file.name)?.kind;
    if (kind !== 'table' && kind !== 'log' && kind !== 'page') fields.fail('name');
    if (contentOf(objectKey(file, file.sha256, '')) !== contentOf(file.object)) fields.fail('object');
  }
  if (new Set(files.map(({ name }) => name)).size < files.length) fields.fail('files');
  return files;
}

/** Ids of all backups, and of revoked uploads, ascending. */
export async function listIds(session: TargetSession): Promise<string[]> {
  const objects = await session.list(BACKUPS);
  return objects.flatMap(({ key }) => idOf(key) ?? []).sort();
}

/** undefined: there is no backup of that id. */
export async function readDescription(session: TargetSession, id: string): Promise<Description | undefined> {
  return await session.readSealed(backupKey(id), ({ bytes }, file) => decodeDescription(bytes, file, id));
}

/** All backups, oldest first. One that is purged meanwhile may be missing. */
export async function readDescriptions(session: TargetSession): Promise<Description[]> {
  const ids = await listIds(session);
  const found = new Map<string, Description>();
  await session.each(ids, async (id) => {
    const description = await readDescription(session, id);
    if (description !== undefined) found.set(id, description);
  });
  return ids.flatMap((id) => found.get(id) ?? []);
}

/** The newest backup of a branch, or of all. */
export async function newestDescription(
  session: TargetSession,
  branch?: string,
): Promise<Description | undefined> {
  for (const id of (await listIds(session)).reverse()) {
    const description = await readDescription(session, id);
    if (description !== undefined && (branch === undefined || description.branch === branch))
      return description;
  }
  return undefined;
}

/** One of another target was put there by hand: its objects need not be here. */
export function checkTargetOf(description: Description, targetId: string, file: string): void {
  if (description.targetId !== targetId) throw new CorruptionError('it belongs to another target', { file });
}
