/**
 * PacedWriter: offers every store the same number of puts a second beside the reads, from a timer of the event loop, as a
 * service would.
 *
 * Invariants: no more than MAX_UNDER_WAY puts at a time. What could not be offered in time, as the store or the loop was
 *             busy, is dropped and not made up for: `putsPerSecond` shows it.
 */
import type { Dataset } from '../data/dataset.ts';
import type { Random } from '../data/random.ts';
import type { BenchStore } from '../stores/store.ts';

export const PUTS_PER_SECOND = 5000;
const INTERVAL_MS = 4;
const MAX_UNDER_WAY = 256;
const MAX_PER_TURN: number = (PUTS_PER_SECOND / 1000) * INTERVAL_MS * 5;

export class PacedWriter {
  readonly #store: BenchStore;
  readonly #data: Dataset;
  readonly #random: Random;
  readonly #underWay = new Set<Promise<unknown>>();
  #timer: NodeJS.Timeout | undefined;
  #beganMs = 0;
  #lastMs = 0;
  #done = 0;
  #error: unknown;

  constructor(store: BenchStore, data: Dataset, random: Random) {
    this.#store = store;
    this.#data = data;
    this.#random = random;
  }

  begin(): void {
    this.#beganMs = performance.now();
    this.#lastMs = this.#beganMs;
    this.#timer = setInterval(() => this.#offer(), INTERVAL_MS);
  }

  /** Puts that were acknowledged, per second. Rejects with the error of the first that failed. */
  async end(): Promise<number> {
    clearInterval(this.#timer);
    const seconds = (performance.now() - this.#beganMs) / 1000;
    const perSecond = this.#done / seconds;
    await Promise.all(this.#underWay);
    if (this.#error !== undefined) throw this.#error;
    return perSecond;
  }

  #offer(): void {
    const now = performance.now();
    const due = Math.min(MAX_PER_TURN, Math.round(((now - this.#lastMs) * PUTS_PER_SECOND) / 1000));
    this.#lastMs = now;
    for (let i = 0; i < due && this.#underWay.size < MAX_UNDER_WAY; i++) this.#put();
  }

  #put(): void {
    const record = this.#random.below(this.#data.records);
    const put = this.#store.put(this.#data.key(record), this.#data.value(record, 1)).then(
      () => {
        this.#done++;
        this.#underWay.delete(put);
      },
      (error: unknown) => {
        this.#error ??= error;
        this.#underWay.delete(put);
      },
    );
    this.#underWay.add(put);
  }
}
