/**
 * Waits between attempts of background work that failed: 1 s, doubling to 60 s (or less), back to 1 s after a success.
 * Where somebody has begun to wait, no longer than a given time from then on.
 *
 * Invariants: the timer never keeps the process alive; whoever awaits the work does (process-keeper.ts).
 * Thread:     main.
 */
import { clearTimeout, now, setTimeout } from '../../shared/base/timers.ts';

const FIRST_DELAY_MS = 1000;
const LONGEST_DELAY_MS = 60_000;

export class RetryDelay {
  readonly #onElapsed: () => void;
  readonly #longestDelayMs: number;
  #delayMs = FIRST_DELAY_MS;
  #timer: NodeJS.Timeout | undefined;
  #dueAt = 0;

  constructor(onElapsed: () => void, longestDelayMs: number = LONGEST_DELAY_MS) {
    this.#onElapsed = onElapsed;
    this.#longestDelayMs = longestDelayMs;
  }

  get isWaiting(): boolean {
    return this.#timer !== undefined;
  }

  /** The work failed: `onElapsed` is called when it should be tried again. */
  failed(): void {
    this.#wait(this.#delayMs);
    this.#delayMs = Math.min(this.#delayMs * 2, this.#longestDelayMs);
  }

  /** Somebody waits for the next attempt: it is made within `ms`, if one is to come. */
  hurry(ms: number): void {
    if (this.#timer !== undefined && this.#dueAt - now() > ms) this.#wait(ms);
  }

  #wait(ms: number): void {
    clearTimeout(this.#timer);
    this.#dueAt = now() + ms;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#onElapsed();
    }, ms).unref();
  }

  succeeded(): void {
    this.#delayMs = FIRST_DELAY_MS;
  }

  /** Somebody asks for the work now. */
  cancel(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
