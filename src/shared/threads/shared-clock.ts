/**
 * The time of a store, the same in all threads that use it: the wall clock at open, and what has passed since.
 *
 * A clock that is set later changes nothing, and it never goes back. In whole milliseconds since 1970: an entry that expires at
 * 1000 is there at 999.9 and gone at 1000.
 *
 * Invariants: the process's clock, of which it is made, is one for all threads.
 * Thread:     any.
 */
import { processClock } from '../base/timers.ts';
import type { ControlBlock } from './control-block.ts';

/** What asks for the time of a moment that is over has one of its own. */
export interface Clock {
  now(): number;
}

export class SharedClock implements Clock {
  readonly #control: ControlBlock;

  constructor(control: ControlBlock) {
    this.#control = control;
  }

  now(): number {
    return this.at(processClock());
  }

  /** What it was when the process's clock was at `processMs`, in this opening. */
  at(processMs: number): number {
    const { timeBaseMs, timeStands } = this.#control;
    return Math.floor(timeStands ? timeBaseMs : timeBaseMs + processMs);
  }
}
