/**
 * Lets the event loop turn under a loop of awaited reads.
 *
 * Reads happen within the call, so the promises of `for (;;) await engine.get(key)` are settled from the start, and the loop
 * never leaves the microtasks: timers and sockets would wait until it ends, and with them finished flushes and compactions. So
 * after so many reads without a turn of the event loop one promise waits for the next.
 *
 *   reads   0 ... WATCHED ...... ALLOWED      at WATCHED a turn is asked for, which starts the count again; when ALLOWED is
 *                                             reached before it came, nobody let it come
 *
 * Invariants: a program whose event loop turns is never kept waiting; what it pays is one setImmediate in WATCHED reads.
 * Thread:     any; one per engine or client.
 * Not chosen: asking the clock: a tenth of what a read costs. The global setImmediate: where an application's tests have put a
 *             false clock, no turn would ever come.
 */
import { setImmediate } from '../timers.ts';

/** A millisecond or two of reads. */
const ALLOWED = 1024;
const WATCHED: number = ALLOWED / 2;

export class ReadTurns {
  #reads = 0;
  #turn: Promise<void> | undefined;

  /** When all results that wait for a turn have been handed out; undefined: none does. */
  settled(): Promise<void> | undefined {
    // Handing out takes some more microtasks, all of which come before another turn.
    return this.#turn?.then(() => new Promise((resolve) => setImmediate(resolve)));
  }

  /** Counts `reads` reads, and gives their result: at once, or when the event loop has turned, if it is time. */
  after<T>(reads: number, result: T): T | Promise<T> {
    this.#reads += reads;
    if (this.#reads < WATCHED) return result;
    this.#turn ??= new Promise((resolve) =>
      setImmediate(() => {
        this.#turn = undefined;
        this.#reads = 0;
        resolve();
      }),
    );
    return this.#reads < ALLOWED ? result : this.#turn.then(() => result);
  }
}
