/**
 * Awaited reads that need something from the disk: they try, have what is missing fetched, and try again.
 *
 *   read(attempt)     1. attempt, in which nothing waits for the disk; if it has its answer, that is all
 *                     2. otherwise fetch what it needs, wait for it without holding the thread, and again from 1
 *                     3. an answer, an error, the signal or the end of the reader settles the promise
 *
 * What was fetched is kept until the read has ended, so each attempt gets further than the one before. `release` is called as
 * soon as the promise is settled: no attempt is made after that, though something may still be on its way from the disk.
 *
 * A read that needs a table opened takes one of SEATS, and keeps it until it ends: it holds every table that it has had opened,
 * as it would have to begin anew without them. So however many reads wait, the tables they hold are those of so many reads.
 *
 * Invariants: every promise settles: a disk that never answers leaves those to their signals and to closeAll().
 * Thread:     any; one per engine or client.     Owns: what was fetched for the reads under way.
 * Bound:      a read that waits is a few objects, and as many wait as the application has asked for; what is under way on the
 *             disk is bounded by its queue (disk-queue.ts).
 */
import { throwIfAborted, whenAborted } from '../base/signals.ts';
import { queueMicrotask } from '../base/timers.ts';
import type { Disk } from './disk.ts';
import { type Fetched, type Needed, WouldWait } from './would-wait.ts';

export interface ReadJob<T> {
  /** Nothing in it waits for the disk: see would-wait.ts. */
  readonly attempt: () => T;
  readonly signal?: AbortSignal | undefined;
  /** Gives up what the attempts read from. */
  readonly release?: () => void;
}

/** More than the disk has under way at once (disk.ts), so that it never runs out. */
export const SEATS = 32;

/** A read that waits for the disk. */
export interface WaitingRead<T> {
  readonly promise: Promise<T>;
  /** Something has changed: there may be an answer by now, without what it waits for. */
  tryAgain(): void;
}

class PendingRead<T> implements WaitingRead<T> {
  readonly #disk: Disk;
  readonly #job: ReadJob<T>;
  readonly #fetched: Fetched[] = [];
  readonly #seats: Seats;
  readonly #onEnd: () => void;
  #resolve!: (value: T) => void;
  #reject!: (error: unknown) => void;
  readonly promise: Promise<T>;
  #unlisten: (() => void) | undefined;
  #isEnded = false;
  /** Whether it may have tables opened. */
  #hasSeat = false;
  /** An attempt that ends what it reads from calls {@link tryAgain} out of itself. */
  #isTrying = false;

  constructor(disk: Disk, job: ReadJob<T>, seats: Seats, onEnd: (read: PendingRead<T>) => void) {
    this.#disk = disk;
    this.#job = job;
    this.#seats = seats;
    this.#onEnd = () => onEnd(this);
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  start(needed: Needed): void {
    const unlisten = whenAborted(this.#job.signal, (reason) => this.fail(reason));
    if (this.#isEnded) unlisten();
    else this.#unlisten = unlisten;
    if (!this.#isEnded) this.#fetch(needed);
  }

  fail(error: unknown): void {
    if (this.#isEnded) return;
    this.#end();
    this.#reject(error);
  }

  /** A seat is free, and this one's: by now it may need something else. */
  seated(): void {
    if (this.#isEnded) {
      this.#seats.leave(this, true);
      return;
    }
    this.#hasSeat = true;
    this.tryAgain();
  }

  #fetch(needed: Needed): void {
    if (!this.#hasSeat && needed.opensTable?.() === true) {
      if (!this.#seats.take(this)) return;
      this.#hasSeat = true;
    }
    let fetched: Fetched;
    try {
      fetched = needed.fetch(true);
    } catch (error) {
      this.fail(error);
      return;
    }
    this.#fetched.push(fetched);
    fetched.ready.then(
      () => this.tryAgain(),
      (error: unknown) => this.fail(error),
    );
  }

  tryAgain(): void {
    if (this.#isEnded || this.#isTrying) return;
    let value: T;
    this.#isTrying = true;
    try {
      value = this.#disk.withoutWaiting(this.#job.attempt);
    } catch (error) {
      if (error instanceof WouldWait) this.#fetch(error.needed);
      else this.fail(error);
      return;
    } finally {
      this.#isTrying = false;
    }
    this.#end();
    this.#resolve(value);
  }

  #end(): void {
    this.#isEnded = true;
    this.#unlisten?.();
    for (const fetched of this.#fetched) fetched.release();
    this.#fetched.length = 0;
    this.#seats.leave(this, this.#hasSeat);
    this.#onEnd();
    this.#job.release?.();
  }
}

/** Reads that may have tables opened, and those that wait for that. */
class Seats {
  #free: number = SEATS;
  readonly #waiting = new Set<Seated>();

  /** false: `seated` is called when there is one. */
  take(read: Seated): boolean {
    if (this.#free > 0) {
      this.#free--;
      return true;
    }
    this.#waiting.add(read);
    return false;
  }

  leave(read: Seated, hadSeat: boolean): void {
    this.#waiting.delete(read);
    if (!hadSeat) return;
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#free++;
      return;
    }
    this.#waiting.delete(next);
    // Not out of the end of another: thousands may find that there is nothing left to open.
    queueMicrotask(() => next.seated());
  }
}

interface Seated {
  seated(): void;
}

export class PendingReads {
  readonly #disk: Disk;
  readonly #seats = new Seats();
  readonly #reads = new Set<PendingRead<unknown>>();
  #closedBy: unknown;

  constructor(disk: Disk) {
    this.#disk = disk;
  }

  /** Reads that wait for the disk now. */
  get size(): number {
    return this.#reads.size;
  }

  /** Throws what a read is refused with now. */
  check(signal: AbortSignal | undefined): void {
    if (this.#closedBy !== undefined) throw this.#closedBy;
    throwIfAborted(signal);
  }

  /** The first attempt is made in the call. */
  begin<T>(job: ReadJob<T>): WaitingRead<T> {
    let needed: Needed;
    try {
      this.check(job.signal);
      const value = this.#disk.withoutWaiting(job.attempt);
      job.release?.();
      return ended(Promise.resolve(value));
    } catch (error) {
      if (!(error instanceof WouldWait)) {
        job.release?.();
        return ended(Promise.reject(error));
      }
      needed = error.needed;
    }
    return this.wait(needed, job);
  }

  /** {@link begin} of which the first attempt was made, in this turn, and needs `needed`. */
  wait<T>(needed: Needed, job: ReadJob<T>): WaitingRead<T> {
    const read = new PendingRead<T>(this.#disk, job, this.#seats, (over) =>
      this.#reads.delete(over as PendingRead<unknown>),
    );
    this.#reads.add(read as PendingRead<unknown>);
    read.start(needed);
    return read;
  }

  /** The reader ends: what waits rejects with `reason`, and so does what is asked from now on. */
  closeAll(reason: unknown): void {
    this.#closedBy = reason;
    for (const read of [...this.#reads]) read.fail(reason);
  }
}

function ended<T>(promise: Promise<T>): WaitingRead<T> {
  return { promise, tryAgain: () => undefined };
}
