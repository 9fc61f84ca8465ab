/**
 * Which tables are in which page of the manifest. A small level stands in the root, manifest.json, line by line. A large one is
 * cut into pages, each a file of its own; the root has a line for each of them. An edit writes the pages anew that it changes,
 * and the root: with 20,000 tables 200 page lines and two or three pages of 40 KB, where the whole list would be 6 MB.
 *
 *   level 6     .. 95 tables ..  |  .. 128 ..  |  .. 64 ..         pages in the level's order
 *   an edit                ^ ^         ^                           two are touched; the second becomes too large: two of 64
 *
 *   a level of more than maxInlineTables gets pages; with minInlineTables or fewer it is in the root again
 *   a page of more than maxPageTables, or maxPageBytes, is split evenly; one that shrinks below minPageTables is joined with a
 *   neighbour
 *
 * Thread:     main. Pure: page-files.ts writes what is new.
 * Not chosen: a log of edits behind the list, to be folded in now and then: folding takes the whole list at once. Pages of many
 *             levels in one file: less to sync, but a file would stay for its last page.
 */
import { LEVEL_COUNT, type Level, level as toLevel } from '../../shared/base/ids.ts';
import type { LeveledTable, TableInfo } from '../../shared/base/version-edit.ts';
import type { TableSequence } from '../../shared/read/table-list.ts';
import { compareAge, compareSmallest } from '../../shared/read/version.ts';
import type { TablePage } from './manifest-state.ts';
import { lineLength } from './manifest-text.ts';

/** How large a page may become, and a level without pages. */
export interface PageLimits {
  /** Tables of a level that stands in the root, at most: 40 KB of text, with short keys. */
  readonly maxInlineTables: number;
  /** A level with pages goes back into the root when it has this many tables or fewer. */
  readonly minInlineTables: number;
  readonly maxPageTables: number;
  readonly minPageTables: number;
  /** So that an edit is not the dearer the longer the keys. A page of one table may be larger: 175 KB at most. */
  readonly maxPageBytes: number;
}

export const PAGE_LIMITS: PageLimits = {
  maxInlineTables: 128,
  minInlineTables: 64,
  maxPageTables: 128,
  minPageTables: 32,
  maxPageBytes: 128 * 1024,
};

/** A page that is to be written. */
export interface PageDraft {
  readonly level: Level;
  readonly tables: readonly TableInfo[];
}

type Tables = readonly TableInfo[];

export function isWritten(page: TablePage | PageDraft): page is TablePage {
  return 'number' in page;
}

/** The pages of levels that have none yet. */
export function layOut(levels: readonly Tables[], limits: PageLimits = PAGE_LIMITS): PageDraft[] {
  return levels.flatMap((tables, i) => layOutLevel(toLevel(i), tables, limits));
}

/** Whether `pages` hold just these levels, except levels small enough to be in the root. */
export function fits(pages: readonly TablePage[], levels: readonly Tables[]): boolean {
  return levels.every((tables, i) => {
    const held = pages.filter((page) => page.level === i).flatMap((page) => page.tables);
    if (held.length === 0) return fitsInline(tables, PAGE_LIMITS);
    return held.length === tables.length && held.every((table, at) => table === tables[at]);
  });
}

/** The pages after an edit that led to `levels`: those it leaves alone, and drafts of others. */
export function editPages(
  pages: readonly TablePage[],
  levels: readonly TableSequence[],
  removed: readonly LeveledTable[],
  added: readonly LeveledTable[],
  limits: PageLimits = PAGE_LIMITS,
): (TablePage | PageDraft)[] {
  const result: (TablePage | PageDraft)[] = [];
  for (let i = 0; i < LEVEL_COUNT; i++) {
    const level = toLevel(i);
    const before = pages.filter((page) => page.level === level);
    const inLevel = (tables: readonly LeveledTable[]): TableInfo[] =>
      tables.filter((one) => one.level === level).map(({ table }) => table);
    const [gone, come] = [inLevel(removed), inLevel(added)];
    if (before.length > 0 && gone.length === 0 && come.length === 0) result.push(...before);
    else if (before.length === 0) result.push(...layOutLevel(level, levels[i]!, limits));
    else if (levels[i]!.length > limits.minInlineTables)
      result.push(...editLevel(level, before, gone, come, limits));
    else result.push(...layOutLevel(level, levels[i]!, limits));
  }
  return result;
}

function layOutLevel(level: Level, sequence: TableSequence, limits: PageLimits): PageDraft[] {
  const tables = [...sequence];
  return fitsInline(tables, limits) ? [] : cut(level, tables, limits);
}

function fitsInline(tables: Tables, limits: PageLimits): boolean {
  return tables.length <= limits.maxInlineTables && lengthOf(tables) <= limits.maxPageBytes;
}

function lengthOf(tables: Tables): number {
  return tables.reduce((sum, table, i) => sum + lineLength(table, tables[i - 1]), 0);
}

/** A run of tables, in a page already or not. */
interface Group {
  readonly page: TablePage | undefined;
  tables: TableInfo[] | Tables;
}

function editLevel(
  level: Level,
  pages: readonly TablePage[],
  removed: Tables,
  added: Tables,
  limits: PageLimits,
): (TablePage | PageDraft)[] {
  const inOrder = level === 0 ? compareAge : compareSmallest;
  const gone = new Set(removed);
  const come = new Map<number, TableInfo[]>();
  const touched = new Set(removed.map((table) => pageFor(pages, table, inOrder)));
  for (const table of added) {
    const at = pageFor(pages, table, inOrder);
    touched.add(at);
    const list = come.get(at);
    if (list === undefined) come.set(at, [table]);
    else list.push(table);
  }
  const groups: Group[] = pages.map((page, i) => {
    if (!touched.has(i)) return { page, tables: page.tables };
    const tables = page.tables.filter((table) => !gone.has(table)).concat(come.get(i) ?? []);
    return { page: undefined, tables: tables.sort(inOrder) };
  });
  return join(groups, limits).flatMap(({ page, tables }) => page ?? cut(level, tables, limits));
}

/** The place of the page that `table` is in, or belongs into. */
function pageFor(
  pages: readonly TablePage[],
  table: TableInfo,
  inOrder: (a: TableInfo, b: TableInfo) => number,
): number {
  let low = 0;
  let high = pages.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (inOrder(pages[middle]!.tables[0]!, table) <= 0) low = middle + 1;
    else high = middle;
  }
  return Math.max(0, low - 1);
}

/** Without empty groups; small ones that must be written anyway are joined with a neighbour. */
function join(groups: readonly Group[], limits: PageLimits): Group[] {
  const joined: Group[] = [];
  for (const group of groups) {
    if (group.tables.length === 0) continue;
    const last = joined.at(-1);
    if (last !== undefined && (isSmallDraft(last, limits) || isSmallDraft(group, limits))) {
      joined.pop();
      joined.push({ page: undefined, tables: [...last.tables, ...group.tables] });
    } else joined.push(group);
  }
  return joined;
}

function isSmallDraft({ page, tables }: Group, { minPageTables, maxPageBytes }: PageLimits): boolean {
  return page === undefined && tables.length < minPageTables && lengthOf(tables) < maxPageBytes / 4;
}

/** Even pieces, each small enough for a page. */
function cut(level: Level, tables: Tables, limits: PageLimits): PageDraft[] {
  const { maxPageTables, maxPageBytes } = limits;
  const isSmall = tables.length <= maxPageTables && lengthOf(tables) <= maxPageBytes;
  if (isSmall || tables.length === 1) return [{ level, tables }];
  const pieces = Math.max(2, Math.ceil(tables.length / maxPageTables));
  const drafts: PageDraft[] = [];
  for (let i = 0; i < pieces; i++) {
    const start = Math.floor((i * tables.length) / pieces);
    const end = Math.floor(((i + 1) * tables.length) / pieces);
    drafts.push(...cut(level, tables.slice(start, end), limits));
  }
  return drafts;
}
