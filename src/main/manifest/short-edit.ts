/**
 * Shortens the bounds of tables that enter a version (table-bounds.ts): here it is known what their neighbours are.
 *
 *   level      [a .... c]            [m .... p]         tables that stay
 *   added                 [eee...h]                     bounds may widen into the gap, up to its neighbours
 *   reserved                  |  [i .. k]               and not into what a running compaction reads and writes
 *
 * Outputs of a compaction stay within the hull of what it replaces: that is reserved for it. In L0, where tables overlap, only
 * those of one ingestion are kept apart.
 *
 * Thread: main. Pure.
 */
import { compareKeys } from '../../shared/base/bytes.ts';
import { SHORT_BOUND_BYTES, shortenLargest, shortenSmallest } from '../../shared/base/table-bounds.ts';
import type { LeveledTable, TableInfo, VersionEdit } from '../../shared/base/version-edit.ts';
import { TableList } from '../../shared/read/table-list.ts';
import { hullOf, type InclusiveRange, type Version } from '../../shared/read/version.ts';

type Tables = readonly TableInfo[];

/** The edit with shortened bounds; the same one where no key is long. `reserved`: key ranges of running compactions. */
export function shortenEdit(
  version: Version,
  edit: VersionEdit,
  reserved: readonly InclusiveRange[],
): VersionEdit {
  if (!edit.added.some(({ table }) => isLong(table))) return edit;
  const removed = version.removedBy(edit).map(({ table }) => table);
  const removedNumbers = new Set(removed.map((table) => table.number));
  const entering = new Set(
    edit.added.map(({ table }) => table).filter(({ number }) => !removedNumbers.has(number)),
  );
  const short = new Map<TableInfo, TableInfo>();
  const after = version.apply(edit);
  for (const level of new Set(edit.added.map((one) => one.level)))
    shortenLevel(level, after.lists[level]!, entering, { reserved, hull: hullOf(removed) }, short);
  const added = edit.added.map(
    ({ level, table }): LeveledTable => ({ level, table: short.get(table) ?? table }),
  );
  return { ...edit, added };
}

/** A whole level, as repair makes one. */
export function shortenTables(level: number, tables: Tables): TableInfo[] {
  const short = new Map<TableInfo, TableInfo>();
  if (tables.some(isLong))
    shortenLevel(level, TableList.from(tables), new Set(tables), { reserved: [], hull: undefined }, short);
  return tables.map((table) => short.get(table) ?? table);
}

function isLong({ smallestKey, largestKey }: TableInfo): boolean {
  return smallestKey.length > SHORT_BOUND_BYTES || largestKey.length > SHORT_BOUND_BYTES;
}

interface Limits {
  readonly reserved: readonly InclusiveRange[];
  /** Of what the edit removes. */
  readonly hull: { readonly start: Uint8Array; readonly end: Uint8Array } | undefined;
}

function shortenLevel(
  level: number,
  tables: TableList,
  entering: ReadonlySet<TableInfo>,
  limits: Limits,
  short: Map<TableInfo, TableInfo>,
): void {
  const numbers = new Set(Array.from(entering, ({ number }) => number));
  tables.find(numbers, (table, place) => {
    if (!isLong(table)) return;
    const [left, right] = [tables.at(place - 1), tables.at(place + 1)];
    const before = neighbour(level, left, table) ? left : undefined;
    const after = neighbour(level, table, right) ? right : undefined;
    const floor = before && (short.get(before) ?? before).largestKey;
    short.set(table, shortened(table, floor, after?.smallestKey, limits));
  });
}

function neighbour(level: number, before: TableInfo | undefined, after: TableInfo | undefined): boolean {
  if (before === undefined || after === undefined) return false;
  if (level > 0) return true;
  return (
    before.largestSequence === after.largestSequence && compareKeys(before.largestKey, after.smallestKey) < 0
  );
}

function shortened(
  table: TableInfo,
  floor: Uint8Array | undefined,
  ceiling: Uint8Array | undefined,
  { reserved, hull }: Limits,
): TableInfo {
  let [before, after] = [floor, ceiling];
  for (const { start, end } of reserved) {
    if (end !== undefined && compareKeys(end, table.smallestKey) < 0)
      before = before === undefined || compareKeys(end, before) > 0 ? end : before;
    if (start !== undefined && compareKeys(table.largestKey, start) < 0)
      after = after === undefined || compareKeys(start, after) < 0 ? start : after;
  }
  let smallestKey = shortenSmallest(table.smallestKey, before);
  let largestKey = shortenLargest(table.largestKey, after);
  if (
    hull !== undefined &&
    compareKeys(hull.start, table.smallestKey) <= 0 &&
    compareKeys(smallestKey, hull.start) < 0
  )
    smallestKey = hull.start;
  if (
    hull !== undefined &&
    compareKeys(table.largestKey, hull.end) <= 0 &&
    compareKeys(hull.end, largestKey) < 0
  )
    largestKey = hull.end;
  return { ...table, smallestKey, largestKey };
}
