/**
 * The queue of transactions that run again: one at a time, first come, first served. So many that read and write the same key all
 * come through, each in its turn, where all at once only one would each time.
 *
 *   enter -> its turn -> leave, when its commit is visible or it was given up
 *
 * Whoever else commits what was read in the run that was refused waits until the turn has ended: or those that begin in the
 * meantime would refuse it again and again, however long the queue. Others do not wait, unless it was refused a second time: it
 * may read other keys in each run, as whoever claims the head of a queue does. Then every commit waits.
 *
 * Nobody waits for one turn for longer than MAX_TURN_MS: its transaction may be waiting itself for one inside of it, which is
 * behind it in the queue.
 *
 * Thread: main.     Owns: who waits.
 */
import { Deferred } from '../../shared/base/deferred.ts';
import type { StorageError } from '../../shared/base/errors.ts';
import { clearTimeout, setTimeout } from '../../shared/base/timers.ts';
import type { Reads } from '../../shared/transact/read-set.ts';
import { ReadIndex, type WrittenBytes } from './read-index.ts';

const MAX_TURN_MS = 500;

/** Whose turn it is. */
export class RerunTurn {
  readonly come: Deferred = new Deferred();
  readonly ended: Deferred = new Deferred();
  readonly #reads: ReadIndex | undefined;
  readonly #isAlone: boolean;

  constructor(refused: RefusedRun | undefined) {
    this.#isAlone = refused !== undefined && refused.runs > 1;
    this.#reads = refused === undefined || this.#isAlone ? undefined : new ReadIndex(refused.reads);
  }

  /** Whether this is not to be written meanwhile. */
  isInTheWayOf(written: WrittenBytes): boolean {
    return this.#isAlone || this.#reads?.isTouchedBy(written) === true;
  }
}

/** A run that was refused. */
export interface RefusedRun {
  /** What was read in it. */
  readonly reads: Reads;
  /** How many of the transaction were, by then. */
  readonly runs: number;
}

export class Reruns {
  readonly #queue: RerunTurn[] = [];
  #holder: RerunTurn | undefined;
  #end: StorageError | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** Those whose turn has not come. */
  get waiting(): number {
    return this.#queue.length;
  }

  /** Rejects those who wait, and whoever comes later. */
  close(error: StorageError): void {
    this.#end = error;
    for (const turn of this.#queue.splice(0)) turn.come.reject(error);
    this.#next();
  }

  /** Resolves when it is its turn, which is to be given up by {@link leave}. */
  async enter(refused: RefusedRun | undefined): Promise<RerunTurn> {
    if (this.#end !== undefined) throw this.#end;
    const turn = new RerunTurn(refused);
    this.#queue.push(turn);
    if (this.#holder === undefined) this.#next();
    else this.#limitTurn();
    await turn.come.promise;
    return turn;
  }

  /** Idempotent. */
  leave(turn: RerunTurn): void {
    if (this.#holder === turn) this.#next();
  }

  /** For one that is not `own`: resolves when it may be written; undefined: it may. */
  wayFor(written: WrittenBytes, own: RerunTurn | undefined): Promise<void> | undefined {
    const holder = this.#holder;
    if (holder === undefined || holder === own || !holder.isInTheWayOf(written)) return undefined;
    this.#limitTurn();
    return holder.ended.promise;
  }

  #limitTurn(): void {
    this.#timer ??= setTimeout(() => this.#next(), MAX_TURN_MS);
  }

  #next(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#holder?.ended.resolve();
    this.#holder = this.#queue.shift();
    this.#holder?.come.resolve();
    if (this.#queue.length > 0) this.#limitTurn();
  }
}
