/**
 * What the store counts, and the shape of `stats()`.
 *
 * Thread: main. Numbers since open, in bytes and counts; nothing here is persisted.
 */
import type { GateState, StallReason } from './write-gate.ts';

export class Counters {
  /** Keys and values as handed in by the user. */
  userBytes = 0;
  walBytes = 0;
  flushBytes = 0;
  compactionBytes = 0;
  compactionReadBytes = 0;
  flushCount = 0;
  compactionCount = 0;
  moveCount = 0;
  /** Jobs that ran again because their worker died. */
  retriedJobCount = 0;
}

export interface LevelStats {
  readonly level: number;
  readonly files: number;
  readonly bytes: number;
  /** Entries, older versions and tombstones included. */
  readonly entries: number;
  readonly tombstones: number;
}

/** A plain object, safe for JSON. Bytes and counts since open, unless said otherwise. */
export interface EngineStats {
  readonly status: string;
  readonly path: string;
  /** L0 to L7, now. */
  readonly levels: readonly LevelStats[];
  /** Of all tables, now. */
  readonly tableBytes: number;
  readonly memtables: { readonly count: number; readonly bytes: number; readonly entries: number };
  readonly cache: {
    readonly bytes: number;
    readonly capacityBytes: number;
    readonly hits: number;
    readonly misses: number;
  };
  readonly bloom: { readonly checks: number; readonly rejections: number };
  readonly blockReads: { readonly count: number; readonly bytes: number };
  readonly bytesWritten: { readonly wal: number; readonly flush: number; readonly compaction: number };
  readonly compactionBytesRead: number;
  /** Keys and values as handed in. bytesWritten over this is the write amplification. */
  readonly userBytes: number;
  readonly stalls: {
    readonly count: number;
    /** Time during which writes were slowed or held. */
    readonly stalledMs: number;
    readonly state: GateState;
    readonly reason: StallReason | null;
    /** Writes held now. */
    readonly heldWrites: number;
  };
  readonly jobs: {
    readonly running: number;
    readonly queued: number;
    readonly flushes: number;
    readonly compactions: number;
    /** Tables that changed level without being rewritten. */
    readonly moves: number;
    readonly retried: number;
  };
  /** 1 and above: a compaction is due. */
  readonly compactionScore: number;
  /** About how much is left to rewrite until every level is within its target. */
  readonly pendingCompactionBytes: number;
  readonly openTables: number;
  /** Index and filters of open tables. */
  readonly tableMemoryBytes: number;
  readonly openSnapshots: number;
  readonly openScans: number;
  readonly sequence: number;
  /** Rises with every installed version. */
  readonly versionCounter: number;
  /** The last failure of background work that has not been overcome, if any. */
  readonly backgroundError: { readonly code: string; readonly message: string } | null;
}
