/**
 * What the manifest says of the past: the epochs of the store's history, and what is kept for those who follow its changes.
 *
 *   epochs       whose writes the sequences up to the last one are (shared/changes/history.ts)
 *   keptLogs     logs below the log number: what they hold is in tables, and they stay for changes()
 *   keptLoads    ingestions: the sequence of each, when it was, and of which tables it was made
 *   keptTables   those of them that are in no level any more
 *
 * Thread: main. Pure.
 */
import { type ClosedEpoch, isEpochId, MAX_EPOCHS } from '../../shared/changes/history.ts';

/** A table (or page) that is in use no more, and what it is known by (file-identity.ts). */
export interface FileIdentity {
  readonly number: number;
  readonly sizeBytes: number;
  readonly checksum: number;
}

/** A log that is kept: how much of it counts, and what it is known by. */
export interface KeptLog {
  readonly number: number;
  readonly sizeBytes: number;
  readonly firstGroup: number;
  /** Of its first entry. */
  readonly firstSequence: number;
  /** When it was begun, in milliseconds since 1970. */
  readonly time: number;
}

/** An ingestion that is kept. */
export interface KeptLoad {
  /** That of all its entries. */
  readonly sequence: number;
  /** The last sequence before it: none in between was given to anything. */
  readonly after: number;
  /** When it became visible, in milliseconds since 1970. */
  readonly time: number;
  /** Of its tables together. */
  readonly sizeBytes: number;
  /** Their numbers, in the order of their keys. */
  readonly tables: readonly number[];
}

export interface KeptState {
  /** Ends rise; the last is that of `lastSequence`. */
  readonly epochs: readonly ClosedEpoch[];
  /** Ascending, below `logNumber`. */
  readonly keptLogs: readonly KeptLog[];
  /** Oldest first. */
  readonly keptLoads: readonly KeptLoad[];
  /** Ascending. */
  readonly keptTables: readonly FileIdentity[];
  /** The way of a backup that the store goes on, since it was restored; absent: it was not. */
  readonly branch?: string | undefined;
}

export const NOTHING_KEPT: KeptState = { epochs: [], keptLogs: [], keptLoads: [], keptTables: [] };

export const MAX_KEPT_LOGS = 10_000;
const MAX_KEPT_LOADS = 10_000;
const BRANCH = /^[-.:\w]{1,128}$/;

interface Bounds {
  readonly lastSequence: number;
  readonly logNumber: number;
  readonly nextFileNumber: number;
}

/** What is wrong with it, apart from numbers that appear twice; undefined when nothing is. */
export function keptProblem(state: KeptState & Bounds): string | undefined {
  const { branch, keptLogs, keptTables, keptLoads, logNumber, nextFileNumber } = state;
  if (branch !== undefined && !BRANCH.test(branch)) return 'the name of the branch is malformed';
  if (keptLogs.length > MAX_KEPT_LOGS || keptLoads.length > MAX_KEPT_LOADS)
    return 'too many kept logs or loads';
  if (!areAscending(keptLogs, Math.min(logNumber, nextFileNumber))) return 'the kept logs are not in order';
  if (!keptLogs.every(isLogSound)) return 'the size, checksum or place of a kept log is out of range';
  if (!areAscending(keptTables, nextFileNumber)) return 'the kept tables are not in order';
  if (!keptTables.every(({ sizeBytes, checksum }) => isCount(sizeBytes) && isChecksum(checksum)))
    return 'the size or checksum of a kept table is out of range';
  return epochsProblem(state) ?? loadsProblem(state);
}

function isLogSound(
  { sizeBytes, firstGroup, firstSequence, time }: KeptLog,
  i: number,
  all: readonly KeptLog[],
): boolean {
  const before = all[i - 1]?.firstSequence ?? 1;
  return (
    isCount(sizeBytes) &&
    isChecksum(firstGroup) &&
    isCount(firstSequence) &&
    firstSequence >= before &&
    isCount(time)
  );
}

function epochsProblem({ epochs, lastSequence }: KeptState & Bounds): string | undefined {
  if (epochs.length > MAX_EPOCHS) return 'too many epochs';
  let last = 0;
  for (const { id, end } of epochs) {
    if (!isEpochId(id)) return 'the id of an epoch is malformed';
    if (!isCount(end) || end <= last) return 'the epochs are not in order';
    last = end;
  }
  return last > lastSequence ? 'an epoch ends above the last sequence' : undefined;
}

function loadsProblem({
  keptLoads,
  keptTables,
  lastSequence,
  nextFileNumber,
}: KeptState & Bounds): string | undefined {
  const tables = new Set<number>();
  let last = 0;
  for (const load of keptLoads) {
    if (!isCount(load.sequence) || load.sequence <= last || load.sequence > lastSequence)
      return 'the kept loads are not in order';
    if (!isCount(load.after) || load.after < last || load.after >= load.sequence)
      return 'a kept load begins in another one, or behind its end';
    if (!isCount(load.time) || !isCount(load.sizeBytes))
      return 'the time or size of a kept load is out of range';
    if (load.tables.length === 0) return 'a kept load has no tables';
    for (const number of load.tables) {
      if (!isCount(number) || number < 1 || number >= nextFileNumber || tables.has(number))
        return 'a table of a kept load is out of range';
      tables.add(number);
    }
    last = load.sequence;
  }
  return keptTables.every(({ number }) => tables.has(number)) ? undefined : 'a kept table is of no load';
}

/** Whether each table of a kept load is there, in a level or kept. */
export function areLoadsWhole(
  { keptLoads, keptTables }: KeptState,
  isLive: (number: number) => boolean,
): boolean {
  const kept = new Set(keptTables.map(({ number }) => number));
  return keptLoads.every(({ tables }) => tables.every((number) => kept.has(number) || isLive(number)));
}

/** Whether these are file numbers below `end`, each larger than the one before. */
export function areAscending(files: readonly { readonly number: number }[], end: number): boolean {
  return files.every(
    ({ number }, i) => isCount(number) && number > (files[i - 1]?.number ?? 0) && number < end,
  );
}

export function isChecksum(value: number): boolean {
  return isCount(value) && value <= 0xffffffff;
}

/** A safe integer >= 0, and not -0, which is written as 0 and would not come back as what was read. */
export function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0 && !Object.is(value, -0);
}
