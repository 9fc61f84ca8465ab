/**
 * The time of stores, as a test sets it: it stands still otherwise, in all threads.
 */
import type { TimeSource } from '../../src/main/store/store-clock.ts';
import type { ControlBlock } from '../../src/shared/threads/control-block.ts';

export class SettableClock implements TimeSource {
  #ms: number;
  /** Of open stores, and what their files say is the latest time. */
  readonly #stores: { readonly control: ControlBlock; readonly latestMs: number }[] = [];

  constructor(ms = 1_000_000) {
    this.#ms = ms;
  }

  get ms(): number {
    return this.#ms;
  }

  set(ms: number): void {
    this.#ms = ms;
    for (const { control, latestMs } of this.#stores) control.setTimeBase(Math.max(ms, latestMs), true);
  }

  pass(ms: number): void {
    this.set(this.#ms + ms);
  }

  attach(control: ControlBlock, latestMs: number): void {
    this.#stores.push({ control, latestMs });
    control.setTimeBase(Math.max(this.#ms, latestMs), true);
  }
}
