/**
 * Workload: a name of the field, the store it begins with, and the loop that is measured.
 *
 * Invariants: the same operations in the same order for every store, from a seed; `prepare` is not measured and leaves
 *             the stored data as it was, unless the workload changes its base anyway.
 */
import type { Dataset, Shape } from '../data/dataset.ts';
import type { Random } from '../data/random.ts';
import type { Meter } from '../measure/meter.ts';
import type { Tally } from '../measure/tally.ts';
import type { BenchStore, ReaderStore, StoreName, StoreOptions } from '../stores/store.ts';

export const GROUPS = [
  'writes',
  'reads',
  'scans',
  'mixed',
  'transactions',
  'ycsb',
  'threads',
  'sustained',
  'sizes',
  'open',
] as const;
export type Group = (typeof GROUPS)[number];

/** What reading takes, in any thread. */
export interface ReadContext {
  readonly store: ReaderStore;
  readonly data: Dataset;
  readonly meter: Tally;
  readonly random: Random;
  /** How many operations at most. */
  readonly limit: number;
}

export interface Context extends ReadContext {
  /** Changed only by workloads that open the store themselves. */
  readonly store: BenchStore;
  readonly meter: Meter;
  /** For those that open it elsewhere: which store it is, and how it was opened. */
  readonly storeName: StoreName;
  readonly storeOptions: StoreOptions;
  /** Opens the store of this run once more, after it was closed. */
  readonly reopen: () => Promise<BenchStore>;
  /** Has `act` done once all is measured and the store has settled, before it is closed: a check, or an end. */
  readonly afterwards: (act: () => Promise<void>) => void;
}

export interface Workload {
  readonly name: string;
  readonly group: Group;
  /** For people: what one operation is. */
  readonly operation: string;
  readonly shape: Shape;
  /** `loaded`: all records are there, in tables, settled. */
  readonly base: 'empty' | 'loaded';
  /** Changes the store, so it gets a copy of the base, and settles afterwards. */
  readonly writes: boolean;
  /** Records of the store, from the scale's. */
  readonly records: (scale: number) => number;
  /** Operations at most, from the records. */
  readonly limit: (records: number) => number;
  /** Seconds at most, as a multiple of what reads get. */
  readonly timeFactor: number;
  /** Part of a quick run. */
  readonly isQuick: boolean;
  /** Long: one round is enough. */
  readonly isLong: boolean;
  /** The store needs a getSync. */
  readonly needsGetSync: boolean;
  /** Other threads read the store, in the way its package has for it. */
  readonly needsThreads: boolean;
  /** The store has transactions. */
  readonly needsTransactions: boolean;
  /** Only our own store: the peers would do the same as in another workload. */
  readonly isOursAlone: boolean;
  /** How the store is opened, beyond what is given for all. */
  readonly open: Pick<StoreOptions, 'isThreaded' | 'poolThreads'>;
  /** Arguments for db_bench, where it has the same workload. */
  readonly dbBench: readonly string[] | undefined;
  /** A loop; returned ready to run, so that what prepares it is not measured. */
  readonly prepare: (context: Context) => Promise<() => Promise<void>> | (() => Promise<void>);
}

export const DEFAULT_SHAPE: Shape = { suffix: '', keyPrefix: '', valueBytes: 100 };

/** A whole workload from what is special about it. */
export function workload(
  special: Pick<Workload, 'name' | 'group' | 'operation' | 'prepare'> & Partial<Workload>,
): Workload {
  return {
    shape: DEFAULT_SHAPE,
    base: 'loaded',
    writes: false,
    records: (scale) => scale,
    limit: () => Number.POSITIVE_INFINITY,
    timeFactor: 1,
    isQuick: true,
    isLong: false,
    needsGetSync: false,
    needsThreads: false,
    needsTransactions: false,
    isOursAlone: false,
    open: {},
    dbBench: undefined,
    ...special,
  };
}
