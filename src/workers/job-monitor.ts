/**
 * A job's line to main while it runs: looks at its cancellation flag, reports progress, measures time.
 *
 * Thread: any. Touches shared memory through ControlBlock alone.
 */

import { now } from '../shared/base/timers.ts';
import { ControlBlock } from '../shared/threads/control-block.ts';
import type { JobContext } from '../shared/threads/jobs.ts';

export class JobMonitor {
  readonly #control: ControlBlock;
  readonly #slot: number;
  readonly #totalBytes: number;
  readonly #totalUnits: number;
  readonly #startedMs: number = now();

  /** `totalUnits`: in what the job counts its work, entries or bytes; progress is reported as a share of `totalBytes`. */
  constructor(job: JobContext, totalBytes: number, totalUnits: number) {
    this.#control = new ControlBlock(job.control);
    this.#slot = job.slot;
    this.#totalBytes = totalBytes;
    this.#totalUnits = Math.max(1, totalUnits);
    this.pulse(0);
  }

  /** Throws JobCancelledError when main has asked the job to stop. */
  pulse(unitsDone: number): void {
    this.#control.throwIfCancelled(this.#slot);
    const share = Math.min(1, unitsDone / this.#totalUnits);
    this.#control.setProgress(this.#slot, share * this.#totalBytes, this.#totalBytes);
  }

  get elapsedMs(): number {
    return now() - this.#startedMs;
  }
}
