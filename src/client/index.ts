/**
 * The public surface of stratakv/worker: a store that another thread has open.
 *
 * @module stratakv/worker
 */

export type { CompactRange } from '../shared/base/compact-range.ts';
export {
  CorruptionError,
  StorageError,
  type StorageErrorCode,
  type StorageErrorDetails,
} from '../shared/base/errors.ts';
export type { Bytes } from '../shared/base/input-bytes.ts';
export type { AllKeys, KeyRange } from '../shared/base/key-range.ts';
export type { Change, ChangeBatch } from '../shared/changes/changes.ts';
export type { ChangesOptions } from '../shared/changes/changes-options.ts';
export type {
  IngestOptions,
  IngestPhase,
  IngestProgress,
  IngestRecord,
  IngestReport,
  IngestSource,
} from '../shared/ingest/ingest-options.ts';
export { WriteBatch } from '../shared/log/write-batch.ts';
export type { ExpiryOptions, PutOptions, WriteOptions } from '../shared/log/write-options.ts';
export type { ReadOptionsOf, ScanOptionsOf } from '../shared/read/read-options.ts';
export type { Scan, ScanEntry } from '../shared/read/scan.ts';
export type { TransactionFunction, TransactionOptions } from '../shared/transact/run-transaction.ts';
export type {
  Transaction,
  TransactionReadOptions,
  TransactionScanOptions,
} from '../shared/transact/transaction.ts';
export type { AttachOptions } from './attach.ts';
export type { ClientSnapshot } from './client-snapshot.ts';
export type { ClientStats } from './client-stats.ts';
export type { IngestWriter } from './ingest-writer.ts';
export { type ClientReadOptions, type ClientScanOptions, StorageClient } from './storage-client.ts';
