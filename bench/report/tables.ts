/**
 * Tables: the same rows for the terminal (aligned) and for Markdown (piped).
 */
import type { StoreSummary, WorkloadSummary } from './statistics.ts';
import type { Verdict } from './targets.ts';

export interface Table {
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

const NONE = '-';
const MIB: number = 1024 ** 2;

const COLUMNS: readonly (readonly [string, (summary: StoreSummary) => string])[] = [
  ['ops/s', ({ opsPerSecond }) => rate(opsPerSecond)],
  ['+-', ({ spread, rounds }) => (rounds > 1 ? `${Math.round(spread * 50)} %` : NONE)],
  ['ours/it', ({ ratio }) => times(ratio)],
  ['settled', ({ settledOpsPerSecond }) => (settledOpsPerSecond === null ? NONE : rate(settledOpsPerSecond))],
  ['p50 us', ({ latencyUs }) => fixed(latencyUs?.p50)],
  ['p99 us', ({ latencyUs }) => fixed(latencyUs?.p99)],
  ['p99.9 us', ({ latencyUs }) => fixed(latencyUs?.p999)],
  ['loop p99 ms', ({ loopDelayMs }) => fixed(loopDelayMs?.p99)],
  ['loop max ms', ({ loopDelayMs }) => fixed(loopDelayMs?.max)],
  ['cpu s', ({ cpuSeconds }) => fixed(cpuSeconds)],
  ['written/user', ({ amplification }) => fixed(amplification)],
  ['disk MiB', ({ diskBytes }) => fixed(diskBytes === null ? null : diskBytes / MIB)],
  ['peak MiB', ({ peakMemoryBytes }) => fixed(peakMemoryBytes === null ? null : peakMemoryBytes / MIB)],
];

export function workloadTable({ stores }: WorkloadSummary): Table {
  return {
    head: ['store', ...COLUMNS.map(([title]) => title)],
    rows: stores.map((summary) => [
      summary.isCalm ? summary.store : `${summary.store} (never settled)`,
      ...(summary.rounds === 0 ? [`failed: ${summary.error}`] : COLUMNS.map(([, show]) => show(summary))),
    ]),
  };
}

export function verdictTable(verdicts: readonly Verdict[]): Table {
  return {
    head: ['row', 'against', 'measured', 'target', ''],
    rows: verdicts.map(({ label, against, measured, target, isMet, isStretch }) => [
      label,
      against,
      measured,
      isStretch ? `${target} (stretch)` : target,
      isMet === undefined ? 'not measured' : isMet ? 'pass' : isStretch ? 'not yet' : 'FAIL',
    ]),
  };
}

/** The first column to the left, all others to the right. A short row's last cell may run on. */
export function toText({ head, rows }: Table): string {
  const full = rows.filter((row) => row.length === head.length);
  const widths = head.map((title, i) => Math.max(title.length, ...full.map((row) => row[i]!.length)));
  widths[0] = Math.max(widths[0]!, ...rows.map((row) => row[0]!.length));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, i) =>
        i === 0 || cells.length < head.length ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!),
      )
      .join('  ')
      .trimEnd();
  return [head, ...rows].map(line).join('\n');
}

/** Aligned, as the formatter of the house would. */
export function toMarkdown({ head, rows }: Table): string {
  const all = [head, ...rows].map((row) => head.map((_, i) => (row[i] ?? '').replaceAll('|', '/')));
  const widths = head.map((_, i) => Math.max(4, ...all.map((row) => row[i]!.length)));
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join(' | ')} |`;
  const rule = widths.map((width, i) => (i === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`));
  return [line(all[0]!), `| ${rule.join(' | ')} |`, ...all.slice(1).map(line)].join('\n');
}

/** 1,234 or 1.23M. */
export function rate(perSecond: number): string {
  if (perSecond >= 1e6) return `${(perSecond / 1e6).toFixed(2)}M`;
  if (perSecond >= 100) return Math.round(perSecond).toLocaleString('en-US');
  return perSecond.toFixed(1);
}

function times(ratio: number | null): string {
  return ratio === null ? NONE : `${ratio.toFixed(2)}x`;
}

function fixed(value: number | null | undefined): string {
  if (value === null || value === undefined) return NONE;
  return value >= 100 ? Math.round(value).toLocaleString('en-US') : value.toFixed(value >= 10 ? 1 : 2);
}
