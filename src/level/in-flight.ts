/**
 * The calls of a database that have not ended, for close() to wait for, as in classic-level: there a call that was made before
 * close() ends as if nobody had closed.
 *
 * Bound:  close() waits for LIMIT_MS; what has not ended by then the engine ends: reads that wait for a dead disk,
 *         and compactions.
 * Thread: that of the database.
 */
import { clearTimeout, setTimeout } from '../shared/base/timers.ts';

const LIMIT_MS = 30_000;

export class InFlight {
  #count = 0;
  #onIdle: (() => void) | undefined;

  begin(): void {
    this.#count++;
  }

  end(): void {
    if (--this.#count === 0) this.#onIdle?.();
  }

  /** Resolves when nothing is under way, or has been for too long. */
  async settled(): Promise<void> {
    if (this.#count === 0) return;
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      timer = setTimeout(resolve, LIMIT_MS);
      this.#onIdle = resolve;
    });
    clearTimeout(timer);
    this.#onIdle = undefined;
  }
}
