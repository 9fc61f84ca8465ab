/**
 * How speed grows with threads: a law fitted to what was measured, and what it says of more cores than there were.
 *
 *   Universal Scalability Law (Gunther):   speed(n) = speed(1) * n / (1 + serial * (n - 1) + crosstalk * n * (n - 1))
 *   Amdahl's law:                          the same with crosstalk 0
 *
 *   serial      the share of the work that only one thread at a time can do
 *   crosstalk   what each pair of threads costs each other; needs measurements at two counts above one to be told apart
 *
 * In the form  n / speedup(n) - 1 = serial * (n - 1) + crosstalk * n * (n - 1)  it is linear in both, and fitted by least
 * squares. Neither may be negative: a law that promises more than n threads for n is noise.
 *
 * An extrapolation is no measurement: other processors have other caches and other memory, and a lock that nobody waits
 * for with two threads may be what sixteen wait for.
 */
export interface ScalingPoint {
  readonly threads: number;
  readonly speed: number;
}

export interface ScalingLaw {
  /** 0 = all of it runs in parallel, 1 = none. */
  readonly serial: number;
  readonly crosstalk: number;
}

/**
 * Undefined without a speed of one thread and of one other count. Points with more threads than `cores` are left out: they
 * tell how threads take turns on a core, not what they do to each other.
 */
export function fitScaling(points: readonly ScalingPoint[], cores: number): ScalingLaw | undefined {
  const one = points.find(({ threads }) => threads === 1)?.speed;
  const more = points.filter(({ threads, speed }) => threads > 1 && threads <= cores && speed > 0);
  if (one === undefined || !(one > 0) || more.length === 0) return undefined;
  const rows = more.map(({ threads, speed }) => ({
    pairs: threads * (threads - 1),
    others: threads - 1,
    loss: (threads * one) / speed - 1,
  }));
  const amdahl = { serial: Math.max(0, slope(rows, 'others')), crosstalk: 0 };
  if (rows.length === 1) return amdahl;
  const [oo, op, pp] = [
    dot(rows, 'others', 'others'),
    dot(rows, 'others', 'pairs'),
    dot(rows, 'pairs', 'pairs'),
  ];
  const [ol, pl] = [dot(rows, 'others', 'loss'), dot(rows, 'pairs', 'loss')];
  const determinant = oo * pp - op * op;
  const serial = (ol * pp - pl * op) / determinant;
  const crosstalk = (pl * oo - ol * op) / determinant;
  if (crosstalk < 0) return amdahl;
  if (serial < 0) return { serial: 0, crosstalk: Math.max(0, slope(rows, 'pairs')) };
  return { serial, crosstalk };
}

/** How many times the speed of one thread `threads` would have. */
export function speedup({ serial, crosstalk }: ScalingLaw, threads: number): number {
  return threads / (1 + serial * (threads - 1) + crosstalk * threads * (threads - 1));
}

/**
 * Amdahl's law from processor time: where one thread has to do its part alone and the others share the rest, its part is
 * what can't be shared. For work whose threads do different things, so that none of them alone could be timed.
 */
export function lawOfShares(ownerCpuSeconds: number, allCpuSeconds: number): ScalingLaw | undefined {
  if (!(allCpuSeconds > 0) || !(ownerCpuSeconds >= 0)) return undefined;
  return { serial: Math.min(1, ownerCpuSeconds / allCpuSeconds), crosstalk: 0 };
}

interface Row {
  readonly others: number;
  readonly pairs: number;
  readonly loss: number;
}

function dot(rows: readonly Row[], a: keyof Row, b: keyof Row): number {
  return rows.reduce((sum, row) => sum + row[a] * row[b], 0);
}

function slope(rows: readonly Row[], by: 'others' | 'pairs'): number {
  return dot(rows, by, 'loss') / dot(rows, by, by);
}
