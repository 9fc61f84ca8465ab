/**
 * LoopWatch: how late a timer of 1 ms fires, which is what a request that comes meanwhile waits.
 *
 * Invariants: what is due when the watch ends counts, so that a loop that never turned has the whole time as its delay.
 * Not chosen: `monitorEventLoopDelay`, whose samples are taken by a timer of the loop as well, and which has none, and so
 *             no delay at all, for a loop that never turns.
 */
import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';
import type { LoopDelay } from './cold-task.ts';

const INTERVAL_MS = 1;
const NS_PER_MS = 1e6;
/** Who waits longer than this is held up. */
const HELD_MS = 10;

export class LoopWatch {
  readonly #late: RecordableHistogram = createHistogram();
  #timer: NodeJS.Timeout | undefined;
  #beganMs = 0;
  #lastMs = 0;
  #heldMs = 0;
  #turns = 0;

  begin(): void {
    this.#beganMs = performance.now();
    this.#lastMs = this.#beganMs;
    this.#arm();
  }

  end(): LoopDelay {
    clearTimeout(this.#timer);
    this.#note();
    const late = this.#late;
    const ms = (percentile: number): number => late.percentile(percentile) / NS_PER_MS;
    return {
      p50: ms(50),
      p99: ms(99),
      max: late.max / NS_PER_MS,
      heldShare: this.#heldMs / Math.max(1, this.#lastMs - this.#beganMs),
      turns: this.#turns,
    };
  }

  #arm(): void {
    this.#timer = setTimeout(() => {
      this.#turns++;
      this.#note();
      this.#arm();
    }, INTERVAL_MS);
  }

  #note(): void {
    const now = performance.now();
    const lateMs = Math.max(0, now - this.#lastMs - INTERVAL_MS);
    this.#late.record(Math.max(1, Math.round(lateMs * NS_PER_MS)));
    this.#heldMs += Math.max(0, lateMs - HELD_MS);
    this.#lastMs = now;
  }
}
