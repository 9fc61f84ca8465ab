/**
 * A version: the immutable set of tables that make up the store at one moment, by level, and the questions asked of it.
 *
 *   L0       newest first; tables overlap         searched one after another; those of one bulk load are disjoint: a run
 *   L1..L7   sorted by smallest key; disjoint     searched by bisection
 *
 * Data in a shallower level is newer than data for the same key in a deeper one; inside L0 the sequence numbers tell.
 * `apply` gives the next version and shares the levels that the edit leaves alone.
 *
 * Invariants: what levelProblem() checks holds for every level of every version, and a table is in one level only.
 * Thread:     main. Pure: no clock, no disk.
 * Not chosen: an interval tree for L0. It holds a dozen tables, and a scan over them beats any structure.
 */
import { assert } from '../assert.ts';
import { compareKeys } from '../bytes.ts';
import { firstTableReaching } from '../concat-iterator.ts';
import { type FileNumber, LEVEL_COUNT, type Level, level as toLevel } from '../ids.ts';
import type { TableMeta, VersionEdit } from '../version-edit.ts';

/** A range of user keys with both bounds inclusive; undefined = unbounded. Tables know their keys in this form. */
export interface InclusiveRange {
  readonly start?: Uint8Array | undefined;
  readonly end?: Uint8Array | undefined;
}

export interface OverlapOptions {
  /** L0 only: also the tables that overlap a found table, and so on, until the set stands alone. */
  readonly transitive?: boolean;
}

type Tables = readonly TableMeta[];

const NO_TABLES: Tables = Object.freeze([]);

export class Version {
  static readonly empty: Version = new Version(Array.from({ length: LEVEL_COUNT }, () => NO_TABLES));

  /** LEVEL_COUNT lists, in the order that the header tells. */
  readonly levels: readonly Tables[];
  readonly #levelBytes: readonly number[];
  /** L0 as sorted runs, newest first: see levelZeroRuns(). */
  readonly levelZeroRuns: readonly Tables[];
  /** Built when first asked for: most versions are replaced before anyone asks. */
  #numbers: Set<FileNumber> | undefined;

  private constructor(levels: readonly Tables[]) {
    this.levels = levels;
    this.#levelBytes = levels.map(totalBytes);
    this.levelZeroRuns = levelZeroRuns(levels[0]!);
  }

  /** A version of these levels, which must already be in order, as the manifest keeps them. */
  static fromLevels(levels: readonly Tables[]): Version {
    assert(levels.length === LEVEL_COUNT, 'a version has eight levels');
    levels.forEach((tables, i) => {
      assertLevel(toLevel(i), tables);
    });
    const version = new Version(levels.map((tables) => Object.freeze([...tables])));
    assert(version.#fileNumbers().size === version.tableCount, 'a table is in the version twice');
    return version;
  }

  /** The version after `edit`. Removals come first, so that a table can move: removed here, added there. */
  apply(edit: VersionEdit): Version {
    const levels = this.levels.map((tables, i) => this.#editLevel(toLevel(i), tables, edit));
    const removed = new Set(edit.removed.map(({ number }) => number));
    const added = new Set<FileNumber>();
    for (const { table } of edit.added) {
      assert(!added.has(table.number), 'an edit adds a table twice');
      assert(removed.has(table.number) || !this.hasFile(table.number), 'an edit adds a table that exists');
      added.add(table.number);
    }
    return new Version(levels);
  }

  /** The one table of `level` (1..7) whose key range holds `key`. Allocates nothing. */
  tableContaining(level: Level, key: Uint8Array): TableMeta | undefined {
    assert(level > 0, 'tables of level 0 overlap');
    const tables = this.levels[level]!;
    const table = tables[firstTableReaching(tables, key)];
    return table !== undefined && compareKeys(table.smallestKey, key) <= 0 ? table : undefined;
  }

  /** The tables of `level` that hold keys in `range`, in the level's order. */
  overlapping(level: Level, range: InclusiveRange, options: OverlapOptions = {}): TableMeta[] {
    const tables = this.levels[level]!;
    if (level === 0)
      return options.transitive ? closure(tables, range) : tables.filter((t) => overlaps(t, range));
    const first = range.start === undefined ? 0 : firstTableReaching(tables, range.start);
    let last = first;
    while (last < tables.length && overlaps(tables[last]!, range)) last++;
    return tables.slice(first, last);
  }

  /** Whether `level` holds any table with keys in `range`. Allocates nothing for levels 1..7. */
  hasOverlap(level: Level, range: InclusiveRange): boolean {
    const tables = this.levels[level]!;
    if (level === 0) return tables.some((table) => overlaps(table, range));
    const table = tables[range.start === undefined ? 0 : firstTableReaching(tables, range.start)];
    return table !== undefined && overlaps(table, range);
  }

  levelBytes(level: Level): number {
    return this.#levelBytes[level]!;
  }

  get sizeBytes(): number {
    return this.#levelBytes.reduce((sum, bytes) => sum + bytes, 0);
  }

  get tableCount(): number {
    return this.levels.reduce((sum, tables) => sum + tables.length, 0);
  }

  /** The deepest level that holds a table; undefined for an empty version. */
  get deepestLevel(): Level | undefined {
    const found = this.levels.findLastIndex((tables) => tables.length > 0);
    return found < 0 ? undefined : toLevel(found);
  }

  hasFile(number: FileNumber): boolean {
    return this.#fileNumbers().has(number);
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

  #editLevel(level: Level, tables: Tables, edit: VersionEdit): Tables {
    const removed = new Set(edit.removed.filter((r) => r.level === level).map((r) => r.number));
    const added = edit.added.filter((a) => a.level === level).map((a) => a.table);
    if (removed.size === 0 && added.length === 0) return tables;
    const kept = tables.filter((table) => !removed.has(table.number));
    assert(kept.length === tables.length - removed.size, 'an edit removes a table that does not exist');
    const edited = [...kept, ...added].sort(level === 0 ? compareAge : compareSmallest);
    assertLevel(level, edited);
    return Object.freeze(edited);
  }

  #fileNumbers(): Set<FileNumber> {
    this.#numbers ??= new Set(this.levels.flatMap((tables) => tables.map((table) => table.number)));
    return this.#numbers;
  }
}

/** What makes `tables` unfit to be `level` of a version, in words; undefined when nothing does. */
export function levelProblem(level: Level, tables: Tables): string | undefined {
  for (let i = 0; i < tables.length; i++) {
    const table = tables[i]!;
    if (compareKeys(table.smallestKey, table.largestKey) > 0)
      return 'a smallest key lies after its largest key';
    const before = tables[i - 1];
    if (before === undefined) continue;
    if (level === 0) {
      if (compareAge(before, table) > 0) return 'level 0 is not in order of age';
    } else if (compareKeys(before.largestKey, table.smallestKey) >= 0) {
      return `tables of level ${level} overlap or are not sorted`;
    }
  }
  return undefined;
}

/** Whether the table's key range and `range` share a key. */
export function overlaps(table: TableMeta, range: InclusiveRange): boolean {
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

/** Newest first. Tables of one age (a bulk load's) hold no common key: any order will do, but always the same. */
export function compareAge(a: TableMeta, b: TableMeta): number {
  return (
    b.largestSequence - a.largestSequence || compareKeys(a.smallestKey, b.smallestKey) || a.number - b.number
  );
}

function compareSmallest(a: TableMeta, b: TableMeta): number {
  return compareKeys(a.smallestKey, b.smallestKey);
}

/**
 * Tables of L0, in its order, as runs: tables with the same largest sequence are those of one bulk load, which share no key
 * and lie side by side, sorted.
 */
export function levelZeroRuns(tables: Tables): TableMeta[][] {
  const runs: TableMeta[][] = [];
  for (const table of tables) {
    const run = runs.at(-1);
    const last = run?.at(-1);
    if (last !== undefined && canFollow(last, table)) run!.push(table);
    else runs.push([table]);
  }
  return runs;
}

function canFollow(last: TableMeta, table: TableMeta): boolean {
  return (
    last.largestSequence === table.largestSequence && compareKeys(last.largestKey, table.smallestKey) < 0
  );
}

/** Those of `tables` that overlap `range`, those that overlap these, and so on, until the set stands alone. */
export function closure(tables: Tables, range: InclusiveRange): TableMeta[] {
  let found: TableMeta[] = [];
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

function isInside(table: TableMeta, range: InclusiveRange): boolean {
  return (
    (range.start === undefined || compareKeys(range.start, table.smallestKey) <= 0) &&
    (range.end === undefined || compareKeys(table.largestKey, range.end) <= 0)
  );
}
