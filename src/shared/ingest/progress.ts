/**
 * Word of how far an ingestion is: a few times a second, and whenever a phase ends.
 *
 * Thread: any.
 */
import { now } from '../base/timers.ts';
import type { IngestProgress } from './ingest-options.ts';

const INTERVAL_MS = 100;

export class ProgressTeller {
  readonly #onProgress: (progress: IngestProgress) => void;
  readonly #onThrow: (error: unknown) => void;
  #toldAt = 0;

  constructor(onProgress: (progress: IngestProgress) => void, onThrow: (error: unknown) => void) {
    this.#onProgress = onProgress;
    this.#onThrow = onThrow;
  }

  /** `always`: even when the last word was but a moment ago. */
  tell(progress: IngestProgress, always = false): void {
    const time = now();
    if (!always && time - this.#toldAt < INTERVAL_MS) return;
    this.#toldAt = time;
    try {
      this.#onProgress(progress);
    } catch (error) {
      this.#onThrow(error);
    }
  }
}
