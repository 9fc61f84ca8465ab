/**
 * Lets the event loop turn under a loop of awaited reads.
 *
 * What memory has is read within the call, so the promises of `for (;;) await engine.get(key)` are settled from the start, and
 * the loop never leaves the microtasks: timers and sockets would wait until it ends, and with them finished flushes and
 * compactions. So after a millisecond of reads without a turn of the event loop one promise waits for the next.
 *
 *   reads   0 ..... stride ..... stride ......      at each stride the clock is looked at, and a turn asked for if none is;
 *                                                   a millisecond after it was, and it has not come: nobody lets it come
 *
 * A look at the clock costs a tenth of a read, so it is looked at about twenty times in a millisecond: the stride adapts itself
 * to what reads cost.
 *
 * Invariants: a program whose event loop turns is never kept waiting; what it pays is one setImmediate per stride at most.
 * Thread:     any; one per engine or client.
 * Not chosen: a fixed number of reads: a thousand take a millisecond from the cache, and a second from a table that has to be
 *             decompressed. The global setImmediate: where an application's tests have put a false clock, no turn would ever
 *             come.
 */
import { now, setImmediate } from '../base/timers.ts';

/** How long reads go on without a turn. */
export const TURN_MS = 1;
/** Between two looks at the clock. */
const LOOK_MS: number = TURN_MS / 20;
const MAX_STRIDE = 128;

export class ReadTurns {
  readonly #clock: () => number;
  /** Reads until the clock is looked at. */
  #left = 1;
  #stride = 1;
  /** When the turn was asked for, and when the clock was looked at last; good while #isAsked. */
  #askedAt = 0;
  #lookedAt = 0;
  #isAsked = false;
  /** For what waits for the turn that was asked for. */
  #turn: Promise<void> | undefined;
  #turned: (() => void) | undefined;

  constructor(clock: () => number = now) {
    this.#clock = clock;
  }

  /** When all results that wait for a turn have been handed out; undefined: none does. */
  settled(): Promise<void> | undefined {
    // Handing out takes some more microtasks, all of which come before another turn.
    return this.#turn?.then(() => new Promise((resolve) => setImmediate(resolve)));
  }

  /** Counts `reads` reads, and gives their result: at once, or when the event loop has turned, if it is time. */
  after<T>(reads: number, result: T): T | Promise<T> {
    this.#left -= reads;
    if (this.#left > 0) return result;
    const turn = this.#look();
    return turn === undefined ? result : turn.then(() => result);
  }

  /** Counts `reads` reads; the turn to wait for before the next, if it is time. */
  due(reads: number): Promise<void> | undefined {
    this.#left -= reads;
    return this.#left > 0 ? undefined : this.#look();
  }

  /** The next turn of the event loop. */
  next(): Promise<void> {
    this.#ask(this.#clock());
    return this.#wait();
  }

  #look(): Promise<void> | undefined {
    const time = this.#clock();
    if (this.#turn !== undefined) return this.#turn;
    if (!this.#isAsked) {
      this.#ask(time);
      this.#left = this.#stride;
      return undefined;
    }
    const sinceLook = time - this.#lookedAt;
    if (sinceLook < LOOK_MS) this.#stride = Math.min(MAX_STRIDE, this.#stride * 2);
    else if (sinceLook > 2 * LOOK_MS)
      this.#stride = Math.max(1, Math.floor((this.#stride * LOOK_MS) / sinceLook));
    this.#lookedAt = time;
    this.#left = this.#stride;
    if (time - this.#askedAt < TURN_MS) return undefined;
    // Whatever comes before the turn waits for it as well.
    this.#left = 0;
    return this.#wait();
  }

  #ask(time: number): void {
    if (this.#isAsked) return;
    this.#isAsked = true;
    this.#askedAt = time;
    this.#lookedAt = time;
    setImmediate(() => {
      this.#isAsked = false;
      this.#left = this.#stride;
      const turned = this.#turned;
      this.#turn = undefined;
      this.#turned = undefined;
      turned?.();
    });
  }

  #wait(): Promise<void> {
    this.#turn ??= new Promise((resolve) => {
      this.#turned = resolve;
    });
    return this.#turn;
  }
}
