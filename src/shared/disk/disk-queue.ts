/**
 * What waits for the disk: a bounded number at a time, what somebody waits for first.
 *
 *   run(start, isUrgent)        by libuv's pool, where it is given a slot of POOL_SLOTS
 *   read(start, isUrgent)       by an idle reader thread if there is one, else by libuv's pool as well
 *
 *   urgent   | pooled  a  c |     started is the first that can be: by order of arrival in each class, urgent ones before others.
 *            | free    b  d |     With all pool slots taken and a thread idle, b goes before a
 *   ahead    | pooled       |
 *            | free    e    |
 *
 * Invariants: a slot is given back whatever becomes of its work. Work that never ends keeps its slot: a dead disk is asked no
 *             further questions than there are slots. What waits may be withdrawn, so that such a disk holds nothing in memory
 *             but what is still wanted.
 * Thread:     any; one per reader.
 * Not chosen: one bound for both: opening tables, which only the pool can do, would take all of its threads.
 */
import { now } from '../base/timers.ts';

/** Who carries out what is started. */
export type Carrier = 'pool' | 'thread';

/** What work rejects with that was withdrawn. */
export const WITHDRAWN: unique symbol = Symbol('withdrawn');

/** In the hands of who waits, who may change its mind. Without effect on work that is under way. */
export class QueueTicket {
  #queue: DiskQueue | undefined;
  #task: Task | undefined;

  /** Somebody waits for it now. */
  hurry(): void {
    if (this.#task !== undefined) this.#queue?.hurry(this.#task);
  }

  /** Nobody wants it any more: it is rejected with {@link WITHDRAWN}, and this is true, unless it is under way. */
  withdraw(): boolean {
    return this.#task !== undefined && this.#queue?.withdraw(this.#task) === true;
  }

  /** By the queue, as long as it waits. */
  link(queue: DiskQueue | undefined, task: Task | undefined): void {
    this.#queue = queue;
    this.#task = task;
  }
}

interface Task {
  readonly needsPool: boolean;
  readonly arrival: number;
  readonly begin: (carrier: Carrier) => void;
  readonly reject: (reason: unknown) => void;
  readonly ticket: QueueTicket | undefined;
}

/** Waits for a slot: in order of arrival. */
class Line {
  readonly pooled = new Set<Task>();
  readonly free = new Set<Task>();

  get size(): number {
    return this.pooled.size + this.free.size;
  }

  of(task: Task): Set<Task> {
    return task.needsPool ? this.pooled : this.free;
  }
}

/** Where it is noted that the foreground waits for the disk (disk-use.ts). */
export interface DiskWanted {
  readBegan(): void;
  readEnded(): void;
}

export interface QueueOptions {
  /** How much libuv's pool may carry out at a time. */
  readonly poolSlots: number;
  /** Threads that could read now. */
  readonly idleThreads?: () => number;
  /** Called when work stays behind for want of a slot. */
  readonly onWaiting?: () => void;
  /** Notes each piece of work that begins and ends: the disk is wanted. */
  readonly use?: DiskWanted | undefined;
  readonly clock?: () => number;
}

export class DiskQueue {
  readonly #options: QueueOptions;
  readonly #clock: () => number;
  readonly #urgent = new Line();
  readonly #ahead = new Line();
  /** When it was started. */
  readonly #underWay = new Set<{ readonly since: number }>();
  #closedBy: unknown;
  #poolInUse = 0;
  #arrivals = 0;

  constructor(options: QueueOptions) {
    this.#options = options;
    this.#clock = options.clock ?? now;
  }

  /** Waits for a slot. */
  get waiting(): number {
    return this.#urgent.size + this.#ahead.size;
  }

  /** Of which somebody waits for the result. */
  get waitingUrgent(): number {
    return this.#urgent.size;
  }

  get inFlight(): number {
    return this.#underWay.size;
  }

  /** Asked for since the beginning. */
  get total(): number {
    return this.#arrivals;
  }

  /** For how long what is under way has been so; 0: nothing is. */
  get longestMs(): number {
    // In order of their start.
    for (const { since } of this.#underWay) return this.#clock() - since;
    return 0;
  }

  /** Runs what goes through libuv's pool when there is a slot for it. */
  run<T>(start: () => Promise<T>, isUrgent: boolean, ticket?: QueueTicket): Promise<T> {
    return this.#add(true, start, isUrgent, ticket);
  }

  /** Runs a read, which `start` has the given carrier make. */
  read<T>(start: (carrier: Carrier) => Promise<T>, isUrgent: boolean, ticket?: QueueTicket): Promise<T> {
    return this.#add(false, start, isUrgent, ticket);
  }

  hurry(task: Task): void {
    if (this.#ahead.of(task).delete(task)) this.#urgent.of(task).add(task);
  }

  withdraw(task: Task): boolean {
    if (!this.#ahead.of(task).delete(task) && !this.#urgent.of(task).delete(task)) return false;
    task.ticket?.link(undefined, undefined);
    task.reject(WITHDRAWN);
    return true;
  }

  /** What waits is rejected with `reason`, and so is what comes after. What is under way goes on. */
  close(reason: unknown): void {
    this.#closedBy = reason;
    for (const line of [this.#urgent, this.#ahead])
      for (const task of [...line.pooled, ...line.free]) {
        line.of(task).delete(task);
        task.ticket?.link(undefined, undefined);
        task.reject(reason);
      }
  }

  /** Starts what can be started. For whoever has made a slot free that the queue doesn't know of. */
  startNext(): void {
    for (;;) {
      const task = this.#startable(this.#urgent) ?? this.#startable(this.#ahead);
      if (task === undefined) break;
      if (!this.#urgent.of(task).delete(task)) this.#ahead.of(task).delete(task);
      task.ticket?.link(undefined, undefined);
      task.begin(this.#carrierFor(task)!);
    }
    if (this.waiting > 0) this.#options.onWaiting?.();
  }

  #add<T>(
    needsPool: boolean,
    start: (carrier: Carrier) => Promise<T>,
    isUrgent: boolean,
    ticket: QueueTicket | undefined,
  ): Promise<T> {
    if (this.#closedBy !== undefined) return Promise.reject(this.#closedBy);
    return new Promise((resolve, reject) => {
      const begin = (carrier: Carrier): void => {
        const work = this.#begin(carrier, start);
        work.then(resolve, reject);
      };
      const task: Task = { needsPool, arrival: this.#arrivals++, begin, reject, ticket };
      ticket?.link(this, task);
      (isUrgent ? this.#urgent : this.#ahead).of(task).add(task);
      this.startNext();
    });
  }

  async #begin<T>(carrier: Carrier, start: (carrier: Carrier) => Promise<T>): Promise<T> {
    const entry = { since: this.#clock() };
    this.#underWay.add(entry);
    if (carrier === 'pool') this.#poolInUse++;
    this.#options.use?.readBegan();
    try {
      return await start(carrier);
    } finally {
      this.#underWay.delete(entry);
      if (carrier === 'pool') this.#poolInUse--;
      this.#options.use?.readEnded();
      this.startNext();
    }
  }

  #startable(line: Line): Task | undefined {
    const [pooled] = line.pooled;
    const [free] = line.free;
    const candidates = [pooled, free].filter(
      (task) => task !== undefined && this.#carrierFor(task) !== undefined,
    );
    if (candidates.length < 2) return candidates[0];
    return pooled!.arrival < free!.arrival ? pooled : free;
  }

  #carrierFor(task: Task): Carrier | undefined {
    if (!task.needsPool && (this.#options.idleThreads?.() ?? 0) > 0) return 'thread';
    return this.#poolInUse < this.#options.poolSlots ? 'pool' : undefined;
  }
}
