/**
 * Runs compactions: those that the picker says are due, as many at once as are disjoint and there are threads; and the
 * steps of an explicit compact().
 *
 *   1. pick a plan (pure: compaction-picker.ts, manual-compaction.ts) that doesn't touch what runs already
 *   2. a move is one edit; a merge is a job on the pool, or several that share its key range when threads would be idle
 *      (subcompactions.ts), then one edit
 *   3. the edit is durable and installed; VersionSet reports the inputs as obsolete once nobody reads them
 *
 * Errors: a full disk -> report, wait, try again. Damage -> report, and leave the tables of that plan alone until the store is
 * opened again (reads of other data go on). Anything else -> report, wait, try again. Writes that are held for a compaction of
 * L0 when attempts have failed twice, and none has made room in between, are refused; those that come later wait for the next
 * attempt, which is at most {@link LONGEST_HELD_RETRY_MS} away.
 * A store that takes no more writes, or closes, compacts no more: what runs is cancelled, a compact() as well.
 *
 * Invariants: inputs stay live until the edit that replaces them is durable. A failed plan's outputs are removed by the job
 *             or, if its worker died, by the JobRunner; what cannot be deleted is left to the next open.
 * Thread:     main.
 */

import { assert } from '../../shared/base/assert.ts';
import type { StorageError } from '../../shared/base/errors.ts';
import { isCancelled, isExhaustion, toStorageError } from '../../shared/base/failures.ts';
import type { FileNumber } from '../../shared/base/ids.ts';
import type { KeyRange } from '../../shared/base/iterator.ts';
import { now } from '../../shared/base/timers.ts';
import type { TableInfo, VersionEdit } from '../../shared/base/version-edit.ts';
import type { CompactResult } from '../../shared/threads/jobs.ts';
import type { Clock } from '../../shared/threads/shared-clock.ts';
import type { ReadPressure } from '../compaction/read-pressure.ts';
import { discardOutputs } from '../files/job-outputs.ts';
import { CancelToken } from '../jobs/job-runner.ts';
import type { Counters } from '../store/counters.ts';
import type { CommitPipeline } from '../write/commit-pipeline.ts';
import type { WriteGate } from '../write/write-gate.ts';
import {
  advanceCursor,
  type BusyTables,
  busyTables,
  type CompactionOptions,
  type CompactionPlan,
  initialPickerState,
  type PickerState,
  pickCompaction,
  planOldest,
} from './compaction-picker.ts';
import { compactionOptions, planBytes } from './compaction-plan.ts';
import { beginCompaction, endCompaction, failSpan } from './compaction-trace.ts';
import { CoveredTables } from './covered-tables.ts';
import { LevelZeroPace } from './level-zero-pace.ts';
import { inclusiveRange, planManualCompaction } from './manual-compaction.ts';
import { RetryDelay } from './retry-delay.ts';
import type { RunningPlans } from './running-plans.ts';
import { type MergeParts, mergeInParts, partsOf } from './subcompactions.ts';

/** Between attempts, while writers wait for one to succeed. */
const LONGEST_HELD_RETRY_MS = 8000;

interface Running {
  readonly plan: CompactionPlan;
  readonly startedAt: number;
  /** How many of its parts have not ended. */
  partsLeft: number;
  readonly token: CancelToken;
  readonly done: Promise<void>;
}

/** No compaction starts meanwhile. */
interface Pause {
  readonly ended: Promise<void>;
  readonly end: () => void;
}

/** What compactions need of a store. */
export interface CompactorParts extends MergeParts {
  readonly counters: Counters;
  readonly clock: Clock;
  readonly readPressure: ReadPressure;
  readonly gate: WriteGate;
  readonly pipeline: CommitPipeline;
  /** Where the compactor notes what runs. */
  readonly runningPlans: RunningPlans;
  becomeReadOnly(operation: string, error: unknown): StorageError;
}

export class Compactor {
  readonly #parts: CompactorParts;
  readonly #onDone: () => void;
  readonly #retry: RetryDelay;
  readonly #running = new Set<Running>();
  readonly #pace = new LevelZeroPace();
  readonly #covered: CoveredTables;
  /** Tables in which damage was found. */
  readonly #damaged = new Set<FileNumber>();
  #picker: PickerState = initialPickerState;
  /** Set: no compaction starts any more, and this is why. */
  #ended: StorageError | undefined;
  /** Failures since L0 last became smaller. */
  #failuresInTheWay = 0;
  #pause: Pause | undefined;
  #isAtRest = false;
  /** The last failure, until a compaction succeeds. */
  error: StorageError | undefined;

  constructor(parts: CompactorParts, onDone: () => void) {
    this.#parts = parts;
    this.#onDone = onDone;
    this.#retry = new RetryDelay(onDone);
    this.#covered = new CoveredTables(parts, onDone);
  }

  /** Nobody has written for a while: there is time for what is worth less. */
  setRest(isAtRest: boolean): void {
    this.#isAtRest = isAtRest;
    if (isAtRest) this.#covered.lookAgain();
  }

  /** Whether a compaction is running or will start by itself. */
  get hasWork(): boolean {
    return this.#running.size > 0 || (this.#retry.isWaiting && this.#pause === undefined);
  }

  /** In milliseconds, about: when L0 will be smaller. */
  levelZeroEtaMs(): number {
    const { versions } = this.#parts;
    return this.#pace.etaMs([...this.#running], versions.current, compactionOptions(this.#parts));
  }

  /** Starts what is due, as far as threads and running compactions allow. */
  start(): void {
    if (this.#pause !== undefined || this.#ended !== undefined || this.#retry.isWaiting) return;
    this.#dropCovered();
    const { versions, options } = this.#parts;
    const idle = Math.max(1, options.threads) - this.#threadsInUse;
    const plans: CompactionPlan[] = [];
    while (plans.length < idle) {
      const plan = pickCompaction(versions.current, this.#options(), this.#busy(true, plans), this.#picker);
      if (plan === undefined) break;
      this.#picker = advanceCursor(this.#picker, plan);
      plans.push(plan);
    }
    // Threads for which there is no plan of their own help with the largest.
    const largest = plans.reduce((a, b) => (planBytes(b) > planBytes(a) ? b : a), plans[0]!);
    for (const plan of plans) {
      const parts = plan === largest ? 1 + idle - plans.length : 1;
      // #failed() has reported it.
      this.#launch(plan, parts, true).done.catch(() => undefined);
    }
  }

  /** Costs no thread. */
  #dropCovered(): void {
    this.#covered.look();
    for (;;) {
      const plan = this.#covered.plan(this.#parts.versions.current, this.#busy());
      if (plan === undefined) return;
      this.#launch(plan, 1, true).done.catch(() => undefined);
    }
  }

  get #threadsInUse(): number {
    let count = 0;
    for (const { plan, partsLeft } of this.#running) if (plan.kind !== 'drop') count += partsLeft;
    return count;
  }

  /** Nothing starts until {@link resume}; what runs goes on. Returns what that has taken. */
  pause(): BusyTables {
    assert(this.#pause === undefined, 'compactions are paused already');
    let end!: () => void;
    const ended = new Promise<void>((resolve) => {
      end = resolve;
    });
    this.#pause = { ended, end };
    return this.#busy(false);
  }

  resume(): void {
    this.#pause?.end();
    this.#pause = undefined;
  }

  /**
   * What is in L0 now goes further down, due or not, as long as no step costs more than a compaction may; 'moves': as long as it
   * costs nothing. An ingestion then need not stay above it in L0. Waits for no compaction that runs already. Never rejects: what
   * fails or can't be is left there.
   */
  async clearLevelZero(steps: 'all' | 'moves' = 'all'): Promise<void> {
    const { versions, options } = this.#parts;
    const upTo = versions.current.levelZero[0]?.largestSequence ?? 0;
    while (this.#pause === undefined && this.#ended === undefined && !this.#retry.isWaiting) {
      const oldest = versions.current.levelZero.at(-1);
      if (oldest === undefined || oldest.largestSequence > upTo) return;
      const limits = this.#options();
      const plan = planOldest(versions.current, limits, this.#busy());
      if (plan === undefined || planBytes(plan) > (steps === 'moves' ? 0 : limits.maxCompactionBytes)) return;
      // #failed() has reported it; it may be retried, but not while an ingestion waits.
      if (
        !(await this.#launch(plan, options.threads, true).done.then(
          () => true,
          () => false,
        ))
      )
        return;
    }
  }

  /** Everything in `range` down to the bottom level. The caller has flushed. */
  async compactRange(range: KeyRange): Promise<void> {
    const { versions } = this.#parts;
    const keys = inclusiveRange(range);
    const upTo = versions.lastSequence;
    for (;;) {
      if (this.#ended !== undefined) throw this.#ended;
      if (this.#pause !== undefined) {
        await this.#pause.ended;
        continue;
      }
      const step = planManualCompaction(
        versions.current,
        keys,
        compactionOptions(this.#parts),
        this.#busy(false),
        upTo,
      );
      if (step.status === 'done') return;
      if (step.status === 'ready') {
        await this.#launch(step.plan, this.#parts.options.callerThreads, false).done;
        continue;
      }
      // Blocked: one of the running ones is in the way; how it ends is its own affair.
      assert(this.#running.size > 0, 'a compaction is blocked by nothing');
      await Promise.race([...this.#running].map((running) => running.done.catch(() => undefined)));
    }
  }

  /** Cancels what runs; nothing starts any more. */
  end(error: StorageError): void {
    this.#covered.end();
    this.#ended ??= error;
    this.#retry.cancel();
    for (const { token } of this.#running) token.cancel();
  }

  /** Resolves when nothing runs any more. */
  async settled(): Promise<void> {
    await Promise.allSettled([...this.#running].map((running) => running.done));
  }

  /** Writers are held until a compaction has ended. */
  hurry(): void {
    this.#retry.hurry(LONGEST_HELD_RETRY_MS);
  }

  /** What a compaction that starts by itself goes by: when readers suffer from L0, two tables are enough. */
  #options(): CompactionOptions {
    const options = { ...compactionOptions(this.#parts), isAtRest: this.#isAtRest };
    const { readPressure, versions } = this.#parts;
    return readPressure.isDue(versions.current) ? { ...options, l0CompactionTrigger: 2 } : options;
  }

  #busy(excludeDamaged = true, aboutToRun: readonly CompactionPlan[] = []): BusyTables {
    const busy = busyTables([...[...this.#running].map((running) => running.plan), ...aboutToRun]);
    if (!excludeDamaged || this.#damaged.size === 0) return busy;
    return { ...busy, numbers: new Set([...busy.numbers, ...this.#damaged]) };
  }

  /** In at most `parts` parts. `isOwn`: nobody asked for it, and nobody hears of its end but by #failed(). */
  #launch(plan: CompactionPlan, parts: number, isOwn: boolean): Running {
    const token = new CancelToken();
    const ranges = partsOf(this.#parts, plan, parts);
    const span = beginCompaction(this.#parts.trace, plan, ranges.length, () => ({
      version: this.#parts.versions.current,
      options: this.#options(),
      busy: this.#busy(),
    }));
    const running: Running = {
      plan,
      startedAt: now(),
      partsLeft: ranges.length,
      token,
      // In a microtask, when `running` is there.
      done: Promise.resolve()
        .then(() => this.#carryOut(plan, ranges, token, () => this.#partEnded(running), span?.id))
        .then((result) => endCompaction(span, plan, result))
        .catch((error: unknown) => {
          failSpan(span, error);
          throw this.#failed(error, running, isOwn);
        })
        .finally(() => this.#leave(running)),
    };
    this.#running.add(running);
    this.#parts.runningPlans.add(plan);
    return running;
  }

  /** Its thread may take something else, while other parts go on. */
  #partEnded(running: Running): void {
    running.partsLeft--;
    if (running.partsLeft > 0) this.#onDone();
  }

  #leave(running: Running): void {
    this.#running.delete(running);
    this.#parts.runningPlans.delete(running.plan);
    this.#onDone();
  }

  /** Returns what a merge has made; others make nothing. */
  async #carryOut(
    plan: CompactionPlan,
    ranges: readonly KeyRange[],
    token: CancelToken,
    onPartDone: () => void,
    traceId: number | undefined,
  ): Promise<CompactResult | undefined> {
    const startedAt = now();
    if (plan.kind !== 'merge') {
      await this.#install(plan, plan.kind === 'move' ? plan.inputs : []);
      if (plan.level === 0) this.#failuresInTheWay = 0;
      if (plan.kind === 'move') this.#parts.counters.moveCount++;
      else this.#parts.counters.droppedTables += plan.inputs.length;
      this.#reportDone(plan, undefined, now() - startedAt);
      return undefined;
    }
    const result = await mergeInParts(this.#parts, plan, ranges, token, onPartDone, traceId);
    try {
      await this.#install(plan, result.outputs);
    } catch (error) {
      await discardOutputs(this.#parts, result.outputs);
      throw error;
    }
    this.#pace.noteMerge(plan, now() - startedAt);
    const { counters } = this.#parts;
    counters.compactionCount++;
    counters.compactionBytes += result.stats.bytesWritten;
    counters.compactionReadBytes += result.stats.bytesRead;
    this.error = undefined;
    this.#retry.succeeded();
    if (plan.level === 0) this.#failuresInTheWay = 0;
    this.#reportDone(plan, result, now() - startedAt);
    return result;
  }

  async #install(plan: CompactionPlan, outputs: readonly TableInfo[]): Promise<void> {
    const edit: VersionEdit = {
      added: outputs.map((table) => ({ level: plan.outputLevel, table })),
      removed: [
        ...plan.inputs.map(({ number }) => ({ level: plan.level, number })),
        ...plan.overlapping.map(({ number }) => ({ level: plan.outputLevel, number })),
      ],
    };
    const { versions, clock } = this.#parts;
    await versions.apply(edit, { lastSequence: 0, lastTime: clock.now() });
  }

  #reportDone(plan: CompactionPlan, result: CompactResult | undefined, elapsedMs: number): void {
    this.#parts.report('compaction', {
      reason: plan.reason,
      isMove: plan.kind === 'move',
      level: plan.level,
      outputLevel: plan.outputLevel,
      inputTables: plan.inputs.length + plan.overlapping.length,
      outputTables: result?.outputs.length ?? (plan.kind === 'move' ? plan.inputs.length : 0),
      bytesRead: result?.stats.bytesRead ?? 0,
      bytesWritten: result?.stats.bytesWritten ?? 0,
      elapsedMs,
    });
  }

  /** Before the plan is free again, so that it is not tried again at once. Returns the error for whoever asked for it. */
  #failed(cause: unknown, running: Running, isOwn: boolean): unknown {
    // It was cancelled, or what failed has been reported.
    if (this.#ended !== undefined) return isCancelled(cause) ? this.#ended : cause;
    if (isExhaustion(cause)) this.#parts.becomeReadOnly('file numbers', cause);
    else if (isOwn) this.#failedOnItsOwn(toStorageError(cause, 'a compaction failed'), running);
    return cause;
  }

  #failedOnItsOwn(error: StorageError, running: Running): void {
    const { plan } = running;
    const isDamage = error.code === 'STRATA_CORRUPTION';
    this.error = error;
    this.#parts.report('backgroundError', { error, operation: 'compaction', willRetry: !isDamage });
    if (isDamage) {
      for (const table of [...plan.inputs, ...plan.overlapping]) this.#damaged.add(table.number);
      return;
    }
    this.#retry.failed();
    this.#failuresInTheWay++;
    const { gate, pipeline } = this.#parts;
    if (gate.state !== 'closed' || gate.reason !== 'level0') return;
    this.hurry();
    const mayStillHelp = [...this.#running].some((other) => other !== running && other.plan.level === 0);
    if (this.#failuresInTheWay > 1 && !mayStillHelp) pipeline.rejectHeld(error);
  }
}
