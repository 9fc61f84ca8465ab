/**
 * One moment of a store as files: what a checkpoint links and a backup uploads, while writes go on.
 *
 *   of an owner      1. what is in memory is frozen, within the call: S is the last write in it
 *                    2. it is flushed; in the step in which that is installed the version is pinned (moments.ts)
 *                    3. the copy consists of its tables. It needs no log
 *   of a read-only   its tables, and the logs that it has recovered, as far as they count
 *
 *   files()          [000012.sst 000014.sst ...]      + manifest()     = a store that opens, of exactly the writes up to S
 *
 * The manifest of the copy is the store's own, of that moment: same id, same numbers, nothing obsolete, and the list of tables as
 * a whole. Whoever writes it to a disk cuts it into pages (saveManifest).
 *
 * Invariants: every write that was acknowledged when captureStore() was called is in it, and none above `sequence`. The files
 *             stay, as they are, until release(). The time is one at which all of these writes had been made, and no later one.
 * Thread:     main.     Owns: a pin.
 * Not chosen: no flush, and a part of the log instead: a copy of a log that goes on growing has to be cut off, so it can't be a
 *             link.
 */
import { assert } from '../../shared/base/assert.ts';
import { type FileNumber, fileNumber } from '../../shared/base/ids.ts';
import { logName, logPath, tableName, tablePath } from '../../shared/files/file-names.ts';
import type { FileSystem } from '../../shared/files/file-system.ts';
import type { Version } from '../../shared/read/version.ts';
import type { PinnedVersion } from '../../shared/read/version-pins.ts';
import type { Clock } from '../../shared/threads/shared-clock.ts';
import { NOTHING_KEPT } from '../manifest/kept-state.ts';
import {
  encodeManifest,
  MANIFEST_FORMAT_VERSION,
  type ManifestState,
  type SealedLog,
} from '../manifest/manifest.ts';
import type { VersionSet } from '../manifest/version-set.ts';
import type { ResolvedOptions } from '../store/options.ts';
import type { MemtableList } from '../write/memtable-list.ts';
import { checksumOf } from './copy-file.ts';
import type { AwaitedMoment, TableMoments } from './moments.ts';
import { positionOf } from './place.ts';

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
  /** CRC-32 of these bytes. */
  readonly checksum: number;
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
  return parts.options.readOnly ? await captureReadOnly(parts) : await captureOwned(parts, scheduler);
}

async function captureOwned(parts: CaptureParts, scheduler: CaptureScheduler): Promise<Capture> {
  const timeMs = parts.clock.now();
  const flushed = scheduler.flushEntered();
  const { newest } = parts.memtables;
  const sequence = newest === undefined ? parts.moments.through : newest.memtable.nextSequence - 1;
  const moment: AwaitedMoment = parts.moments.at(sequence);
  try {
    await flushed;
    const { pin } = moment;
    assert(pin !== undefined, 'what was flushed is in no version');
    return describe(parts, pin, { sequence, timeMs, logs: [] });
  } catch (error) {
    moment.release();
    throw error;
  }
}

async function captureReadOnly(parts: CaptureParts): Promise<Capture> {
  const { memtables, moments, versions, clock, directory, fs } = parts;
  const { newest } = memtables;
  const sequence = newest === undefined ? moments.through : newest.memtable.nextSequence - 1;
  const pin = versions.pin();
  try {
    const timeMs = clock.now();
    const logs: CapturedFile[] = [];
    for (const { number, sizeBytes } of memtables.logs()) {
      const path = logPath(directory, number);
      const checksum = await checksumOf(fs, path, sizeBytes);
      logs.push({ kind: 'log', number, name: logName(number), path, sizeBytes, checksum });
    }
    return describe(parts, pin, { sequence, timeMs, logs });
  } catch (error) {
    pin.release();
    throw error;
  }
}

interface Moment {
  readonly sequence: number;
  readonly timeMs: number;
  readonly logs: readonly CapturedFile[];
}

function describe(parts: CaptureParts, pin: PinnedVersion, { sequence, timeMs, logs }: Moment): Capture {
  const { versions, directory } = parts;
  const { levels } = pin.version;
  const tables = levels.flat().map(
    ({ number, sizeBytes, checksum }): CapturedFile => ({
      kind: 'table',
      number,
      name: tableName(number),
      path: tablePath(directory, number),
      sizeBytes,
      checksum,
    }),
  );
  const state = stateOf(versions, levels, { sequence, timeMs, logs });
  return {
    storeId: state.storeId,
    position: positionOf(parts, sequence),
    sequence,
    timeMs,
    files: [...tables, ...logs],
    state,
    manifest: () => encodeManifest(state),
    release: () => pin.release(),
  };
}

function stateOf(
  { storeId, ownerEpoch, lastTime, nextFileNumber, history, branch }: VersionSet,
  levels: Version['levels'],
  { sequence, timeMs, logs }: Moment,
): ManifestState {
  const numbers = [...levels.flat(), ...logs].map(({ number }): number => number);
  const next = numbers.reduce<number>((highest, number) => Math.max(highest, number + 1), nextFileNumber);
  return {
    formatVersion: MANIFEST_FORMAT_VERSION,
    storeId,
    ownerEpoch,
    lastTime: Math.max(lastTime, timeMs),
    nextFileNumber: next,
    lastSequence: sequence,
    logNumber: logs[0]?.number ?? next,
    sealedLogs: logs.map(({ number, sizeBytes }): SealedLog => ({ number: fileNumber(number), sizeBytes })),
    obsoleteTables: [],
    obsoleteLogs: [],
    obsoletePages: [],
    pages: [],
    ...NOTHING_KEPT,
    epochs: history.upTo(sequence),
    ...(branch === undefined ? {} : { branch }),
    levels,
  };
}
