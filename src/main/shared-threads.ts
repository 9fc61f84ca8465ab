/**
 * One set of threads for all stores of a process, as RocksDB's environment has them.
 *
 * A thread costs some 35 ms to start, and ten times that until its code is compiled: the threads that one store has warmed
 * serve the next one. How many jobs each store may run at once remains its own affair (worker-pool.ts), so threads are as many
 * as all stores together may use, and end when idle.
 *
 *   a store opens -> shareThreads() ... close() of the last one -> LINGER_MS, or the end of the process -> they end
 *
 * Invariants: whoever closed their share has no job here. Without a store there is no thread after LINGER_MS, and none when the
 *             process ends by itself.
 * Thread:     main only; each thread that opens stores has its own set.
 */
import type { Job } from '../shared/jobs.ts';
import { clearTimeout, setTimeout } from '../shared/timers.ts';
import { PiscinaThreads, type Place, type Threads } from './job-threads.ts';

/** Long enough for a program that opens one store after another. */
const LINGER_MS = 2000;
/** Beyond any sum of jobs that stores run at once. */
const MAX_THREADS = 4096;

const byWorker = new Map<string, SharedThreads>();

class SharedThreads {
  readonly #threads: PiscinaThreads;
  #users = 0;
  #lingering: NodeJS.Timeout | undefined;
  readonly #end: () => void;

  constructor(workerUrl: URL) {
    this.#threads = new PiscinaThreads(MAX_THREADS, workerUrl);
    this.#end = () => {
      this.#stopLingering();
      // Whoever comes now gets others: these may take a while to end.
      byWorker.delete(workerUrl.href);
      // Whether they end well or not: nobody has a job here, and nobody is told.
      this.#threads.close().catch(() => undefined);
    };
  }

  join(): Threads {
    this.#users++;
    this.#stopLingering();
    return {
      isForeign: false,
      run: (job: Job, keepAlive: boolean, place: Place) => this.#threads.run(job, keepAlive, place),
      terminate: (place) => this.#threads.terminate(place),
      close: async () => {
        if (--this.#users === 0) this.#linger();
      },
    };
  }

  #linger(): void {
    this.#lingering = setTimeout(this.#end, LINGER_MS).unref();
    process.once('beforeExit', this.#end);
  }

  #stopLingering(): void {
    clearTimeout(this.#lingering);
    this.#lingering = undefined;
    process.removeListener('beforeExit', this.#end);
  }
}

/** A share in the threads that run this worker. Closing it, which is done once, leaves them to the others. */
export function shareThreads(workerUrl: URL): Threads {
  let threads = byWorker.get(workerUrl.href);
  if (threads === undefined) {
    threads = new SharedThreads(workerUrl);
    byWorker.set(workerUrl.href, threads);
  }
  return threads.join();
}
