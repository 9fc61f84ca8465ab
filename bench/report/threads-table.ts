/**
 * The group `threads` in one table: speeds by number of threads, what two give over one, and what the law that fits them
 * says of 16 cores.
 *
 *   get, scan   the law is fitted to the speeds (scaling.ts), unless other processes took part of the processors
 *   ingest      main and pool do different things, and overlap: its serial part is the main thread's share of all processor
 *               time, from the run with the most threads that the machine has cores for; speeds are those until settled
 *
 * `cpu us` is processor time of all threads per operation with one and with two of them: unlike the speeds it says what
 * threads cost each other even where something else has the cores.
 */
import { fitScaling, lawOfShares, type ScalingLaw, speedup } from './scaling.ts';
import type { StoreSummary, WorkloadSummary } from './statistics.ts';
import { rate, type Table } from './tables.ts';

/** What is extrapolated to. */
export const FAR_CORES = 16;

const COUNTS = [0, 1, 2, 4] as const;
const ROWS = [
  { label: 'getSync', prefix: 'threads-get-' },
  { label: 'scan', prefix: 'threads-scan-' },
  { label: 'ingest', prefix: 'ingest-' },
] as const;
const INGEST = 'ingest-';
/** Of a core. A law fitted to speeds beside other work than that would be one of the other work. */
const OTHERS_MAX = 0.1;
const BUSY = 'busy machine';
const NONE = '-';

export const EXTRAPOLATION_NOTE: string = [
  `The last column is an extrapolation to ${FAR_CORES} cores, not a measurement: Amdahl's law (with more than two cores, the`,
  'Universal Scalability Law) with the serial part measured here. It knows nothing of the memory and caches of such a machine.',
  `"${BUSY}": other processes used more than a tenth of a core meanwhile, and no law is fitted to that.`,
].join('\n');

/** Undefined when nothing of the group was measured. `cores`: of the machine. */
export function threadsTable(summaries: readonly WorkloadSummary[], cores: number): Table | undefined {
  const rows = ROWS.flatMap(({ label, prefix }) =>
    storesOf(summaries, prefix).map((store) => toRow(label, prefix, store, summaries, cores)),
  );
  if (rows.length === 0) return undefined;
  return {
    head: [
      'threads',
      'store',
      ...COUNTS.map(String),
      '2 over 1',
      'cpu us, 1',
      'cpu us, 2',
      'owner busy',
      'serial part',
      `at ${FAR_CORES} (extrapolated)`,
    ],
    rows,
  };
}

/** Those that were measured with more than one number of threads. */
function storesOf(summaries: readonly WorkloadSummary[], prefix: string): string[] {
  const names = COUNTS.flatMap((count) =>
    (summaries.find(({ workload }) => workload === prefix + count)?.stores ?? [])
      .filter(({ rounds }) => rounds > 0)
      .map(({ store }) => store),
  );
  return [...new Set(names)].filter((name) => names.filter((each) => each === name).length > 1);
}

function toRow(
  label: string,
  prefix: string,
  store: string,
  summaries: readonly WorkloadSummary[],
  cores: number,
): string[] {
  const found = new Map(
    COUNTS.flatMap((count): [number, StoreSummary][] => {
      const own = summaries
        .find(({ workload }) => workload === prefix + count)
        ?.stores.find((each) => each.store === store && each.rounds > 0);
      return own === undefined ? [] : [[count, own]];
    }),
  );
  const speed = (count: number): number | undefined => speedOf(prefix, found.get(count));
  const [one, two] = [speed(1), speed(2)];
  const law = lawOf(prefix, found, cores);
  return [
    label,
    store,
    ...COUNTS.map((count) => shown(speed(count), rate)),
    one === undefined || two === undefined ? NONE : `${(two / one).toFixed(2)}x`,
    shown(cpuMicros(found.get(1)), (value) => value.toFixed(2)),
    shown(cpuMicros(found.get(2)), (value) => value.toFixed(2)),
    shown(ownerShare(found.get(2) ?? found.get(1)), percent),
    typeof law === 'object' ? percent(law.serial) : NONE,
    typeof law === 'object' ? `${speedup(law, FAR_CORES).toFixed(1)}x` : (law ?? NONE),
  ];
}

function speedOf(prefix: string, summary: StoreSummary | undefined): number | undefined {
  if (summary === undefined) return undefined;
  return (prefix === INGEST ? summary.settledOpsPerSecond : null) ?? summary.opsPerSecond;
}

function lawOf(
  prefix: string,
  found: ReadonlyMap<number, StoreSummary>,
  cores: number,
): ScalingLaw | typeof BUSY | undefined {
  if (prefix !== INGEST) {
    if ([...found.values()].some(hadOthers)) return BUSY;
    return fitScaling(
      [...found].map(([threads, { opsPerSecond }]) => ({ threads, speed: opsPerSecond })),
      cores,
    );
  }
  const most = Math.max(...[...found.keys()].filter((count) => count <= cores));
  const { ownerCpuSeconds, allCpuSeconds } = found.get(most)?.extra ?? {};
  if (ownerCpuSeconds === undefined || allCpuSeconds === undefined) return undefined;
  return lawOfShares(ownerCpuSeconds, allCpuSeconds);
}

/** Processor time of all threads for an operation. */
function cpuMicros(summary: StoreSummary | undefined): number | undefined {
  const { allCpuSeconds, phaseSeconds } = summary?.extra ?? {};
  if (summary === undefined || allCpuSeconds === undefined || phaseSeconds === undefined) return undefined;
  return (allCpuSeconds * 1e6) / (summary.opsPerSecond * phaseSeconds);
}

/** Whether other processes used more of the processors than a system that idles. */
function hadOthers({ extra }: StoreSummary): boolean {
  const { othersCpuSeconds, phaseSeconds } = extra;
  return othersCpuSeconds !== undefined && !!phaseSeconds && othersCpuSeconds / phaseSeconds > OTHERS_MAX;
}

/** What share of the time the thread that has the store open was on a processor. */
function ownerShare(summary: StoreSummary | undefined): number | undefined {
  const { ownerCpuSeconds, phaseSeconds } = summary?.extra ?? {};
  return ownerCpuSeconds === undefined || !phaseSeconds ? undefined : ownerCpuSeconds / phaseSeconds;
}

function shown(value: number | undefined, format: (value: number) => string): string {
  return value === undefined ? NONE : format(value);
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}
