/**
 * What the manifest says, and the rules it obeys whoever wrote it.
 *
 * The same check runs before a state is written (where a breach is our bug) and after one is read (where it is
 * corruption): manifest.ts.
 *
 * Thread: main. Pure.
 */
import {
  type FileNumber,
  LEVEL_COUNT,
  type Level,
  MAX_FILE_NUMBER,
  level as toLevel,
} from '../../shared/base/ids.ts';
import { MAX_BOUND_BYTES } from '../../shared/base/range-delete.ts';
import type { TableInfo } from '../../shared/base/version-edit.ts';
import type { TableSequence } from '../../shared/read/table-list.ts';
import { levelProblem } from '../../shared/read/version.ts';
import {
  areAscending,
  areLoadsWhole,
  type FileIdentity,
  isChecksum,
  isCount,
  type KeptState,
  keptProblem,
  NOTHING_KEPT,
} from './kept-state.ts';

export type { KeptLoad, KeptLog } from './kept-state.ts';

/**
 * 2: says which tables and logs may be deleted. 3: has pages, shortened bounds, and fields for what comes next. 4: a table may
 * have ranges of deleted keys, and entries that expire. 5: names the epochs of its history, and what is kept for changes().
 *
 * How more comes in: the spelling is exact, so a field that a version does not know makes the manifest one it can't read.
 * Whatever is new comes with the next version; one that is older
 * than the manifest refuses it with STRATA_UNSUPPORTED.
 */
export const MANIFEST_FORMAT_VERSION = 5;
/** From here on a table may have ranges of deleted keys, and entries that expire. */
const FORMAT_WITH_RANGES = 4;

/** Far beyond any store one process can serve; bounds what a hostile manifest makes us build. */
export const MAX_TABLE_COUNT = 1_000_000;
export const MAX_SEALED_LOG_COUNT = 10_000;

/** A log that is complete and synced: recovery must find it exactly this long. */
export interface SealedLog {
  readonly number: FileNumber;
  readonly sizeBytes: number;
}

/** A table (or page) that may be deleted. */
export type ObsoleteTable = FileIdentity;

/** A page of the manifest: a file with a part of the list of tables of one level. Immutable. */
export interface TablePage extends ObsoleteTable {
  readonly level: Level;
  /** In the level's order. */
  readonly tables: readonly TableInfo[];
}

/** A log that may be deleted. */
export interface ObsoleteLog {
  readonly number: number;
  /** The checksum of its first group of writes; 0: it had none. */
  readonly firstGroup: number;
}

/** Everything the store must remember besides the bytes in its other files. `Tables`: how a level is held in memory. */
export interface ManifestState<Tables extends TableSequence = readonly TableInfo[]> extends KeptState {
  readonly formatVersion: number;
  /** A random UUID, made with the store: distinguishes stores, whatever they are called. */
  readonly storeId: string;
  /** How many owners have opened the store and changed it: each has a higher one than those before. */
  readonly ownerEpoch: number;
  /** The latest time the store has seen, in milliseconds since 1970; 0: none yet. */
  readonly lastTime: number;
  /** Every file number this state names lies below. Files made since may bear higher ones: open looks at the names. */
  readonly nextFileNumber: number;
  /** No sequence number in a table lies above. */
  readonly lastSequence: number;
  /** Logs below this number hold nothing that the tables don't. */
  readonly logNumber: number;
  /** Ascending by number; those below `logNumber` are forgotten. */
  readonly sealedLogs: readonly SealedLog[];
  /** Ascending: what was in use once and is to be deleted. Whatever else has a name of ours is unknown, and stays. */
  readonly obsoleteTables: readonly ObsoleteTable[];
  /** Ascending, and below `logNumber`; likewise. */
  readonly obsoleteLogs: readonly ObsoleteLog[];
  /** Ascending: pages of manifests before; likewise. */
  readonly obsoletePages: readonly ObsoleteTable[];
  /** By level, then in its order. A level is in pages as a whole, or not at all. */
  readonly pages: readonly TablePage[];
  /** LEVEL_COUNT lists, ordered as in version.ts. */
  readonly levels: readonly Tables[];
}

/** The state of a store that holds nothing yet. File number 0 is never used, so that it can mean "none". */
export function emptyState(storeId: string): ManifestState {
  return {
    formatVersion: MANIFEST_FORMAT_VERSION,
    storeId,
    ownerEpoch: 0,
    lastTime: 0,
    nextFileNumber: 1,
    lastSequence: 0,
    logNumber: 0,
    sealedLogs: [],
    obsoleteTables: [],
    obsoleteLogs: [],
    obsoletePages: [],
    pages: [],
    ...NOTHING_KEPT,
    levels: Array.from({ length: LEVEL_COUNT }, () => []),
  };
}

/** What is wrong with `state`, in words without key bytes; undefined when nothing is. */
export function stateProblem(state: ManifestState): string | undefined {
  return (
    headProblem(state) ??
    tablesProblem(state) ??
    pagesProblem(state) ??
    numbersProblem(state, state.levels) ??
    missingLoadProblem(state)
  );
}

function missingLoadProblem(state: ManifestState): string | undefined {
  if (state.keptLoads.length === 0) return undefined;
  const live = new Set(state.levels.flatMap((tables) => tables.map((table) => table.number as number)));
  return areLoadsWhole(state, (number) => live.has(number)) ? undefined : 'a kept load lacks a table';
}

/**
 * The same for a state that an edit has made of a sound one: `added` are the tables that were not in that. Their levels have been
 * checked (version.ts).
 */
export function editProblem(
  state: ManifestState<TableSequence>,
  added: readonly TableInfo[],
): string | undefined {
  return headProblem(state) ?? eachTableProblem(added, state) ?? numbersProblem(state, [added]);
}

function headProblem(state: ManifestState<TableSequence>): string | undefined {
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(state.storeId)) return 'the store id is not a uuid';
  if (!isCount(state.ownerEpoch)) return 'the epoch of the owner is out of range';
  if (!isCount(state.lastTime)) return 'the last time is out of range';
  if (!isCount(state.nextFileNumber) || state.nextFileNumber < 1 || state.nextFileNumber > MAX_FILE_NUMBER)
    return 'the next file number is out of range';
  if (!isCount(state.lastSequence)) return 'the last sequence number is out of range';
  if (!isCount(state.logNumber) || state.logNumber > state.nextFileNumber)
    return 'the log number is out of range';
  if (state.levels.length !== LEVEL_COUNT) return 'the number of levels is wrong';
  if (state.levels.reduce((sum, tables) => sum + tables.length, 0) > MAX_TABLE_COUNT)
    return 'too many tables';
  if (state.sealedLogs.length > MAX_SEALED_LOG_COUNT) return 'too many sealed logs';
  return sealedLogsProblem(state) ?? obsoleteProblem(state) ?? keptProblem(state);
}

function sealedLogsProblem(state: ManifestState<TableSequence>): string | undefined {
  let previous = -1;
  for (const log of state.sealedLogs) {
    if (!isCount(log.sizeBytes)) return 'the size of a sealed log is out of range';
    if (!isCount(log.number) || log.number < state.logNumber)
      return 'the number of a sealed log is out of range';
    if (log.number <= previous) return 'the sealed logs are not in order';
    previous = log.number;
  }
  return undefined;
}

function obsoleteProblem({
  obsoleteTables,
  obsoleteLogs,
  obsoletePages,
  logNumber,
  nextFileNumber,
}: ManifestState<TableSequence>): string | undefined {
  if (!areAscending(obsoleteTables, nextFileNumber)) return 'the obsolete tables are not in order';
  if (!areAscending(obsoletePages, nextFileNumber)) return 'the obsolete pages are not in order';
  // A log number may lie ahead of all files.
  if (!areAscending(obsoleteLogs, Math.min(logNumber, nextFileNumber)))
    return 'the obsolete logs are not in order';
  const files = [...obsoleteTables, ...obsoletePages];
  if (!files.every(({ sizeBytes, checksum }) => isCount(sizeBytes) && isChecksum(checksum)))
    return 'the size or checksum of an obsolete table or page is out of range';
  if (!obsoleteLogs.every(({ firstGroup }) => isChecksum(firstGroup)))
    return 'the checksum of an obsolete log is out of range';
  return undefined;
}

function tablesProblem(state: ManifestState): string | undefined {
  for (const [i, tables] of state.levels.entries()) {
    const problem = eachTableProblem(tables, state) ?? levelProblem(toLevel(i), tables);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

function eachTableProblem(
  tables: readonly TableInfo[],
  state: ManifestState<TableSequence>,
): string | undefined {
  for (const table of tables) {
    const problem = tableProblem(table, state);
    if (problem !== undefined) return `table ${table.number}: ${problem}`;
  }
  return undefined;
}

/** Each level that has pages consists of what they hold, in their order. */
function pagesProblem({ pages, levels }: ManifestState): string | undefined {
  let level = -1;
  let done = 0;
  for (const [i, page] of pages.entries()) {
    if (!isCount(page.sizeBytes) || !isChecksum(page.checksum))
      return 'the size or checksum of a page is out of range';
    if (page.tables.length === 0) return 'a page is empty';
    if (page.level < level) return 'the pages are not in order';
    if (page.level > level) done = 0;
    level = page.level;
    const tables = levels[level]!;
    if (page.tables.some((table, at) => tables[done + at] !== table))
      return 'a page has other tables than its level';
    done += page.tables.length;
    if (pages[i + 1]?.level !== level && done !== tables.length) return 'a level is only partly in pages';
  }
  return undefined;
}

function tableProblem(table: TableInfo, state: ManifestState<TableSequence>): string | undefined {
  if (!isCount(table.number)) return 'the file number is out of range';
  if (!isCount(table.sizeBytes) || table.sizeBytes === 0) return 'the size is out of range';
  if (!isChecksum(table.checksum)) return 'the checksum is out of range';
  if (!isCount(table.entryCount) || table.entryCount === 0) return 'the number of entries is out of range';
  if (!isCount(table.shadowedCount) || table.shadowedCount > table.entryCount) {
    return 'the number of shadowed entries is out of range';
  }
  if (!isCount(table.tombstoneCount) || table.tombstoneCount > table.entryCount) {
    return 'the number of tombstones is out of range';
  }
  if (!isCount(table.rawBytes)) return 'the raw size is out of range';
  if (table.smallestKey.length > MAX_BOUND_BYTES || table.largestKey.length > MAX_BOUND_BYTES) {
    return 'a key is too long';
  }
  if (!isCount(table.smallestSequence) || !isCount(table.largestSequence))
    return 'a sequence is out of range';
  if (table.smallestSequence > table.largestSequence) return 'the sequence range is upside down';
  if (table.largestSequence > state.lastSequence) return 'a sequence lies above the last one';
  return extrasProblem(table, state.formatVersion);
}

function extrasProblem(
  { rangeDeletes, expiry, entryCount }: TableInfo,
  formatVersion: number,
): string | undefined {
  if (rangeDeletes === undefined && expiry === undefined) return undefined;
  if (formatVersion < FORMAT_WITH_RANGES) return 'a table has what this format does not know';
  if (rangeDeletes !== undefined && (!isCount(rangeDeletes) || rangeDeletes === 0))
    return 'the number of deleted ranges is out of range';
  if (expiry === undefined) return undefined;
  const { count, moments } = expiry;
  if (!isCount(count) || count === 0 || count > entryCount)
    return 'the number of entries that expire is out of range';
  const isSound = moments.every((moment, i) => isCount(moment) && (i === 0 || moments[i - 1]! <= moment));
  return isSound ? undefined : 'the moments of expiry are out of range';
}

function numbersProblem(
  state: ManifestState<TableSequence>,
  tables: readonly (readonly TableInfo[])[],
): string | undefined {
  const { sealedLogs, keptLogs, keptTables, obsoleteTables, obsoleteLogs, obsoletePages, pages } = state;
  const kept = [sealedLogs, keptLogs, keptTables];
  const lists = [...kept, ...tables, obsoleteTables, obsoleteLogs, obsoletePages, pages];
  const numbers = new Uint32Array(lists.reduce((sum, files) => sum + files.length, 0));
  let count = 0;
  for (const files of lists) {
    for (let i = 0; i < files.length; i++) {
      const { number } = files[i]!;
      if (number < 1 || number >= state.nextFileNumber) return `file number ${number} is out of range`;
      numbers[count++] = number;
    }
  }
  // A set of all takes three times as long.
  numbers.sort();
  for (let i = 1; i < count; i++)
    if (numbers[i] === numbers[i - 1]) return `file number ${numbers[i]} appears twice`;
  return undefined;
}
