/**
 * Runs jobs on the pool: gives each a slot in the control block, runs it again when its worker died, and can cancel it.
 *
 * Invariants: a job that waits, for a slot or a thread, ends as soon as it is cancelled, whatever it waits behind.
 *             A job that runs again is made anew, with new file numbers: what the dead worker left is deleted before, as far as
 *             it are tables. What can't be deleted is an orphan, which the next open deletes.
 * Thread:     main.     Owns: the slots.
 */
import { assert, assertNever } from '../../shared/base/assert.ts';
import type { FileNumber } from '../../shared/base/ids.ts';
import { clearInterval, clearTimeout, setInterval, setTimeout } from '../../shared/base/timers.ts';
import type { FileSystem } from '../../shared/files/file-system.ts';
import { type ControlBlock, JOB_SLOT_COUNT, JobCancelledError } from '../../shared/threads/control-block.ts';
import type { Job, JobContext, JobKind, JobOf, ResultOf } from '../../shared/threads/jobs.ts';
import { OutputNumbers } from '../../shared/threads/output-numbers.ts';
import { removeObsoleteFiles } from '../files/deletion-queue.ts';
import { traceDeleted } from '../files/job-outputs.ts';
import type { Counters } from '../store/counters.ts';
import type { Trace } from '../store/trace.ts';
import { JobTrace } from './job-trace.ts';
import { isAbandoned, isWorkerFault, type RunOptions, type WorkerPool } from './worker-pool.ts';

/** A worker that dies three times over one job dies of the job. */
const MAX_ATTEMPTS = 3;
/** Only for urgent jobs: a flush must not wait for a slot behind a hundred verify() any more than for a thread. */
const URGENT_SLOTS = 1;

/** Stops jobs at their next block, or before they start. */
export class CancelToken {
  /** The slots of the jobs that the token is for. */
  readonly #bound = new Map<number, ControlBlock>();
  readonly #acts = new Set<() => void>();
  #isCancelled = false;

  get isCancelled(): boolean {
    return this.#isCancelled;
  }

  cancel(): void {
    this.#isCancelled = true;
    for (const [slot, control] of this.#bound) control.cancel(slot);
    const acts = [...this.#acts];
    this.#acts.clear();
    for (const act of acts) act();
  }

  /** Calls `act` at the cancellation: for what has not begun, and would not look. The returned function takes that back. */
  whenCancelled(act: () => void): () => void {
    this.#acts.add(act);
    return () => void this.#acts.delete(act);
  }

  /** For JobRunner. */
  bind(control: ControlBlock, slot: number): void {
    this.#bound.set(slot, control);
    if (this.#isCancelled) control.cancel(slot);
  }

  /** For JobRunner. */
  unbind(slot: number): void {
    this.#bound.delete(slot);
  }
}

export class JobRunner {
  readonly #pool: WorkerPool;
  readonly #fs: FileSystem;
  readonly #control: ControlBlock;
  readonly #base: Omit<JobContext, 'slot'>;
  readonly #counters: Counters;
  readonly #trace: Trace | undefined;
  readonly #freeSlots: number[] = Array.from({ length: JOB_SLOT_COUNT }, (_, i) => JOB_SLOT_COUNT - 1 - i);
  readonly #waiting: (() => void)[] = [];
  readonly #waitingUrgently: (() => void)[] = [];
  readonly #tokens = new Set<{ readonly token: CancelToken; readonly isUrgent: boolean }>();
  #endedCount = 0;
  #cancels: 'none' | 'ordinary' | 'all' = 'none';

  constructor(
    pool: WorkerPool,
    control: ControlBlock,
    fs: FileSystem,
    directory: string,
    counters: Counters,
    trace?: Trace,
  ) {
    this.#pool = pool;
    this.#fs = fs;
    this.#control = control;
    this.#base = { directory, fileSystem: fs.spec, control: control.buffer };
    this.#counters = counters;
    this.#trace = trace;
  }

  get running(): number {
    return this.#pool.running;
  }

  get queued(): number {
    return this.#pool.queued;
  }

  /**
   * Changes as long as jobs get on: the heartbeats of those that run, and how many have ended; while some wait for a thread, how
   * many of other stores have.
   */
  get pulse(): string {
    let beats = 0;
    for (let slot = 0; slot < JOB_SLOT_COUNT; slot++) beats += this.#control.heartbeat(slot);
    const othersEnded = this.#pool.queued > 0 ? this.#pool.endedCount : 0;
    return `${beats} ${this.#endedCount} ${othersEnded}`;
  }

  /** Cancels all jobs, or those that are not urgent, from now on, whoever waits for them. */
  cancel(which: 'ordinary' | 'all'): void {
    this.#cancels = which;
    for (const { token, isUrgent } of this.#tokens) if (this.#mustEnd(isUrgent)) token.cancel();
  }

  #mustEnd(isUrgent: boolean): boolean {
    return this.#cancels === 'all' || (this.#cancels === 'ordinary' && !isUrgent);
  }

  /** Runs what `make` makes; `make` is called once per attempt and allocates new file numbers each time. */
  async run<K extends JobKind>(
    make: (context: JobContext) => JobOf<K>,
    options: RunOptions,
    token: CancelToken = new CancelToken(),
    onProgress?: (doneBytes: number) => void,
  ): Promise<ResultOf[K]> {
    const cancellable = { token, isUrgent: options.urgent };
    this.#tokens.add(cancellable);
    if (this.#mustEnd(options.urgent)) token.cancel();
    const slot = await this.#takeSlot(options.urgent, token).catch((error: unknown) => {
      this.#tokens.delete(cancellable);
      throw error;
    });
    const watch =
      onProgress === undefined
        ? undefined
        : setInterval(() => onProgress(this.#control.progress(slot).doneBytes), PROGRESS_INTERVAL_MS);
    let isOurs = true;
    const watched = { ...options, token, heartbeat: () => this.#control.heartbeat(slot) };
    try {
      for (let attempt = 1; ; attempt++) {
        if (token.isCancelled) throw new JobCancelledError();
        if (this.#pool.isInline) await this.#untilPaid(options, token);
        this.#control.resetSlot(slot);
        token.bind(this.#control, slot);
        if (token.isCancelled) throw new JobCancelledError();
        const job = make({ ...this.#base, slot });
        try {
          return await this.#attempt(job, watched, attempt);
        } catch (error) {
          if (isAbandoned(error)) {
            // Should its pool come to it after all, it finds itself cancelled before it touches anything.
            this.#control.cancel(slot);
            isOurs = false;
            throw error;
          }
          if (!isWorkerFault(error)) throw error;
          await this.#deleteLeftovers(job);
          if (attempt === MAX_ATTEMPTS || token.isCancelled) throw error;
          this.#counters.retriedJobCount++;
        }
      }
    } finally {
      clearInterval(watch);
      token.unbind(slot);
      this.#tokens.delete(cancellable);
      this.#endedCount++;
      if (isOurs) this.#freeSlots.push(slot);
      this.#wakeNext();
    }
  }

  async #attempt<K extends JobKind>(
    job: JobOf<K>,
    options: RunOptions,
    attempt: number,
  ): Promise<ResultOf[K]> {
    const pool = this.#pool;
    if (this.#trace?.wants('job') !== true) return await pool.run<K>(job, options);
    const trace = new JobTrace(this.#trace, job.kind, attempt, options.urgent, options.parent);
    try {
      const started = (): void => trace.started(pool.running, pool.queued);
      const result = await pool.run<K>(job, { ...options, started });
      trace.ended(result);
      return result;
    } catch (error) {
      trace.failed(error);
      throw error;
    }
  }

  /** The tables that a dead worker had begun. Nobody else has heard of them, and no other file ever bears their numbers. */
  async #deleteLeftovers(job: Job): Promise<void> {
    const { directory } = this.#base;
    // What fails to be deleted is of no consequence, and has the next open to be told of.
    const trace = this.#trace;
    await removeObsoleteFiles(
      this.#fs,
      directory,
      { newTables: outputsOf(job) },
      () => undefined,
      trace && ((_, path) => traceDeleted(trace, path)),
    );
  }

  /** The store is about to close: what a pool of the application's has lost is not waited for. */
  beginClose(): void {
    this.#pool.beginClose();
  }

  close(): Promise<void> {
    return this.#pool.close();
  }

  /** Jobs on this thread don't wait for the bound on their bytes while they run: the next one waits instead. */
  async #untilPaid({ urgent, keepAlive }: RunOptions, token: CancelToken): Promise<void> {
    for (;;) {
      const left = this.#control.diskUse.reserve(0, urgent);
      if (left === 0 || token.isCancelled) return;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(
          () => {
            forget();
            resolve();
          },
          Math.min(left, LONGEST_LOOK_MS),
        );
        if (!keepAlive) timer.unref();
        const forget = token.whenCancelled(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  #wakeNext(): void {
    const hasOrdinary = this.#freeSlots.length > URGENT_SLOTS;
    const next = this.#waitingUrgently.shift() ?? (hasOrdinary ? this.#waiting.shift() : undefined);
    next?.();
  }

  async #takeSlot(isUrgent: boolean, token: CancelToken): Promise<number> {
    const waiting = isUrgent ? this.#waitingUrgently : this.#waiting;
    const kept = isUrgent ? 0 : URGENT_SLOTS;
    while (this.#freeSlots.length <= kept) {
      if (token.isCancelled) throw new JobCancelledError();
      await new Promise<void>((resolve, reject) => {
        const forget = token.whenCancelled(() => {
          waiting.splice(waiting.indexOf(wake), 1);
          reject(new JobCancelledError());
        });
        const wake = (): void => {
          forget();
          resolve();
        };
        waiting.push(wake);
      });
    }
    const slot = this.#freeSlots.pop();
    assert(slot !== undefined, 'no job slot is free');
    return slot;
  }
}

/** The numbers of the tables that the job may have begun. */
function outputsOf(job: Job): readonly FileNumber[] {
  switch (job.kind) {
    case 'flush':
      return [job.output];
    case 'salvage':
      return job.output === undefined ? [] : [job.output];
    case 'compact':
      return new OutputNumbers(job.outputs).taken;
    case 'ingest-merge':
      return job.output.kind === 'tables' ? new OutputNumbers(job.output.outputs).taken : [];
    case 'ingest-run':
    case 'verify':
      return [];
    default:
      return assertNever(job);
  }
}

const PROGRESS_INTERVAL_MS = 100;
/** While a store closes no bound holds: looked for so often. */
const LONGEST_LOOK_MS = 100;
