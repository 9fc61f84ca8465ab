/**
 * Where a log write is made: in place, on the main thread, or through the thread pool.
 *
 *   in place   costs what copying into the page cache costs: 9 us for 32 KiB, 28 us for 128 KiB
 *   pool       leaves the event loop free, takes 50 to 90 us and idles a writer that waits for it
 *
 * In place while it is cheap and the loop is not kept waiting:
 *
 *   1. up to SMALL_WRITE_BYTES always, within the allowance
 *   2. larger ones within the allowance, unless one was slow lately: a system that makes writers wait for the disk blocks
 *      at most one larger write per PATIENCE_MS
 *   3. the allowance is for one turn of the event loop: a caller that awaits write after write never leaves the microtasks
 *      while all are made in place, and timers, sockets and finished flushes would wait for it
 *
 * Thread:     main.
 * Not chosen: counting turns by a timer: too coarse. Asking the clock at every write: a tenth of what a small one costs.
 */

/** One write call of this size is not worth a trip through the pool, however the disk feels. */
const SMALL_WRITE_BYTES = 32768;
/** In one turn of the event loop: some 50 us of copying, and the milliseconds in which so much was encoded. */
const ALLOWANCE_BYTES = 262144;
/** What a write counts beyond its bytes: puts that are awaited one by one let the loop turn after some 650 of them. */
const WRITE_COST_BYTES = 256;
/** Ten times what the largest write in place takes when nothing is in the way. */
const SLOW_MS = 1;
/** So long larger writes go through the pool after a slow one. */
const PATIENCE_MS = 500;

export class WritePlacement {
  readonly #now: () => number;
  #spent = 0;
  #isTurnAwaited = false;
  #slowUntil = 0;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
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
    if (end - begin > SLOW_MS) this.#slowUntil = end + PATIENCE_MS;
  }
}
