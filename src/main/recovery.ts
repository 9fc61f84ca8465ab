/**
 * Brings back what the logs hold when a store is opened.
 *
 *   1. read every log that the manifest still counts (numbers >= logNumber), as log-reader.ts judges it
 *   2. find the chain: from the newest log back, each start record names its predecessor. A log outside the chain was
 *      given up by an earlier recovery and holds nothing
 *   3. walk the chain, oldest first. Each log must end exactly where its successor says. If one ends early, later logs
 *      were written by an operating system that lost the earlier bytes: what follows is dropped, unless it proves that
 *      the lost part had been synced, which is corruption
 *   4. copy the groups, in order, into frozen memtables; the scheduler flushes them when they are worth a table
 *
 * Invariants: reads only, so it can be killed at any point and run again. What comes back is a prefix of the writes.
 *             A log that a clean close has measured (manifest: sealedLogs) must be there, whole.
 * Not chosen: truncating a torn log, or appending to it: the second crash then loses what the first one left.
 */
import { CorruptionError, ioError } from '../shared/errors.ts';
import { logPath, parseFileName } from '../shared/file-names.ts';
import { type FileSystem, readFully } from '../shared/file-system.ts';
import { fileNumber } from '../shared/ids.ts';
import { worstCaseNodeBytes } from '../shared/memtable/node-room.ts';
import { hasZeroPage, type RecoveredLog, readLog } from './log-reader.ts';
import type { ManifestState } from './manifest.ts';
import { createMemtable, LiveMemtable, type LogExtent } from './memtable-list.ts';

export const MAX_LOG_BYTES = 0xffffffff;

export interface RecoveredState {
  /** Frozen, oldest first. */
  readonly memtables: readonly LiveMemtable[];
  readonly lastSequence: number;
  /** Every log whose bytes counted. */
  readonly logs: readonly LogExtent[];
}

/** What of the manifest matters here. */
export type LogManifest = Pick<ManifestState, 'logNumber' | 'lastSequence' | 'sealedLogs'>;

/** The manifest is intact and not the latest: repair must not rely on it. */
export class StaleManifestError extends CorruptionError {}

interface LogFile {
  readonly number: number;
  readonly path: string;
  readonly bytes: Uint8Array;
}

/** Requires: the store's lock is held. */
export function recoverLogs(
  fs: FileSystem,
  directory: string,
  manifest: LogManifest,
  writeBufferBytes: number,
): RecoveredState {
  const files = readLogFiles(fs, directory, manifest.logNumber);
  checkSealedLogs(directory, files, manifest);
  const sealed = new Map(manifest.sealedLogs.map((log) => [log.number as number, log.sizeBytes]));
  const whole = files.map((file) => readLog(file.bytes, file.path, file.number, sealed.get(file.number)));
  const chain = findChain(whole, files, manifest.logNumber);
  const counted = walkChain(chain, files);
  refuseStale(counted, manifest);
  return replay(counted, files, manifest.lastSequence, writeBufferBytes);
}

function readLogFiles(fs: FileSystem, directory: string, logNumber: number): LogFile[] {
  const numbers = fs
    .list(directory)
    .map(parseFileName)
    .flatMap((file) => (file?.kind === 'log' && file.number >= logNumber ? [file.number as number] : []))
    .sort((a, b) => a - b);
  return numbers.map((number) => {
    const path = logPath(directory, fileNumber(number));
    const file = fs.openRead(path);
    try {
      const size = file.size();
      // Offsets in logs are 32 bits wide; a sparse file may claim anything.
      if (size > MAX_LOG_BYTES)
        throw new CorruptionError('the log is longer than logs get', { file: path, offset: MAX_LOG_BYTES });
      const bytes = new Uint8Array(size);
      if (readFully(file, bytes, 0) !== bytes.length)
        throw ioError('read', path, new Error('it shrank while being read'));
      return { number, path, bytes };
    } finally {
      file.close();
    }
  });
}

/** A clean close measured these logs and synced them: anything but all of their bytes is damage. */
function checkSealedLogs(directory: string, files: readonly LogFile[], manifest: LogManifest): void {
  for (const { number, sizeBytes } of manifest.sealedLogs) {
    if (number < manifest.logNumber) continue;
    const path = logPath(directory, fileNumber(number));
    const file = files.find((candidate) => candidate.number === number);
    if (file === undefined)
      throw new CorruptionError('a log that the manifest names is missing', { file: path });
    const log = readLog(file.bytes, path, number, sizeBytes);
    if (log.validBytes !== sizeBytes)
      throw new CorruptionError(`the log has ${log.validBytes} sound bytes of ${sizeBytes}`, {
        file: path,
        offset: log.validBytes,
      });
  }
}

/**
 * Step 2. Oldest first. Where a predecessor is lost, all that follows it is dropped, and the chain is looked for again among
 * the logs before it: they are as the recovery found them that started the lost one.
 */
function findChain(
  logs: readonly RecoveredLog[],
  files: readonly LogFile[],
  logNumber: number,
): RecoveredLog[] {
  const byNumber = new Map(logs.map((log) => [log.number, log]));
  let chain: RecoveredLog[] = [];
  let log = logs.findLast((candidate) => candidate.start !== undefined);
  while (log !== undefined) {
    chain.unshift(log);
    const { previousLog = 0, previousBytes = 0, previousSynced = 0 } = log.start ?? {};
    if (previousLog === 0 || previousLog < logNumber) return chain;
    if (previousLog >= log.number)
      throw new CorruptionError('a log names a later one as its predecessor', { file: log.path, offset: 0 });
    const previous = byNumber.get(previousLog);
    if (previous?.start === undefined) {
      const bytes = files.find((file) => file.number === previousLog)?.bytes;
      if (previous !== undefined && bytes !== undefined && !isCrashLoss(bytes, 0, previousBytes))
        throw new CorruptionError('the log has no start record', { file: previous.path, offset: 0 });
      if (previousSynced > 0)
        throw new CorruptionError(`log ${previousLog}, which was synced, is missing`, {
          file: log.path,
          offset: 0,
        });
      refuseIfSynced(chain, `log ${previousLog} is missing`, log.path, 0);
      chain = [];
      log = logs.findLast((candidate) => candidate.start !== undefined && candidate.number < previousLog);
    } else log = previous;
  }
  return chain;
}

/** Whether a power cut explains that a log is sound up to `from` only, although `to` bytes were handed to the system. */
function isCrashLoss(bytes: Uint8Array, from: number, to: number): boolean {
  return bytes.length < to || hasZeroPage(bytes, from, to, to);
}

/** Every write is in a log until a durable manifest says that it is in a table. A gap: this is not the latest manifest. */
function refuseStale(chain: readonly RecoveredLog[], manifest: LogManifest): void {
  const first = chain.find((log) => log.groups.length > 0);
  const firstSequence = first?.groups[0]?.firstSequence ?? 0;
  if (first === undefined || firstSequence <= manifest.lastSequence + 1) return;
  throw new StaleManifestError('the manifest is out of date: writes between it and this log are missing', {
    file: first.path,
    offset: 0,
  });
}

/** Step 3: the logs that count, cut where their successors say. */
function walkChain(chain: readonly RecoveredLog[], files: readonly LogFile[]): RecoveredLog[] {
  const counted: RecoveredLog[] = [];
  for (const [index, log] of chain.entries()) {
    const successor = chain[index + 1];
    if (successor === undefined) {
      counted.push(log);
      break;
    }
    const length = successor.start?.previousBytes ?? 0;
    const { bytes } = files.find((file) => file.number === log.number)!;
    const cut = log.validBytes === length ? log : readLog(bytes, log.path, log.number, length);
    counted.push(cut);
    if (cut.validBytes !== length) {
      const problem = `the log ends before byte ${length}`;
      // Only a lost page explains it: its successor was created after all of this log had been handed to the system.
      const wasSynced = cut.validBytes < (successor.start?.previousSynced ?? 0);
      if (wasSynced || !isCrashLoss(bytes, cut.validBytes, length))
        throw new CorruptionError(problem, { file: log.path, offset: cut.validBytes });
      refuseIfSynced(chain.slice(index + 1), problem, log.path, cut.validBytes);
      break;
    }
  }
  return counted;
}

/** The logs in `dropped` follow a gap. Fine if the power failed before the gap was written; damage if it had been synced. */
function refuseIfSynced(
  dropped: readonly RecoveredLog[],
  problem: string,
  file: string,
  offset: number,
): void {
  if (dropped.some((log) => log.hasSyncEvidence))
    throw new CorruptionError(`${problem}, although later logs were synced`, { file, offset });
}

/** Step 4. One memtable per log, except that small ones share. */
function replay(
  logs: readonly RecoveredLog[],
  files: readonly LogFile[],
  manifestSequence: number,
  writeBufferBytes: number,
): RecoveredState {
  const memtables: LiveMemtable[] = [];
  let lastSequence = manifestSequence;
  /** Of the first write in `pending`, or of the next one to come if none of its logs got beyond its start record. */
  let nextSequence = lastSequence + 1;
  let pending: RecoveredLog[] = [];
  const build = (): void => {
    if (pending.length === 0) return;
    memtables.push(buildMemtable(pending, files, nextSequence, writeBufferBytes));
    pending = [];
    nextSequence = lastSequence + 1;
  };
  for (const log of logs) {
    const size = pending.reduce((sum, other) => sum + other.validBytes, log.validBytes);
    if (size > writeBufferBytes) build();
    pending.push(log);
    const last = log.groups.at(-1);
    if (last !== undefined) lastSequence = Math.max(lastSequence, last.firstSequence + last.count - 1);
  }
  build();
  const extents = logs.map((log) => ({ number: fileNumber(log.number), sizeBytes: log.validBytes }));
  return { memtables, lastSequence, logs: extents };
}

function buildMemtable(
  logs: readonly RecoveredLog[],
  files: readonly LogFile[],
  nextSequence: number,
  writeBufferBytes: number,
): LiveMemtable {
  const groups = logs.flatMap((log) => log.groups.map((group) => ({ log, group })));
  const dataBytes = groups.reduce((sum, { group }) => sum + group.end - group.start, 0);
  const entryCount = groups.reduce((sum, { group }) => sum + group.count, 0);
  const firstSequence = groups[0]?.group.firstSequence ?? nextSequence;
  const needed = dataBytes + worstCaseNodeBytes(entryCount, 0);
  const memtable = createMemtable(Math.min(needed, writeBufferBytes), needed, firstSequence);
  for (const { log, group } of groups) {
    if (memtable.nextSequence !== group.firstSequence)
      throw new CorruptionError('the sequence numbers of the logs have a gap', {
        file: log.path,
        offset: group.start,
      });
    const { bytes } = files.find((file) => file.number === log.number)!;
    memtable.appendEncoded(bytes, group.start, group.end);
  }
  memtable.arena.publish(entryCount);
  const extents = logs.map((log) => ({ number: fileNumber(log.number), sizeBytes: log.validBytes }));
  return new LiveMemtable(memtable, undefined, extents);
}
