/**
 * Tells the outside what the store does: EventEmitter events and the same on `node:diagnostics_channel`, `stratakv:<name>`.
 *
 *   report     the engine, in the middle of a step: the event is put behind what waits (tell-later.ts)
 *   tell       when that step is over: subscribers of the channel, then listeners
 *
 * Invariants: nothing of the application runs within a step of the engine: listeners and subscribers may call whatever they
 *             like. One that throws is the application's uncaught exception and never breaks the work that was reported.
 *             Events are told in their order. There is no 'error' event.
 *             Where nobody listens nothing is kept.
 * Thread:     main.
 */
import { type Channel, channel } from 'node:diagnostics_channel';
import type { EventEmitter } from 'node:events';
import type { StorageError } from '../../shared/base/errors.ts';
import type { StallEvent } from '../store/stalls.ts';
import { tellLater } from './tell-later.ts';

/** A memtable has become a table of L0. */
export interface FlushEvent {
  /** Entries written; older versions that nobody can see are dropped on the way. */
  readonly entries: number;
  /** Size of the table on disk; 0 when nothing was left to write. */
  readonly bytes: number;
  /** What the job took on its thread. */
  readonly elapsedMs: number;
}

/** Tables were merged or moved, and the result is in force. */
export interface CompactionEvent {
  /** 'l0-count', 'level-size', 'tombstones', 'shadowed', 'expired', or 'manual' for a step of compact(). */
  readonly reason: string;
  /** A table that overlapped nothing and only changed its level. */
  readonly isMove: boolean;
  /** 0 to 7: where the tables came from. */
  readonly level: number;
  /** 1 to 7: where they went; equal to `level` when a table was rewritten in place. */
  readonly outputLevel: number;
  /** Of both levels together. */
  readonly inputTables: number;
  readonly outputTables: number;
  /** Size on disk of what was merged; 0 for a move, as is bytesWritten. */
  readonly bytesRead: number;
  readonly bytesWritten: number;
  /** From the start of the plan to its installation, waiting for a thread included. */
  readonly elapsedMs: number;
}

/** Work that nobody awaits has failed. */
export interface BackgroundErrorEvent {
  readonly error: StorageError;
  /** What failed: 'flush', 'compaction', 'log', 'manifest', 'delete'; or ended: 'file numbers', 'sequence numbers'. */
  readonly operation: string;
  /**
   * Whether the store goes on trying (a full disk, say). false: it has become read-only, or the matter is closed: a file that
   * could not be deleted, tables with damage that are left alone from now on, a failure while closing.
   */
  readonly willRetry: boolean;
}

export interface EngineEvents {
  flush: [FlushEvent];
  compaction: [CompactionEvent];
  stall: [StallEvent];
  backgroundError: [BackgroundErrorEvent];
}

/** Tells an event of one store. */
export type TellEvent = <K extends keyof EngineEvents>(name: K, ...payload: EngineEvents[K]) => void;

/**
 * Kept for good. Asking for a channel by name at each event lets it be collected in between; Node.js 20 then forgets the name
 * some time later, and with it whoever has subscribed to a new channel of that name meanwhile.
 */
const CHANNELS: Readonly<Record<keyof EngineEvents, Channel>> = {
  flush: channel('stratakv:flush'),
  compaction: channel('stratakv:compaction'),
  stall: channel('stratakv:stall'),
  backgroundError: channel('stratakv:backgroundError'),
};

/** Tells one event both ways, soon. */
export function report<K extends keyof EngineEvents>(
  emitter: EventEmitter<EngineEvents>,
  name: K,
  ...payload: EngineEvents[K]
): void {
  if (!CHANNELS[name].hasSubscribers && emitter.listenerCount(name) === 0) return;
  tellLater(() => {
    // Node.js takes what a subscriber throws to the uncaught exceptions by itself.
    if (CHANNELS[name].hasSubscribers) CHANNELS[name].publish(payload[0]);
    (emitter as EventEmitter).emit(name, ...payload);
  });
}
