/**
 * One ingestion, from its sorted runs to the one edit that makes it visible.
 *
 *   1. sort    runs are built of the records: by the pool (pool-sorter.ts) or by a client's thread (received-ingestion.ts)
 *   2. merge   (one ingestion at a time) the runs become tables, range by range, on all threads; every entry bears the sequence S
 *   3. commit  at rest (Scheduler.atRest): the tables are placed, one edit adds them, S becomes visible
 *   4. those that had to go to level 0 move on when what is older there is gone (level-zero.ts)
 *
 * S lies above the last sequence at the start of step 2, by as much as the ingestion is large (headroomFor). Writes go on
 * meanwhile with sequences below S, so what is loaded is newer than all of them, and no snapshot or scan opened before the commit
 * sees it. Should they have used up the room, step 2 is done again, with room for four times as many, and at least twice the
 * room.
 *
 * Invariants: everything is visible or nothing, to readers and after a crash. Between the edit and the publication of S the
 *             tables are in the version, but no reader has a sequence that sees their entries.
 *             An ingestion that does not end well deletes its files; those of a crash are orphans, which the next open deletes.
 * Thread:     main.
 * Owns:       its runs, whoever built them, and its tables until they are in the version.
 * Not chosen: building tables from sorted input without runs. It would save a tenth, and S would have to be known before the
 *             source has ended, perhaps hours before the commit.
 */

import { checkAllRead } from '../../shared/base/all-read.ts';
import { assert } from '../../shared/base/assert.ts';
import { compareKeys } from '../../shared/base/bytes.ts';
import { StorageError } from '../../shared/base/errors.ts';
import { type FileNumber, type SequenceNumber, sequenceNumber } from '../../shared/base/ids.ts';
import type { KeyRange } from '../../shared/base/iterator.ts';
import { throwIfAborted } from '../../shared/base/signals.ts';
import { now } from '../../shared/base/timers.ts';
import type { TableInfo } from '../../shared/base/version-edit.ts';
import type { IngestProgress, IngestReport } from '../../shared/ingest/ingest-options.ts';
import { ProgressTeller } from '../../shared/ingest/progress.ts';
import type { RunMeta } from '../../shared/ingest/run.ts';
import type { Grandparents, IngestMergeJob, IngestMergeResult } from '../../shared/threads/jobs.ts';
import { maxOutputCount } from '../../shared/threads/output-count.ts';
import { OutputNumbers } from '../../shared/threads/output-numbers.ts';
import type { Clock } from '../../shared/threads/shared-clock.ts';
import type { BusyTables } from '../compaction/compaction-picker.ts';
import { compactionOptions } from '../compaction/compaction-plan.ts';
import { maxLevelZeroBytes } from '../compaction/level-zero.ts';
import type { Scheduler } from '../compaction/scheduler.ts';
import { removeObsoleteFiles } from '../files/deletion-queue.ts';
import type { OutputFiles } from '../files/job-outputs.ts';
import { discardOutputs, discardTables, reportDeletion, traceDeleted } from '../files/job-outputs.ts';
import type { JobRunner } from '../jobs/job-runner.ts';
import { CancelToken } from '../jobs/job-runner.ts';
import type { KeptLoad } from '../manifest/manifest-state.ts';
import type { Counters } from '../store/counters.ts';
import type { ResolvedOptions } from '../store/options.ts';
import type { SnapshotList } from '../store/snapshot.ts';
import type { MemtableList } from '../write/memtable-list.ts';
import { placeTables } from './placement.ts';
import { planRanges, type RunRange } from './run-ranges.ts';
import { Turns } from './turns.ts';

/** Without threads a job holds up main: a tenth of a second of it. */
export const INLINE_BYTES: number = 4 * 1024 * 1024;
/** Two lengths, a key, a value: where records are smaller than this on average, tables may end up larger than they should. */
const MIN_RECORD_BYTES = 8;
/** More runs than this are not merged at once: each takes a descriptor and a block of memory on each thread. */
const MAX_MERGED_RUNS = 128;
/** Ranges per thread, so that the last ones to end do not leave the others idle for long. */
const RANGES_PER_THREAD = 4;
/** Bytes of a range, at most: about a second, for which a compaction that writers need may have to wait for a thread. */
const MAX_RANGE_BYTES: number = 64 * 1024 * 1024;
/** The smallest ingestion takes some milliseconds. */
const MIN_HEADROOM = 4096;

/** The parts of a store that an ingestion works with. */
export interface IngestParts extends OutputFiles {
  readonly memtables: MemtableList;
  readonly counters: Counters;
  readonly clock: Clock;
  readonly jobs: JobRunner;
  readonly options: ResolvedOptions;
  readonly snapshots: SnapshotList;
}

/** What an ingestion needs of the running store. */
export interface IngestHost {
  readonly store: IngestParts;
  readonly scheduler: Scheduler;
  /** How many writes may be made while tables are built; undefined: as {@link headroomFor} says. */
  readonly sequenceHeadroom: number | undefined;
  /** The last sequence given to any write. */
  lastSequence(): number;
  /** Its tables are in the version, and about to become visible. */
  committed(load: KeptLoad): void;
  /** Makes everything up to `sequence` visible to reads. */
  publish(sequence: SequenceNumber): void;
  /** Throws when the store takes no writes. */
  checkWritable(): void;
}

/** What phase 1 leaves. */
export interface SortedRecords {
  /** Oldest first: of equal keys the one in the last run counts. */
  readonly runs: readonly RunMeta[];
  readonly recordCount: number;
  /** Of keys and values. */
  readonly byteCount: number;
}

/**
 * For how many writes there is room while the tables of an ingestion are built, about in proportion to how long that takes:
 * sixteen of each record, or one of every 64 bytes. These numbers are spent: 2^53 are enough for 10^15 records.
 */
export function headroomFor({ recordCount, byteCount }: SortedRecords): number {
  return MIN_HEADROOM + 16 * recordCount + Math.ceil(byteCount / 64);
}

/** The whole of {@link SortedRecords}, before there are any. */
const NOTHING: SortedRecords = { runs: [], recordCount: 0, byteCount: 0 };

export class Ingestion {
  /** Cancels the jobs of the ingestion when it is to end. */
  readonly token: CancelToken = new CancelToken();
  readonly progress: ProgressTeller;
  /** Of the traced operation. */
  traceId: number | undefined;
  readonly #host: IngestHost;
  readonly #abort = new AbortController();
  readonly #startedAt = now();
  #sorted: SortedRecords = NOTHING;
  /** Files that are not the store's: all runs, tables until they are. */
  readonly #runFiles: FileNumber[] = [];
  #tables: TableInfo[] = [];
  /** The numbers that each attempt at a merge took for tables; some may have died and left files. */
  readonly #tableNumbers: OutputNumbers[] = [];
  /** A worker has died over a merge. */
  #hasRetried = false;

  constructor(host: IngestHost, onProgress: (progress: IngestProgress) => void) {
    this.#host = host;
    this.progress = new ProgressTeller(onProgress, (error) => this.stop(error));
  }

  /** Aborted when the ingestion is to end: by the caller, by close(), by a job that failed. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Ends the ingestion, which rejects with `reason`, unless it is being committed. */
  stop(reason: unknown): void {
    this.#abort.abort(reason);
    this.token.cancel();
  }

  /** The number of a run file to be written: deleted by cleanUp(), if it is there. */
  newRun(): FileNumber {
    const number = this.#host.store.versions.allocateFileNumber();
    this.#runFiles.push(number);
    return number;
  }

  /** As {@link newRun}, for a number that was handed out before. */
  addRun(number: FileNumber): void {
    this.#runFiles.push(number);
  }

  /** Phases 2 and 3. Nothing else is in them meanwhile. */
  async mergeAndCommit(sorted: SortedRecords): Promise<IngestReport> {
    this.#sorted = sorted;
    const { recordCount, byteCount } = sorted;
    if (recordCount > 0) {
      const runs = await this.#reduceRuns(sorted.runs);
      for (let headroom = this.#host.sequenceHeadroom ?? headroomFor(sorted); ; ) {
        const before = this.#host.lastSequence();
        const sequence = this.#sequenceBeyond(headroom);
        await this.#merge(runs, sequence);
        this.#tell('installing', recordCount, byteCount, true);
        if (await this.#host.scheduler.atRest((busy) => this.#commit(sequence, busy), this.signal)) break;
        await this.#discardTables();
        // Four times what was written meanwhile: to use that up, too, writers must have become four times as fast.
        headroom = Math.max(2 * headroom, 4 * (this.#host.lastSequence() - before));
      }
    }
    return {
      records: recordCount,
      bytes: byteCount,
      entries: this.#tables.reduce((sum, table) => sum + table.entryCount, 0),
      tables: this.#tables.length,
      tableBytes: this.#tables.reduce((sum, table) => sum + table.sizeBytes, 0),
      elapsedMs: now() - this.#startedAt,
    };
  }

  /** Deletes what is of no use any more. Nobody writes runs by now. Never rejects. */
  async cleanUp(isCommitted: boolean): Promise<void> {
    if (!isCommitted) await this.#discardTables();
    await this.#deleteRuns(this.#runFiles);
    if (this.#hasRetried) await this.#deleteLostTables();
  }

  // Phase 2

  /** Until the runs are few enough to be merged at once: neighbours become one. */
  async #reduceRuns(sorted: readonly RunMeta[]): Promise<readonly RunMeta[]> {
    // Each is one run, or several that share no key: of such there are never many in one range.
    let groups: readonly (readonly RunMeta[])[] = sorted.map((run) => [run]);
    while (groups.length > MAX_MERGED_RUNS) {
      const merged: RunMeta[][] = [];
      for (let i = 0; i < groups.length; i += MAX_MERGED_RUNS) {
        const runs = groups.slice(i, i + MAX_MERGED_RUNS).flat();
        const ranges = planRanges(runs, this.#rangeCount(runs));
        const results = await this.#runMerges(ranges, () => ({ kind: 'run', number: this.newRun() }));
        checkRunsRead(runs, results);
        await this.#deleteRuns(runs.map(({ number }) => number));
        merged.push(results.map(({ run }) => run!));
      }
      groups = merged;
    }
    return groups.flat();
  }

  #sequenceBeyond(headroom: number): SequenceNumber {
    const sequence = this.#host.lastSequence() + headroom;
    if (sequence < Number.MAX_SAFE_INTEGER) return sequenceNumber(sequence);
    throw new StorageError('STRATA_READ_ONLY', 'an ingestion needs more sequence numbers than are left');
  }

  async #merge(runs: readonly RunMeta[], sequence: SequenceNumber): Promise<void> {
    const { options } = this.#host.store;
    const { maxFileSizeBytes, table } = options;
    const results = await this.#runMerges(
      planRanges(runs, this.#rangeCount(runs)),
      ({ range, sizeBytes }) => {
        const grandparents = this.#boundsBelow(range, runs);
        const estimate = {
          rawBytes: sizeBytes,
          entryCount: Math.ceil(sizeBytes / MIN_RECORD_BYTES),
          grandparentBytes: grandparents.reduce((sum, below) => sum + below.sizeBytes, 0),
        };
        const numbers = OutputNumbers.create(maxOutputCount(estimate, maxFileSizeBytes, table));
        this.#tableNumbers.push(numbers);
        return { kind: 'tables', sequence, outputs: numbers.buffer, maxFileSizeBytes, table, grandparents };
      },
    );
    checkRunsRead(runs, results);
  }

  /**
   * What the tables of a large ingestion will once be merged with: cut as other outputs are, none of them drags along much of it.
   * Few records spread over a large store would become many tiny tables: these go to level 0 (level-zero.ts).
   */
  #boundsBelow(range: KeyRange, runs: readonly RunMeta[]): Grandparents {
    const { store } = this.#host;
    const { current } = store.versions;
    const { deepestLevel } = current;
    const total = runs.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    if (!deepestLevel || total <= maxLevelZeroBytes(compactionOptions(store))) return [];
    return current
      .overlapping(deepestLevel, range)
      .map(({ largestKey, sizeBytes }) => ({ largestKey, sizeBytes }));
  }

  #rangeCount(runs: readonly RunMeta[]): number {
    const { threads, callerThreads, maxFileSizeBytes } = this.#host.store.options;
    const total = runs.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    if (threads === 0) return Math.ceil(total / INLINE_BYTES);
    const forThreads = Math.min(RANGES_PER_THREAD * callerThreads, Math.ceil(total / maxFileSizeBytes));
    return Math.max(forThreads, Math.ceil(total / Math.max(MAX_RANGE_BYTES, maxFileSizeBytes)));
  }

  /** All of them or, once one has failed, none: the others are cancelled. Tables are noted as they come. */
  async #runMerges(
    ranges: readonly RunRange[],
    outputFor: (range: RunRange) => IngestMergeJob['output'],
  ): Promise<IngestMergeResult[]> {
    const totalBytes = ranges.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    const done = ranges.map(() => 0);
    // No more at a time than there are threads: what else waits for one comes between them.
    const inTurn = new Turns(this.#host.store.options.callerThreads);
    const mergePart = async (part: RunRange, i: number): Promise<IngestMergeResult> => {
      throwIfAborted(this.signal);
      let attempts = 0;
      const output = (): IngestMergeJob['output'] => {
        this.#hasRetried ||= ++attempts > 1;
        return outputFor(part);
      };
      const result = await this.#host.store.jobs.run<'ingest-merge'>(
        (context) => ({
          ...context,
          kind: 'ingest-merge',
          runs: part.slices,
          range: part.range,
          sharedLength: part.sharedLength,
          output: output(),
        }),
        { urgent: false, keepAlive: false, forCaller: true, parent: this.traceId },
        this.token,
        (doneBytes) => {
          done[i] = doneBytes;
          this.#tellMerged(done.reduce((sum, bytes) => sum + bytes, 0) / totalBytes);
        },
      );
      done[i] = part.sizeBytes;
      this.#tables.push(...result.outputs);
      return result;
    };
    const jobs = ranges.map((part, i) => inTurn.run(() => mergePart(part, i)));
    // The first failure is the one to report; what is cancelled after it is not.
    for (const job of jobs) job.catch((error: unknown) => this.stop(error));
    await Promise.allSettled(jobs);
    throwIfAborted(this.signal);
    return await Promise.all(jobs);
  }

  #tellMerged(share: number): void {
    const part = Math.min(1, share);
    const { recordCount, byteCount } = this.#sorted;
    this.#tell('merging', Math.floor(recordCount * part), Math.floor(byteCount * part));
  }

  // Phase 3

  /** false: more writes were made meanwhile than S left room for, so the tables are not newer than all of them. */
  async #commit(sequence: SequenceNumber, busy: BusyTables): Promise<boolean> {
    const { store } = this.#host;
    const { versions, memtables, counters, clock } = store;
    this.#host.checkWritable();
    assert(memtables.newest === undefined, 'an ingestion enters when nothing is in memory');
    if (this.#host.lastSequence() >= sequence) return false;
    const added = placeTables(versions.current, this.#tables, compactionOptions(store), busy);
    const load = this.#loadAs(sequence, clock.now());
    const edit = { added, removed: [], through: sequence };
    await versions.apply(edit, { lastSequence: sequence, lastTime: load.time, load });
    this.#host.committed(load);
    this.#host.publish(sequence);
    counters.ingestCount++;
    counters.ingestBytes += this.#tables.reduce((sum, table) => sum + table.sizeBytes, 0);
    counters.userBytes += this.#sorted.byteCount;
    return true;
  }

  /** For those who follow the changes. */
  #loadAs(sequence: SequenceNumber, time: number): KeptLoad {
    const tables = [...this.#tables].sort((a, b) => compareKeys(a.smallestKey, b.smallestKey));
    return {
      sequence,
      after: this.#host.lastSequence(),
      time,
      sizeBytes: tables.reduce((sum, table) => sum + table.sizeBytes, 0),
      tables: tables.map(({ number }) => number),
    };
  }

  /** What dead workers left behind would stay until the next open. */
  async #deleteLostTables(): Promise<void> {
    const { store } = this.#host;
    const live = store.versions.liveFileNumbers();
    const tables = this.#tableNumbers.flatMap(({ taken }) => taken.filter((number) => !live.has(number)));
    await discardTables(store, tables);
  }

  async #discardTables(): Promise<void> {
    const tables = this.#tables;
    this.#tables = [];
    await discardOutputs(this.#host.store, tables);
  }

  async #deleteRuns(runs: readonly FileNumber[]): Promise<void> {
    const { store } = this.#host;
    await removeObsoleteFiles(
      store.fs,
      store.directory,
      { runs },
      (error) => reportDeletion(store.report, error),
      (_, path) => traceDeleted(store.trace, path),
    );
  }

  #tell(phase: 'merging' | 'installing', records: number, bytes: number, always = false): void {
    this.progress.tell({ phase, records, bytes, estimatedTotal: this.#sorted.recordCount }, always);
  }
}

function checkRunsRead(runs: readonly RunMeta[], results: readonly IngestMergeResult[]): void {
  const read = results.reduce((sum, { recordsRead }) => sum + recordsRead, 0);
  const written = runs.reduce((sum, { recordCount }) => sum + recordCount, 0);
  checkAllRead('the runs of an ingestion', read, written);
}
