/**
 * A progress bar on stderr for people who wait; nothing at all for scripts.
 *
 *   loading [==========----------] 52% | 251,000 rows | 310,442 rows/s | 41.2 MB/s | 0.8 s left
 *
 * On a narrow terminal less is shown, what matters least left out first, rather than a line that is cut: the rate in bytes, that
 * in rows, the rows; then the bar gets shorter; the time left stays longest.
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
const BAR_LENGTH = 24;
/** A shorter one says nothing. */
const SHORTEST_BAR = 6;
const DEFAULT_COLUMNS = 80;

/** What stands behind the bar. */
export interface BarCounts {
  /** In the order in which they are shown. */
  readonly parts: readonly string[];
  /** Places in `parts`, in the order in which they go when there is no room; the rest goes last. */
  readonly dispensable: readonly number[];
}

/** The line of a bar that is done by `share` of 1 (undefined: nobody knows), at most `columns - 1` characters long. */
export function barLine(
  label: string,
  share: number | undefined,
  counts: BarCounts,
  columns: number,
): string {
  const room = Math.max(1, columns - 1);
  const percentage = share === undefined ? '' : ` ${Math.floor(share * 100)}%`;
  const line = (barLength: number, left: ReadonlySet<number>): string => {
    const done = Math.round(barLength * (share ?? 0));
    const bar = barLength === 0 ? '' : ` [${'='.repeat(done)}${'-'.repeat(barLength - done)}]`;
    const shown = counts.parts.filter((_, place) => !left.has(place));
    return [`${label}${bar}${percentage}`, ...shown].join(' | ');
  };
  const longest = share === undefined ? 0 : BAR_LENGTH;
  const shortest = share === undefined ? 0 : SHORTEST_BAR;
  const left = new Set<number>();
  for (const place of [undefined, ...counts.dispensable]) {
    if (place !== undefined) left.add(place);
    if (line(longest, left).length <= room) return line(longest, left);
  }
  const all = new Set(counts.parts.keys());
  for (const gone of [left, all])
    for (let length = longest; length >= shortest; length--)
      if (line(length, gone).length <= room) return line(length, gone);
  return line(0, all).slice(0, room);
}

export class Progress {
  readonly #options: ProgressOptions;
  readonly #bar: SingleBar | undefined;
  readonly #startedAt: number = now();
  #drawnAt = 0;
  #doneBytes = 0;
  #counts: BarCounts = { parts: ['starting'], dispensable: [] };

  constructor(options: ProgressOptions) {
    this.#options = options;
    if (!options.isShown) return;
    const bars = createRequire(import.meta.url)('cli-progress') as typeof import('cli-progress');
    this.#bar = new bars.SingleBar({
      format: (_, { progress }) => this.#line(progress),
      stream: process.stderr,
      clearOnComplete: true,
      emptyOnZero: true,
    });
    this.#bar.start(options.totalBytes ?? 0, 0);
  }

  #line(share: number): string {
    const { label, totalBytes } = this.#options;
    const known = totalBytes === undefined ? undefined : share;
    return barLine(label, known, this.#counts, process.stderr.columns || DEFAULT_COLUMNS);
  }

  update(doneBytes: number, count = 0): void {
    const moment = now();
    if (this.#bar === undefined || moment - this.#drawnAt < REDRAW_INTERVAL_MS) return;
    this.#drawnAt = moment;
    this.#doneBytes = doneBytes;
    this.#counts = this.#count(doneBytes, count, moment - this.#startedAt);
    this.#bar.update(doneBytes);
  }

  /** What `write` writes to the terminal stands above the bar, on lines of its own. */
  above(write: () => void): void {
    this.#bar?.stop();
    write();
    this.#bar?.start(this.#options.totalBytes ?? 0, this.#doneBytes);
  }

  /** Takes the bar away. Idempotent. */
  stop(): void {
    this.#bar?.stop();
  }

  #count(doneBytes: number, count: number, elapsedMs: number): BarCounts {
    const { totalBytes, unit } = this.#options;
    const parts = [formatByteRate(doneBytes, elapsedMs)];
    if (unit !== undefined) {
      parts.unshift(`${formatCount(count)} ${unit}`, `${formatRate(count, elapsedMs)} ${unit}/s`);
    }
    const dispensable = unit === undefined ? [0] : [2, 1, 0];
    if (totalBytes !== undefined && doneBytes > 0) {
      const leftMs = (elapsedMs / doneBytes) * Math.max(0, totalBytes - doneBytes);
      parts.push(`${formatDuration(leftMs)} left`);
    }
    return { parts, dispensable };
  }
}
