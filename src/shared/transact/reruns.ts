/**
 * The queue of transactions that run again: one at a time, first come, first served. So many that read and write the same key all
 * come through, each in its turn, where all at once only one would each time.
 *
 *   enter -> its turn -> leave, when its commit is visible or it was given up
 *
 * Nobody waits for one holder for longer than MAX_TURN_MS: it may be waiting itself for a transaction inside of it, which is
 * behind it in the queue.
 *
 * Thread: main.     Owns: who waits.
 */
import { Deferred } from '../base/deferred.ts';
import type { StorageError } from '../base/errors.ts';
import { clearTimeout, setTimeout } from '../base/timers.ts';

const MAX_TURN_MS = 500;

/** Whose turn it is. */
export class RerunTurn {
  readonly come: Deferred = new Deferred();
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
    clearTimeout(this.#timer);
    for (const turn of this.#queue.splice(0)) turn.come.reject(error);
  }

  /** Resolves when it is its turn, which is to be given up by {@link leave}. */
  async enter(): Promise<RerunTurn> {
    if (this.#end !== undefined) throw this.#end;
    const turn = new RerunTurn();
    this.#queue.push(turn);
    if (this.#holder === undefined) this.#next();
    else this.#timer ??= setTimeout(() => this.#next(), MAX_TURN_MS);
    await turn.come.promise;
    return turn;
  }

  /** Idempotent. */
  leave(turn: RerunTurn): void {
    if (this.#holder === turn) this.#next();
  }

  #next(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#holder = this.#queue.shift();
    this.#holder?.come.resolve();
    if (this.#queue.length > 0) this.#timer = setTimeout(() => this.#next(), MAX_TURN_MS);
  }
}
