/**
 * Opens a memtable for writes, with the log beside it.
 *
 *   1. create the log's file: where there is no descriptor or no room for it, nothing has happened yet
 *   2. take an arena of the pool, or allocate one
 *   3. put the log's start record, which names the log before it, in place; the first write takes it along
 *
 * Invariants: a failure leaves no file, no descriptor and, as far as it is still the newest, no number behind.
 * Thread:     main.
 * Not chosen: creating the file with the first write. By then writes are encoded for it that could only be taken back.
 */
import { LOG_FORMAT_VERSION, sealStart } from '../../shared/log/log-format.ts';
import { worstCaseNodeBytes } from '../../shared/memtable/node-room.ts';
import type { ArenaPool } from './arena-pool.ts';
import { MOST_FRAMING_BYTES } from './commit-group.ts';
import type { LogSync } from './log-sync.ts';
import type { LogWriter } from './log-writer.ts';
import { createMemtable, LiveMemtable, type MemtableList } from './memtable-list.ts';

/** What a new memtable needs of the rest of the store. */
export interface MemtableEnvironment {
  readonly memtables: MemtableList;
  readonly arenas: ArenaPool;
  /** The last sequence in use: the next write gets the one after it. */
  lastSequence(): number;
  /** Which opening of the store this is, of those that write. */
  readonly ownerEpoch: number;
  /** The id of this opening (changes/history.ts). */
  readonly epochId: string;
  /** Milliseconds since 1970, never before what the store has seen. */
  time(): number;
  /** A new log, numbered after all files there are. */
  createLog(): LogWriter;
  /** Deletes a log of which nothing counts; false: that failed, and was reported. */
  discardLog(writer: LogWriter): boolean;
}

/** With room for `count` entries of `dataBytes` in all. Not yet in the list of memtables. */
export function newMemtable(
  env: MemtableEnvironment,
  logSync: LogSync,
  dataBytes: number,
  count: number,
): LiveMemtable {
  const newest = env.memtables.newest;
  const previous = newest?.logs().at(-1);
  const writer = env.createLog();
  try {
    const minimum = dataBytes + MOST_FRAMING_BYTES + worstCaseNodeBytes(count, 0);
    const { arenas } = env;
    const memtable = createMemtable(arenas.arenaBytes, minimum, env.lastSequence() + 1, (bytes, first) =>
      arenas.take(bytes, first),
    );
    const { bytes, dataStart, firstSequence } = memtable.arena;
    const startedAtMs = env.time();
    sealStart(bytes, dataStart, firstSequence, {
      version: LOG_FORMAT_VERSION,
      logNumber: writer.number,
      previousLog: previous?.number ?? 0,
      previousBytes: previous?.sizeBytes ?? 0,
      previousSynced: durableBytes(newest, logSync),
      flags: 0,
      epoch: env.ownerEpoch,
      startedAtMs,
      epochId: env.epochId,
    });
    const live = new LiveMemtable(memtable, writer);
    live.startedAtMs = startedAtMs;
    live.notedMs = startedAtMs;
    return live;
  } catch (error) {
    env.discardLog(writer);
    throw error;
  }
}

/** How much of the newest log would survive power loss now: of one being written, or of one recovered. */
function durableBytes(newest: LiveMemtable | undefined, logSync: LogSync): number {
  const log = newest?.logs().at(-1);
  if (newest === undefined || log === undefined) return 0;
  return newest.writer?.syncedUpTo ?? logSync.durableBytes(log);
}
