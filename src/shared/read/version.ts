/**
 * A version: the immutable set of tables that make up the store at one moment, by level, and the questions asked of it.
 *
 *   L0       newest first; tables overlap         searched one after another; those of one ingestion are disjoint: a run
 *   L1..L7   sorted by smallest key; disjoint     searched by bisection
 *
 * Data in a shallower level is newer than data for the same key in a deeper one; inside L0 the sequence numbers decide.
 * `apply` gives the next version, and shares with it what the edit leaves alone: whole levels, and most of the others
 * (table-list.ts). Nothing that is done for an edit, be it here or by whoever hears of it, walks a large level.
 *
 * Invariants: what levelProblem() checks holds for every level of every version, and a table is in one level only.
 * Thread:     any: the owner has its versions, each client those of its views. Pure: no clock, no disk.
 * Not chosen: an interval tree for L0. It holds a dozen tables, and a scan over them beats any structure.
 */
import { assert } from '../base/assert.ts';
import { compareKeys } from '../base/bytes.ts';
import { type FileNumber, LEVEL_COUNT, type Level, level as toLevel } from '../base/ids.ts';
import type { LeveledTable, TableInfo, VersionEdit } from '../base/version-edit.ts';
import { TableList, type TableSequence } from './table-list.ts';

/** A range of user keys with both bounds inclusive; undefined = unbounded. Tables know their keys in this form. */
export interface InclusiveRange {
  readonly start?: Uint8Array | undefined;
  readonly end?: Uint8Array | undefined;
}

export interface OverlapOptions {
  /** L0 only: also the tables that overlap a found table, and so on, until the set stands alone. */
  readonly transitive?: boolean;
}

/** A table, and its place in the list of its level. */
export interface PlacedTable extends LeveledTable {
  readonly place: number;
}

type Tables = readonly TableInfo[];

export class Version {
  static readonly empty: Version = Version.#of(Array.from({ length: LEVEL_COUNT }, () => TableList.empty));

  /** LEVEL_COUNT of them, in the order that the header describes. */
  readonly lists: readonly TableList[];
  /** L0: a dozen tables, unless an ingestion has just come in. */
  readonly levelZero: Tables;
  readonly #levelBytes: readonly number[];
  /** L0 as sorted runs, newest first: see levelZeroRuns(). */
  readonly levelZeroRuns: readonly Tables[];
  readonly tableCount: number;
  /** How many tables delete ranges of keys. */
  readonly rangeTables: number;
  /** Whether some table has entries that expire. */
  readonly mayExpire: boolean;
  /** No table has a higher number. */
  readonly #highestNumber: number;

  private constructor(
    lists: readonly TableList[],
    levelBytes: readonly number[],
    runs: readonly Tables[],
    highestNumber: number,
  ) {
    this.#highestNumber = highestNumber;
    this.lists = lists;
    this.levelZero = lists[0]!.toArray();
    this.#levelBytes = levelBytes;
    this.levelZeroRuns = runs;
    this.tableCount = lists.reduce((sum, tables) => sum + tables.length, 0);
    this.rangeTables = lists.reduce((sum, tables) => sum + tables.rangeTables, 0);
    this.mayExpire = lists.some(({ chunks }) => chunks.some((chunk) => chunk.mayExpire));
  }

  /** A version of these levels, which must already be in order, as the manifest keeps them. */
  static fromLevels(levels: readonly TableSequence[]): Version {
    assert(levels.length === LEVEL_COUNT, 'a version has eight levels');
    const tables = levels.map((level) => [...level]);
    for (const [i, level] of tables.entries()) assertLevel(toLevel(i), level);
    const numbers = new Set(tables.flatMap((level) => level.map(({ number }) => number)));
    const version = Version.fromSound(tables);
    assert(numbers.size === version.tableCount, 'a table is in the version twice');
    return version;
  }

  /** Likewise, of levels that have been checked: manifest-state.ts asks for all that a version does. */
  static fromSound(levels: readonly TableSequence[]): Version {
    return Version.#of(
      levels.map((tables) => TableList.from(Array.isArray(tables) ? (tables as Tables) : [...tables])),
    );
  }

  static #of(lists: readonly TableList[]): Version {
    let highest = 0;
    for (const { chunks } of lists)
      for (const { numbers } of chunks) for (const number of numbers) highest = Math.max(highest, number);
    const bytes = lists.map((list) => list.chunks.reduce((sum, { tables }) => sum + totalBytes(tables), 0));
    return new Version(lists, bytes, levelZeroRuns(lists[0]!.toArray()), highest);
  }

  /** All tables as arrays, those of a large level copied when they are first asked for: for what walks them all anyway. */
  get levels(): readonly Tables[] {
    return this.lists.map((list) => list.toArray());
  }

  /**
   * The version after `edit`, which removes `removed`: {@link removedBy}. Removals come first, so that a table can move: removed
   * here, added there.
   */
  apply(edit: VersionEdit, removed: readonly PlacedTable[] = this.removedBy(edit)): Version {
    const added = new Set(edit.added.map(({ table }) => table.number));
    assert(added.size === edit.added.length, 'an edit adds a table twice');
    for (const { table } of removed) added.delete(table.number);
    // New tables have new numbers, for the most part.
    const isOld = [...added].some((number) => number <= this.#highestNumber && this.hasFile(number));
    assert(!isOld, 'an edit adds a table that exists');
    const bytes = [...this.#levelBytes];
    const lists = this.lists.map((list, i) => {
      const gone = removed.filter(({ level }) => level === i);
      const come = edit.added.filter(({ level }) => level === i).map(({ table }) => table);
      if (gone.length === 0 && come.length === 0) return list;
      bytes[i]! += totalBytes(come) - totalBytes(gone.map(({ table }) => table));
      const level = toLevel(i);
      const places = gone.map(({ place }) => place);
      return list.edit(places, come, level === 0 ? compareAge : compareSmallest, (before, table) =>
        assertNeighbours(level, before, table),
      );
    });
    const runs = lists[0] === this.lists[0] ? this.levelZeroRuns : levelZeroRuns(lists[0]!.toArray());
    const highest = edit.added.reduce((most, { table }) => Math.max(most, table.number), this.#highestNumber);
    return new Version(lists, bytes, runs, highest);
  }

  /** The tables that `edit` takes from their levels, in order, and where each is. Those that only move are among them. */
  removedBy(edit: VersionEdit): PlacedTable[] {
    const found: PlacedTable[] = [];
    for (const [i, list] of this.lists.entries()) {
      const numbers = new Set(edit.removed.flatMap(({ level, number }) => (level === i ? [number] : [])));
      if (numbers.size === 0) continue;
      const before = found.length;
      list.find(numbers, (table, place) => found.push({ level: toLevel(i), table, place }));
      assert(found.length - before === numbers.size, 'an edit removes a table that does not exist');
    }
    return found;
  }

  /** The one table of `level` (1..7) whose key range holds `key`. Allocates nothing. */
  tableContaining(level: Level, key: Uint8Array): TableInfo | undefined {
    assert(level > 0, 'tables of level 0 overlap');
    const table = this.lists[level]!.tableReaching(key);
    return table !== undefined && compareKeys(table.smallestKey, key) <= 0 ? table : undefined;
  }

  /** The tables of `level` that hold keys in `range`, in the level's order. */
  overlapping(level: Level, range: InclusiveRange, options: OverlapOptions = {}): TableInfo[] {
    if (level === 0) {
      const tables = this.levelZero;
      return options.transitive ? closure(tables, range) : tables.filter((table) => overlaps(table, range));
    }
    const { start, end } = this.placesOf(level, range);
    return this.lists[level]!.slice(start, end);
  }

  /** The places of those tables of `level` (1..7): `end` is the first behind them. */
  placesOf(level: Level, range: InclusiveRange): { readonly start: number; readonly end: number } {
    assert(level > 0, 'tables of level 0 overlap');
    const list = this.lists[level]!;
    const start = range.start === undefined ? 0 : list.firstReaching(range.start);
    if (range.end === undefined) return { start, end: list.length };
    const end = list.lastStartingBefore(range.end) + 1;
    const next = list.at(end);
    const isReached = next !== undefined && compareKeys(next.smallestKey, range.end) === 0;
    return { start, end: Math.max(start, isReached ? end + 1 : end) };
  }

  /** Whether `level` holds any table with keys in `range`. Allocates nothing for levels 1..7. */
  hasOverlap(level: Level, range: InclusiveRange): boolean {
    if (level === 0) return this.levelZero.some((table) => overlaps(table, range));
    const list = this.lists[level]!;
    const table = range.start === undefined ? list.at(0) : list.tableReaching(range.start);
    return table !== undefined && overlaps(table, range);
  }

  levelBytes(level: Level): number {
    return this.#levelBytes[level]!;
  }

  get sizeBytes(): number {
    return this.#levelBytes.reduce((sum, bytes) => sum + bytes, 0);
  }

  /** The deepest level that holds a table; undefined for an empty version. */
  get deepestLevel(): Level | undefined {
    const found = this.lists.findLastIndex((tables) => tables.length > 0);
    return found < 0 ? undefined : toLevel(found);
  }

  hasFile(number: FileNumber): boolean {
    return this.lists.some((list) => list.has(number));
  }

  /**
   * About how many bytes on disk hold the keys of `range`: tables inside count whole, those that a bound cuts count
   * half, as nothing is known of their insides here.
   */
  approximateBytes(range: InclusiveRange): number {
    let bytes = 0;
    for (let i = 0; i < LEVEL_COUNT; i++) {
      for (const table of this.overlapping(toLevel(i), range)) {
        bytes += isInside(table, range) ? table.sizeBytes : Math.ceil(table.sizeBytes / 2);
      }
    }
    return bytes;
  }
}

/** What makes `tables` unfit to be `level` of a version, in words; undefined when nothing does. */
export function levelProblem(level: Level, tables: Tables): string | undefined {
  for (let i = 0; i < tables.length; i++) {
    const table = tables[i]!;
    if (compareKeys(table.smallestKey, table.largestKey) > 0)
      return 'a smallest key lies after its largest key';
    const problem = i === 0 ? undefined : neighbourProblem(level, tables[i - 1]!, table);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

/** What is wrong with `table` right after `before` in `level`. */
function neighbourProblem(level: Level, before: TableInfo, table: TableInfo): string | undefined {
  if (level === 0) return compareAge(before, table) > 0 ? 'level 0 is not in order of age' : undefined;
  return compareKeys(before.largestKey, table.smallestKey) >= 0
    ? `tables of level ${level} overlap or are not sorted`
    : undefined;
}

/** Whether the table's key range and `range` share a key. */
export function overlaps(table: TableInfo, range: InclusiveRange): boolean {
  return (
    (range.end === undefined || compareKeys(table.smallestKey, range.end) <= 0) &&
    (range.start === undefined || compareKeys(table.largestKey, range.start) >= 0)
  );
}

/** The smallest range that holds all keys of `tables`; undefined for no tables. */
export function hullOf(tables: Tables): { readonly start: Uint8Array; readonly end: Uint8Array } | undefined {
  if (tables.length === 0) return undefined;
  let start = tables[0]!.smallestKey;
  let end = tables[0]!.largestKey;
  for (const table of tables) {
    if (compareKeys(table.smallestKey, start) < 0) start = table.smallestKey;
    if (compareKeys(table.largestKey, end) > 0) end = table.largestKey;
  }
  return { start, end };
}

export function totalBytes(tables: Tables): number {
  return tables.reduce((sum, table) => sum + table.sizeBytes, 0);
}

function assertLevel(level: Level, tables: Tables): void {
  const problem = levelProblem(level, tables);
  assert(problem === undefined, problem ?? '');
}

function assertNeighbours(level: Level, before: TableInfo | undefined, table: TableInfo | undefined): void {
  const problem =
    table !== undefined && compareKeys(table.smallestKey, table.largestKey) > 0
      ? 'a smallest key lies after its largest key'
      : before && table && neighbourProblem(level, before, table);
  assert(problem === undefined, problem ?? '');
}

/** Newest first. Tables of one age (an ingestion's) hold no common key: any order will do, but always the same. */
export function compareAge(a: TableInfo, b: TableInfo): number {
  return (
    b.largestSequence - a.largestSequence || compareKeys(a.smallestKey, b.smallestKey) || a.number - b.number
  );
}

export function compareSmallest(a: TableInfo, b: TableInfo): number {
  return compareKeys(a.smallestKey, b.smallestKey);
}

/**
 * Tables of L0, in its order, as runs: tables with the same largest sequence are those of one ingestion, which share no key
 * and lie side by side, sorted.
 */
export function levelZeroRuns(tables: Tables): TableInfo[][] {
  const runs: TableInfo[][] = [];
  for (const table of tables) {
    const run = runs.at(-1);
    const last = run?.at(-1);
    if (last !== undefined && canFollow(last, table)) run!.push(table);
    else runs.push([table]);
  }
  return runs;
}

function canFollow(last: TableInfo, table: TableInfo): boolean {
  return (
    last.largestSequence === table.largestSequence && compareKeys(last.largestKey, table.smallestKey) < 0
  );
}

/** Those of `tables` that overlap `range`, those that overlap these, and so on, until the set stands alone. */
export function closure(tables: Tables, range: InclusiveRange): TableInfo[] {
  let found: TableInfo[] = [];
  let reach: InclusiveRange | undefined = range;
  while (reach !== undefined) {
    const within: InclusiveRange = reach;
    const wider = tables.filter((table) => overlaps(table, within));
    if (wider.length === found.length) return found;
    found = wider;
    reach = hullOf(found);
  }
  return found;
}

function isInside(table: TableInfo, range: InclusiveRange): boolean {
  return (
    (range.start === undefined || compareKeys(range.start, table.smallestKey) <= 0) &&
    (range.end === undefined || compareKeys(table.largestKey, range.end) <= 0)
  );
}
