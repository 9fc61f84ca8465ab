/**
 * The public surface of stratakv.
 *
 * @module stratakv
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
export type { CheckpointReport } from './copy/checkpoint.ts';
export { StorageEngine } from './engine.ts';
export type { DamagedRange, RepairedFile, RepairOptions, RepairReport } from './repair/repair-report.ts';
export type { ArenaStats, ChangesStats, EngineStats, EngineStatus, LevelStats } from './store/counters.ts';
export type { BackgroundErrorEvent, CompactionEvent, EngineEvents, FlushEvent } from './store/events.ts';
export type { EngineOptions, ForeignPool, RetainChanges } from './store/open-request.ts';
export type { ReadOptions, ScanOptions } from './store/read-options.ts';
export type { Snapshot } from './store/snapshot.ts';
export type { GateState, StallEvent, StallReason } from './store/stalls.ts';
export type {
  TracedTable,
  TraceEnd,
  TraceFailure,
  TraceLineLogger,
  TraceLogger,
  TraceOperationName,
  TraceOperations,
  TracePoint,
  TracePointName,
  TracePoints,
  TraceRecord,
  TraceSeverity,
  TraceStart,
} from './store/trace-events.ts';
export type { UpdateFunction } from './transact/updater.ts';
export type { VerifyOptions, VerifyProgress, VerifyReport } from './verify-store.ts';
