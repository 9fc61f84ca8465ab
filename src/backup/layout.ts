/**
 * What lies where in a target, and what it is called.
 *
 *   stratakv-backup.json                  whose backups these are (target-marker.ts): written once
 *   tables/000012-4096-0a1b2c3d-<sha256, 16 digits>-<upload>.sst
 *                                         a file of a store: once for each content. Also .log and .tables
 *   backups/<id>.json                     a backup (description.ts): written last. Ids rise, also over all branches
 *   branches/<branch>.json                where a history ends, as far as it has been backed up (branches.ts)
 *   uploads/<upload>.json                 a backup under way: what purge must leave alone (leases.ts)
 *   uploads/<upload>.beat                 when its writer was last heard of
 *   purges/<purge>.json                   what a purge under way may delete, and backups should not build upon (purge-backups.ts)
 *   probes/<random>.json                  a moment long: whether conditions are obeyed (probe.ts)
 *
 * The name of a file's object ends in the upload that wrote it, so no name is ever used twice: whoever deletes an object, however
 * late, deletes that one and no other.
 *
 * Thread: main. Pure.
 * Not chosen: names by content alone. A purge that was stopped in its midst, and goes on a day later, would delete what was
 *             uploaded anew meanwhile under the same name.
 */
import { randomHex } from '../shared/base/random.ts';

export const MARKER_KEY = 'stratakv-backup.json';
export const TABLES = 'tables/';
export const BACKUPS = 'backups/';
export const BRANCHES = 'branches/';
export const UPLOADS = 'uploads/';
export const PURGES = 'purges/';
export const PROBES = 'probes/';

/** The branch of a store that no restore has made. */
export const MAIN_BRANCH = 'main';

export const ID_PATTERN: RegExp = /^\d{8}T\d{9}Z-[0-9a-f]{12}$/;
export const BRANCH_PATTERN: RegExp = /^(?:main|[0-9a-f]{16})$/;
export const OBJECT_PATTERN: RegExp =
  /^tables\/(\d{6,10})-(\d{1,16})-([0-9a-f]{8})-([0-9a-f]{16})-([0-9a-f]{12})\.(sst|log|tables)$/;

/** What distinguishes a file of a store from all others of its history, without reading it. */
export interface FileIdentity {
  /** In the store's directory. */
  readonly name: string;
  readonly sizeBytes: number;
  /** CRC-32 of all of it. */
  readonly checksum: number;
}

/** How the names of the objects begin that may hold this file. */
export function objectPrefix({ name, sizeBytes, checksum }: FileIdentity): string {
  const [number] = name.split('.', 1);
  return `${TABLES}${number}-${sizeBytes}-${checksum.toString(16).padStart(8, '0')}-`;
}

export function objectKey(file: FileIdentity, sha256: string, upload: string): string {
  return `${objectPrefix(file)}${sha256.slice(0, 16)}-${upload}.${file.name.split('.')[1]}`;
}

/** The upload that wrote an object; undefined: it is no object of ours. */
export function uploadOf(key: string): string | undefined {
  return OBJECT_PATTERN.exec(key)?.[5];
}

/** The beginning of the object's name that says what it holds, up to the digits of its SHA-256. */
export function contentOf(key: string): string {
  return key.slice(0, key.lastIndexOf('-'));
}

export function backupKey(id: string): string {
  return `${BACKUPS}${id}.json`;
}

export function branchKey(branch: string): string {
  return `${BRANCHES}${branch}.json`;
}

export function leaseKey(upload: string): string {
  return `${UPLOADS}${upload}.json`;
}

export function beatKey(upload: string): string {
  return `${UPLOADS}${upload}.beat`;
}

/** The id in the key of a backup; undefined: something else lies there. */
export function idOf(key: string): string | undefined {
  const id = key.slice(BACKUPS.length, -'.json'.length);
  return ID_PATTERN.test(id) && key === backupKey(id) ? id : undefined;
}

/** An id above all of `ids`, whatever the clock says. The upload is part of it. */
export function nextId(ids: readonly string[], timeMs: number, upload: string): string {
  const highest = ids.reduce((max, id) => (id > max ? id : max), '');
  const time = highest === '' ? timeMs : Math.max(timeMs, timeOfId(highest) + 1);
  return `${new Date(time).toISOString().replaceAll(/[-:.]/g, '')}-${upload}`;
}

function timeOfId(id: string): number {
  const [, year, month, day, hour, minute, second, ms] =
    /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)(\d{3})Z/.exec(id)!;
  return Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}.${ms}Z`);
}

export function randomUpload(): string {
  return randomHex(6);
}

export function randomBranch(): string {
  return randomHex(8);
}
