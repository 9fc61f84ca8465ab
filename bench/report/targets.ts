/**
 * The rows the project has set itself (issues 4 and 5): what is compared, with whom, and how much better we want to be.
 *
 * A ratio is above 1 when we are better, for sizes and amplifications too. A stretch target is shown and decides nothing.
 */
import { OURS } from '../stores/store.ts';
import type { StoreSummary, WorkloadSummary } from './statistics.ts';

type Peer = 'classic-level' | 'lmdb' | 'db_bench';

interface RatioTarget {
  readonly workload: string;
  readonly label: string;
  /** Of the last two, less is better: theirs over ours. */
  readonly measure: 'ratio' | 'settledRatio' | 'amplification' | 'diskBytes';
  readonly against: Partial<Readonly<Record<Peer, number>>>;
  readonly stretch?: Partial<Readonly<Record<Peer, number>>>;
}

/** Our store against itself: what more threads, or another call, give. */
interface OwnTarget {
  readonly workload: string;
  readonly over: string;
  readonly label: string;
  readonly against: string;
  readonly measure: 'opsPerSecond' | 'settledOpsPerSecond';
  readonly goal: number;
}

export interface Verdict {
  readonly label: string;
  readonly workload: string;
  /** "classic-level", "absolute", or what of our own. */
  readonly against: string;
  /** As shown: "3.1x", "12 ms". */
  readonly measured: string;
  readonly target: string;
  /** undefined: not measured in this run. */
  readonly isMet: boolean | undefined;
  readonly isStretch: boolean;
}

const TARGETS: readonly RatioTarget[] = [
  {
    workload: 'fillrandom-1000',
    label: 'fillrandom, batch 1,000',
    measure: 'ratio',
    against: { 'classic-level': 2.5, lmdb: 2 },
    stretch: { 'classic-level': 4 },
  },
  {
    workload: 'put-256',
    label: 'put, 256 in flight',
    measure: 'ratio',
    against: { 'classic-level': 3, lmdb: 2.5 },
  },
  {
    workload: 'put',
    label: 'put, awaited one by one',
    measure: 'ratio',
    against: { 'classic-level': 8, lmdb: 8 },
  },
  {
    workload: 'fillsync-64',
    label: 'fillsync, 64 in flight',
    measure: 'ratio',
    against: { 'classic-level': 1.3 },
  },
  {
    workload: 'readrandom',
    label: 'get, awaited',
    measure: 'ratio',
    against: { 'classic-level': 12, lmdb: 1 },
  },
  {
    workload: 'readrandom-sync',
    label: 'getSync',
    measure: 'ratio',
    against: { 'classic-level': 1.5, lmdb: 1 },
    stretch: { lmdb: 1.3 },
  },
  {
    workload: 'readmissing',
    label: 'readmissing',
    measure: 'ratio',
    against: { 'classic-level': 15, lmdb: 1 },
  },
  {
    workload: 'readrandom-many',
    label: 'getMany(100)',
    measure: 'ratio',
    against: { 'classic-level': 3, lmdb: 1.3 },
  },
  {
    workload: 'readseq',
    label: 'readseq',
    measure: 'ratio',
    against: { 'classic-level': 6, lmdb: 1.5 },
    stretch: { db_bench: 1 },
  },
  {
    workload: 'seekrandom',
    label: 'seekrandom + 10',
    measure: 'ratio',
    against: { 'classic-level': 10, lmdb: 1.3 },
    stretch: { db_bench: 1 },
  },
  {
    workload: 'sustained-4m',
    label: 'sustained fillrandom, until settled',
    measure: 'settledRatio',
    against: { 'classic-level': 1.5, lmdb: 2 },
    stretch: { 'classic-level': 2 },
  },
  {
    workload: 'readwhilewriting',
    label: 'readwhilewriting',
    measure: 'ratio',
    against: { 'classic-level': 10 },
  },
  {
    workload: 'sustained-4m',
    label: 'bytes written per user byte',
    measure: 'amplification',
    against: { 'classic-level': 1, lmdb: 1 },
  },
  {
    workload: 'sustained-4m',
    label: 'disk size',
    measure: 'diskBytes',
    against: { 'classic-level': 1, lmdb: 1 },
  },
  {
    workload: 'ingest-2',
    label: 'ingest, until settled',
    measure: 'settledRatio',
    against: { 'classic-level': 3 },
  },
];

const OWN_TARGETS: readonly OwnTarget[] = [
  {
    workload: 'ingest-2',
    over: 'ingest-batches',
    label: 'ingest, until settled',
    against: 'our batches',
    measure: 'settledOpsPerSecond',
    goal: 2,
  },
  {
    workload: 'threads-get-2',
    over: 'threads-get-1',
    label: 'getSync, two reading threads',
    against: 'one thread',
    measure: 'opsPerSecond',
    goal: 1.7,
  },
  {
    workload: 'threads-scan-2',
    over: 'threads-scan-1',
    label: 'scan, two reading threads',
    against: 'one thread',
    measure: 'opsPerSecond',
    goal: 1.7,
  },
];

const STALL_MAX_MS = 50;
const STALL_P99_MS = 5;
const READ_P99_US = 1000;
/** Sustained speed may differ by this much between 1 and 16 times the scale. */
const FLAT_WITHIN = 0.25;

export function judge(summaries: readonly WorkloadSummary[]): Verdict[] {
  return [
    ...TARGETS.flatMap((target) => judgeRatios(target, summaries)),
    ...OWN_TARGETS.map((target) => judgeOwn(target, summaries)),
    ...judgeAbsolutes(summaries),
  ];
}

export function findStore(
  summaries: readonly WorkloadSummary[],
  workload: string,
  store: string,
): StoreSummary | undefined {
  const found = summaries.find((each) => each.workload === workload);
  return found?.stores.find((each) => each.store === store && each.rounds > 0);
}

function judgeRatios(target: RatioTarget, summaries: readonly WorkloadSummary[]): Verdict[] {
  const { label, workload } = target;
  const verdict = (peer: string, goal: number, isStretch: boolean): Verdict => ({
    ...{ label, workload, against: peer, isStretch },
    ...atLeast(ratioTo(target, peer, summaries), goal),
  });
  return [
    ...Object.entries(target.against).map(([peer, goal]) => verdict(peer, goal, false)),
    ...Object.entries(target.stretch ?? {}).map(([peer, goal]) => verdict(peer, goal, true)),
  ];
}

function judgeOwn(target: OwnTarget, summaries: readonly WorkloadSummary[]): Verdict {
  const { workload, over, label, against, measure, goal } = target;
  const above = findStore(summaries, workload, OURS)?.[measure] ?? undefined;
  const below = findStore(summaries, over, OURS)?.[measure] ?? undefined;
  const ratio = above === undefined || below === undefined ? undefined : above / below;
  return { ...{ label, workload, against, isStretch: false }, ...atLeast(ratio, goal) };
}

function atLeast(ratio: number | undefined, goal: number): Pick<Verdict, 'measured' | 'target' | 'isMet'> {
  return {
    measured: ratio === undefined ? '-' : `${ratio.toFixed(2)}x`,
    target: `${goal}x`,
    isMet: ratio === undefined ? undefined : ratio >= goal,
  };
}

function ratioTo(
  { workload, measure }: RatioTarget,
  peer: string,
  summaries: readonly WorkloadSummary[],
): number | undefined {
  const ours = findStore(summaries, workload, OURS);
  const theirs = findStore(summaries, workload, peer);
  if (ours === undefined || theirs === undefined) return undefined;
  if (measure === 'ratio' || measure === 'settledRatio') return theirs[measure] ?? undefined;
  const [above, below] = [theirs[measure], ours[measure]];
  return above === null || below === null ? undefined : above / below;
}

function judgeAbsolutes(summaries: readonly WorkloadSummary[]): Verdict[] {
  const sustained = findStore(summaries, 'sustained-4m', OURS);
  const beside = findStore(summaries, 'readwhilewriting', OURS);
  const stall = sustained?.loopDelayMs ?? undefined;
  const flatness = sustainedFlatness(summaries);
  return [
    atMost('longest event-loop stall, sustained', 'sustained-4m', stall?.max, STALL_MAX_MS, 'ms', false),
    atMost('p99 of event-loop delay, sustained', 'sustained-4m', stall?.p99, STALL_P99_MS, 'ms', true),
    atMost(
      'readwhilewriting, p99 of reads',
      'readwhilewriting',
      beside?.latencyUs?.p99,
      READ_P99_US,
      'us',
      true,
    ),
    atMost(
      'sustained speed, 1 against 16 times the scale',
      'sustained-16m',
      flatness,
      FLAT_WITHIN,
      'off',
      true,
    ),
  ];
}

/** How far the settled speeds of the smallest and the largest sustained run are apart, relative to the larger one. */
function sustainedFlatness(summaries: readonly WorkloadSummary[]): number | undefined {
  const small = findStore(summaries, 'sustained-1m', OURS)?.settledOpsPerSecond ?? undefined;
  const large = findStore(summaries, 'sustained-16m', OURS)?.settledOpsPerSecond ?? undefined;
  if (small === undefined || large === undefined) return undefined;
  return 1 - Math.min(small, large) / Math.max(small, large);
}

function atMost(
  label: string,
  workload: string,
  value: number | undefined,
  limit: number,
  unit: string,
  isStretch: boolean,
): Verdict {
  const digits = limit < 1 ? 2 : 1;
  return {
    label,
    workload,
    against: 'absolute',
    measured: value === undefined ? '-' : `${value.toFixed(digits)} ${unit}`,
    target: `<= ${limit} ${unit}`,
    isMet: value === undefined ? undefined : value <= limit,
    isStretch,
  };
}
