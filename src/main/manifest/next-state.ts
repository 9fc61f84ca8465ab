/**
 * The state of the manifest after an edit: what version-set.ts writes.
 *
 * Invariants: `logNumber`, `lastSequence` and `lastTime` never fall. Sealed logs below the log number are forgotten.
 * Thread:     main. Pure, except that it asks the list of obsolete files.
 */
import { assert } from '../../shared/base/assert.ts';
import type { FileNumber } from '../../shared/base/ids.ts';
import type { TableInfo, VersionEdit } from '../../shared/base/version-edit.ts';
import type { History } from '../../shared/changes/history.ts';
import type { TableSequence } from '../../shared/read/table-list.ts';
import type { Version } from '../../shared/read/version.ts';
import {
  editProblem,
  type KeptLoad,
  type KeptLog,
  type ManifestState,
  type SealedLog,
  type TablePage,
} from './manifest-state.ts';
import type { ObsoleteList } from './obsolete-list.ts';
import { NO_RETENTION, type RetentionPolicy, retain } from './retention.ts';

/** What the manifest learns along with an edit. */
export interface EditExtra {
  /** The last sequence number in use; a lower one than known is ignored. */
  readonly lastSequence: number;
  /** Logs sealed since the last edit, with their final length. They are forgotten once `logNumber` passes them. */
  readonly sealedLogs?: readonly SealedLog[];
  /** The latest time the store has seen, in milliseconds since 1970; an earlier one than known is ignored. */
  readonly lastTime?: number;
  /** Logs that `logNumber` passes with this edit, and that count; all others below it are of no use. */
  readonly flushedLogs?: readonly FlushedLog[];
  /** The edit is an ingestion. */
  readonly load?: KeptLoad;
}

export interface NextState {
  readonly version: Version;
  readonly edit: VersionEdit;
  readonly extra: EditExtra;
  /** Tables that are in no level any more. */
  readonly removed: readonly TableInfo[];
  /** Tables that were in none before. */
  readonly added: readonly TableInfo[];
  readonly pages: readonly TablePage[];
  readonly nextFileNumber: number;
  readonly ownerEpoch: number;
  readonly history: History;
  readonly retention: RetentionPolicy;
}

/** What is to be deleted besides what the edit removes: it was kept for changes(). */
export interface Dropped {
  readonly logs: readonly FileNumber[];
  readonly tables: readonly FileNumber[];
}

export function nextState(
  before: ManifestState<TableSequence>,
  obsolete: ObsoleteList,
  next: NextState,
): { readonly state: ManifestState<TableSequence>; readonly dropped: Dropped } {
  const { version, edit, extra, removed, added, pages, nextFileNumber, ownerEpoch, history } = next;
  const logNumber = Math.max(before.logNumber, edit.logNumber ?? 0);
  const kept = new Set(pages);
  const passed = {
    logs: (extra.flushedLogs ?? []).map((log) => keptLog(log, obsolete)),
    load: extra.load,
    removed,
    nowMs: extra.lastTime ?? before.lastTime,
  };
  // What such a log holds can't be told apart into writes: nothing leads over it.
  const isUnbroken = extra.flushedLogs?.every(({ hasBorders }) => hasBorders) ?? true;
  const retained = retain(before, passed, isUnbroken ? next.retention : NO_RETENTION);
  const { kept: keptNow, droppedLogs, droppedTables } = retained;
  const keptTables = new Set(keptNow.keptTables.map(({ number }) => number));
  const gone = [...removed.filter(({ number }) => !keptTables.has(number)), ...droppedTables];
  const keptLogs = new Set(keptNow.keptLogs.map(({ number }) => number));
  const oldPages = before.pages.filter((page) => !kept.has(page));
  const lastSequence = edit.added.reduce(
    (highest, { table }) => Math.max(highest, table.largestSequence),
    Math.max(before.lastSequence, extra.lastSequence),
  );
  const state = {
    ...before,
    ownerEpoch,
    lastTime: Math.max(before.lastTime, extra.lastTime ?? 0),
    nextFileNumber,
    lastSequence,
    logNumber,
    epochs: history.upTo(lastSequence),
    sealedLogs: sealedAfter(before.sealedLogs, extra.sealedLogs ?? [], logNumber),
    ...obsolete.after(gone, logNumber, oldPages, keptLogs, droppedLogs),
    ...keptNow,
    pages,
    levels: version.lists,
  };
  const problem = editProblem(state, added);
  assert(problem === undefined, `the manifest to be written is invalid: ${problem}`);
  // What the edit itself is about is deleted by whoever makes it.
  const removedNow = new Set(removed.map(({ number }) => number));
  const flushedNow = new Set((extra.flushedLogs ?? []).map(({ number }) => number));
  return {
    state,
    dropped: {
      logs: droppedLogs.map(({ number }) => number as FileNumber).filter((number) => !flushedNow.has(number)),
      tables: droppedTables
        .map(({ number }) => number as FileNumber)
        .filter((number) => !removedNow.has(number)),
    },
  };
}

/** A log that a flush has made a table of. */
export interface FlushedLog {
  readonly number: FileNumber;
  readonly sizeBytes: number;
  readonly firstSequence: number;
  readonly startedAtMs: number;
  readonly hasBorders: boolean;
}

function keptLog(
  { number, sizeBytes, firstSequence, startedAtMs }: FlushedLog,
  obsolete: ObsoleteList,
): KeptLog {
  return { number, sizeBytes, firstGroup: obsolete.firstGroupOf(number), firstSequence, time: startedAtMs };
}

function sealedAfter(
  before: readonly SealedLog[],
  more: readonly SealedLog[],
  logNumber: number,
): readonly SealedLog[] {
  const sealed = new Map<FileNumber, SealedLog>(before.map((log) => [log.number, log]));
  for (const log of more) {
    assert((sealed.get(log.number)?.sizeBytes ?? log.sizeBytes) === log.sizeBytes, 'a sealed log has grown');
    sealed.set(log.number, log);
  }
  return [...sealed.values()].filter((log) => log.number >= logNumber).sort((a, b) => a.number - b.number);
}
