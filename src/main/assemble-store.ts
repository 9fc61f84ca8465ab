/**
 * Makes the parts of a store and wires them together: the one place where it stands who hears of what.
 *
 *   memory and reading   block cache, disk, tables, arenas, memtables
 *   files                the manifest's versions, deletions, ownership
 *   work                 threads and the runner of jobs
 *   writing              gate and commit pipeline
 *
 * What parts ask of the store as a whole they ask of its {@link StoreHost}, the RunningStore. Nothing is asked while the parts
 * are made.
 *
 * Thread: main.     Owns: nothing; the parts are the RunningStore's.
 */
import type { StorageError } from '../shared/base/errors.ts';
import { ForgottenWarning } from '../shared/base/forgotten.ts';
import { fileNumber, type SequenceNumber } from '../shared/base/ids.ts';
import { setImmediate } from '../shared/base/timers.ts';
import { Disk } from '../shared/disk/disk.ts';
import { TableCache } from '../shared/read/table-cache.ts';
import { BlockCache } from '../shared/table/block-cache.ts';
import type { SharedClock } from '../shared/threads/shared-clock.ts';
import { ReadPressure } from './compaction/read-pressure.ts';
import { RunningPlans } from './compaction/running-plans.ts';
import { type HeldMoment, TableMoments } from './copy/moments.ts';
import type { DeletionQueue } from './files/deletion-queue.ts';
import { reportDeletion } from './files/job-outputs.ts';
import type { Ownership } from './files/ownership.ts';
import { JobRunner } from './jobs/job-runner.ts';
import { WorkerPool } from './jobs/worker-pool.ts';
import type { VersionSet } from './manifest/version-set.ts';
import type { Opened, OpenInternals } from './open/open-store.ts';
import type { ViewPublisher } from './share/view-publisher.ts';
import { Counters } from './store/counters.ts';
import type { TellEvent } from './store/events.ts';
import type { ResolvedOptions } from './store/options.ts';
import { SnapshotList } from './store/snapshot.ts';
import { startClock } from './store/store-clock.ts';
import { StoreFiles } from './store-files.ts';
import type { StoreParts } from './store-parts.ts';
import { tableWatch, tracedReport, traceStall } from './store-trace.ts';
import { ArenaPool } from './write/arena-pool.ts';
import { CommitPipeline } from './write/commit-pipeline.ts';
import { RecoveredLogFile } from './write/log-writer.ts';
import { MemtableList } from './write/memtable-list.ts';
import { WriteGate } from './write/write-gate.ts';

/** What parts ask of the store as a whole. */
export interface StoreHost {
  /** Posts changes to clients in other threads; undefined: nobody has shared the store. */
  views(): ViewPublisher | undefined;
  /** The last sequence given to any write, published or not. */
  lastSequence(): number;
  visibleSequence(): SequenceNumber;
  isClosing(): boolean;
  /** Makes writes up to `sequence` visible, which took `logBytes` in the log. */
  publish(sequence: number, logBytes: number): void;
  /** What has to be flushed or compacted may have changed. */
  workMayBeDue(): void;
  /** Reads pay for tables that a compaction would merge. */
  readersSuffer(): void;
  snapshotReleased(): void;
  /** Up to here every archive that keeps up has read the changes; undefined: there is none. */
  unreadAfter(): number | undefined;
  /**
   * The manifest or the log failed: no write may be accepted until the store is opened again, and no background work goes on.
   * Reports it, once; returns the error for writers.
   */
  becomeReadOnly(operation: string, error: unknown): StorageError;
}

export function assembleStore(
  opened: Opened,
  internals: OpenInternals,
  tell: TellEvent,
  host: StoreHost,
): { readonly parts: StoreParts; readonly ownership: Ownership } {
  const { fs, path, directory, options, control, trace } = opened;
  const report = tracedReport(trace, tell);
  const { visibleSequence, isClosing, becomeReadOnly } = host;
  const counters = new Counters();
  const blocks = new BlockCache(options.cacheBytes);
  const disk = new Disk(fs, { use: control.diskUse });
  const tables = new TableCache(fs, directory, options, blocks, disk, tableWatch(trace));
  const { arenas, memtables } = makeMemory(opened, internals, host);
  const runningPlans = new RunningPlans();
  const files = new StoreFiles(opened, tables, {
    lost: (error) => void becomeReadOnly('directory', error),
    deletionFailed: (error) => reportDeletion(report, error),
    installed: (edit) => {
      host.views()?.installed(edit);
      moments.installed(edit);
    },
    reservedRanges: () => runningPlans.ranges(),
    unreadAfter: host.unreadAfter,
    poisoned: (error) => void becomeReadOnly('manifest', error),
  });
  const { versions, deletions, ownership } = files;
  const moments = new TableMoments(() => holdMoment(versions, deletions), sequenceInTables(opened));
  const latestMs = Math.max(opened.recovered.latestMs, versions.lastTime);
  const clock = startClock(control, latestMs, internals.clock);
  const gate = new WriteGate(
    (event) => {
      report('stall', event);
      traceStall(trace, event, versions, memtables);
    },
    () => pipeline.rateChanged(),
  );
  const pipeline: CommitPipeline = makePipeline(opened, files, clock, { gate, arenas, memtables }, host);
  const places = { fs, path, directory, options, control };
  const reading = { memtables, arenas, disk, tables, blocks };
  const parts: StoreParts = {
    ...places,
    ...reading,
    versions,
    moments,
    clock,
    pipeline,
    gate,
    counters,
    deletions,
    runningPlans,
    // In a turn of its own: a reader should not wait for the planning.
    readPressure: new ReadPressure(() => setImmediate(host.readersSuffer).unref()),
    snapshots: new SnapshotList(new ForgottenWarning('snapshot', path), host.snapshotReleased),
    jobs: new JobRunner(makePool(options, internals), control, fs, directory, counters, trace),
    visibleSequence,
    isClosing,
    report,
    trace,
    becomeReadOnly,
  };
  return { parts, ownership };
}

/** Neither the tables of the version nor what is kept for changes() is deleted until it is released. */
function holdMoment(versions: VersionSet, deletions: DeletionQueue): HeldMoment {
  const pin = versions.pin();
  const { kept } = versions;
  const files = [...kept.keptLogs, ...kept.keptTables].map(({ number }) => fileNumber(number));
  const giveBack = deletions.keep(files);
  const release = (): void => {
    pin.release();
    giveBack();
  };
  return { version: pin.version, kept, release };
}

/** The last one: what comes after it is in the logs. */
function sequenceInTables({ recovered }: Opened): number {
  const oldest = recovered.memtables[0];
  return oldest === undefined ? recovered.lastSequence : oldest.memtable.arena.firstSequence - 1;
}

/** Clients in other threads hear of changes to memtables first. */
function makeMemory(
  { options, recovered }: Opened,
  internals: OpenInternals,
  host: StoreHost,
): { readonly arenas: ArenaPool; readonly memtables: MemtableList } {
  const arenas = new ArenaPool(options.writeBufferBytes, internals.arenaRestMs, {
    givenUp: (byteLength) => host.views()?.noteGivenUp(byteLength),
    mayRest: () => host.views()?.isCaughtUp ?? true,
  });
  const memtables = new MemtableList(recovered.memtables, {
    activated: (live) => host.views()?.activated(live),
    removed: (live) => host.views()?.removed(live),
    unused: (live) => arenas.give(live.memtable.arena),
  });
  return { arenas, memtables };
}

function makePool({ threads, pool, callerThreads }: ResolvedOptions, internals: OpenInternals): WorkerPool {
  const { fileSystem, workerUrl, stallLimitMs } = internals;
  // A disk that is not the system's may be one that fails or counts: what it does stays on its store's threads.
  const ofProcess = fileSystem === undefined;
  return new WorkerPool({ threads, pool, callerThreads, ofProcess, workerUrl, stallLimitMs });
}

function makePipeline(
  { fs, directory, options, state, recovered }: Opened,
  files: StoreFiles,
  clock: SharedClock,
  memory: { readonly gate: WriteGate; readonly arenas: ArenaPool; readonly memtables: MemtableList },
  host: StoreHost,
): CommitPipeline {
  const sealed = new Set(state.sealedLogs.map((log) => log.number));
  const unsealed = recovered.logs.filter((log) => !sealed.has(log.number));
  return new CommitPipeline({
    ...memory,
    maxHeldBytes: options.maxHeldBytes,
    recoveredLogs: unsealed.map((log) => new RecoveredLogFile(fs, directory, log.number, log.sizeBytes)),
    lastSequence: host.lastSequence,
    ownerEpoch: files.versions.ownerEpoch,
    epochId: files.versions.history.id,
    time: () => clock.now(),
    createLog: () => files.createLog(),
    discardLog: (writer) => files.discardLog(writer),
    syncDirectory: () => fs.syncDirectoryAsync(directory),
    publish: host.publish,
    frozen: host.workMayBeDue,
    failed: host.becomeReadOnly,
  });
}
