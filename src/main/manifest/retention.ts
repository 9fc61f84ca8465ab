/**
 * What of the past stays for those who follow the changes: logs whose entries are in tables by now, and ingestions.
 *
 *   oldest  | log | log | ingestion | log | log |  logs in use
 *             dropped   | kept: `bytes` at least, but for what is older than `ms`
 *
 * The newest come first; the one that reaches `bytes` is the last that stays. So at least `bytes` stay, and at most one log (or
 * ingestion) more. An ingestion counts with the bytes of its tables, which are kept when they leave the levels.
 *
 * What an archive that keeps up is about to read stays as well, up to UNREAD_BYTES: otherwise a flush that comes right behind a
 * write would tear a gap into it.
 *
 * Invariants: what stays is without a gap: all that is older than something dropped is dropped.
 * Thread:     main. Pure.
 */
import type { TableInfo } from '../../shared/base/version-edit.ts';
import {
  type FileIdentity,
  type KeptLoad,
  type KeptLog,
  type KeptState,
  MAX_KEPT_LOGS,
} from './kept-state.ts';
import { ascending, identityOf } from './obsolete-list.ts';

/** How much of the past is kept. */
export interface RetentionPolicy {
  /** Infinity: as much as there is. */
  readonly bytes: number;
  /** undefined: however old it is. */
  readonly ms: number | undefined;
  /** Up to here every archive that keeps up has read; undefined: there is none. */
  readonly unreadAfter?: number | undefined;
}

/** At most so much stays for archives alone. */
export const UNREAD_BYTES: number = 64 * 1024 * 1024;

export const NO_RETENTION: RetentionPolicy = { bytes: 0, ms: undefined };

/** What an edit brings. */
export interface Passed {
  /** Logs that are in tables now. */
  readonly logs: readonly KeptLog[];
  readonly load: KeptLoad | undefined;
  /** Tables that are in no level any more. */
  readonly removed: readonly TableInfo[];
  readonly nowMs: number;
}

export interface Retained {
  readonly kept: Pick<KeptState, 'keptLogs' | 'keptLoads' | 'keptTables'>;
  /** What was kept, or has passed, and is not kept any more; ascending. */
  readonly droppedLogs: readonly KeptLog[];
  readonly droppedTables: readonly FileIdentity[];
}

interface Item {
  readonly sizeBytes: number;
  /** It begins behind this sequence. */
  readonly after: number;
  readonly time: number;
  readonly log?: KeptLog;
  readonly load?: KeptLoad;
}

export function retain(before: KeptState, passed: Passed, policy: RetentionPolicy): Retained {
  const logs = ascending([...before.keptLogs, ...passed.logs]);
  const loads = passed.load === undefined ? before.keptLoads : [...before.keptLoads, passed.load];
  if (logs.length === 0 && loads.length === 0) return NOTHING;
  const items: Item[] = [
    ...logs.map((log) => ({ ...log, after: log.firstSequence - 1, log })),
    ...loads.map((load) => ({ ...load, load })),
  ];
  items.sort((a, b) => a.after - b.after || a.time - b.time);
  const stays = items.slice(firstToStay(items, policy, passed.nowMs));
  const keptLogs = stays.flatMap(({ log }) => log ?? []);
  const keptLoads = stays.flatMap(({ load }) => load ?? []);
  const needed = new Set(keptLoads.flatMap(({ tables }) => tables));
  const once = new Set(loads.flatMap(({ tables }) => tables));
  const left = passed.removed.filter(({ number }) => once.has(number)).map(identityOf);
  const outside = ascending([...before.keptTables, ...left]);
  const isKept = new Set(keptLogs.map(({ number }) => number));
  return {
    kept: { keptLogs, keptLoads, keptTables: outside.filter(({ number }) => needed.has(number)) },
    droppedLogs: logs.filter(({ number }) => !isKept.has(number)),
    droppedTables: outside.filter(({ number }) => !needed.has(number)),
  };
}

const NOTHING: Retained = {
  kept: { keptLogs: [], keptLoads: [], keptTables: [] },
  droppedLogs: [],
  droppedTables: [],
};

function firstToStay(items: readonly Item[], policy: RetentionPolicy, nowMs: number): number {
  const { bytes, ms, unreadAfter = Number.POSITIVE_INFINITY } = policy;
  const oldest = ms === undefined ? Number.NEGATIVE_INFINITY : nowMs - ms;
  let sum = 0;
  let first = items.length;
  while (first > 0 && items.length - first < MAX_KEPT_LOGS) {
    // What follows it was begun when its last write was over.
    const endedMs = items[first]?.time ?? nowMs;
    const isUnread = (items[first]?.after ?? Number.MAX_SAFE_INTEGER) > unreadAfter && sum < UNREAD_BYTES;
    if (!isUnread && (sum >= bytes || endedMs < oldest)) break;
    first--;
    sum += items[first]!.sizeBytes;
  }
  return first;
}
