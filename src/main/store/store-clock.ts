/**
 * The time of a store: the system's, but it never goes back, not over an opening either.
 *
 * Logs say when they were begun, and the manifest what was the latest by its last edit, since logs are deleted. Both are read
 * at open.
 *
 * Thread: main.
 */
import { wallClock } from '../../shared/base/timers.ts';

export class StoreClock {
  #latestMs: number;

  /** `latestMs`: what any file of the store says is the latest. */
  constructor(latestMs: number) {
    this.#latestMs = latestMs;
  }

  /** Milliseconds since 1970. The system's clock may be set back; the store's stands still until that is made up for. */
  now(): number {
    this.#latestMs = Math.max(this.#latestMs, Math.floor(wallClock()));
    return this.#latestMs;
  }
}
