/**
 * Two pictures of a cold result: speeds, and how long the event loop was held, a group of bars per row.
 */
import { type BarChart, COLORS, drawBars } from '../report/charts.ts';
import { rate } from '../report/tables.ts';
import { OURS } from '../stores/store.ts';
import { COLD_ROWS } from './cold-rows.ts';
import { type ColdMeasurement, type ColdOutcome, contestant } from './cold-task.ts';

/** Our modes are shades of our colour. */
const OUR_COLORS: Readonly<Record<string, string>> = {
  default: COLORS[OURS]!,
  'mmap-off': '#EB9A5B',
  'no-koffi': '#F5CDAD',
};
const FALLBACK_COLOR = '#7F7F7F';
/** A logarithmic axis has no 0, and nobody feels less. */
const LEAST_MS = 0.1;

/** File name (without .svg) -> picture. Throws when the plotting library is not installed. */
export function drawColdCharts(outcomes: readonly ColdOutcome[]): Map<string, string> {
  const chart = (title: string, pick: (measurement: ColdMeasurement) => number): BarChart => ({
    title,
    categories: rowNames(outcomes),
    bars: bars(outcomes, pick),
    write: rate,
  });
  return new Map([
    ['cold', drawBars(chart('cold data: keys or entries per second', ({ opsPerSecond }) => opsPerSecond))],
    [
      'cold-loop',
      drawBars(
        chart('cold data: delay of the event loop, p99, in milliseconds (less is better)', ({ loop }) =>
          Math.max(LEAST_MS, loop.p99),
        ),
      ),
    ],
  ]);
}

/** Those that were measured, in the order of the catalog. */
export function rowNames(outcomes: readonly ColdOutcome[]): string[] {
  return COLD_ROWS.map(({ name }) => name).filter((name) => outcomes.some(({ row }) => row === name));
}

export function contestants(outcomes: readonly ColdOutcome[]): string[] {
  return [...new Set(outcomes.map(({ store, mode }) => contestant(store, mode)))];
}

function bars(
  outcomes: readonly ColdOutcome[],
  pick: (measurement: ColdMeasurement) => number,
): BarChart['bars'] {
  return contestants(outcomes).map((name) => {
    const own = outcomes.filter(({ store, mode }) => contestant(store, mode) === name);
    const { store, mode } = own[0]!;
    return {
      name,
      color: (store === OURS ? OUR_COLORS[mode] : COLORS[store]) ?? FALLBACK_COLOR,
      values: rowNames(outcomes).map((row) => {
        const measurement = own.find((each) => each.row === row)?.measurement;
        return measurement === undefined ? null : pick(measurement);
      }),
    };
  });
}
