/**
 * Whether reads may be made in the call, where the system can't say what memory has: judged by the time that reads took.
 *
 *   careful    reads go off the thread. After so many quick ones in a row: trusting
 *   trusting   reads are made in the call. One slow one, or a few that are not quick: careful
 *
 * The number of quick ones that is asked for doubles each time that trust was misplaced at once, and is forgotten when it has
 * lasted for a while: data that is half in memory would otherwise hold the thread once in 64 reads.
 *
 * Invariants: starts careful. Deterministic: the times are given, and the clock.
 * Thread:     any; one per reader.
 * Not chosen: an average: a disk that answers from memory for the most part, and takes 50 ms now and then, has a good one.
 */
import { now } from '../base/timers.ts';

/** Off the thread, from start to end: a read in libuv's pool takes 0.02 ms, in a busy one more; of the quickest SSDs 0.08. */
export const QUICK_MS = 0.5;
/** In the call: what a loop may notice. */
export const SLOW_MS = 1;
/** Nobody's time slice: longer than that a thread that could run does not wait for a processor. */
const SURELY_SLOW_MS = 20;
/** In the call: more than memory takes. */
const DOUBTFUL_MS = 0.2;
const DOUBTFUL_MAX = 3;
/** Doubtful reads are counted per window of this many reads. */
const WINDOW_READS = 64;

const FEWEST_QUICK = 64;
const MOST_QUICK = 4096;
/** Trust that lasted less was misplaced; that lasted more, deserved. */
const MISPLACED_MS = 1000;
const DESERVED_MS = 10_000;

export class SpeedJudge {
  readonly #clock: () => number;
  #isTrusting = false;
  #trustedAt = 0;
  /** Quick ones still to come, and asked for in all. */
  #missing: number = FEWEST_QUICK;
  #asked: number = FEWEST_QUICK;
  #windowReads = 0;
  #doubtful = 0;

  constructor(clock: () => number = now) {
    this.#clock = clock;
  }

  /** Whether reads may be made in the call; each is to be timed, and reported to {@link inCall}. */
  get isTrusting(): boolean {
    return this.#isTrusting;
  }

  /** A read off the thread took so long, without the time it waited for its slot. */
  landed(ms: number): void {
    if (this.#isTrusting) return;
    if (ms >= QUICK_MS) {
      this.#missing = this.#asked;
    } else if (--this.#missing <= 0) {
      this.#isTrusting = true;
      this.#trustedAt = this.#clock();
      this.#windowReads = 0;
      this.#doubtful = 0;
    }
  }

  /**
   * A read in the call took so long. `isDisk` false: nothing was read from a disk meanwhile, so far as the system knows: then the
   * thread was waiting for a processor, most likely, and a slow read counts as a doubtful one.
   */
  inCall(ms: number, isDisk = true): void {
    if (!this.#isTrusting) return;
    if (++this.#windowReads > WINDOW_READS) {
      this.#windowReads = 1;
      this.#doubtful = 0;
    }
    if (ms > DOUBTFUL_MS) this.#doubtful++;
    const isSlow = ms > SLOW_MS && (isDisk || ms > SURELY_SLOW_MS);
    if (isSlow || this.#doubtful >= DOUBTFUL_MAX) this.#becomeCareful();
  }

  #becomeCareful(): void {
    this.#isTrusting = false;
    const lastedMs = this.#clock() - this.#trustedAt;
    if (lastedMs < MISPLACED_MS) this.#asked = Math.min(MOST_QUICK, this.#asked * 2);
    else if (lastedMs >= DESERVED_MS) this.#asked = FEWEST_QUICK;
    this.#missing = this.#asked;
  }
}
