/**
 * Shares out the threads of a process among its stores: whose job is next, and whether there is a thread for it.
 *
 *   a store has jobs          -> want(kind): it stands in line, once for urgent jobs (flushes) and once for ordinary ones
 *   a thread is free          -> the first in line that may start a job does, and goes to the end; urgent ones of all stores
 *                                come before the ordinary ones of any
 *   all threads are busy      -> urgent jobs have some more, so that none waits for long merges
 *   a job has no sign of life -> its thread waits for a disk, not for a processor: it counts no more. A store whose disk hangs
 *                                must not stop the others
 *
 * Bound: `limit` jobs at once, `urgentThreads` urgent ones more, and those that gave no sign of life for a while, of which a
 * store has at most as many as it may run by itself. The limit is the number of processors, or what the store with the most
 * threads may run.
 *
 * Invariants: a store with jobs without end has one turn for each that others have, in either line.
 *             A store runs no more jobs at once than its own limits allow: whether it may start one is asked of it.
 *             Whoever has left has no turn; its jobs that run count until they end.
 * Thread:     main.
 * Not chosen: one queue of jobs for all. Jobs are cancelled, and are dropped when their store closes; so they stay where they
 *             belong, and what stands in line is the store.
 */
import { availableParallelism } from 'node:os';

/** On a single processor one job waits for the disk while another works. */
const MIN_THREADS = 2;
/** Urgent jobs get one thread beside the others, and one more per this many processors. */
const PROCESSORS_PER_URGENT_THREAD = 4;

export type TurnKind = 'urgent' | 'ordinary';

/** Whose jobs they are. */
export interface ThreadUser {
  /** How many jobs it runs at once, urgent ones apart. */
  readonly mostThreads: number;
  /** Starts a job of this kind, in `turn`; false: there is none that it may start now. Must not throw. */
  start(kind: TurnKind, turn: Turn): boolean;
}

/** A job's place on a thread. */
export interface Turn {
  /** The job has ended. Called once. */
  end(): void;
  /** The job gives no sign of life. */
  noteSilence(): void;
}

/** A store's place among those that share. */
export interface ThreadShare {
  /** There may be a job to start. */
  want(kind: TurnKind): void;
  /** Changes as long as the jobs of anybody end. */
  readonly endedCount: number;
  leave(): void;
}

export class ThreadTurns {
  readonly #users = new Set<ThreadUser>();
  /** In the order of their turns. */
  readonly #lines: Readonly<Record<TurnKind, Set<ThreadUser>>> = { urgent: new Set(), ordinary: new Set() };
  readonly #processors: number;
  readonly #urgentThreads: number;
  #running = 0;
  #urgentRunning = 0;
  #endedCount = 0;
  #limit: number;

  constructor(processors: number = availableParallelism()) {
    this.#processors = Math.max(MIN_THREADS, processors);
    this.#urgentThreads = 1 + Math.floor(processors / PROCESSORS_PER_URGENT_THREAD);
    this.#limit = this.#processors;
  }

  /** How many jobs run at once, not counting urgent ones and silent ones. */
  get limit(): number {
    return this.#limit;
  }

  /** Jobs that have a thread and show signs of life. */
  get running(): number {
    return this.#running;
  }

  join(user: ThreadUser): ThreadShare {
    this.#users.add(user);
    this.#setLimit();
    const turns = this;
    return {
      get endedCount() {
        return turns.#endedCount;
      },
      want: (kind) => {
        if (!this.#users.has(user)) return;
        this.#lines[kind].add(user);
        this.#giveTurns();
      },
      leave: () => {
        this.#users.delete(user);
        for (const line of Object.values(this.#lines)) line.delete(user);
        this.#setLimit();
      },
    };
  }

  #setLimit(): void {
    let limit = this.#processors;
    for (const { mostThreads } of this.#users) limit = Math.max(limit, mostThreads);
    this.#limit = limit;
  }

  #giveTurns(): void {
    while (this.#mayStartUrgent() && this.#startNext('urgent'));
    while (this.#running < this.#limit && this.#startNext('ordinary'));
  }

  #mayStartUrgent(): boolean {
    // The second: where the limit has fallen, as a store was closed, and more run than it says.
    return this.#running < this.#limit + this.#urgentThreads || this.#urgentRunning < this.#urgentThreads;
  }

  /** false: nobody in this line may start a job. Whoever may not leaves it: it comes back when something has changed for it. */
  #startNext(kind: TurnKind): boolean {
    const line = this.#lines[kind];
    for (const user of line) {
      line.delete(user);
      // Before it starts: a job that ended at once would find the counts without it.
      const turn = this.#begin(kind);
      if (user.start(kind, turn)) {
        line.add(user);
        return true;
      }
      this.#count(kind, -1);
    }
    return false;
  }

  #begin(kind: TurnKind): Turn {
    this.#count(kind, 1);
    let isCounted = true;
    const stopCounting = (): void => {
      if (isCounted) this.#count(kind, -1);
      isCounted = false;
    };
    return {
      end: () => {
        stopCounting();
        this.#endedCount++;
        this.#giveTurns();
      },
      noteSilence: () => {
        stopCounting();
        this.#giveTurns();
      },
    };
  }

  #count(kind: TurnKind, change: number): void {
    this.#running += change;
    if (kind === 'urgent') this.#urgentRunning += change;
  }
}
