/**
 * What the store counts, and the shape of `stats()`.
 *
 * Thread: main. Numbers since open, in bytes and counts; nothing here is persisted.
 */
import type { ReaderStats } from '../../shared/read/reader-stats.ts';
import type { GateState, StallReason } from '../store/stalls.ts';

export class Counters {
  /** Keys and values as handed in by the user. */
  userBytes = 0;
  walBytes = 0;
  flushBytes = 0;
  compactionBytes = 0;
  compactionReadBytes = 0;
  /** Tables that ingestions added. */
  ingestBytes = 0;
  ingestCount = 0;
  flushCount = 0;
  compactionCount = 0;
  moveCount = 0;
  droppedTables = 0;
  /** Jobs that ran again because their worker died. */
  retriedJobCount = 0;
  /** Runs of transactions that were not committed, as what they had read was written meanwhile. */
  conflictCount = 0;
}

/** One level, now. */
export interface LevelStats {
  /** 0 to 7. */
  readonly level: number;
  readonly files: number;
  /** On disk. */
  readonly bytes: number;
  /** Entries, older versions and tombstones included. */
  readonly entries: number;
  readonly tombstones: number;
  /** Ranges of keys that tables delete, as they lie there: cut where they overlap, and where tables end. */
  readonly rangeDeletes: number;
  /** Entries with a ttl whose moment has come, about: they leave by themselves. */
  readonly expired: number;
}

/** Memory that holds writes until they are in tables, in bytes. It is used again and again. */
export interface ArenaStats {
  /** All of the following but `uncollectedBytes`. */
  readonly bytes: number;
  /** Of the active memtable, and of those that wait for their flush. */
  readonly memtableBytes: number;
  /** Of flushed ones, kept by open scans. */
  readonly scanBytes: number;
  /** Of flushed ones, kept by other threads' reads, scans and snapshots. */
  readonly clientBytes: number;
  /** For the next memtables; given up after four seconds without a new one. At most three write buffers. */
  readonly freeBytes: number;
  /** Given up by the stores of this thread, and not freed by the garbage collector yet. */
  readonly uncollectedBytes: number;
  /** How often memory was used again, since open. */
  readonly reused: number;
}

/** `read-only`: opened so, or after a failure of the log or the manifest; reads go on. */
export type EngineStatus = 'open' | 'read-only' | 'closing' | 'closed';

/** What those who follow the changes can ask for, and how many do. */
export interface ChangesStats {
  /** Logs that are in use no more and kept for them (`retainChanges`), and their bytes. */
  readonly keptLogs: number;
  readonly keptLogBytes: number;
  /** Ingestions that are kept, with the bytes of their tables; most of these are in use as well. */
  readonly keptIngests: number;
  readonly keptIngestBytes: number;
  /** Tables of them that are not. */
  readonly keptTables: number;
  /** The position behind which changes can be asked for. */
  readonly oldestPosition: string;
  /** When the oldest log or ingestion of them was begun, in milliseconds since 1970; null: there is none. */
  readonly oldestTime: number | null;
  /** Iterators of changes() that have not ended, here and in clients. */
  readonly consumers: number;
}

/** A plain object, safe for JSON. Bytes and counts since open, unless said otherwise. */
export interface EngineStats extends ReaderStats {
  /** As {@link StorageEngine.status}. */
  readonly status: EngineStatus;
  /** As {@link StorageEngine.path}. */
  readonly path: string;
  /** L0 to L7, now. */
  readonly levels: readonly LevelStats[];
  /** Of all tables on disk, now. */
  readonly tableBytes: number;
  /** Active and frozen, now; bytes with the index. */
  readonly memtables: {
    readonly count: number;
    readonly bytes: number;
    /** Deleted ranges included. */
    readonly entries: number;
    readonly rangeDeletes: number;
  };
  /** Memory of memtables, now, filled or not: a piece of the write buffer's size each, more for a larger batch. */
  readonly arenas: ArenaStats;
  readonly bytesWritten: {
    readonly wal: number;
    readonly flush: number;
    readonly compaction: number;
    /** Tables of ingestions; their runs are not counted. */
    readonly ingest: number;
  };
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
    /** Of these, in the form of the log. `maxHeldBytes` bounds it. */
    readonly heldBytes: number;
    /** Memory for held writes: now, and kept for a second for those that come next. */
    readonly heldMemoryBytes: number;
    /** Of clients' writes that have come to this thread and wait, as half of `maxHeldBytes` is held: 4 MiB for each, about. */
    readonly queuedClientBytes: number;
  };
  readonly jobs: {
    /** Now, on threads. */
    readonly running: number;
    /** Now, waiting for a thread. */
    readonly queued: number;
    readonly flushes: number;
    readonly compactions: number;
    /** Ingestions that are in the store. */
    readonly ingests: number;
    /** Tables that changed level without being rewritten. */
    readonly moves: number;
    /** Tables that left without being read, as deleted ranges hid all of them. */
    readonly droppedTables: number;
    /** Attempts made again because a worker died. */
    readonly retried: number;
  };
  /** What flush, compaction, ingestions and verify() did to the disk. */
  readonly background: {
    /** What was in the page cache included. */
    readonly bytesRead: number;
    readonly bytesWritten: number;
    /** Time that jobs have paused, as reads were waiting for the disk, or for the bound; of all threads. */
    readonly pausedMs: number;
    /** The bound: `backgroundBytesPerSecond`; 0: none. */
    readonly bytesPerSecond: number;
    /** Now: reads wait for the disk, and jobs leave it to them. */
    readonly standsBack: boolean;
  };
  /** 1 and above: a compaction is due. */
  readonly compactionScore: number;
  /** About how many bytes are left to rewrite until every level is within its target. */
  readonly pendingCompactionBytes: number;
  readonly openTables: number;
  /** Index and filters of open tables. */
  readonly tableMemoryBytes: number;
  readonly openSnapshots: number;
  readonly openScans: number;
  /** Of this thread and of clients. */
  readonly transactions: {
    /** That run now: their moments are kept, as those of snapshots are. */
    readonly open: number;
    /** That wait for their turn to run again. */
    readonly waiting: number;
    /** Runs whose commit was refused, as what they had read was written meanwhile, since open. */
    readonly conflicts: number;
  };
  /** What those who follow the changes can ask for, and how many do. */
  readonly changes: ChangesStats;
  /** Other threads that are attached, see {@link StorageEngine.share}. Their scans and snapshots are not counted here. */
  readonly clients: number;
  /** What other threads make this one keep, now. */
  readonly clientViews: {
    /** Earlier moments that some client reads: one for each of its calls, open scans and snapshots at most. */
    readonly kept: number;
    /** Changes of the store that the client furthest behind has not heard of, as its thread does not turn its event loop; at most
     * 65,536, then it is closed. */
    readonly unread: number;
  };
  /** Of the last write that reads can see; 0 in a new store. */
  readonly sequence: number;
  /** Rises with every installed version. */
  readonly versionCounter: number;
  readonly files: {
    /** Of the next file. The last one is 2^31 - 2; at the end writes are refused. */
    readonly nextNumber: number;
    /** Tables, logs and pages that were in use once and are still listed by the manifest, as some of them may not be deleted
     * yet. */
    readonly obsolete: number;
    /** Files that the manifest keeps the tables of large levels in. */
    readonly manifestPages: number;
    /** Sets of tables before the current one that scans, clients and jobs still read. */
    readonly pinnedVersions: number;
  };
  /** The last failure of background work that has not been overcome, if any; `code` is the system's (ENOSPC) where it has one. */
  readonly backgroundError: { readonly code: string; readonly message: string } | null;
}
