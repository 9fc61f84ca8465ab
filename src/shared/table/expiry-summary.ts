/**
 * Sums up when the entries of a table expire, as they are added to it: how many do, and the moments that cut them into parts of
 * about equal number (TableExpiry). By these it is known at any later time about how many are over, without reading the table.
 *
 *   moments   first .. .. .. median .. .. .. last       the first and the last are exact, the others of a sample
 *   sample    every entry, until there are MAX_SAMPLES; then every second, every fourth ...
 *
 * Invariants: the same entries in the same order give the same summary, so it can be verified.
 * Thread:     any.
 */
import { EXPIRY_STEPS, type TableExpiry } from '../base/version-edit.ts';

const MAX_SAMPLES = 2048;

export class ExpirySummary {
  #count = 0;
  #first = Number.MAX_SAFE_INTEGER;
  #last = 0;
  readonly #samples = new Float64Array(MAX_SAMPLES);
  #sampleCount = 0;
  /** Every so many entries one is taken. */
  #stride = 1;

  add(momentMs: number): void {
    // What only a damaged or malicious writer gives: summaries are kept as whole numbers.
    const moment = Math.min(momentMs, Number.MAX_SAFE_INTEGER);
    if (moment < this.#first) this.#first = moment;
    if (moment > this.#last) this.#last = moment;
    if (this.#count++ % this.#stride !== 0) return;
    if (this.#sampleCount === MAX_SAMPLES) this.#thin();
    if ((this.#count - 1) % this.#stride === 0) this.#samples[this.#sampleCount++] = moment;
  }

  /** undefined: nothing expires. */
  get summary(): TableExpiry | undefined {
    if (this.#count === 0) return undefined;
    const sorted = this.#samples.slice(0, this.#sampleCount).sort();
    const moments = [this.#first];
    for (let step = 1; step < EXPIRY_STEPS; step++)
      moments.push(sorted[Math.floor((step * (sorted.length - 1)) / EXPIRY_STEPS)]!);
    moments.push(this.#last);
    return { count: this.#count, moments };
  }

  #thin(): void {
    for (let i = 0; 2 * i < MAX_SAMPLES; i++) this.#samples[i] = this.#samples[2 * i]!;
    this.#sampleCount = MAX_SAMPLES / 2;
    this.#stride *= 2;
  }
}

export function isSameExpiry(a: TableExpiry | undefined, b: TableExpiry | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.count === b.count && a.moments.every((moment, i) => moment === b.moments[i]);
}
