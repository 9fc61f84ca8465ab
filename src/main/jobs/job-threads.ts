/**
 * Where jobs are carried out: on this thread, in the application's pool, or on threads of ours. The only importer of piscina.
 *
 * Invariants: run() rejects only when the worker failed; what a job answers, an error included, is its reply.
 * Thread:     main only.
 */

import type { Piscina, TaskQueue } from 'piscina';
import { clearTimeout, queueMicrotask, setImmediate, setTimeout } from '../../shared/base/timers.ts';
import { hasWorkingDirectory } from '../../shared/files/node-file-system.ts';
import { packageHooks } from '../../shared/files/plug-and-play.ts';
import type { Job } from '../../shared/threads/jobs.ts';
import type { ForeignPool } from '../store/open-request.ts';

/** Long enough to bridge the pauses of a busy store, short enough to give memory back to a quiet one. */
const IDLE_TIMEOUT_MS = 5000;
/**
 * Jobs make little that lives on. V8's default of 48 is memory that a thread has touched soon and keeps: two threads took 80 MiB
 * more while a store was filled, which took as long. With 12 the peak over 16 million puts was 440 MiB (V8's own pages 143 of
 * them), with 6 between 342 and 369, for the same processor time.
 */
const YOUNG_GENERATION_MIB = 6;

/** Which thread runs a job, once one does. */
export interface Place {
  threadId: number | undefined;
}

/** Where jobs are carried out. */
export interface Threads {
  /** The application's: a job may wait there for what we don't know of, and may be dropped. */
  readonly isForeign: boolean;
  /** Rejects only when the worker failed. */
  run(job: Job, keepAlive: boolean, place: Place): Promise<unknown>;
  /** Ends the thread, where that can and may be done: its job rejects. */
  terminate(place: Place): void;
  close(): Promise<void>;
}

/** The code that carries out jobs. */
export interface JobCode {
  /** The entry of a thread: exports `handleJobBehind` and `handleJobAsGuest`. */
  readonly url: URL;
  /** For jobs on this thread: the same code as a part of this copy of the package, with what it has in common with main. */
  readonly load: () => Promise<{ readonly default: (job: Job) => Promise<unknown> }>;
}

/** No threads: main calls the worker's entry, after giving the event loop a turn. */
export class InlineThread implements Threads {
  readonly isForeign = false;
  readonly #code: JobCode;

  constructor(code: JobCode) {
    this.#code = code;
  }

  async run(job: Job, keepAlive: boolean): Promise<unknown> {
    await turn(keepAlive);
    const worker = await this.#code.load();
    return worker.default({ ...job, isInline: true });
  }

  terminate(): void {
    // A job that hangs here hangs main, and with it whoever would look.
  }

  async close(): Promise<void> {
    // Nothing is kept.
  }
}

/** An immediate that is not to keep the process alive would wait for other I/O to wake the loop; a timer does not. */
function turn(keepAlive: boolean): Promise<void> {
  return new Promise((resolve) => {
    if (keepAlive) setImmediate(resolve);
    else setTimeout(resolve, 0).unref();
  });
}

/** The application's pool: its run() is called in a microtask of its own, and may do and give whatever it likes. */
export class ForeignThreads implements Threads {
  readonly isForeign = true;
  readonly #pool: ForeignPool;
  readonly #code: JobCode;

  constructor(pool: ForeignPool, code: JobCode) {
    this.#pool = pool;
    this.#code = code;
  }

  async run(job: Job): Promise<unknown> {
    await undefined;
    return await this.#pool.run(job, { filename: this.#code.url.href, name: 'handleJobAsGuest' });
  }

  terminate(): void {
    // Not ours to terminate.
  }

  async close(): Promise<void> {
    // Not ours to destroy.
  }
}

/** Our own piscina, made for the first job. While Node can start no threads, jobs are carried out on this one. */
export class PiscinaThreads implements Threads {
  readonly isForeign = false;
  readonly #maxThreads: number;
  readonly #code: JobCode;
  #opened: Promise<OpenedPiscina> | undefined;

  constructor(maxThreads: number, code: JobCode) {
    this.#maxThreads = maxThreads;
    this.#code = code;
  }

  async run(job: Job, keepAlive: boolean, place: Place): Promise<unknown> {
    // Node starts no thread in a working directory that was deleted.
    if (!hasWorkingDirectory()) return await new InlineThread(this.#code).run(job, keepAlive);
    this.#opened ??= this.#open();
    const { piscina, starting, placeSymbol, startFailure } = await this.#opened;
    let reply: Promise<unknown>;
    try {
      reply = piscina.run(
        { ...job, [placeSymbol]: place },
        { filename: this.#code.url.href, name: 'handleJobBehind' },
      );
    } catch (error) {
      // The system makes no more threads, and piscina has queued the job before it tried.
      starting.dropNewest();
      throw error;
    }
    try {
      return await reply;
    } catch (error) {
      throw startFailure(error);
    }
  }

  terminate({ threadId }: Place): void {
    const end = async (): Promise<void> => {
      const opened = await this.#opened;
      await opened?.piscina.threads.find((thread) => thread.threadId === threadId)?.terminate();
    };
    // The job's promise reports that its thread has ended; nothing else waits for this.
    end().catch(() => undefined);
  }

  async close(): Promise<void> {
    // When it could not be opened, its jobs have been rejected.
    const opened = await this.#opened?.catch(() => undefined);
    await opened?.piscina.destroy();
  }

  async #open(): Promise<OpenedPiscina> {
    const { Piscina, queueOptionsSymbol } = await import('piscina');
    const starting = new StartingJobs();
    const piscina = new Piscina({
      minThreads: 0,
      maxThreads: this.#maxThreads,
      idleTimeout: IDLE_TIMEOUT_MS,
      concurrentTasksPerWorker: 1,
      recordTiming: false,
      // Else an idle thread waits in Atomics.wait, where it frees nothing: its last job would keep a memtable's memory.
      atomics: 'disabled',
      // Of the command line it takes over nothing else.
      execArgv: threadOptions(),
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MIB },
      env: {},
      taskQueue: starting,
      loadBalancer: (task, workers) => {
        const idle = workers.find((worker) => worker.currentUsage === 0);
        // piscina hands the job over as soon as this returns, and refs the port.
        if (idle === undefined) return null;
        queueMicrotask(() => unrefPort(idle));
        const place = Reflect.get(task, queueOptionsSymbol) as Place | null;
        if (place !== null) place.threadId = idle.id;
        return idle;
      },
    });
    // Reports threads that died without a job, most of them while they started; those with one reject its promise.
    let lastDeath: Error | undefined;
    piscina.on('error', (error: Error) => {
      lastDeath = error;
    });
    piscina.on('workerCreate', (worker: object) => {
      lastDeath = undefined;
      takeIdleTime(worker);
    });
    const startFailure = (error: unknown): unknown =>
      isTermination(error)
        ? new Error(`its thread did not start: ${lastDeath?.message ?? 'it ended'}`, {
            cause: lastDeath ?? error,
          })
        : error;
    piscina.on('workerDestroy', () => {
      // Threads that die while they start leave their jobs queued, and piscina makes no new ones for them.
      // Destroying it rejects the jobs; it can be used again afterwards.
      setImmediate(() => {
        if (piscina.threads.length === 0 && starting.size > 0) void piscina.destroy();
      });
    });
    return { piscina, starting, placeSymbol: queueOptionsSymbol, startFailure };
  }
}

/** The newest Node known to take {@link NO_REQUIRE}; asking costs some 10 ms. */
const KNOWN_MAJOR = 26;
const NO_REQUIRE = '--no-experimental-require-module';

/**
 * piscina tries require() on our entry, an ES module, before it imports it. A process that ends in the middle of that, or a
 * thread that is terminated, aborts: Node 20 to 24 take for granted there (ModuleWrap::CreateRequiredModuleFacade and
 * InstantiateSync) that code may still run. import() does not, takes as long, and comes next where require() refuses at once.
 * With Yarn's hooks, which may be for require() alone, it stays.
 */
function threadOptions(): string[] {
  const hooks = packageHooks();
  if (hooks.length > 0) return hooks;
  const mayRequire: unknown = Reflect.get(process.features, 'require_module');
  if (mayRequire !== true) return [];
  const isKnown =
    Number.parseInt(process.versions.node, 10) <= KNOWN_MAJOR ||
    process.allowedNodeEnvironmentFlags.has(NO_REQUIRE);
  return isKnown ? [NO_REQUIRE] : [];
}

interface OpenedPiscina {
  readonly piscina: Piscina;
  readonly starting: StartingJobs;
  /** What a task carries under it stays on this thread, and is shown to the load balancer. */
  readonly placeSymbol: symbol;
  /** What a job failed with; for one that waited for a thread in vain what that died of, which piscina does not report. */
  readonly startFailure: (error: unknown) => unknown;
}

/** What piscina rejects queued jobs with when it is destroyed. No job is queued when we close it ourselves. */
function isTermination(error: unknown): boolean {
  return (
    typeof error === 'object' &&
    error !== null &&
    Reflect.get(error, 'message') === 'Terminating worker thread'
  );
}

type QueuedTask = Parameters<TaskQueue['push']>[0];

/** piscina's queue. Jobs are in it only while their threads start, as no more are handed out than there are threads. */
class StartingJobs implements TaskQueue {
  readonly #tasks: QueuedTask[] = [];

  get size(): number {
    return this.#tasks.length;
  }

  push(task: QueuedTask): void {
    this.#tasks.push(task);
  }

  shift(): QueuedTask | null {
    return this.#tasks.shift() ?? null;
  }

  remove(task: QueuedTask): void {
    const index = this.#tasks.indexOf(task);
    if (index >= 0) this.#tasks.splice(index, 1);
  }

  dropNewest(): void {
    this.#tasks.pop();
  }
}

/**
 * Lets the process exit while a job runs; process-keeper.ts decides about that. piscina keeps a worker's port referenced
 * for the length of a job and has no option against it, but carries the object that owns the port under a symbol of
 * what a load balancer is given. Should a later version not: the process exits when the job is done.
 */
function unrefPort(worker: object): void {
  for (const inner of partsBehind(worker)) {
    const unref: unknown = Reflect.get(inner, 'unref');
    if (typeof unref === 'function') Reflect.apply(unref, inner, []);
  }
}

/**
 * Has the idle time of a thread measured by timers of ours. piscina takes the global ones, which are numbers without `unref`
 * where a browser is played (jsdom), and in tests may be fakes that never come. Reached as in {@link unrefPort}.
 */
function takeIdleTime(worker: object): void {
  for (const inner of partsBehind(worker)) {
    if (!('setIdleTimeout' in inner)) continue;
    let timer: NodeJS.Timeout | undefined;
    Object.assign(inner, {
      setIdleTimeout: (end: () => void, ms: number) => {
        clearTimeout(timer);
        timer = setTimeout(end, ms).unref();
      },
      clearIdleTimeout: () => clearTimeout(timer),
    });
  }
}

function* partsBehind(worker: object): Generator<object> {
  for (const symbol of Object.getOwnPropertySymbols(worker)) {
    const inner: unknown = Reflect.get(worker, symbol);
    if (typeof inner === 'object' && inner !== null) yield inner;
  }
}
