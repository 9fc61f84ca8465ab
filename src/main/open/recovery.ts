/**
 * Brings back what the logs hold when a store is opened.
 *
 *   1. find every log that the manifest still counts (numbers >= logNumber), and read its start record
 *   2. find the chain: from the newest log back, each start record names its predecessor. A log outside the chain was
 *      given up by an earlier recovery and holds nothing; log-reader.ts judges it all the same, as damage is damage
 *   3. walk the chain, oldest first, reading each log into the memory of its memtable (log-replay.ts), where it is judged. It
 *      must end exactly where its successor says. If one ends early, later logs were written by an operating system that lost
 *      the earlier bytes: what follows is dropped, unless it proves that the lost part had been synced, which is corruption
 *   4. index what counts, in frozen memtables; the scheduler flushes them when they are worth a table
 *
 * Memory: the memtables, 8 bytes per entry of one of them, outside the heap, and where a log is to be judged only, or dropped,
 *         that one log. Nothing in the heap per record, so what a heap has written it can open.
 *
 * Invariants: reads only, so it can be killed at any point and run again. What comes back is a prefix of the writes.
 *             A log that a clean close has measured (manifest: sealedLogs) must be there, whole.
 * Not chosen: truncating a torn log, or appending to it: the second crash then loses what the first one left.
 */
import { CorruptionError } from '../../shared/base/errors.ts';
import type { ClosedEpoch } from '../../shared/changes/history.ts';
import type { FileSystem } from '../../shared/files/file-system.ts';
import type { ManifestState } from '../manifest/manifest.ts';
import type { Trace } from '../store/trace.ts';
import type { LiveMemtable, LogExtent } from '../write/memtable-list.ts';
import { findLogFiles, type LogFile } from './log-files.ts';
import { hasZeroPage, type RecoveredLog, readLog } from './log-reader.ts';
import { extentOf, LogReplay } from './log-replay.ts';
import { traceDropped, traceReplayed } from './open-trace.ts';

export interface RecoveredState {
  /** Frozen, oldest first. */
  readonly memtables: readonly LiveMemtable[];
  readonly lastSequence: number;
  /** Every log whose bytes counted. */
  readonly logs: readonly LogExtent[];
  /** The latest time in the logs, in milliseconds since 1970; 0: none. */
  readonly latestMs: number;
  /** The highest owner's epoch in the logs. */
  readonly latestEpoch: number;
  /** Whose writes the logs hold, oldest first: the ids in their start records ('' for none), each up to its last sequence. */
  readonly epochs: readonly ClosedEpoch[];
}

/** What of the manifest matters here. */
export type LogManifest = Pick<ManifestState, 'logNumber' | 'lastSequence' | 'sealedLogs'>;

/** The manifest is intact and not the latest: repair must not rely on it. */
export class StaleManifestError extends CorruptionError {}

/** {@link recoverLogs}, told by `trace`. */
export function recoverTraced(
  trace: Trace,
  fs: FileSystem,
  directory: string,
  manifest: LogManifest,
  writeBufferBytes: number,
  names: readonly string[],
): RecoveredState {
  const { logNumber, lastSequence } = manifest;
  const span = trace.wants('recovery') ? trace.begin('recovery', { logNumber, lastSequence }) : undefined;
  try {
    const recovered = recoverLogs(fs, directory, manifest, writeBufferBytes, names, trace);
    const { logs, memtables } = recovered;
    span?.end({ logs: logs.length, memtables: memtables.length, lastSequence: recovered.lastSequence });
    return recovered;
  } catch (error) {
    span?.fail(error);
    throw error;
  }
}

/** Requires: the store's lock is held. */
export function recoverLogs(
  fs: FileSystem,
  directory: string,
  manifest: LogManifest,
  writeBufferBytes: number,
  names: readonly string[] = fs.list(directory),
  trace?: Trace,
): RecoveredState {
  const sealed = new Map(manifest.sealedLogs.map((log) => [log.number as number, log.sizeBytes]));
  const files = findLogFiles(fs, directory, manifest.logNumber, sealed, names);
  const chain = findChain(files, manifest.logNumber);
  const givenUp = files.filter((file) => !chain.includes(file));
  for (const file of givenUp) file.judge();
  traceDropped(trace, givenUp, 'given-up');
  const totalBytes = chain.reduce((sum, file) => sum + file.lengthBytes, 0);
  const replay = new LogReplay(writeBufferBytes, totalBytes);
  const counted = walkChain(chain, replay, trace);
  refuseStale(counted, manifest);
  const last = counted.findLast((log) => log.entryCount > 0);
  const lastSequence = Math.max(
    manifest.lastSequence,
    last === undefined ? 0 : last.firstSequence + last.entryCount - 1,
  );
  return {
    memtables: replay.finish(lastSequence + 1),
    lastSequence,
    logs: counted.map(extentOf),
    latestMs: counted.reduce((latest, log) => Math.max(latest, log.latestMs), 0),
    latestEpoch: counted.reduce((latest, log) => Math.max(latest, log.start?.epoch ?? 0), 0),
    epochs: counted
      .filter((log) => log.entryCount > 0)
      .map((log) => ({ id: log.start?.epochId ?? '', end: log.firstSequence + log.entryCount - 1 })),
  };
}

/**
 * Step 2. Oldest first. Where a predecessor is lost, all that follows it is dropped, and the chain is looked for again among
 * the logs before it: they are as the recovery found them that started the lost one.
 */
function findChain(files: readonly LogFile[], logNumber: number): LogFile[] {
  const byNumber = new Map(files.map((file) => [file.number, file]));
  let chain: LogFile[] = [];
  let file = files.findLast((candidate) => candidate.start !== undefined);
  while (file !== undefined) {
    chain.push(file);
    const { previousLog = 0, previousBytes = 0, previousSynced = 0 } = file.start ?? {};
    if (previousLog === 0 || previousLog < logNumber) break;
    if (previousLog >= file.number)
      throw new CorruptionError('a log names a later one as its predecessor', { file: file.path, offset: 0 });
    const previous = byNumber.get(previousLog);
    if (previous?.start === undefined) {
      if (previous !== undefined && !isCrashLoss(previous.read(), 0, previousBytes))
        throw new CorruptionError('the log has no start record', { file: previous.path, offset: 0 });
      if (previousSynced > 0)
        throw new CorruptionError(`log ${previousLog}, which was synced, is missing`, {
          file: file.path,
          offset: 0,
        });
      refuseIfSynced(chain.reverse(), `log ${previousLog} is missing`, file.path, 0);
      chain = [];
      file = files.findLast((candidate) => candidate.start !== undefined && candidate.number < previousLog);
    } else file = previous;
  }
  return chain.reverse();
}

/** Whether a power cut explains that a log is sound up to `from` only, although `to` bytes were handed to the system. */
function isCrashLoss(bytes: Uint8Array, from: number, to: number): boolean {
  return bytes.length < to || hasZeroPage(bytes, from, to, to);
}

/** Every write is in a log until a durable manifest says that it is in a table. A gap: this is not the latest manifest. */
function refuseStale(logs: readonly RecoveredLog[], manifest: LogManifest): void {
  let known = manifest.lastSequence;
  for (const log of logs) {
    if (log.entryCount === 0) continue;
    if (log.firstSequence > known + 1)
      throw new StaleManifestError(
        'the manifest is out of date: writes between it and this log are missing',
        { file: log.path, offset: 0 },
      );
    known = Math.max(known, log.firstSequence + log.entryCount - 1);
  }
}

/** Step 3: the logs that count, cut where their successors say. */
function walkChain(chain: readonly LogFile[], replay: LogReplay, trace: Trace | undefined): RecoveredLog[] {
  const counted: RecoveredLog[] = [];
  for (const [index, file] of chain.entries()) {
    const { bytes, log } = replay.load(file);
    const successor = chain[index + 1];
    const length = successor?.start?.previousBytes ?? log.validBytes;
    const cut = log.validBytes === length ? log : readLog(bytes, file.path, file.number, length);
    refuseOverlap(counted.at(-1), cut);
    replay.keep(cut);
    counted.push(cut);
    traceReplayed(trace, file, cut);
    if (cut.validBytes !== length) {
      const problem = `the log ends before byte ${length}`;
      // Only a lost page explains it: its successor was created after all of this log had been handed to the system.
      const wasSynced = cut.validBytes < (successor?.start?.previousSynced ?? 0);
      if (wasSynced || !isCrashLoss(file.read(), cut.validBytes, length))
        throw new CorruptionError(problem, { file: file.path, offset: cut.validBytes });
      const dropped = chain.slice(index + 1);
      refuseIfSynced(dropped, problem, file.path, cut.validBytes);
      traceDropped(trace, dropped, 'after-gap');
      break;
    }
  }
  return counted;
}

/** A log begins behind all that the one before it holds: ingestions may take sequences in between, and nothing gives any back. */
function refuseOverlap(before: RecoveredLog | undefined, log: RecoveredLog): void {
  if (before !== undefined && log.firstSequence < before.firstSequence + before.entryCount)
    throw new CorruptionError('the sequence numbers of the logs overlap', { file: log.path, offset: 0 });
}

/** The logs in `dropped` follow a gap. Fine if the power failed before the gap was written; damage if it had been synced. */
function refuseIfSynced(dropped: readonly LogFile[], problem: string, file: string, offset: number): void {
  if (dropped.some((log) => log.judge().hasSyncEvidence))
    throw new CorruptionError(`${problem}, although later logs were synced`, { file, offset });
}
