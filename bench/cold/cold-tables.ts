/**
 * The tables of a cold result: one per row, a line per contestant.
 */
import { rate, type Table } from '../report/tables.ts';
import { type ColdMeasurement, type ColdOutcome, contestant } from './cold-task.ts';

const MIB: number = 1024 ** 2;
const US_PER_MS = 1000;

const COLUMNS: readonly (readonly [string, (measurement: ColdMeasurement) => string])[] = [
  ['ops/s', ({ opsPerSecond }) => rate(opsPerSecond)],
  ['p50 ms', ({ latencyUs }) => ms(latencyUs === null ? null : latencyUs.p50 / US_PER_MS)],
  ['p99 ms', ({ latencyUs }) => ms(latencyUs === null ? null : latencyUs.p99 / US_PER_MS)],
  ['loop p50 ms', ({ loop }) => (loop.turns === 0 ? 'never turned' : ms(loop.p50))],
  ['loop p99 ms', ({ loop }) => (loop.turns === 0 ? '-' : ms(loop.p99))],
  ['loop max ms', ({ loop }) => ms(loop.max)],
  ['held', ({ loop }) => `${Math.round(loop.heldShare * 100)} %`],
  ['open ms', ({ openMs }) => ms(openMs)],
  [
    'disk reads/s',
    ({ diskReadsPerSecond }) => (diskReadsPerSecond === null ? '-' : rate(diskReadsPerSecond)),
  ],
  [
    'disk MiB/s',
    ({ diskBytesPerSecond }) => ms(diskBytesPerSecond === null ? null : diskBytesPerSecond / MIB),
  ],
  ['cpu s', ({ cpuSeconds }) => ms(cpuSeconds)],
];

/** Of the outcomes of one row. */
export function coldTable(outcomes: readonly ColdOutcome[]): Table {
  const hasWriter = outcomes.some(({ measurement }) => measurement?.putsPerSecond != null);
  const columns: typeof COLUMNS = hasWriter
    ? [...COLUMNS, ['puts/s', ({ putsPerSecond }) => (putsPerSecond === null ? '-' : rate(putsPerSecond))]]
    : COLUMNS;
  return {
    head: ['store', ...columns.map(([title]) => title)],
    rows: outcomes.map(({ store, mode, measurement, error }) => [
      contestant(store, mode),
      ...(measurement === undefined ? [`failed: ${error}`] : columns.map(([, show]) => show(measurement))),
    ]),
  };
}

function ms(value: number | null): string {
  if (value === null) return '-';
  return value >= 100 ? Math.round(value).toLocaleString('en-US') : value.toFixed(value >= 10 ? 1 : 2);
}
