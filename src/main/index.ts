/** The public surface of stratakv. */

export { CorruptionError, StorageError, type StorageErrorCode } from '../shared/errors.ts';
export type {
  IngestOptions,
  IngestPhase,
  IngestProgress,
  IngestRecord,
  IngestReport,
  IngestSource,
} from '../shared/ingest/ingest-options.ts';
export type { Bytes } from '../shared/input-bytes.ts';
export type { CompactRange, WriteOptions } from '../shared/read/read-options.ts';
export type { Scan, ScanEntry } from '../shared/read/scan.ts';
export { WriteBatch } from '../shared/write-batch.ts';
export type { ArenaStats, EngineStats, LevelStats } from './counters.ts';
export { type EngineStatus, StorageEngine } from './engine.ts';
export type { BackgroundErrorEvent, CompactionEvent, EngineEvents, FlushEvent } from './events.ts';
export type { EngineOptions } from './options.ts';
export type { ReadOptions, ScanOptions } from './read-options.ts';
export type { DamagedRange, RepairedFile, RepairOptions, RepairReport } from './repair/repair-report.ts';
export type { Snapshot } from './snapshot.ts';
export type { VerifyOptions, VerifyProgress, VerifyReport } from './verify-store.ts';
export type { GateState, StallEvent, StallReason } from './write-gate.ts';
