/**
 * Owners that this kernel knows nothing of: on another host that has the volume too, or in a container where the file system
 * has no sockets to ask. Only LOCK names them: who they are, and by the file's time when they last showed that they live.
 *
 *   nobody, or somebody of this kernel     no threat: the kernel's locks were free
 *   anybody else                           refused until there was no sign of life for `takeOverAfterMs`; then watched for two
 *                                          beats, as clocks of hosts differ, and superseded if there was none
 *   ... whose time lies in the future      watched for `takeOverAfterMs`, and superseded if there was no beat
 *   ... last seen before this kernel       dead, where the file system is a local one: the machine was started anew, or the
 *       was started                        volume came here, and in either case nobody else has it mounted
 *
 * One that is superseded may only have been paused. What it writes when it goes on does no harm: epochs.ts.
 *
 * Thread: main.
 */
import { hostname, uptime } from 'node:os';
import { join } from 'node:path';
import { StorageError } from '../../shared/base/errors.ts';
import { delay, wallClock } from '../../shared/base/timers.ts';
import { LOCK_NAME } from '../../shared/files/file-names.ts';
import { fileSystemType, readLockText } from '../../shared/files/lock-files.ts';
import { BEAT_MS, type LockRecord, nameHolder, parseRecord } from './lock-record.ts';

/** Default of the option takeOverAfter. */
export const TAKE_OVER_AFTER_MS = 60_000;

const WATCH_POLL_MS = 250;
/** A file's time and the start of the kernel come from different clocks. */
const BOOT_SLACK_MS = 2000;
/** By so much clocks of hosts may differ before a file's time is not believed. */
const CLOCK_SLACK_MS = 30_000;
/** statfs(2): NFS, SMB, CIFS, SMB2, 9p, FUSE (virtiofs, sshfs, ...), Ceph, AFS, Coda, Lustre, GPFS, GFS2, OCFS2, vboxsf,
 * vmhgfs. */
const SHARED_FILE_SYSTEMS: ReadonlySet<number> = new Set([
  0x6969, 0x517b, 0xff534d42, 0xfe534d42, 0x01021997, 0x65735546, 0x00c36400, 0x5346414f, 0x6b414653,
  0x73757245, 0x0bd00bd0, 0x47504653, 0x01161970, 0x7461636f, 0x786f4256, 0xbacbacbc,
]);

/**
 * Returns whether an owner of elsewhere is superseded; false: there is none.
 *
 * @param directory where LOCK is; `self` is the record that is about to be written there. `name` is for messages.
 * @throws {@link StorageError} STRATA_LOCKED while there may be one.
 */
export async function supersedeForeignOwner(
  directory: string,
  name: string,
  self: LockRecord,
  takeOverAfterMs: number,
): Promise<boolean> {
  const path = join(directory, LOCK_NAME);
  const seen = lookAt(path);
  if (seen === undefined || !isForeign(seen.record, self)) return false;
  if (isOfEarlierBoot(directory, seen.modifiedMs)) return false;
  if (takeOverAfterMs === 0) return true;
  // A time that is yet to come says nothing: then LOCK is watched for as long as a sign of life may be missing.
  const isOfTheFuture = seen.modifiedMs > wallClock() + CLOCK_SLACK_MS;
  if (!isOfTheFuture && ageOf(seen.modifiedMs) < takeOverAfterMs)
    throw foreignError(name, seen, takeOverAfterMs);
  const longMs = isOfTheFuture ? Math.max(2 * BEAT_MS, takeOverAfterMs) : 2 * BEAT_MS;
  for (let watchedMs = 0; watchedMs < longMs; watchedMs += WATCH_POLL_MS) {
    await delay(WATCH_POLL_MS);
    const now = lookAt(path);
    if (now === undefined) return false;
    if (now.modifiedMs !== seen.modifiedMs) throw foreignError(name, now, takeOverAfterMs);
  }
  return true;
}

interface Seen {
  readonly record: LockRecord;
  readonly modifiedMs: number;
}

function lookAt(path: string): Seen | undefined {
  try {
    const { text, modifiedMs } = readLockText(path);
    const record = parseRecord(text);
    return record === undefined ? undefined : { record, modifiedMs };
  } catch {
    // No LOCK, or one that is not ours to read: it names nobody.
    return undefined;
  }
}

/** Whether the locks of this kernel say nothing about the owner that `record` names. */
function isForeign(record: LockRecord, self: LockRecord): boolean {
  // Written by another system, or where the kernel does not say: nothing shows that it is elsewhere.
  if (record.bootId === undefined || self.bootId === undefined) return false;
  if (record.bootId !== self.bootId) return true;
  return record.socket === undefined && record.network !== self.network;
}

function isOfEarlierBoot(directory: string, modifiedMs: number): boolean {
  const bootedMs = wallClock() - uptime() * 1000;
  return modifiedMs < bootedMs - BOOT_SLACK_MS && !SHARED_FILE_SYSTEMS.has(fileSystemType(directory));
}

function ageOf(modifiedMs: number): number {
  return Math.max(0, wallClock() - modifiedMs);
}

function foreignError(name: string, { record, modifiedMs }: Seen, takeOverAfterMs: number): StorageError {
  const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;
  const where =
    record.hostname === hostname() ? ' on another host of this name, or before a restart of it' : '';
  const holder =
    where === ''
      ? nameHolder(record)
      : `the process with pid ${record.pid}${where} (${JSON.stringify(record.hostname)})`;
  return new StorageError(
    'STRATA_LOCKED',
    `the store in ${name} is locked by ${holder}, whose last sign of life is ${seconds(ageOf(modifiedMs))} old; ` +
      `it counts as dead after ${seconds(takeOverAfterMs)} without one (option takeOverAfter)`,
    { file: join(name, LOCK_NAME) },
  );
}
