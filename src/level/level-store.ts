/**
 * What StrataLevel needs of a store: what StorageEngine and StorageClient have in common, with one type for their snapshots.
 *
 * Thread: any.
 */
import type { Bytes } from '../shared/base/input-bytes.ts';
import type { AllKeys, KeyRange } from '../shared/base/key-range.ts';
import type { WriteBatch } from '../shared/log/write-batch.ts';
import type { PutOptions, WriteOptions } from '../shared/log/write-options.ts';
import type { ReadOptionsOf, ScanOptionsOf } from '../shared/read/read-options.ts';
import type { Scan } from '../shared/read/scan.ts';
import type { TransactionFunction, TransactionOptions } from '../shared/transact/run-transaction.ts';

/** A snapshot of the store that is asked; of another one it is refused there. */
export interface StoreSnapshot {
  close(): void;
}

export type StoreReadOptions = ReadOptionsOf<StoreSnapshot>;
export type StoreScanOptions = ScanOptionsOf<StoreSnapshot>;
type Found = Buffer | undefined;

export interface LevelStore {
  /** The next write would be refused with STRATA_BUSY. */
  readonly isBusy: boolean;
  getNow(key: Bytes, options?: StoreReadOptions): Found | Promise<Found>;
  getSync(key: Bytes, options?: StoreReadOptions): Found;
  getMany(keys: readonly Bytes[], options?: StoreReadOptions): Promise<Found[]>;
  has(key: Bytes, options?: StoreReadOptions): Promise<boolean>;
  scan(range?: StoreScanOptions): Scan;
  snapshot(): StoreSnapshot;
  /** One that is closed in any case. */
  hold(): StoreSnapshot;
  put(key: Bytes, value: Bytes, options?: PutOptions): Promise<void>;
  delete(key: Bytes, options?: WriteOptions): Promise<void>;
  write(batch: WriteBatch, options?: WriteOptions): Promise<void>;
  deleteRange(range: KeyRange | AllKeys, options?: WriteOptions): Promise<void>;
  writable(): Promise<void>;
  transaction<T>(fn: TransactionFunction<T>, options?: TransactionOptions): Promise<T>;
  flush(): Promise<void>;
  compact(range?: { readonly start?: Bytes; readonly end?: Bytes }): Promise<void>;
  close(): Promise<void>;
}
