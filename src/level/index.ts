/**
 * The public surface of stratakv/level.
 *
 * @module stratakv/level
 */

export type { CheckpointReport } from '../main/copy/checkpoint.ts';
export type { RepairReport } from '../main/repair/repair-report.ts';
export type { EngineStats } from '../main/store/counters.ts';
export type { EntryIterator, KeyIterator, ValueIterator } from './iterators.ts';
export { LevelError } from './level-error.ts';
export type { LevelTransaction } from './level-transaction.ts';
export type {
  BatchOptions,
  ChainedBatchWriteOptions,
  DatabaseOptions,
  DelOptions,
  GetManyOptions,
  GetOptions,
  HasManyOptions,
  HasOptions,
  IteratorOptions,
  KeyIteratorOptions,
  LevelBatch,
  LevelPutOptions as PutOptions,
  OpenOptions,
  StartEndOptions,
  ValueIteratorOptions,
} from './level-types.ts';
export { StrataLevel } from './strata-level.ts';
