/**
 * One bulk load, from its source to the one edit that makes it visible.
 *
 *   1. sort    the source is packed into chunks; each becomes a sorted run on the pool while the next one fills
 *   2. merge   (one load at a time) the runs become tables, range by range, on all threads; every entry bears the sequence S
 *   3. commit  at rest (Scheduler.atRest): the tables are placed, one edit adds them, S becomes visible
 *
 * S lies far above the last sequence at the start of step 2. Writes go on meanwhile with sequences below S, so what is loaded
 * is newer than all of them, and no snapshot or scan of before the commit sees it. Should they have used up the room, step 2
 * is done again.
 *
 * Invariants: everything is visible or nothing, to readers and after a crash. Between the edit and the publication of S the
 *             tables are in the version, but no reader has a sequence that sees their entries.
 *             A load that does not end well deletes its files; those of a crash are orphans, which the next open deletes.
 * Thread:     main.
 * Owns:       its runs, and its tables until they are in the version.
 * Not chosen: building tables from sorted input without runs. It would save a tenth, and S would have to be known before the
 *             source has ended, perhaps hours before the commit.
 */
import { assert } from '../../shared/assert.ts';
import { CorruptionError } from '../../shared/errors.ts';
import { type FileNumber, fileNumber, type SequenceNumber, sequenceNumber } from '../../shared/ids.ts';
import type { IngestChunk } from '../../shared/ingest-chunk.ts';
import type { RunMeta } from '../../shared/ingest-run.ts';
import type { IngestMergeJob, IngestMergeResult } from '../../shared/jobs.ts';
import type { TableMeta } from '../../shared/version-edit.ts';
import { discardOutputs, reportDeletion } from '../background-errors.ts';
import { CancelToken } from '../job-runner.ts';
import { removeObsoleteFiles } from '../obsolete-files.ts';
import type { Scheduler } from '../scheduler.ts';
import type { Store } from '../store.ts';
import type { IngestPhase, IngestReport, IngestSource, ResolvedIngest } from './ingest-options.ts';
import { placeTables } from './placement.ts';
import { RecordPacker } from './record-packer.ts';
import { planRanges, type RunRange, wholeRange } from './run-ranges.ts';

const MIB = 1024 * 1024;
const MIN_CHUNK_BYTES = 4096;
const MAX_CHUNK_BYTES: number = 32 * MIB;
/** Without threads a job holds up main: a tenth of a second of it. */
const INLINE_BYTES: number = 4 * MIB;
/** More runs than this are not merged at once: each takes a descriptor and a block of memory on each thread. */
const MAX_MERGED_RUNS = 128;
/** Ranges per thread, so that the last ones to end do not leave the others idle for long. */
const RANGES_PER_THREAD = 4;
const PROGRESS_INTERVAL_MS = 100;

/** What a load needs of the running store. */
export interface IngestHost {
  readonly store: Store;
  readonly scheduler: Scheduler;
  /** How many writes may be made while tables are built. */
  readonly sequenceHeadroom: number;
  /** The last sequence given to any write. */
  lastSequence(): number;
  /** Makes everything up to `sequence` visible to reads. */
  publish(sequence: SequenceNumber): void;
  /** Throws when the store takes no writes. */
  checkWritable(): void;
}

export class BulkLoad {
  readonly #host: IngestHost;
  readonly #options: ResolvedIngest;
  readonly #abort = new AbortController();
  readonly #token = new CancelToken();
  readonly #packer: RecordPacker;
  readonly #startedAt = performance.now();
  /** Of phase 1, in order of age; a hole where the job has not ended yet. */
  #runs: (RunMeta | undefined)[] = [];
  readonly #runJobs = new Set<Promise<void>>();
  /** Files that are not the store's: all runs, tables until they are. */
  readonly #runFiles: FileNumber[] = [];
  #tables: TableMeta[] = [];
  /** All numbers that merges were given for tables; some attempts may have died and left files. */
  readonly #tableNumbers: FileNumber[] = [];
  #mergeJobs = 0;
  #mergeAttempts = 0;
  #toldAt = 0;

  constructor(host: IngestHost, options: ResolvedIngest) {
    this.#host = host;
    this.#options = options;
    this.#packer = new RecordPacker({
      chunkBytes: chunkBytes(host.store),
      signal: this.signal,
      ship: (chunk) => this.#ship(chunk),
      onProgress: (records, bytes) => this.#tell('sorting', records, bytes),
    });
  }

  /** Aborted when the load is to end: by the caller, by close(), by a job that failed. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Ends the load, which rejects with `reason`, unless it is being committed. */
  stop(reason: unknown): void {
    this.#abort.abort(reason);
    this.#token.cancel();
  }

  /** Phase 1. */
  async sort(source: IngestSource): Promise<void> {
    await unless(this.signal, this.#packer.take(source));
    await unless(this.signal, Promise.all(this.#runJobs));
    if (this.#packer.recordCount > 0)
      this.#tell('sorting', this.#packer.recordCount, this.#packer.byteCount, true);
  }

  /** Phases 2 and 3. Nothing else is in them meanwhile. */
  async mergeAndCommit(): Promise<IngestReport> {
    const { recordCount, byteCount } = this.#packer;
    if (recordCount > 0) {
      await this.#reduceRuns();
      for (let headroom = this.#host.sequenceHeadroom; ; headroom *= 2) {
        const sequence = sequenceNumber(this.#host.lastSequence() + headroom);
        await this.#merge(sequence);
        this.#tell('installing', recordCount, byteCount, true);
        if (await this.#host.scheduler.atRest(() => this.#commit(sequence), this.signal)) break;
        await this.#discardTables();
      }
    }
    return {
      records: recordCount,
      bytes: byteCount,
      entries: this.#tables.reduce((sum, table) => sum + table.entryCount, 0),
      tables: this.#tables.length,
      tableBytes: this.#tables.reduce((sum, table) => sum + table.sizeBytes, 0),
      elapsedMs: performance.now() - this.#startedAt,
    };
  }

  /** Waits for what is under way and deletes what is of no use any more. Never rejects. */
  async cleanUp(isCommitted: boolean): Promise<void> {
    await Promise.allSettled(this.#runJobs);
    if (!isCommitted) await this.#discardTables();
    await this.#deleteRuns(this.#runFiles);
    if (this.#mergeAttempts > this.#mergeJobs) await this.#deleteLostTables();
  }

  // Phase 1

  async #ship(chunk: IngestChunk): Promise<void> {
    const place = this.#runs.push(undefined) - 1;
    const job = this.#sortChunk(chunk, place)
      .catch((error: unknown) => this.stop(error))
      .finally(() => this.#runJobs.delete(job));
    this.#runJobs.add(job);
    // One chunk for each thread, and one that waits: with the one being filled, all the memory that a load takes.
    while (this.#runJobs.size > Math.max(1, this.#host.store.options.bulkThreads))
      await Promise.race(this.#runJobs);
  }

  async #sortChunk(chunk: IngestChunk, place: number): Promise<void> {
    const { run } = await this.#host.store.jobs.run<'ingest-run'>(
      (context) => ({
        ...context,
        kind: 'ingest-run',
        records: chunk.buffer,
        recordBytes: chunk.end,
        recordCount: chunk.recordCount,
        isSorted: chunk.isSorted,
        output: this.#newRun(),
      }),
      { urgent: false, keepAlive: false, bulk: true },
      this.#token,
    );
    this.#runs[place] = run;
    this.#packer.giveBack(chunk);
  }

  #newRun(): FileNumber {
    const number = this.#host.store.versions.allocateFileNumber();
    this.#runFiles.push(number);
    return number;
  }

  // Phase 2

  /** Until the runs are few enough to be merged at once: neighbours become one. */
  async #reduceRuns(): Promise<void> {
    while (this.#runs.length > MAX_MERGED_RUNS) {
      const groups: RunMeta[][] = [];
      for (let i = 0; i < this.#runs.length; i += MAX_MERGED_RUNS)
        groups.push(this.#runs.slice(i, i + MAX_MERGED_RUNS) as RunMeta[]);
      const results = await this.#runMerges(groups.map(wholeRange), () => ({
        kind: 'run',
        number: this.#newRun(),
      }));
      const merged = this.#runs as RunMeta[];
      this.#runs = results.map(({ run }) => run);
      await this.#deleteRuns(merged.map(({ number }) => number));
    }
  }

  async #merge(sequence: SequenceNumber): Promise<void> {
    const { versions, options } = this.#host.store;
    const runs = this.#runs as RunMeta[];
    const { maxFileSizeBytes, table } = options;
    const results = await this.#runMerges(planRanges(runs, this.#rangeCount(runs)), ({ sizeBytes }) => {
      const outputCount = 2 * Math.ceil(sizeBytes / maxFileSizeBytes) + 8;
      const firstOutput = versions.reserveFileNumbers(outputCount);
      for (let i = 0; i < outputCount; i++) this.#tableNumbers.push(fileNumber(firstOutput + i));
      return { kind: 'tables', sequence, firstOutput, outputCount, maxFileSizeBytes, table };
    });
    const read = results.reduce((sum, { recordsRead }) => sum + recordsRead, 0);
    const written = runs.reduce((sum, { recordCount }) => sum + recordCount, 0);
    if (read !== written)
      throw new CorruptionError(`the runs of a bulk load hold ${read} records instead of ${written}`);
  }

  #rangeCount(runs: readonly RunMeta[]): number {
    const { threads, bulkThreads, maxFileSizeBytes } = this.#host.store.options;
    const total = runs.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    if (threads === 0) return Math.ceil(total / INLINE_BYTES);
    return Math.min(RANGES_PER_THREAD * bulkThreads, Math.ceil(total / maxFileSizeBytes));
  }

  /** All of them or, once one has failed, none: the others are cancelled. Tables are noted as they come. */
  async #runMerges(
    ranges: readonly RunRange[],
    outputFor: (range: RunRange) => IngestMergeJob['output'],
  ): Promise<IngestMergeResult[]> {
    const totalBytes = ranges.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    const done = ranges.map(() => 0);
    this.#mergeJobs += ranges.length;
    const output = (part: RunRange): IngestMergeJob['output'] => {
      this.#mergeAttempts++;
      return outputFor(part);
    };
    const jobs = ranges.map(async (part, i) => {
      const result = await this.#host.store.jobs.run<'ingest-merge'>(
        (context) => ({
          ...context,
          kind: 'ingest-merge',
          runs: part.slices,
          range: part.range,
          sharedLength: part.sharedLength,
          output: output(part),
        }),
        { urgent: false, keepAlive: false, bulk: true },
        this.#token,
        (doneBytes) => {
          done[i] = doneBytes;
          this.#tellMerged(done.reduce((sum, bytes) => sum + bytes, 0) / totalBytes);
        },
      );
      done[i] = part.sizeBytes;
      this.#tables.push(...result.outputs);
      return result;
    });
    // The first failure is the one to tell; what is cancelled after it is not.
    for (const job of jobs) job.catch((error: unknown) => this.stop(error));
    await Promise.allSettled(jobs);
    this.signal.throwIfAborted();
    return await Promise.all(jobs);
  }

  #tellMerged(share: number): void {
    const part = Math.min(1, share);
    const { recordCount, byteCount } = this.#packer;
    this.#tell('merging', Math.floor(recordCount * part), Math.floor(byteCount * part));
  }

  // Phase 3

  /** false: so many writes were made meanwhile that the tables are not newer than all of them. */
  async #commit(sequence: SequenceNumber): Promise<boolean> {
    const { store } = this.#host;
    const { versions, memtables, counters } = store;
    this.#host.checkWritable();
    assert(memtables.newest === undefined, 'a bulk load enters when nothing is in memory');
    if (this.#host.lastSequence() >= sequence) return false;
    const added = placeTables(versions.current, this.#tables);
    try {
      await versions.apply({ added, removed: [] }, { lastSequence: sequence });
    } catch (error) {
      if (versions.isPoisoned) store.becomeReadOnly('manifest', error);
      throw error;
    }
    this.#host.publish(sequence);
    counters.ingestCount++;
    counters.ingestBytes += this.#tables.reduce((sum, table) => sum + table.sizeBytes, 0);
    counters.userBytes += this.#packer.byteCount;
    return true;
  }

  /** What dead workers left behind would stay until the next open. */
  async #deleteLostTables(): Promise<void> {
    const { store } = this.#host;
    const live = store.versions.liveFileNumbers();
    const tables = this.#tableNumbers.filter((number) => !live.has(number));
    if (store.versions.isPoisoned) return;
    await removeObsoleteFiles(store.fs, store.directory, { tables }, (error) => reportDeletion(store, error));
  }

  async #discardTables(): Promise<void> {
    const tables = this.#tables;
    this.#tables = [];
    await discardOutputs(this.#host.store, tables);
  }

  async #deleteRuns(runs: readonly FileNumber[]): Promise<void> {
    const { store } = this.#host;
    await removeObsoleteFiles(store.fs, store.directory, { runs }, (error) => reportDeletion(store, error));
  }

  #tell(phase: IngestPhase, records: number, bytes: number, always = false): void {
    const now = performance.now();
    if (!always && now - this.#toldAt < PROGRESS_INTERVAL_MS) return;
    this.#toldAt = now;
    const estimatedTotal = phase === 'sorting' ? this.#options.estimatedRecords : this.#packer.recordCount;
    try {
      this.#options.onProgress({ phase, records, bytes, estimatedTotal });
    } catch (error) {
      this.stop(error);
    }
  }
}

function chunkBytes({ options }: Store): number {
  const most = options.threads === 0 ? INLINE_BYTES : MAX_CHUNK_BYTES;
  return Math.min(most, Math.max(MIN_CHUNK_BYTES, Math.ceil(options.writeBufferBytes / 2)));
}

/** `work`, or a rejection with the signal's reason as soon as that is aborted. */
export async function unless<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  return await new Promise<T>((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
