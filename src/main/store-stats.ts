/**
 * Builds what `stats()` returns from the parts of a store.
 *
 * Thread: main. Reads only memory.
 */

import { systemErrorCode } from '../shared/base/errors.ts';
import { readerStats } from '../shared/read/reader-stats.ts';
import type { TableChunk, TableList } from '../shared/read/table-list.ts';
import type { ControlBlock } from '../shared/threads/control-block.ts';
import { sumsOf } from './compaction/chunk-sums.ts';
import { compactionScore, pendingCompactionBytes } from './compaction/compaction-picker.ts';
import { compactionOptions } from './compaction/compaction-plan.ts';
import { expiredCount } from './compaction/expired-entries.ts';
import type { RunningStore } from './running-store.ts';
import type { ArenaStats, EngineStats, LevelStats } from './store/counters.ts';
import type { ArenaPool } from './write/arena-pool.ts';
import type { MemtableList } from './write/memtable-list.ts';

export function storeStats(store: RunningStore): EngineStats {
  const { parts } = store;
  const { counters, gate, jobs, tables, blocks, versions } = parts;
  const version = versions.current;
  const shape = compactionOptions(parts);
  return {
    status: store.status,
    path: parts.path,
    levels: version.lists.map((list, level) => levelStats(list, level, parts.clock.now())),
    tableBytes: version.sizeBytes,
    memtables: memtableStats(parts.memtables),
    arenas: arenaStats(parts.memtables, parts.arenas),
    ...readerStats(tables, blocks, parts.options.cacheBytes, store.reads.awaited),
    bytesWritten: {
      wal: counters.walBytes,
      flush: counters.flushBytes,
      compaction: counters.compactionBytes,
      ingest: counters.ingestBytes,
    },
    compactionBytesRead: counters.compactionReadBytes,
    userBytes: counters.userBytes,
    stalls: {
      count: gate.stallCount,
      stalledMs: Math.round(gate.stalledMs),
      state: gate.state,
      reason: gate.reason ?? null,
      heldWrites: parts.pipeline.held.count,
      heldBytes: parts.pipeline.held.byteLength,
      heldMemoryBytes: parts.pipeline.held.memoryBytes,
      queuedClientBytes: store.queuedClientBytes,
    },
    jobs: {
      running: jobs.running,
      queued: jobs.queued,
      flushes: counters.flushCount,
      compactions: counters.compactionCount,
      ingests: counters.ingestCount,
      moves: counters.moveCount,
      droppedTables: counters.droppedTables,
      retried: counters.retriedJobCount,
    },
    background: backgroundStats(parts.control),
    compactionScore: compactionScore(version, shape),
    pendingCompactionBytes: pendingCompactionBytes(version, shape),
    openTables: tables.openCount,
    tableMemoryBytes: tables.memoryBytes,
    openSnapshots: parts.snapshots.size,
    openScans: store.scans.size,
    transactions: {
      open: store.transactions.openCount,
      waiting: store.transactions.waitingCount,
      conflicts: counters.conflictCount,
    },
    changes: changesStats(store),
    clients: store.clientCount,
    clientViews: store.clientViews,
    sequence: parts.visibleSequence(),
    versionCounter: parts.control.versionCounter,
    files: {
      nextNumber: versions.nextFileNumber,
      obsolete: versions.obsoleteCount,
      manifestPages: versions.pages.length,
      pinnedVersions: versions.pinnedCount,
    },
    backgroundError: backgroundError(store),
  };
}

function levelStats({ chunks, length }: TableList, level: number, nowMs: number): LevelStats {
  const sums = chunks.map(sumsOf);
  return {
    level,
    files: length,
    bytes: sums.reduce((total, { sizeBytes }) => total + sizeBytes, 0),
    entries: sums.reduce((total, { entryCount }) => total + entryCount, 0),
    tombstones: sums.reduce((total, { tombstoneCount }) => total + tombstoneCount, 0),
    rangeDeletes: chunks.reduce((total, chunk) => total + rangesIn(chunk), 0),
    expired: chunks.reduce((total, chunk) => total + expiredIn(chunk, nowMs), 0),
  };
}

function rangesIn({ tables, rangeTables }: TableChunk): number {
  return rangeTables > 0 ? tables.reduce((total, { rangeDeletes = 0 }) => total + rangeDeletes, 0) : 0;
}

function expiredIn({ tables, mayExpire }: TableChunk, nowMs: number): number {
  return mayExpire ? tables.reduce((total, table) => total + expiredCount(table, nowMs), 0) : 0;
}

function memtableStats(memtables: MemtableList): EngineStats['memtables'] {
  const all = memtables.active === undefined ? memtables.frozen : [...memtables.frozen, memtables.active];
  return {
    count: all.length,
    bytes: memtables.memoryBytes,
    entries: all.reduce((sum, live) => sum + live.memtable.arena.entryCount, 0),
    rangeDeletes: all.reduce((sum, live) => sum + live.memtable.arena.rangeCount, 0),
  };
}

function arenaStats(memtables: MemtableList, arenas: ArenaPool): ArenaStats {
  const held = memtables.memory();
  const { freeBytes } = arenas;
  return {
    bytes: held.memtables + held.scans + held.clients + freeBytes,
    memtableBytes: held.memtables,
    scanBytes: held.scans,
    clientBytes: held.clients,
    freeBytes,
    uncollectedBytes: arenas.uncollectedBytes,
    reused: arenas.reusedCount,
  };
}

function backgroundStats({ diskUse }: ControlBlock): EngineStats['background'] {
  const { bytesRead, bytesWritten, pausedMs } = diskUse.totals;
  return {
    bytesRead,
    bytesWritten,
    pausedMs: Math.round(pausedMs),
    bytesPerSecond: diskUse.bound ?? 0,
    standsBack: diskUse.isWanted && !diskUse.isUrgent,
  };
}

function changesStats(store: RunningStore): EngineStats['changes'] {
  const { keptLogs, keptLoads, keptTables } = store.parts.versions.kept;
  const { floor, oldestMs } = store.changes.facts();
  return {
    keptLogs: keptLogs.length,
    keptLogBytes: keptLogs.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    keptIngests: keptLoads.length,
    keptIngestBytes: keptLoads.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    keptTables: keptTables.length,
    oldestPosition: store.positionOf(floor),
    oldestTime: oldestMs ?? null,
    consumers: store.changes.consumerCount,
  };
}

function backgroundError(store: RunningStore): EngineStats['backgroundError'] {
  const error = store.backgroundError;
  if (error === undefined) return null;
  return { code: systemErrorCode(error) ?? error.code, message: error.message };
}
