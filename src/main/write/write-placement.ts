/**
 * Where and when a log write is made: in place, on the main thread, at once or in the next turn of the event loop; or through
 * the thread pool.
 *
 *   in place   costs what copying into the page cache costs: 9 us for 32 KiB, 28 us for 128 KiB
 *   pool       leaves the event loop free, takes 50 to 90 us and idles a writer that waits for it; milliseconds, while
 *              other threads have the processors: the compiler's in a young process, the workers under load
 *
 * In place while it is cheap and the loop is not kept waiting:
 *
 *   1. up to SMALL_WRITE_BYTES always, larger ones unless one was slow lately: a system that makes writers wait for the disk
 *      soon blocks at most one larger write per LONGEST_PATIENCE_MS
 *   2. within the allowance of one turn of the event loop: a caller that awaits write after write never leaves the microtasks
 *      while all are made in place, and timers, sockets and finished flushes would wait for it
 *   3. what the allowance is spent for waits for the next turn, which costs a few microseconds and joins what is written
 *      until then
 *   4. what is larger than the allowance goes through the pool
 *
 * One slow write may be a processor that was needed elsewhere, so patience begins short and grows with each that follows.
 *
 * Thread:     main.
 * Not chosen: counting turns by a timer: too coarse. Asking the clock at every write: a tenth of what a small one costs.
 *             The global setImmediate: where an application's tests have put a false clock, no turn would ever come.
 */
import { now, setImmediate } from '../../shared/base/timers.ts';

/** One write call of this size is not worth a trip through the pool, however the disk feels. */
const SMALL_WRITE_BYTES = 32768;
/** In one turn of the event loop: some 50 us of copying, and the milliseconds in which so much was encoded. */
const ALLOWANCE_BYTES = 262144;
/** What a write counts beyond its bytes: puts that are awaited one by one let the loop turn after some 650 of them. */
const WRITE_COST_BYTES = 256;
/** Ten times what the largest write in place takes when nothing is in the way. */
const SLOW_MS = 1;
/** After a slow write, larger writes use the pool for this long. */
const FIRST_PATIENCE_MS = 8;
/** Each further slow write multiplies that time by this. */
const PATIENCE_FACTOR = 4;
/** Upper bound of that time. */
const LONGEST_PATIENCE_MS = 500;
/** After this long without a slow write the time starts over. */
const CALM_MS = 2000;

export class WritePlacement {
  readonly #now: () => number;
  #spent = 0;
  #isTurnAwaited = false;
  #slowUntil = 0;
  #calmFrom = 0;
  #patienceMs = FIRST_PATIENCE_MS;

  constructor(clock: () => number = now) {
    this.#now = clock;
  }

  /** Whether a write of `byteLength` is to be made in place, but in a later turn: {@link afterTurn} says when. */
  awaitsTurn(byteLength: number): boolean {
    if (this.#spent + byteLength <= ALLOWANCE_BYTES || byteLength > ALLOWANCE_BYTES) return false;
    return byteLength <= SMALL_WRITE_BYTES || this.#now() >= this.#slowUntil;
  }

  /** Calls `proceed` when the event loop has turned. Keeps the process alive until then, as a write under way would. */
  afterTurn(proceed: () => void): void {
    setImmediate(() => {
      this.#spent = 0;
      proceed();
    });
  }

  /** Makes a write of `byteLength` bytes in place by calling `write`, or returns false. What `write` throws is thrown. */
  tryInPlace(byteLength: number, write: () => void): boolean {
    if (this.#spent + byteLength > ALLOWANCE_BYTES) return false;
    const isSmall = byteLength <= SMALL_WRITE_BYTES;
    const begin = isSmall ? 0 : this.#now();
    if (begin < this.#slowUntil && !isSmall) return false;
    this.#spend(byteLength + WRITE_COST_BYTES);
    write();
    if (!isSmall) this.#note(this.#now(), begin);
    return true;
  }

  #spend(cost: number): void {
    this.#spent += cost;
    if (this.#isTurnAwaited) return;
    this.#isTurnAwaited = true;
    setImmediate(() => {
      this.#isTurnAwaited = false;
      this.#spent = 0;
    }).unref();
  }

  #note(end: number, begin: number): void {
    if (end - begin <= SLOW_MS) return;
    const isNew = begin >= this.#calmFrom;
    this.#patienceMs = isNew
      ? FIRST_PATIENCE_MS
      : Math.min(LONGEST_PATIENCE_MS, this.#patienceMs * PATIENCE_FACTOR);
    this.#slowUntil = end + this.#patienceMs;
    this.#calmFrom = end + CALM_MS;
  }
}
