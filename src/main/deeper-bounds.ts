/**
 * Where older versions of keys may lie: the key ranges of the tables below what a job writes, for DeeperLevels.
 *
 *   a list per level, sorted and disjoint; in level 0, where tables overlap, one per table
 *
 * Invariants: every key in a table of `version`, in `range` and in a level from `first` on, lies in one of the ranges.
 * Thread:     main. Pure.
 */
import { LEVEL_COUNT, level as toLevel } from '../shared/ids.ts';
import type { KeyBounds } from '../shared/jobs.ts';
import type { InclusiveRange, Version } from '../shared/read/version.ts';
import type { TableMeta } from '../shared/version-edit.ts';

/** Of a level. With more tables than that, neighbours share a range: bounds are copied on the thread that serves reads. */
const MAX_BOUNDS = 1024;

export function deeperBounds(version: Version, first: number, range: InclusiveRange): KeyBounds[][] {
  const lists: KeyBounds[][] = [];
  for (let i = first; i < LEVEL_COUNT; i++) {
    const tables = version.overlapping(toLevel(i), range);
    if (i === 0) for (const table of tables) lists.push([boundsOf(table, table)]);
    else if (tables.length > 0) lists.push(boundsOfLevel(tables));
  }
  return lists;
}

function boundsOfLevel(tables: readonly TableMeta[]): KeyBounds[] {
  const shared = Math.ceil(tables.length / MAX_BOUNDS);
  const bounds: KeyBounds[] = [];
  for (let at = 0; at < tables.length; at += shared)
    bounds.push(boundsOf(tables[at]!, tables[Math.min(at + shared, tables.length) - 1]!));
  return bounds;
}

function boundsOf(first: TableMeta, last: TableMeta): KeyBounds {
  return { smallest: first.smallestKey, largest: last.largestKey };
}
