/**
 * Tells the outside what the store does: EventEmitter events and the same on `node:diagnostics_channel`, `stratakv:<name>`.
 *
 * Invariants: listeners run in a microtask of their own: one that throws is the application's uncaught exception and never
 *             breaks the work that was reported. There is no 'error' event.
 * Thread:     main.
 */
import { channel } from 'node:diagnostics_channel';
import type { EventEmitter } from 'node:events';
import type { StorageError } from '../shared/errors.ts';
import type { StallEvent } from './write-gate.ts';

export interface FlushEvent {
  readonly entries: number;
  readonly bytes: number;
  readonly elapsedMs: number;
}

export interface CompactionEvent {
  readonly reason: string;
  /** A table that overlapped nothing and only changed its level. */
  readonly isMove: boolean;
  readonly level: number;
  readonly outputLevel: number;
  readonly inputTables: number;
  readonly outputTables: number;
  readonly bytesRead: number;
  readonly bytesWritten: number;
  readonly elapsedMs: number;
}

export interface BackgroundErrorEvent {
  readonly error: StorageError;
  /** What failed: 'flush', 'compaction', 'log', 'manifest', 'delete'. */
  readonly operation: string;
  /** Whether the store goes on trying (a full disk, say), or has become read-only. */
  readonly willRetry: boolean;
}

export interface EngineEvents {
  flush: [FlushEvent];
  compaction: [CompactionEvent];
  stall: [StallEvent];
  backgroundError: [BackgroundErrorEvent];
}

/** Publishes one event both ways. */
export function report<K extends keyof EngineEvents>(
  emitter: EventEmitter<EngineEvents>,
  name: K,
  ...payload: EngineEvents[K]
): void {
  const diagnostics = channel(`stratakv:${name}`);
  if (diagnostics.hasSubscribers) diagnostics.publish(payload[0]);
  if (emitter.listenerCount(name) > 0) {
    queueMicrotask(() => (emitter as EventEmitter).emit(name, ...payload));
  }
}
