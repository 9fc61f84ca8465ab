/**
 * One set of threads for all stores of a process, as RocksDB's environment has them.
 *
 * A thread costs some 35 ms to start, ten times that until its code is compiled, and 15 MiB: the threads that one store has
 * warmed serve the next one. How many jobs each store may run at once remains its own affair (worker-pool.ts); how many all of
 * them run, and whose is next, is that of thread-turns.ts. Threads are as many as jobs run at once, and end when idle.
 *
 *   a store opens -> joinProcessThreads() ... close() of the last one -> LINGER_MS, or the end of the process -> they end
 *
 * Invariants: whoever closed their share has no job here. Without a store there is no thread after LINGER_MS, and none when the
 *             process ends by itself.
 * Thread:     main only; each thread that opens stores has its own set, as does each copy of this package with a worker of
 * its own.
 * Not chosen: one set for all threads of the application that open stores. They share nothing but what is handed to them, and a
 *             job's promise and its descriptors belong to the thread that started it.
 */

import { onePerThread } from '../../shared/base/one-per-thread.ts';
import { clearTimeout, setTimeout } from '../../shared/base/timers.ts';
import type { Job } from '../../shared/threads/jobs.ts';
import { type JobCode, PiscinaThreads, type Place, type Threads } from './job-threads.ts';
import { type ThreadShare, ThreadTurns, type ThreadUser } from './thread-turns.ts';

/** Long enough for a program that opens one store after another. */
const LINGER_MS = 2000;
/** Beyond what is ever run at once: thread-turns.ts has the bound, which moves with the stores that are open. */
const MAX_THREADS = 4096;

/** Threads, and the right to use them. */
export interface ProcessPlace {
  readonly threads: Threads;
  readonly share: ThreadShare;
}

const byWorker = onePerThread('worker-threads', () => new Map<string, ProcessThreads>());

class ProcessThreads {
  readonly #threads: PiscinaThreads;
  readonly #turns = new ThreadTurns();
  #users = 0;
  #lingering: NodeJS.Timeout | undefined;
  readonly #end: () => void;

  constructor(code: JobCode) {
    this.#threads = new PiscinaThreads(MAX_THREADS, code);
    this.#end = () => {
      this.#stopLingering();
      // Whoever comes now gets others: these may take a while to end.
      byWorker.delete(code.url.href);
      // Whether they end well or not: nobody has a job here, so nobody needs to know.
      this.#threads.close().catch(() => undefined);
    };
  }

  join(user: ThreadUser): ProcessPlace {
    this.#users++;
    this.#stopLingering();
    const share = this.#turns.join(user);
    const threads: Threads = {
      isForeign: false,
      run: (job: Job, keepAlive: boolean, place: Place) => this.#threads.run(job, keepAlive, place),
      terminate: (place) => this.#threads.terminate(place),
      close: async () => {
        share.leave();
        if (--this.#users === 0) this.#linger();
      },
    };
    return { threads, share };
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

/** A share in the threads that run this code. Closing it, which is done once, leaves them to the others. */
export function joinProcessThreads(code: JobCode, user: ThreadUser): ProcessPlace {
  let threads = byWorker.get(code.url.href);
  if (threads === undefined) {
    threads = new ProcessThreads(code);
    byWorker.set(code.url.href, threads);
  }
  return threads.join(user);
}
