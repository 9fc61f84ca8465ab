/**
 * A progress bar on stderr for people who wait; nothing at all for scripts.
 *
 *   loading [==========----------] 52% | 251,000 rows | 310,442 rows/s | 41.2 MB/s | 0.8 s left
 *
 * Without a known total (a pipe) the line has no bar and no time left.
 * The package that draws is loaded for a bar that is shown: most commands show none.
 *
 * Owns: the line of the terminal it draws on, from `start` to `stop`.
 */
import { createRequire } from 'node:module';
import type { SingleBar } from 'cli-progress';
import { now } from '../../shared/base/timers.ts';
import { formatByteRate, formatCount, formatDuration, formatRate } from './quantities.ts';

export interface ProgressOptions {
  readonly label: string;
  /** undefined: not known. */
  readonly totalBytes: number | undefined;
  /** What is counted besides bytes: 'rows'. */
  readonly unit?: string;
  /** False draws nothing. */
  readonly isShown: boolean;
}

/** The terminal is redrawn at most this often. */
const REDRAW_INTERVAL_MS = 100;

export class Progress {
  readonly #options: ProgressOptions;
  readonly #bar: SingleBar | undefined;
  readonly #startedAt: number = now();
  #drawnAt = 0;

  constructor(options: ProgressOptions) {
    this.#options = options;
    if (!options.isShown) return;
    const bars = createRequire(import.meta.url)('cli-progress') as typeof import('cli-progress');
    const measure = options.totalBytes === undefined ? '' : ' [{bar}] {percentage}%';
    this.#bar = new bars.SingleBar({
      format: `{label}${measure} | {counts}`,
      stream: process.stderr,
      barsize: 24,
      barCompleteChar: '=',
      barIncompleteChar: '-',
      clearOnComplete: true,
      emptyOnZero: true,
    });
    this.#bar.start(options.totalBytes ?? 0, 0, { label: options.label, counts: 'starting' });
  }

  update(doneBytes: number, count = 0): void {
    const moment = now();
    if (this.#bar === undefined || moment - this.#drawnAt < REDRAW_INTERVAL_MS) return;
    this.#drawnAt = moment;
    this.#bar.update(doneBytes, { counts: this.#counts(doneBytes, count, moment - this.#startedAt) });
  }

  /** Takes the bar away. Idempotent. */
  stop(): void {
    this.#bar?.stop();
  }

  #counts(doneBytes: number, count: number, elapsedMs: number): string {
    const { totalBytes, unit } = this.#options;
    const parts = [formatByteRate(doneBytes, elapsedMs)];
    if (unit !== undefined) {
      parts.unshift(`${formatCount(count)} ${unit}`, `${formatRate(count, elapsedMs)} ${unit}/s`);
    }
    if (totalBytes !== undefined && doneBytes > 0) {
      const leftMs = (elapsedMs / doneBytes) * Math.max(0, totalBytes - doneBytes);
      parts.push(`${formatDuration(leftMs)} left`);
    }
    return parts.join(' | ');
  }
}
