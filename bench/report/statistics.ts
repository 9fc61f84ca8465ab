/**
 * From outcomes to summaries: medians over the rounds, and ratios paired within a round.
 *
 * A ratio is ours over theirs, above 1 when we are better. It is taken within each round and the median of those is
 * reported, so that a machine that changes speed between rounds moves both sides.
 */
import type { Latency, Measurement, Outcome } from '../measure/measurement.ts';
import { OURS } from '../stores/store.ts';

export interface StoreSummary {
  readonly store: string;
  readonly rounds: number;
  readonly opsPerSecond: number;
  /** (highest - lowest) / median over the rounds. */
  readonly spread: number;
  /** Ours over theirs, in operations per second; 1 for us; null without a common round. */
  readonly ratio: number | null;
  /** The same, with the time until the store had settled. */
  readonly settledOpsPerSecond: number | null;
  readonly settledRatio: number | null;
  readonly latencyUs: Latency | null;
  readonly loopDelayMs: { readonly p99: number; readonly max: number } | null;
  readonly cpuSeconds: number | null;
  /** Bytes written per user byte. */
  readonly amplification: number | null;
  readonly diskBytes: number | null;
  readonly peakMemoryBytes: number | null;
  readonly isCalm: boolean;
  readonly series: readonly (readonly [number, number])[];
  readonly extra: Readonly<Record<string, number>>;
  /** What failed, if a round did. */
  readonly error: string | null;
}

export interface WorkloadSummary {
  readonly workload: string;
  readonly group: string;
  readonly operation: string;
  readonly stores: readonly StoreSummary[];
}

/** The middle value; the mean of the middle two of an even number. NaN of nothing. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  if (sorted.length % 2 === 1) return sorted[middle]!;
  return sorted.length === 0 ? Number.NaN : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** NaN of nothing; all values must be positive. */
export function geometricMean(values: readonly number[]): number {
  if (values.length === 0) return Number.NaN;
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
}

export function settledRate({ operations, settledSeconds }: Measurement): number | null {
  return settledSeconds === null ? null : operations / settledSeconds;
}

/** `outcomes`: of one workload, all stores and rounds. Stores keep the order in which they first appear. */
export function summarize(
  workload: { readonly name: string; readonly group: string; readonly operation: string },
  outcomes: readonly Outcome[],
): WorkloadSummary {
  const names = [...new Set(outcomes.map(({ store }) => store))];
  return {
    workload: workload.name,
    group: workload.group,
    operation: workload.operation,
    stores: names.map((store) => summarizeStore(store, outcomes)),
  };
}

function summarizeStore(store: string, all: readonly Outcome[]): StoreSummary {
  const own = all.filter((outcome) => outcome.store === store);
  const measured = own.flatMap(({ measurement }) => (measurement === undefined ? [] : [measurement]));
  const speeds = measured.map(({ opsPerSecond }) => opsPerSecond);
  const opsPerSecond = median(speeds);
  return {
    store,
    rounds: measured.length,
    opsPerSecond,
    spread: (Math.max(...speeds) - Math.min(...speeds)) / opsPerSecond,
    ratio: pairedRatio(store, all, (each) => each.opsPerSecond),
    settledOpsPerSecond: medianOf(measured, settledRate),
    settledRatio: pairedRatio(store, all, settledRate),
    latencyUs: latencies(measured),
    loopDelayMs: loopDelays(measured),
    cpuSeconds: medianOf(measured, (each) => each.cpuSeconds),
    amplification: medianOf(measured, ({ writtenBytes, userBytes }) =>
      writtenBytes === null || userBytes === 0 ? null : writtenBytes / userBytes,
    ),
    diskBytes: medianOf(measured, (each) => each.diskBytes),
    peakMemoryBytes: medianOf(measured, (each) => each.peakMemoryBytes),
    isCalm: measured.every(({ isCalm }) => isCalm),
    series: measured.at(-1)?.series ?? [],
    extra: extras(measured),
    error: own.find(({ error }) => error !== undefined)?.error ?? null,
  };
}

/** The median over rounds of ours / theirs; null when no round has both. */
export function pairedRatio(
  store: string,
  outcomes: readonly Outcome[],
  value: (measurement: Measurement) => number | null,
): number | null {
  const ratios: number[] = [];
  for (const theirs of outcomes) {
    if (theirs.store !== store || theirs.measurement === undefined) continue;
    const ours = outcomes.find((each) => each.store === OURS && each.round === theirs.round)?.measurement;
    const above = ours === undefined ? null : value(ours);
    const below = value(theirs.measurement);
    if (above !== null && below !== null && below > 0) ratios.push(above / below);
  }
  return ratios.length === 0 ? null : median(ratios);
}

function medianOf(
  measured: readonly Measurement[],
  value: (measurement: Measurement) => number | null,
): number | null {
  const values = measured.map(value).filter((each) => each !== null);
  return values.length === 0 ? null : median(values);
}

function latencies(measured: readonly Measurement[]): Latency | null {
  const known = measured.flatMap(({ latencyUs }) => (latencyUs === null ? [] : [latencyUs]));
  if (known.length === 0) return null;
  return {
    p50: median(known.map(({ p50 }) => p50)),
    p99: median(known.map(({ p99 }) => p99)),
    p999: median(known.map(({ p999 }) => p999)),
    max: Math.max(...known.map(({ max }) => max)),
  };
}

function loopDelays(measured: readonly Measurement[]): StoreSummary['loopDelayMs'] {
  const known = measured.flatMap(({ loopDelayMs }) => (loopDelayMs === null ? [] : [loopDelayMs]));
  if (known.length === 0) return null;
  return { p99: median(known.map(({ p99 }) => p99)), max: median(known.map(({ max }) => max)) };
}

function extras(measured: readonly Measurement[]): Record<string, number> {
  const names = new Set(measured.flatMap(({ extra }) => Object.keys(extra)));
  return Object.fromEntries(
    [...names].map((name) => [name, median(measured.flatMap(({ extra }) => extra[name] ?? []))]),
  );
}
