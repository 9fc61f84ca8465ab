/**
 * Whether to have one more reader thread: at once where the last one has helped, else after a while.
 *
 *   window   reads that land while others wait, with one number of carriers (slots of the pool, and threads)
 *   grow     when a window has lasted: its rate was better than that with one carrier less by a third of what one more could
 *            bring, or there is none to compare with
 *   hold     else: for HOLD_MS. A disk at its limit takes longer for each read the more are under way, and gives no more of them
 *
 * Measured, a volume of 2,000 reads a second, 64 wanted at a time: two reads at a time bring all of them. Eight threads more
 * bring as many, for 64 MiB of memory and event-loop delays of 13 ms in place of 4 while they start.
 *
 * Thread: the reader's. Pure: the clock is given.
 * Not chosen: going by how long a read takes: of that disk 1 ms, and of a remote one that bears a hundred at a time as well.
 */
const WINDOW_READS = 32;
/** Or fewer, of a very slow disk. */
const SLOW_WINDOW_READS = 8;
const SLOW_WINDOW_MS = 300;
/** What a busy machine has made look useless is tried again soon; what is useless, seldom enough not to be noticed. */
const HOLD_MS = 2000;

export class Growth {
  readonly #clock: () => number;
  #carriers = 0;
  #since = 0;
  #reads = 0;
  /** Reads per millisecond with one carrier less. */
  #rateBefore: number | undefined;
  #heldUntil = Number.NEGATIVE_INFINITY;

  constructor(clock: () => number) {
    this.#clock = clock;
  }

  /** A read has landed, made by one of so many carriers; `isWanted`: others wait for one. */
  landed(carriers: number, isWanted: boolean): void {
    if (isWanted && carriers === this.#carriers) {
      this.#reads++;
      return;
    }
    // Fewer: what was known of the rate says nothing any more.
    if (carriers < this.#carriers) this.#rateBefore = undefined;
    this.#carriers = carriers;
    this.#since = this.#clock();
    this.#reads = 0;
  }

  /** Whether to have one more; true once for each window. */
  mayGrow(): boolean {
    const time = this.#clock();
    const elapsedMs = time - this.#since;
    const isLong =
      this.#reads >= WINDOW_READS || (this.#reads >= SLOW_WINDOW_READS && elapsedMs >= SLOW_WINDOW_MS);
    if (!isLong || time < this.#heldUntil) return false;
    const rate = this.#reads / Math.max(elapsedMs, 0.001);
    const before = this.#rateBefore;
    this.#since = time;
    this.#reads = 0;
    this.#rateBefore = rate;
    if (before === undefined || rate >= before * (1 + 1 / (3 * (this.#carriers - 1)))) return true;
    this.#heldUntil = time + HOLD_MS;
    this.#rateBefore = undefined;
    return false;
  }
}
