/**
 * BenchStore: what a store must do to be measured, and which stores there are.
 *
 * An adapter calls the fastest sensible public API of its store and nothing else; which, and why, its header says.
 *
 * Invariants: `get`, `getMany` and scans hand out bytes that belong to the caller (a peer's faster call that hands out
 *             memory which the next call overwrites is not used). A write that resolved is visible to the next read.
 *             Without `durably` it survives the process where the store's default makes it; with it, power loss.
 */
import type { MessagePort } from 'node:worker_threads';

export interface Scan {
  /** Reads up to `count` further entries, keys and values; returns how many, 0 at the end. */
  next(count: number): Promise<number> | number;
  close(): Promise<void> | void;
}

export type Found = Uint8Array | undefined;

/** What a reader thread has of a store. */
export interface ReaderStore {
  /** Absent where the store has no such call. */
  getSync?(key: Buffer): Found;
  scan(isReverse: boolean): Scan;
  close(): Promise<void>;
}

/** Reads for data that is not in memory: through promises, where the store has them, whatever they cost when it is. */
export interface AwaitedReads {
  getMany?(keys: Buffer[]): Promise<readonly Found[]>;
  scan?(isReverse: boolean): Scan;
  seek?(key: Buffer, count: number): Promise<number>;
}

export interface BenchStore extends ReaderStore {
  put(key: Buffer, value: Buffer): Promise<unknown>;
  putDurably(key: Buffer, value: Buffer): Promise<unknown>;
  /** Atomically; an undefined value deletes. */
  write(keys: readonly Buffer[], values: readonly (Buffer | undefined)[]): Promise<unknown>;
  get(key: Buffer): Promise<Found> | Found;
  getMany(keys: Buffer[]): Promise<readonly Found[]> | readonly Found[];
  /** Finds `key` or what follows it, and reads up to `count` entries from there with a fresh view; returns how many. */
  seek(key: Buffer, count: number): Promise<number> | number;
  /** Stores what `change` makes of the value; in one step, whoever else writes. Absent where the store has no transactions. */
  update?(key: Buffer, change: (found: Found) => Buffer): Promise<unknown>;
  /** The same with some keys at once, which are read one by one. `change` may be called again. */
  transact?(
    keys: readonly Buffer[],
    change: (found: readonly Found[]) => readonly Buffer[],
  ): Promise<unknown>;
  /** Takes every change from now on, as it comes. Absent where the store has none to follow. */
  follow?(): { stop(): Promise<void> };
  /** Where they are others than the fastest ones above. */
  readonly awaited?: AwaitedReads;
  /** Moves what is in memory to tables, where the store has a call for it. */
  flush?(): Promise<void>;
  /** Loads records in bulk; absent where batches are the fastest way. */
  ingest?(records: Iterable<readonly [Buffer, Buffer]>): Promise<unknown>;
  /** A port for a reader thread; absent where a thread opens the store by its path. */
  share?(): MessagePort;
}

export interface StoreOptions {
  readonly directory: string;
  readonly writeBufferBytes: number;
  readonly cacheBytes: number;
  /** Other threads of the process will open it, too. */
  readonly isThreaded?: boolean;
  /** Whether ours maps tables into memory; its default where it is absent. */
  readonly mmap?: boolean;
  /** Of the store's own pool, for a store that has one. */
  readonly poolThreads?: number;
}

export const OURS = 'stratakv';
/** Runs as a program of its own: see db-bench.ts. */
export const DB_BENCH = 'db_bench';
/** In the order of the tables. lmdb-nosync is measured only when it is named. */
export const STORE_NAMES: readonly StoreName[] = [
  OURS,
  'classic-level',
  'lmdb',
  'rocksdb',
  DB_BENCH,
  'lmdb-nosync',
];
export type StoreName = 'stratakv' | 'classic-level' | 'lmdb' | 'rocksdb' | 'db_bench' | 'lmdb-nosync';
export const DEFAULT_STORES: readonly StoreName[] = STORE_NAMES.filter((name) => name !== 'lmdb-nosync');

/** The RocksDB binding has no `getSync`. */
const WITHOUT_GET_SYNC: ReadonlySet<StoreName> = new Set(['rocksdb']);
/** The RocksDB binding and db_bench have nothing that Node's worker threads could read through with `getSync`. */
const WITHOUT_THREADS: ReadonlySet<StoreName> = new Set(['rocksdb', DB_BENCH]);

/** Level has batches only; what RocksDB has of transactions its binding has not. */
const WITHOUT_TRANSACTIONS: ReadonlySet<StoreName> = new Set(['classic-level', 'rocksdb', DB_BENCH]);

/** Whether a store has what a workload needs. */
export function isAble(
  store: StoreName,
  needs: {
    readonly needsGetSync: boolean;
    readonly needsThreads: boolean;
    readonly needsTransactions?: boolean;
    readonly isOursAlone: boolean;
    readonly dbBench: readonly string[] | undefined;
  },
): boolean {
  if (needs.isOursAlone && store !== OURS) return false;
  if (needs.needsGetSync && WITHOUT_GET_SYNC.has(store)) return false;
  if (needs.needsThreads && WITHOUT_THREADS.has(store)) return false;
  if (needs.needsTransactions && WITHOUT_TRANSACTIONS.has(store)) return false;
  return store !== DB_BENCH || needs.dbBench !== undefined;
}

/** The npm package a store comes in, if it does. */
export const PACKAGES: Readonly<Record<StoreName, string | undefined>> = {
  stratakv: undefined,
  'classic-level': 'classic-level',
  lmdb: 'lmdb',
  'lmdb-nosync': 'lmdb',
  rocksdb: '@nxtedition/rocksdb',
  db_bench: undefined,
};
