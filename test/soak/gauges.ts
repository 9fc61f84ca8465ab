/**
 * What a process takes, sampled while it works, and whether any of it grows: the verdict of a soak.
 *
 *   warm-up   the first 40 % of the samples count for nothing: caches fill, code is compiled, the tree finds its shape
 *   trend     a straight line through the rest (least squares); its rise from the first to the last sample
 *   verdict   no rise above its bound, and no sample above its ceiling
 *
 * The bounds are on the whole run: a leak of a given rate that hides in a minute shows in an hour.
 *
 * Not chosen: comparing first and last. Both are noise; a line through hundreds of samples is not.
 */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

const MIB = 1024 * 1024;
const WARM_UP_SHARE = 0.4;
/** With fewer, a line means nothing. */
const MIN_SAMPLES = 5;

/** One look. Undefined where the system does not tell. */
export interface Sample {
  readonly seconds: number;
  readonly rssBytes: number;
  readonly bufferBytes: number;
  readonly handles: number | undefined;
  readonly threads: number | undefined;
  readonly diskBytes: number;
  readonly files: number;
}

export type Gauge = Exclude<keyof Sample, 'seconds'>;

interface Bound {
  /** What the trend may rise over the run. */
  readonly rise: number;
  readonly unit: number;
  readonly name: string;
}

export const BOUNDS: Readonly<Record<Gauge, Bound>> = {
  rssBytes: { rise: 32 * MIB, unit: MIB, name: 'rss-mib' },
  bufferBytes: { rise: 16 * MIB, unit: MIB, name: 'buffers-mib' },
  handles: { rise: 8, unit: 1, name: 'handles' },
  threads: { rise: 3, unit: 1, name: 'threads' },
  diskBytes: { rise: 16 * MIB, unit: MIB, name: 'disk-mib' },
  files: { rise: 12, unit: 1, name: 'files' },
};

export const GAUGES = Object.keys(BOUNDS) as Gauge[];

export interface Trend {
  readonly gauge: Gauge;
  readonly rise: number;
  readonly peak: number;
  /** Why it is not in order; undefined when it is. */
  readonly problem: string | undefined;
}

export function takeSample(startedAt: number, directory: string): Sample {
  // Garbage says nothing about leaks, where it can be told to go.
  (globalThis as { gc?: () => void }).gc?.();
  const { rss, arrayBuffers } = process.memoryUsage();
  const sizes = sizesIn(directory);
  return {
    seconds: (performance.now() - startedAt) / 1000,
    rssBytes: rss,
    bufferBytes: arrayBuffers,
    handles: existsSync('/proc/self/fd') ? readdirSync('/proc/self/fd').length : undefined,
    threads: threadCount(),
    diskBytes: sizes.reduce((sum, size) => sum + size, 0),
    files: sizes.length,
  };
}

function threadCount(): number | undefined {
  if (!existsSync('/proc/self/status')) return undefined;
  return Number(/Threads:\s*(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]);
}

/** A file that a compaction deletes meanwhile is no more. */
function sizesIn(directory: string): number[] {
  return readdirSync(directory).flatMap((name) => {
    const stats = statSync(join(directory, name), { throwIfNoEntry: false });
    return stats === undefined ? [] : [stats.size];
  });
}

/** The trends after the warm-up. `ceilings` are for single samples. */
export function judge(
  samples: readonly Sample[],
  ceilings: Partial<Record<Gauge, number>> = {},
): readonly Trend[] {
  const counted = samples.slice(Math.floor(samples.length * WARM_UP_SHARE));
  if (counted.length < MIN_SAMPLES) throw new Error(`${samples.length} samples are too few for a verdict`);
  return GAUGES.flatMap((gauge) => {
    const points = counted.flatMap((sample): [number, number][] =>
      sample[gauge] === undefined ? [] : [[sample.seconds, sample[gauge]]],
    );
    return points.length === 0 ? [] : [trendOf(gauge, points, ceilings[gauge])];
  });
}

function trendOf(
  gauge: Gauge,
  points: readonly (readonly [number, number])[],
  ceiling: number | undefined,
): Trend {
  const mean = (values: readonly number[]): number =>
    values.reduce((sum, value) => sum + value, 0) / values.length;
  const middle = mean(points.map(([x]) => x));
  const level = mean(points.map(([, y]) => y));
  const covariance = points.reduce((sum, [x, y]) => sum + (x - middle) * (y - level), 0);
  const variance = points.reduce((sum, [x]) => sum + (x - middle) ** 2, 0);
  const rise = (covariance / variance) * (points.at(-1)![0] - points[0]![0]);
  const peak = Math.max(...points.map(([, y]) => y));
  const { rise: allowed, unit, name } = BOUNDS[gauge];
  const inUnits = (value: number): string => (value / unit).toFixed(1);
  let problem: string | undefined;
  if (rise > allowed)
    problem = `${name} rises by ${inUnits(rise)} over the run; ${inUnits(allowed)} is the bound`;
  else if (ceiling !== undefined && peak > ceiling)
    problem = `${name} reaches ${inUnits(peak)}; ${inUnits(ceiling)} is the most it may be`;
  return { gauge, rise, peak, problem };
}
