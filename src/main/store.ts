/**
 * The parts of an open store, as one record: what the modules that do the work are given.
 *
 * Thread: main.     Owns: nothing; Runtime makes and closes the parts.
 */

import type { StorageError } from '../shared/base/errors.ts';
import type { SequenceNumber } from '../shared/base/ids.ts';
import type { Disk } from '../shared/disk/disk.ts';
import type { FileSystem } from '../shared/files/file-system.ts';
import type { TableCache } from '../shared/read/table-cache.ts';
import type { BlockCache } from '../shared/table/block-cache.ts';
import type { ControlBlock } from '../shared/threads/control-block.ts';
import type { CompactionOptions } from './compaction/compaction-plan.ts';
import type { ReadPressure } from './compaction/read-pressure.ts';
import type { DeletionQueue } from './files/deletion-queue.ts';
import type { JobRunner } from './jobs/job-runner.ts';
import type { VersionSet } from './manifest/version-set.ts';
import type { Counters } from './store/counters.ts';
import type { TellEvent } from './store/events.ts';
import type { ResolvedOptions } from './store/options.ts';
import type { SnapshotList } from './store/snapshot.ts';
import type { StoreClock } from './store/store-clock.ts';
import type { ArenaPool } from './write/arena-pool.ts';
import type { CommitPipeline } from './write/commit-pipeline.ts';
import type { MemtableList } from './write/memtable-list.ts';
import type { WriteGate } from './write/write-gate.ts';

export interface Store {
  readonly fs: FileSystem;
  /** What the application opened. */
  readonly path: string;
  /** Where the files are: epochs.ts. */
  readonly directory: string;
  readonly options: ResolvedOptions;
  readonly control: ControlBlock;
  readonly versions: VersionSet;
  readonly clock: StoreClock;
  readonly memtables: MemtableList;
  readonly arenas: ArenaPool;
  readonly pipeline: CommitPipeline;
  readonly gate: WriteGate;
  readonly snapshots: SnapshotList;
  /** How awaited reads get at what memory has not. */
  readonly disk: Disk;
  readonly tables: TableCache;
  readonly blocks: BlockCache;
  readonly jobs: JobRunner;
  readonly counters: Counters;
  readonly readPressure: ReadPressure;
  readonly deletions: DeletionQueue;
  /** The last sequence that reads may see. */
  visibleSequence(): SequenceNumber;
  isClosing(): boolean;
  readonly report: TellEvent;
  /**
   * The manifest or the log failed: no write may be accepted until the store is opened again, and no background work goes on.
   * Tells, once; returns what writers are told.
   */
  becomeReadOnly(operation: string, error: unknown): StorageError;
}

/** So many L0 tables call for a compaction (LevelDB: 4). */
const L0_COMPACTION_TRIGGER = 4;
/** Compactions read at most about this many tables' worth, so that one ends within seconds. */
const COMPACTION_TABLES = 10;

/** How levels are shaped. Everything scales with the write buffer, so that a small store behaves like a large one. */
export function compactionOptions(store: Pick<Store, 'options' | 'snapshots'>): CompactionOptions {
  const { writeBufferBytes, maxFileSizeBytes } = store.options;
  return {
    l0CompactionTrigger: L0_COMPACTION_TRIGGER,
    levelBaseBytes: L0_COMPACTION_TRIGGER * writeBufferBytes,
    levelMultiplier: 10,
    maxFileSizeBytes,
    maxCompactionBytes: COMPACTION_TABLES * maxFileSizeBytes,
    oldestSnapshot: store.snapshots.sequences()[0],
  };
}
