/**
 * What callers wait for: flush(), compact(), verify(), ingest().
 *
 *   run(work)     the caller's promise settles with the work, or by abandon()
 *   settled()     waits for the work itself, which may go on after its caller's promise was settled
 *
 * Invariants: the process stays alive while a caller waits.
 * Thread:     main.
 */
import { awaited } from '../shared/base/process-keeper.ts';

export class Operations {
  readonly #running = new Map<Promise<unknown>, (error: unknown) => void>();

  get count(): number {
    return this.#running.size;
  }

  run<T>(work: Promise<T>): Promise<T> {
    const told = new Promise<T>((resolve, reject) => {
      this.#running.set(work, reject);
      work.then(resolve, reject).finally(() => this.#running.delete(work));
    });
    return awaited(told);
  }

  async settled(): Promise<void> {
    await Promise.allSettled(this.#running.keys());
  }

  /** Settles the promises of all callers, whatever may yet come of their work. */
  abandon(error: unknown): void {
    for (const reject of this.#running.values()) reject(error);
  }
}
