/**
 * Turns frozen memtables into L0 tables, oldest first, one at a time.
 *
 *   1. take the oldest frozen memtable that is settled and due
 *   2. a flush job on the pool reads its arena in place and writes the table
 *   3. one edit: the table is added, its logs are below logNumber; the manifest is durable
 *   4. the memtable leaves the list, its logs are deleted, unless they are kept for changes()
 *
 * A memtable recovered from the logs of an earlier run is due when it is worth a table; until then its logs stay, so that
 * opening a store for one read writes nothing.
 *
 * Errors: a full disk -> report, wait, try again, nothing is lost; writes that are held when that fails, too, are refused.
 *         Any other error -> once more to a new file, then read-only. Manifest failures are VersionSet's. No file number left
 *         -> read-only at once.
 *         While the store closes -> reported, and left to the logs.
 *         A store that takes no more writes flushes no more either: what runs is cancelled, and whoever waits hears why.
 *
 * Invariants: it is the oldest, so older versions of its keys are in tables or nowhere; none can come into a table while it is
 *             flushed, as compactions only take on what is there and an ingestion is newer.
 *             A memtable leaves the list only after the version with its table is installed, so no read misses it; for a
 *             moment both are there, which reads don't mind.
 * Thread:     main.
 */

import type { StorageError } from '../../shared/base/errors.ts';
import { isCancelled, isExhaustion, isRoomProblem, toStorageError } from '../../shared/base/failures.ts';
import { level as toLevel } from '../../shared/base/ids.ts';
import type { FlushResult } from '../../shared/threads/jobs.ts';
import type { Clock } from '../../shared/threads/shared-clock.ts';
import type { DeletionQueue } from '../files/deletion-queue.ts';
import type { OutputFiles } from '../files/job-outputs.ts';
import { discardOutputs } from '../files/job-outputs.ts';
import type { JobRunner } from '../jobs/job-runner.ts';
import { CancelToken } from '../jobs/job-runner.ts';
import type { Counters } from '../store/counters.ts';
import type { ResolvedOptions } from '../store/options.ts';
import type { SnapshotList } from '../store/snapshot.ts';
import type { CommitPipeline } from '../write/commit-pipeline.ts';
import type { LiveMemtable, MemtableList } from '../write/memtable-list.ts';
import { beginFlush, endFlush, failSpan } from './compaction-trace.ts';
import { deeperBounds } from './deeper-bounds.ts';
import { RetryDelay } from './retry-delay.ts';

/** Recovered memtables smaller than this, in bytes, wait for more: a table for every `put` of a script would be worse. */
const RECOVERED_FLUSH_BYTES = 1048576;
/** They wait no longer once they span more than this many logs. */
const RECOVERED_FLUSH_LOGS = 4;

/** What a close leaves in logs: so much is replayed in a moment, and no script makes a table of the little that it wrote. */
const CLOSED_LOG_BYTES: number = RECOVERED_FLUSH_BYTES;

/** Held writers wait no longer than this to hear that there is still no room. */
const LONGEST_RETRY_MS = 8000;

/** What flushes need of a store. */
export interface FlusherParts extends OutputFiles {
  readonly memtables: MemtableList;
  readonly pipeline: CommitPipeline;
  readonly jobs: JobRunner;
  readonly options: Pick<ResolvedOptions, 'table'>;
  readonly snapshots: SnapshotList;
  readonly counters: Counters;
  readonly clock: Clock;
  readonly deletions: DeletionQueue;
  isClosing(): boolean;
  becomeReadOnly(operation: string, error: unknown): StorageError;
}

export class Flusher {
  readonly #parts: FlusherParts;
  readonly #onDone: () => void;
  readonly #retry: RetryDelay;
  #running: Promise<void> | undefined;
  /** While it is frozen, all that are older are due, however small. */
  #requested: LiveMemtable | undefined;
  #failures = 0;
  /** In all, for those who wait: a success does not reset it. */
  #failureCount = 0;
  /** Set: no flush starts any more, and this is why. */
  #ended: StorageError | undefined;
  /** Whoever closes waits for flushes, and for none a second time. */
  #isClosing = false;
  readonly #token = new CancelToken();
  /** The last failure, until a flush succeeds. */
  error: StorageError | undefined;

  constructor(parts: FlusherParts, onDone: () => void) {
    this.#parts = parts;
    this.#onDone = onDone;
    this.#retry = new RetryDelay(() => this.start(), LONGEST_RETRY_MS);
  }

  /** Whether a flush is running or will start by itself: when its memtable settles, or after a failure. */
  get hasWork(): boolean {
    const isSettling = this.#parts.memtables.frozen[0]?.isSettled === false;
    return this.#running !== undefined || this.#retry.isWaiting || isSettling;
  }

  /** Starts a flush if one is due and none runs. */
  start(): void {
    if (this.#running !== undefined || this.#ended !== undefined || this.#retry.isWaiting) return;
    const live = this.#parts.memtables.frozen[0];
    if (live === undefined || !live.isSettled || !this.#isDue(live)) return;
    this.#running = this.#flush(live).finally(() => {
      this.#running = undefined;
      this.start();
      this.#onDone();
    });
  }

  /** Everything frozen now is due, however small. */
  request(): void {
    this.#requested = this.#parts.memtables.frozen.at(-1);
    this.start();
  }

  /** Resolves once everything frozen now is in tables; rejects with what keeps it from getting there. */
  async flushFrozen(): Promise<void> {
    const { memtables, pipeline } = this.#parts;
    const last = memtables.frozen.at(-1);
    if (last === undefined) return;
    this.#requested = last;
    while (memtables.frozen.includes(last)) {
      if (this.#ended !== undefined) throw this.#ended;
      this.#retry.cancel();
      const failuresBefore = this.#failureCount;
      this.start();
      // Not running: the log writes of the oldest memtable are still under way.
      await (this.#running ?? pipeline.written());
      if (this.#failureCount > failuresBefore && this.error !== undefined) throw this.error;
    }
  }

  /**
   * The store closes: unless what is in memory is little, it goes to tables, so that the next open need not replay it. Nothing of
   * it depends on that: after a failure, which is reported, the logs have it.
   */
  async flushBeforeClose(): Promise<void> {
    const { memtables, pipeline } = this.#parts;
    if (this.#ended !== undefined || memtables.memoryBytes < CLOSED_LOG_BYTES) return;
    this.#isClosing = true;
    pipeline.freezeActive();
    await this.flushFrozen().catch(() => {
      // Reported by #failed(), or by what has ended the flusher.
    });
  }

  /** No flush starts any more. Resolves when the running one has ended. */
  async stop(error: StorageError): Promise<void> {
    this.#ended ??= error;
    this.#retry.cancel();
    await this.#running;
  }

  /** As stop(), for a store that takes no more writes: the running one is cancelled. */
  halt(error: StorageError): void {
    this.#ended ??= error;
    this.#retry.cancel();
    this.#token.cancel();
  }

  #isDue(live: LiveMemtable): boolean {
    const { memtables } = this.#parts;
    if (live.writer !== undefined || memtables.frozen.length > 1) return true;
    if (this.#requested !== undefined && memtables.frozen.includes(this.#requested)) return true;
    return (
      live.memtable.arena.usedBytes >= RECOVERED_FLUSH_BYTES || live.logs().length > RECOVERED_FLUSH_LOGS
    );
  }

  /** Never rejects. */
  async #flush(live: LiveMemtable): Promise<void> {
    const { trace, memtables } = this.#parts;
    const isRequested = this.#requested !== undefined && memtables.frozen.includes(this.#requested);
    const span = beginFlush(trace, live, memtables, { isRequested, isClosing: this.#isClosing });
    try {
      const result = await this.#runJob(live, span?.id);
      await this.#install(live, result);
      endFlush(span, result);
      this.#failures = 0;
      this.error = undefined;
      this.#retry.succeeded();
    } catch (error) {
      failSpan(span, error);
      this.#failed(error);
    }
  }

  async #runJob(live: LiveMemtable, parent: number | undefined): Promise<FlushResult> {
    const { jobs, versions, options, snapshots, clock } = this.#parts;
    const range = live.keyRange() ?? {};
    snapshots.noteEndless(live.endlessDeletes());
    return await jobs.run<'flush'>(
      (context) => ({
        ...context,
        kind: 'flush',
        memtable: live.memtable.arena.buffer,
        output: versions.allocateFileNumber(),
        table: options.table,
        ...snapshots.readPointsOfJob(clock),
        deeper: deeperBounds(versions.current, 0, range),
      }),
      { urgent: true, keepAlive: false, parent },
      this.#token,
    );
  }

  async #install(live: LiveMemtable, { output, stats }: FlushResult): Promise<void> {
    const parts = this.#parts;
    const { versions, memtables, counters, clock } = parts;
    const { arena } = live.memtable;
    // Without another: whichever comes next bears this number or a higher one.
    const next = memtables.oldestLogAfter(live) ?? versions.nextFileNumber;
    const lastSequence = arena.firstSequence + arena.entryCount - 1;
    const added = output === undefined ? [] : [{ level: toLevel(0), table: output }];
    const logs = live.logs();
    const extra = { lastSequence, lastTime: clock.now(), flushedLogs: logs };
    try {
      // What a manifest says is kept has to be there after a power failure.
      if (versions.retainsLogs) await parts.pipeline.syncLogsOf(live);
      const edit = { added, removed: [], logNumber: next, through: lastSequence };
      await versions.apply(edit, extra);
    } catch (error) {
      await discardOutputs(parts, output === undefined ? [] : [output]);
      throw error;
    }
    // Whoever holds on to it holds on to its memory.
    if (this.#requested === live) this.#requested = undefined;
    memtables.removeOldest(live);
    parts.pipeline.retire(live);
    counters.flushCount++;
    counters.flushBytes += stats.bytesWritten;
    parts.report('flush', {
      entries: stats.entriesWritten,
      bytes: stats.bytesWritten,
      elapsedMs: stats.elapsedMs,
    });
    // In the background: what can't be deleted now is an orphan for the next open.
    const kept = new Set(versions.kept.keptLogs.map(({ number }) => number));
    parts.deletions.remove({ logs: logs.map(({ number }) => number).filter((number) => !kept.has(number)) });
  }

  #failed(cause: unknown): void {
    // Whoever waits for it hears why it was cancelled.
    if (this.#ended !== undefined && isCancelled(cause)) return;
    const error = toStorageError(cause, 'a flush failed');
    this.error = error;
    this.#failures++;
    this.#failureCount++;
    // The version set has reported it, and all writing has ended.
    if (this.#parts.versions.isPoisoned) return;
    if (this.#ended !== undefined || this.#isClosing) {
      // The store closes, or takes no more writes; its log keeps what the table would have held.
      this.#ended ??= error;
      this.#parts.report('backgroundError', { error, operation: 'flush', willRetry: false });
      return;
    }
    const willRetry = isRoomProblem(cause) || (this.#failures === 1 && !isExhaustion(cause));
    if (willRetry) this.#parts.report('backgroundError', { error, operation: 'flush', willRetry });
    // A short shortage is waited out. One that lasts is reported to the writers, or they would wait as long as it does; and
    // nobody waits for room once the store closes.
    if (this.#failures > 1 || this.#parts.isClosing()) this.#parts.pipeline.rejectHeld(error);
    if (willRetry) this.#retry.failed();
    else this.#parts.becomeReadOnly('flush', cause);
  }
}
