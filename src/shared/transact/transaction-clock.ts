/**
 * The time of a transaction: that of its moment, by which what it reads expires.
 *
 * It notes whether anybody has asked: if not, nothing was read that could expire, and whoever judges the commit need not look.
 *
 * Thread: any.
 */
import { NOTHING_EXPIRES } from '../base/expiry.ts';
import type { Clock } from '../threads/shared-clock.ts';

export class TransactionClock implements Clock {
  /** NOTHING_EXPIRES: there was nothing of the sort at its moment. */
  readonly timeMs: number;
  #wasAsked = false;

  constructor(timeMs: number) {
    this.timeMs = timeMs;
  }

  now(): number {
    this.#wasAsked = true;
    return this.timeMs;
  }

  /** Something that it has read may expire. */
  get mayHaveRead(): boolean {
    return this.#wasAsked && this.timeMs !== NOTHING_EXPIRES;
  }
}
