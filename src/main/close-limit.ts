/**
 * Bounds the closing of a store: a disk that does not answer must not keep close() for ever.
 *
 *   ten times per limit   look at what changes while the disk answers; ten looks in a row that see no change: give up
 *
 * Slow is not stuck: as long as anything gets on (a part of a log, a block of a job, files deleted) closing goes on. What must
 * fit into the limit is the longest step that can't be looked into: the sync of a whole log, or a new manifest.
 *
 * Invariants: the work itself is not stopped, as nothing can stop it. Whoever gives up leaves it, and what must not happen before
 *             it has ended (the lock!), to the promise that was passed in.
 *             Looks are counted, not time (job-watchdog.ts): a process that was stopped has not waited.
 * Thread:     main.
 */

import { StorageError } from '../shared/base/errors.ts';
import type { ControlBlock } from '../shared/threads/control-block.ts';
import type { DeletionQueue } from './files/deletion-queue.ts';
import type { JobRunner } from './jobs/job-runner.ts';
import { watchJob } from './jobs/job-watchdog.ts';
import type { Counters } from './store/counters.ts';
import type { CommitPipeline } from './write/commit-pipeline.ts';
import type { MemtableList } from './write/memtable-list.ts';

/** Above what a busy disk takes for any one thing, and about as long as a service manager waits before it kills. */
export const CLOSE_LIMIT_MS = 30_000;

/** `work`, unless `pulse` stays the same for `limitMs`: then `onStuck` is called and its error is the end. */
export function unlessStuck(
  work: Promise<void>,
  pulse: () => string,
  limitMs: number,
  onStuck: (error: StorageError) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    let last = pulse();
    let changes = 0;
    const look = (): number => {
      const now = pulse();
      if (now !== last) changes++;
      last = now;
      return changes;
    };
    const unwatch = watchJob(look, limitMs, () => {
      unwatch();
      const error = new StorageError(
        'STRATA_IO',
        `the disk has not answered for ${limitMs / 1000} s while the store was closing; the store stays locked until it does`,
      );
      onStuck(error);
      reject(error);
    });
    work.then(resolve, reject).finally(unwatch);
  });
}

/** What close() waits for. */
export interface ClosingParts {
  readonly jobs: JobRunner;
  readonly counters: Counters;
  readonly pipeline: CommitPipeline;
  readonly memtables: MemtableList;
  readonly deletions: DeletionQueue;
  readonly control: ControlBlock;
}

/** Changes as long as what close() waits for gets on. */
export function closePulse(store: ClosingParts, operationCount: number): string {
  const { jobs, counters, pipeline, memtables, deletions, control } = store;
  const all = [...memtables.frozen, memtables.active];
  const logSteps = all.reduce((sum, live) => sum + (live?.writer?.steps ?? 0), 0);
  return [
    jobs.pulse,
    jobs.running,
    jobs.queued,
    counters.walBytes,
    logSteps,
    pipeline.held.count,
    memtables.frozen.length,
    control.versionCounter,
    deletions.doneCount,
    operationCount,
  ].join();
}
