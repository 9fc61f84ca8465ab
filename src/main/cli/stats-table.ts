/**
 * The store's statistics for people. Scripts use `stats --json`, which prints the object as it is.
 *
 * Counts of work (cache, writes, jobs) are since the store was opened, which for a single command is just now.
 */
import type { EngineStats } from '../index.ts';
import { formatBytes, formatCount, formatDuration } from './quantities.ts';

export function formatStats(stats: EngineStats): string {
  return [
    ...levelTable(stats),
    '',
    ...remarks(stats).map(([name, text]) => `${name.padEnd(12)}${text}`),
  ].join('\n');
}

const COLUMN_WIDTHS: readonly number[] = [5, 8, 12, 14, 12, 12, 12];

function levelTable(stats: EngineStats): string[] {
  const rows = [['level', 'tables', 'size', 'entries', 'tombstones']];
  const total = { files: 0, entries: 0, tombstones: 0, rangeDeletes: 0, expired: 0 };
  for (const { files, entries, tombstones, rangeDeletes, expired } of stats.levels) {
    total.files += files;
    total.entries += entries;
    total.tombstones += tombstones;
    total.rangeDeletes += rangeDeletes;
    total.expired += expired;
  }
  // Columns for what most stores have none of, where there is any.
  const more = (of: { readonly rangeDeletes: number; readonly expired: number }): number[] => [
    ...(total.rangeDeletes > 0 ? [of.rangeDeletes] : []),
    ...(total.expired > 0 ? [of.expired] : []),
  ];
  if (total.rangeDeletes > 0) rows[0]!.push('ranges');
  if (total.expired > 0) rows[0]!.push('expired');
  for (const level of stats.levels) {
    const { files, bytes, entries, tombstones } = level;
    if (files > 0)
      rows.push([`L${level.level}`, ...[files, bytes, entries, tombstones, ...more(level)].map(showCell)]);
  }
  const sums = [total.files, stats.tableBytes, total.entries, total.tombstones, ...more(total)];
  rows.push(['all', ...sums.map(showCell)]);
  return rows.map((cells) => cells.map((cell, i) => alignCell(cell, i)).join(''));
}

/** The second figure of a row is a size. */
function showCell(figure: number, column: number): string {
  return column === 1 ? formatBytes(figure) : formatCount(figure);
}

function alignCell(cell: string, column: number): string {
  const width = COLUMN_WIDTHS[column] ?? 0;
  return column === 0 ? cell.padEnd(width) : cell.padStart(width);
}

function remarks(stats: EngineStats): [name: string, text: string][] {
  const { memtables, cache, bloom, bytesWritten, stalls, jobs } = stats;
  const written = bytesWritten.wal + bytesWritten.flush + bytesWritten.compaction;
  const amplification =
    stats.userBytes === 0 ? '' : `, ${(written / stats.userBytes).toFixed(2)} times the user's`;
  return [
    ['store', `${stats.path} (${stats.status})`],
    [
      'sequence',
      `${formatCount(stats.sequence)}: one for each write; a load sets more aside than it has records`,
    ],
    [
      'memory',
      `${formatCount(memtables.entries)} entries in ${memtables.count} memtables (${formatBytes(memtables.bytes)}), ` +
        `${formatBytes(stats.tableMemoryBytes)} for ${stats.openTables} open tables`,
    ],
    [
      'cache',
      `${formatBytes(cache.bytes)} of ${formatBytes(cache.capacityBytes)}, ` +
        `${showShare(cache.hits, cache.hits + cache.misses)} hits`,
    ],
    ['bloom', `${showShare(bloom.rejections, bloom.checks)} of look-ups in a table spared`],
    [
      'written',
      `user ${formatBytes(stats.userBytes)}; log ${formatBytes(bytesWritten.wal)}, ` +
        `flush ${formatBytes(bytesWritten.flush)}, compaction ${formatBytes(bytesWritten.compaction)}${amplification}`,
    ],
    [
      'stalls',
      `${formatCount(stalls.count)}, ${formatDuration(stalls.stalledMs)} in all` +
        (stalls.reason === null ? '' : `; now: ${stalls.reason}`),
    ],
    [
      'jobs',
      `${jobs.flushes} flushes, ${jobs.compactions} compactions, ${jobs.moves} moves; ` +
        `${jobs.running} running, ${jobs.queued} queued`,
    ],
    ...backgroundError(stats),
  ];
}

function backgroundError({ backgroundError }: EngineStats): [name: string, text: string][] {
  return backgroundError === null
    ? []
    : [['failing', `${backgroundError.message} (${backgroundError.code})`]];
}

function showShare(part: number, whole: number): string {
  if (whole === 0) return '0 of 0';
  return `${((part / whole) * 100).toFixed(1)}% (${formatCount(part)} of ${formatCount(whole)})`;
}
