/**
 * One moment of a store as files: what a checkpoint links and a backup uploads, while writes go on.
 *
 *   of an owner      1. what is in memory is frozen, within the call: S is the last write in it
 *                    2. it is flushed; in the step in which that is installed the version is pinned (moments.ts)
 *                    3. the copy consists of its tables. It needs no log of writes
 *   of a read-only   its tables, and the logs that it has recovered, as far as they count
 *   of both          what is kept for changes(): logs and tables of the past. So the copy takes the positions before it as well
 *
 *   files()          [000012.sst 000014.sst ...]      + manifest()     = a store that opens, of exactly the writes up to S
 *
 * The manifest of the copy is the store's own, of that moment: same id, same numbers, nothing obsolete, and the list of tables as
 * a whole. Whoever writes it to a disk cuts it into pages (saveManifest).
 *
 * Invariants: every write that was acknowledged when captureStore() was called is in it, and none above `sequence`. The files
 *             stay, as they are, until release(). The time is one at which all of these writes had been made, and no later one.
 * Thread:     main.     Owns: a moment that is held.
 * Not chosen: no flush, and a part of the log instead: a copy of a log that goes on growing has to be cut off, so it can't be a
 *             link.
 */
import { assert } from '../../shared/base/assert.ts';
import { type FileNumber, fileNumber } from '../../shared/base/ids.ts';
import { encodePosition } from '../../shared/changes/position.ts';
import { logName, logPath, tableName, tablePath } from '../../shared/files/file-names.ts';
import type { FileSystem } from '../../shared/files/file-system.ts';
import type { Version } from '../../shared/read/version.ts';
import type { Clock } from '../../shared/threads/shared-clock.ts';
import type { FileIdentity, KeptState } from '../manifest/kept-state.ts';
import { emptyState, encodeManifest, type ManifestState, type SealedLog } from '../manifest/manifest.ts';
import type { VersionSet } from '../manifest/version-set.ts';
import type { ResolvedOptions } from '../store/options.ts';
import type { LogExtent, MemtableList } from '../write/memtable-list.ts';
import type { AwaitedMoment, HeldMoment, TableMoments } from './moments.ts';

/** What a capture needs of a store. */
export interface CaptureParts {
  readonly fs: FileSystem;
  readonly directory: string;
  readonly options: Pick<ResolvedOptions, 'readOnly'>;
  readonly versions: VersionSet;
  readonly memtables: MemtableList;
  readonly moments: TableMoments;
  readonly clock: Clock;
}

/** What flushes. */
export interface CaptureScheduler {
  flushEntered(): Promise<void>;
}

/** A file of a copy, and what it is known by. */
export interface CapturedFile {
  readonly kind: 'table' | 'log';
  readonly number: FileNumber;
  /** In the copy. */
  readonly name: string;
  /** Where it lies now. */
  readonly path: string;
  /** The bytes from the start that are the copy's: a log may have more. */
  readonly sizeBytes: number;
  /** CRC-32 of these bytes; undefined: of a log nobody knows it before it was read. */
  readonly checksum: number | undefined;
  /** All of it has been synced. A log that was recovered may be in the memory of the system only. */
  readonly isSynced: boolean;
}

/** A moment of a store, held until it is released. */
export interface Capture {
  readonly storeId: string;
  /** Of the last write in it. */
  readonly position: string;
  readonly sequence: number;
  /** All of its writes had been made at this time, in milliseconds since 1970, and no later one. */
  readonly timeMs: number;
  /** All files of the copy, but for its manifest. */
  readonly files: readonly CapturedFile[];
  readonly state: ManifestState;
  /** manifest.json of the copy, without pages. */
  manifest(): Uint8Array;
  /** Idempotent. */
  release(): void;
}

/**
 * @throws {@link StorageError} as flush() does: a store that can't be flushed can't be captured.
 */
export async function captureStore(parts: CaptureParts, scheduler: CaptureScheduler): Promise<Capture> {
  return parts.options.readOnly ? captureReadOnly(parts) : await captureOwned(parts, scheduler);
}

async function captureOwned(parts: CaptureParts, scheduler: CaptureScheduler): Promise<Capture> {
  const timeMs = parts.clock.now();
  const flushed = scheduler.flushEntered();
  const sequence = lastSequenceIn(parts);
  const moment: AwaitedMoment = parts.moments.at(sequence);
  try {
    await flushed;
    const { held } = moment;
    assert(held !== undefined, 'what was flushed is in no version');
    return describe(parts, held, { sequence, timeMs, logs: [] });
  } catch (error) {
    moment.release();
    throw error;
  }
}

function captureReadOnly(parts: CaptureParts): Capture {
  const { memtables, moments, clock } = parts;
  const sequence = lastSequenceIn(parts);
  return describe(parts, moments.hold(), { sequence, timeMs: clock.now(), logs: memtables.logs() });
}

/** Of what is in memory, if anything is. */
function lastSequenceIn({ memtables: { newest }, moments }: CaptureParts): number {
  return newest === undefined ? moments.through : newest.memtable.nextSequence - 1;
}

interface Moment {
  readonly sequence: number;
  readonly timeMs: number;
  /** Whose writes are in no table. */
  readonly logs: readonly LogExtent[];
}

function describe(parts: CaptureParts, held: HeldMoment, moment: Moment): Capture {
  const { versions, directory } = parts;
  const { levels } = held.version;
  const { keptTables, keptLogs } = held.kept;
  const state = stateOf(versions, levels, held.kept, moment);
  return {
    storeId: state.storeId,
    position: encodePosition(versions.history.placeAt(moment.sequence)),
    sequence: moment.sequence,
    timeMs: moment.timeMs,
    files: [
      ...[...levels.flat(), ...keptTables].map((table) => tableFile(directory, table)),
      ...keptLogs.map((log) => logFile(directory, log, true)),
      ...moment.logs.map((log) => logFile(directory, log, false)),
    ],
    state,
    manifest: () => encodeManifest(state),
    release: () => held.release(),
  };
}

function tableFile(directory: string, { number: of, sizeBytes, checksum }: FileIdentity): CapturedFile {
  const number = fileNumber(of);
  const path = tablePath(directory, number);
  return { kind: 'table', number, name: tableName(number), path, sizeBytes, checksum, isSynced: true };
}

function logFile(directory: string, { number: of, sizeBytes }: Numbered, isSynced: boolean): CapturedFile {
  const number = fileNumber(of);
  const path = logPath(directory, number);
  return { kind: 'log', number, name: logName(number), path, sizeBytes, checksum: undefined, isSynced };
}

interface Numbered {
  readonly number: number;
  readonly sizeBytes: number;
}

function stateOf(
  { storeId, ownerEpoch, lastTime, nextFileNumber, history }: VersionSet,
  levels: Version['levels'],
  { keptLogs, keptLoads, keptTables, branch }: KeptState,
  { sequence, timeMs, logs }: Moment,
): ManifestState {
  const numbers = [...levels.flat(), ...keptTables, ...keptLogs, ...logs].map(({ number }): number => number);
  const next = numbers.reduce<number>((highest, number) => Math.max(highest, number + 1), nextFileNumber);
  return {
    ...emptyState(storeId),
    ownerEpoch,
    lastTime: Math.max(lastTime, timeMs),
    nextFileNumber: next,
    lastSequence: sequence,
    logNumber: logs[0]?.number ?? next,
    sealedLogs: logs.map(({ number, sizeBytes }): SealedLog => ({ number, sizeBytes })),
    epochs: history.upTo(sequence),
    keptLogs,
    keptLoads,
    keptTables,
    ...(branch === undefined ? {} : { branch }),
    levels,
  };
}
