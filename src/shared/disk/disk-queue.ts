/**
 * What waits for the disk: a bounded number at a time, what somebody waits for first.
 *
 *   run(start, isUrgent)    waits for a free slot, runs `start`, and gives the slot back when its promise is settled
 *
 * Invariants: in each class first come, first served. A slot is given back whatever becomes of its work. One that never ends
 *             keeps its slot: a dead disk is asked no further questions than there are slots.
 * Thread:     any; one per reader.
 */
import { now } from '../timers.ts';

/** In the hands of who waits: may change its mind while the work waits for its slot. */
export class QueueTicket {
  #task: Task | undefined;
  #queue: DiskQueue | undefined;

  /** Somebody waits for it now. */
  hurry(): void {
    if (this.#task !== undefined) this.#queue?.hurry(this.#task);
  }

  /** Nobody wants it any more: its promise is rejected with {@link WITHDRAWN}, unless it is under way. */
  withdraw(): void {
    if (this.#task !== undefined) this.#queue?.withdraw(this.#task);
  }

  /** For the queue. */
  link(queue: DiskQueue | undefined, task: Task | undefined): void {
    this.#queue = queue;
    this.#task = task;
  }
}

/** What a read that was withdrawn rejects with: only who withdrew it sees it. */
export const WITHDRAWN: unique symbol = Symbol('withdrawn');

export interface Task {
  readonly begin: () => void;
  readonly reject: (reason: unknown) => void;
  readonly queuedAt: number;
  readonly ticket: QueueTicket | undefined;
}

export class DiskQueue {
  /** How many may be under way. */
  limit: number;
  readonly #clock: () => number;
  readonly #urgent = new Set<Task>();
  readonly #ahead = new Set<Task>();
  readonly #underWay = new Set<number[]>();
  #startedCount = 0;

  constructor(limit: number, clock: () => number = now) {
    this.limit = limit;
    this.#clock = clock;
  }

  /** Waits for its slot. */
  get waiting(): number {
    return this.#urgent.size + this.#ahead.size;
  }

  get inFlight(): number {
    return this.#underWay.size;
  }

  /** Started since the beginning. */
  get startedCount(): number {
    return this.#startedCount;
  }

  /** For how long the oldest one under way has been so. */
  get oldestMs(): number {
    let oldest = this.#clock();
    const time = oldest;
    for (const [started] of this.#underWay) oldest = Math.min(oldest, started!);
    return time - oldest;
  }

  run<T>(start: () => Promise<T>, isUrgent: boolean, ticket?: QueueTicket): Promise<T> {
    return new Promise((resolve, reject) => {
      const begin = (): void => {
        const slot = [this.#clock()];
        this.#underWay.add(slot);
        this.#startedCount++;
        const end = (): void => {
          this.#underWay.delete(slot);
          this.#next();
        };
        let work: Promise<T>;
        try {
          work = start();
        } catch (error) {
          work = Promise.reject(error);
        }
        work.then(resolve, reject);
        work.then(end, end);
      };
      const task = { begin, reject, queuedAt: this.#clock(), ticket };
      ticket?.link(this, task);
      (isUrgent ? this.#urgent : this.#ahead).add(task);
      this.#next();
    });
  }

  hurry(task: Task): void {
    if (this.#ahead.delete(task)) this.#urgent.add(task);
  }

  withdraw(task: Task): void {
    if (!this.#ahead.delete(task) && !this.#urgent.delete(task)) return;
    task.ticket?.link(undefined, undefined);
    task.reject(WITHDRAWN);
  }

  #next(): void {
    while (this.#underWay.size < this.limit) {
      const from = this.#urgent.size > 0 ? this.#urgent : this.#ahead;
      const [task] = from;
      if (task === undefined) return;
      from.delete(task);
      task.ticket?.link(undefined, undefined);
      task.begin();
    }
  }
}
