/**
 * The only way from main to a worker.
 *
 *   1. a job waits in one of two queues, urgent (flushes: writers wait for them) or ordinary
 *   2. urgent jobs are taken first. At most `threads` jobs run at once, and one more when it is urgent and none of the
 *      running ones is: a store whose threads are all in long compactions must not stop its writers until one ends.
 *      Jobs for a caller, for which a caller waits while main has little to do, may take `callerThreads`. They are not in the way
 *      of others: whichever has waited longest is next, and an ingestion of an hour starves no compaction.
 *      Where threads are shared with other stores, a job that may run by these rules waits for the store's turn (thread-turns.ts)
 *   3. the job goes to a piscina worker (worker.ts), to the application's own pool, or with `threads: 0` runs inline
 *      (job-threads.ts)
 *   4. the reply is read (job-reply.ts) and settles the promise of run(); a thread of ours whose job gives no sign of life
 *      for half an hour is terminated (job-watchdog.ts)
 *
 * Invariants: no thread, and no piscina, before the first job. Idle threads never keep the process alive, running
 *             ones only for a job that somebody awaits (`keepAlive`).
 *             Each run() settles exactly once, whatever a worker does: throws, exits, is terminated, runs out of
 *             memory, answers nonsense or never, fails to start. It fails the job it ran, no other, with an error that
 *             isWorkerFault() knows. A job is handed over once: running it again, with new file numbers, is up to the JobRunner.
 * Thread:     main only.
 * Owns:       the queues, and threads of its own unless it shares them. A pool given by the application is used and never
 *             destroyed, nor are its threads terminated: other tasks may run on them, and a job may wait there behind them
 *             for as long as they take. piscina keeps the process alive while such a pool runs a job.
 * Not chosen: piscina's own queue (first in, first out, so a flush would wait behind every compaction) and its
 *             close() (gives up after 30 s, in the middle of a job).
 */

import { extname } from 'node:path';
import { StorageError } from '../../shared/base/errors.ts';
import { awaited, keepProcessAlive } from '../../shared/base/process-keeper.ts';
import { JobCancelledError } from '../../shared/threads/control-block.ts';
import type { Job, JobKind, JobOf, ResultOf } from '../../shared/threads/jobs.ts';
import type { ForeignPool } from '../store/open-request.ts';
import { abandonedJob, isAbandoned, readReply, workerFault } from './job-reply.ts';
import {
  ForeignThreads,
  InlineThread,
  type JobCode,
  PiscinaThreads,
  type Place,
  type Threads,
} from './job-threads.ts';
import { STALL_LIMIT_MS, watchJob } from './job-watchdog.ts';
import { requireThreadFile } from './own-place.ts';
import { joinProcessThreads } from './process-threads.ts';
import type { ThreadShare, ThreadUser, Turn, TurnKind } from './thread-turns.ts';

export { isAbandoned, isWorkerFault } from './job-reply.ts';

/** The built file next to us: `.js` when built, `.ts` where Node runs the sources. */
const threadFile = (): URL =>
  new URL(`../../workers/worker-thread${extname(import.meta.url)}`, import.meta.url);
let areThreadsPossible = false;

/** Throws STRATA_UNSUPPORTED where no threads can be started, as stratakv was bundled. Looks once. */
export function requireThreads(): void {
  if (!areThreadsPossible) requireThreadFile(threadFile);
  areThreadsPossible = true;
}

export interface WorkerPoolOptions {
  /** 0: jobs run inline, one at a time. */
  readonly threads: number;
  /** How many jobs for a caller may run; default: `threads`. */
  readonly callerThreads?: number | undefined;
  readonly pool?: ForeignPool | undefined;
  /** Whether the threads are those of all pools of this process that share theirs. */
  readonly ofProcess?: boolean | undefined;
  readonly workerUrl?: URL | undefined;
  readonly stallLimitMs?: number | undefined;
  /** While the store closes, for jobs in `pool`. */
  readonly closeLimitMs?: number | undefined;
}

/** What a job in the application's pool may take for a sign of life once the store closes. */
const CLOSE_LIMIT_MS = 10_000;

/** A job without a sign of life for this long waits for its disk: the stores that share its thread get another one. */
const SILENCE_LIMIT_MS = 5000;
/** Of threads that nobody shares. */
const OWN_TURN: Turn = { end: () => undefined, noteSilence: () => undefined };

export interface RunOptions {
  /** Overtakes all that is not. */
  readonly urgent: boolean;
  /** May take a thread beyond `threads`, up to `callerThreads`. */
  readonly forCaller?: boolean;
  /** The traced operation that the job works for. */
  readonly parent?: number | undefined;
  /** Somebody awaits the job: the process must not exit before it is done. */
  readonly keepAlive: boolean;
  /** Changes as long as the job is alive; without it nobody watches. */
  readonly heartbeat?: () => number;
  /** Called when the job has a thread. Must not throw. */
  readonly started?: (() => void) | undefined;
  /** Takes the job out of the queue when it is cancelled before it has a thread. */
  readonly token?: { whenCancelled(act: () => void): () => void };
}

interface Task {
  readonly job: Job;
  readonly isUrgent: boolean;
  readonly isForCaller: boolean;
  readonly keepAlive: boolean;
  readonly heartbeat: (() => number) | undefined;
  readonly started: (() => void) | undefined;
  /** Lets go of the process, and of the token. */
  readonly release: () => void;
  /** Settles the promise of run() with what a worker answered, or with the error it failed with. */
  readonly answer: (reply: unknown) => void;
  readonly fail: (error: Error) => void;
  /** Ends the wait for a running one. */
  abandon: () => void;
  /** Ends the watch of {@link WorkerPool.beginClose}. */
  unwatch: () => void;
}

export class WorkerPool implements ThreadUser {
  readonly #threads: Threads;
  readonly #share: ThreadShare | undefined;
  readonly #limit: number;
  readonly #callerLimit: number;
  readonly #hasExtraThread: boolean;
  readonly #stallLimitMs: number;
  readonly #closeLimitMs: number;
  readonly #workerUrl: URL;
  readonly #urgent: Task[] = [];
  readonly #ordinary: Task[] = [];
  /** With the promise of being done, which never rejects. */
  readonly #running = new Map<Task, Promise<void>>();
  #urgentRunning = 0;
  #callerRunning = 0;
  #isStoreClosing = false;
  #closing: Promise<void> | undefined;

  constructor(options: WorkerPoolOptions) {
    const code = options.workerUrl === undefined ? ownCode(options.threads) : codeAt(options.workerUrl);
    this.#limit = Math.max(1, options.threads);
    this.#callerLimit = options.threads === 0 ? 1 : Math.max(this.#limit, options.callerThreads ?? 0);
    this.#hasExtraThread = options.threads > 0;
    this.#stallLimitMs = options.stallLimitMs ?? STALL_LIMIT_MS;
    this.#closeLimitMs = options.closeLimitMs ?? CLOSE_LIMIT_MS;
    this.#workerUrl = code.url;
    if (options.threads === 0) this.#threads = new InlineThread(code);
    else if (options.pool !== undefined) this.#threads = new ForeignThreads(options.pool, code);
    else if (options.ofProcess === true) {
      const { threads, share } = joinProcessThreads(code, this);
      this.#threads = threads;
      this.#share = share;
    } else this.#threads = new PiscinaThreads(this.#callerLimit + 1, code);
  }

  /** How many jobs may run at once, not counting an urgent one. */
  get mostThreads(): number {
    return this.#callerLimit;
  }

  /** Whether jobs hold this thread while they run. */
  get isInline(): boolean {
    return !this.#hasExtraThread;
  }

  /** Changes while jobs that wait come nearer to a thread: jobs before them have ended, whosever they were. */
  get endedCount(): number {
    return this.#share?.endedCount ?? 0;
  }

  /** Jobs on a thread now. */
  get running(): number {
    return this.#running.size;
  }

  /** Jobs waiting for a thread. */
  get queued(): number {
    return this.#urgent.length + this.#ordinary.length;
  }

  /**
   * Runs `job` and returns its result.
   * @throws the job's own error (StorageError, JobCancelledError), or one that {@link isWorkerFault} knows.
   */
  run<K extends JobKind>(job: JobOf<K>, options: RunOptions): Promise<ResultOf[K]> {
    if (this.#closing !== undefined) {
      return Promise.reject(new StorageError('STRATA_CLOSED', 'the worker pool is closed'));
    }
    return new Promise((resolve, reject) => {
      const letGo = options.keepAlive ? keepProcessAlive() : () => undefined;
      const forgetToken = options.token?.whenCancelled(() => this.#drop(task));
      const task: Task = {
        job,
        isUrgent: options.urgent,
        isForCaller: options.forCaller === true,
        keepAlive: options.keepAlive,
        heartbeat: options.heartbeat,
        started: options.started,
        release: () => {
          letGo();
          forgetToken?.();
        },
        answer: (reply) => resolve(readReply(job, reply)),
        fail: reject,
        abandon: () => undefined,
        unwatch: () => undefined,
      };
      (task.isUrgent ? this.#urgent : this.#ordinary).push(task);
      this.#startWhatMay();
    });
  }

  /**
   * The store is about to close, and waits for its jobs. One in the application's pool that gives no sign of life for ten
   * seconds from now on is given up, with an error that {@link isAbandoned} knows: such a pool may have been closed, and have
   * dropped it without a word.
   */
  beginClose(): void {
    this.#isStoreClosing = true;
    for (const task of this.#running.keys()) this.#expectLife(task);
  }

  #expectLife(task: Task): void {
    if (!this.#threads.isForeign) return;
    task.unwatch();
    task.unwatch = watchJob(task.heartbeat ?? (() => 0), this.#closeLimitMs, task.abandon);
  }

  /**
   * Refuses new jobs, rejects the queued ones, waits for the running ones (cancel them in the control block to make
   * this quick) and ends the threads, unless others share them. Idempotent.
   */
  close(): Promise<void> {
    this.#closing ??= awaited(this.#shutDown());
    return this.#closing;
  }

  /** A job that was cancelled: whoever waits for it need not wait for those before it. A running one sees it in its slot. */
  #drop(task: Task): void {
    const queue = task.isUrgent ? this.#urgent : this.#ordinary;
    const place = queue.indexOf(task);
    if (place < 0) return;
    queue.splice(place, 1);
    this.#settle(task, () => task.fail(new JobCancelledError()));
  }

  async #shutDown(): Promise<void> {
    for (const task of [...this.#urgent.splice(0), ...this.#ordinary.splice(0)]) {
      this.#settle(task, () => task.fail(new JobCancelledError()));
    }
    await Promise.all(this.#running.values());
    await this.#threads.close();
  }

  #startWhatMay(): void {
    if (this.#share !== undefined) {
      if (this.#urgent.length > 0) this.#share.want('urgent');
      if (this.#ordinary.length > 0) this.#share.want('ordinary');
      return;
    }
    while (this.start('urgent', OWN_TURN) || this.start('ordinary', OWN_TURN));
  }

  /** For ThreadTurns. */
  start(kind: TurnKind, turn: Turn): boolean {
    const task = kind === 'urgent' ? this.#takeUrgent() : this.#takeOrdinary();
    if (task === undefined) return false;
    if (task.isUrgent) this.#urgentRunning++;
    if (task.isForCaller) this.#callerRunning++;
    task.started?.();
    this.#running.set(task, this.#carryOut(task, turn));
    return true;
  }

  #takeUrgent(): Task | undefined {
    const hasFreeThread = this.#running.size < this.#limit;
    const mayUseExtraThread = this.#hasExtraThread && this.#urgentRunning === 0;
    return hasFreeThread || mayUseExtraThread ? this.#urgent.shift() : undefined;
  }

  #takeOrdinary(): Task | undefined {
    if (this.#running.size < this.#limit) return this.#ordinary.shift();
    if (this.#running.size >= this.#callerLimit) return undefined;
    const mayBePlain = this.#running.size - this.#callerRunning < this.#limit;
    const place = this.#ordinary.findIndex((task) => task.isForCaller || mayBePlain);
    return place < 0 ? undefined : this.#ordinary.splice(place, 1)[0];
  }

  /** Never rejects. */
  async #carryOut(task: Task, turn: Turn): Promise<void> {
    let settle: () => void;
    let stall: Error | undefined;
    const place: Place = { threadId: undefined };
    const onStall = (): void => {
      stall = new Error('it gave no sign of life and was terminated');
      this.#threads.terminate(place);
    };
    const unwatch = task.heartbeat && watchJob(task.heartbeat, this.#stallLimitMs, onStall);
    const unwatchSilence =
      this.#share && task.heartbeat && watchJob(task.heartbeat, SILENCE_LIMIT_MS, turn.noteSilence);
    try {
      const abandoned = new Promise<never>((_, reject) => {
        task.abandon = () => reject(abandonedJob(task.job.kind));
      });
      if (this.#isStoreClosing) this.#expectLife(task);
      const reply = await Promise.race([this.#threads.run(task.job, task.keepAlive, place), abandoned]);
      settle = () => task.answer(reply);
    } catch (error) {
      const fault = isAbandoned(error) ? error : workerFault(task.job.kind, stall ?? error, this.#workerUrl);
      settle = () => task.fail(fault as StorageError);
    } finally {
      unwatch?.();
      unwatchSilence?.();
      task.unwatch();
    }
    this.#running.delete(task);
    if (task.isUrgent) this.#urgentRunning--;
    if (task.isForCaller) this.#callerRunning--;
    this.#settle(task, settle);
    turn.end();
    this.#startWhatMay();
  }

  #settle(task: Task, settle: () => void): void {
    task.release();
    try {
      settle();
    } catch (error) {
      // What the worker answered was an error, or not an answer at all.
      task.fail(error as Error);
    }
  }
}

/** The worker. Without threads nobody asks where it lies, and it may have become part of another file. */
function ownCode(threads: number): JobCode {
  if (threads > 0) requireThreads();
  const url = threads > 0 ? threadFile() : new URL('data:');
  return { url, load: async () => await import('../../workers/worker.ts') };
}

/** Another module in the worker's place, as tests have it. */
function codeAt(url: URL): JobCode {
  return { url, load: async () => await import(url.href) };
}
