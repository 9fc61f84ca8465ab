/**
 * Where older versions of keys may lie: the key ranges of the tables below what a job writes, for DeeperLevels.
 *
 *   a list per level, sorted and disjoint; in level 0, where tables overlap, one per table
 *
 * Invariants: every key in a table of `version`, in `range` and in a level from `first` on, lies in one of the ranges.
 * Thread:     main. Pure.
 */
import { LEVEL_COUNT, type Level, level as toLevel } from '../../shared/base/ids.ts';
import type { TableInfo } from '../../shared/base/version-edit.ts';
import type { InclusiveRange, Version } from '../../shared/read/version.ts';
import type { KeyBounds } from '../../shared/threads/jobs.ts';

/** Of a level. With more tables than that, neighbours share a range: bounds are copied on the thread that serves reads. */
const MAX_BOUNDS = 1024;

export function deeperBounds(version: Version, first: number, range: InclusiveRange): KeyBounds[][] {
  const lists: KeyBounds[][] = [];
  for (let i = first; i < LEVEL_COUNT; i++) {
    const level = toLevel(i);
    if (level === 0)
      for (const table of version.overlapping(level, range)) lists.push([boundsOf(table, table)]);
    else {
      const bounds = boundsOfLevel(version, level, range);
      if (bounds.length > 0) lists.push(bounds);
    }
  }
  return lists;
}

function boundsOfLevel(version: Version, level: Level, range: InclusiveRange): KeyBounds[] {
  const tables = version.lists[level]!;
  const { start, end } = version.placesOf(level, range);
  const shared = Math.ceil((end - start) / MAX_BOUNDS);
  const bounds: KeyBounds[] = [];
  for (let at = start; at < end; at += shared)
    bounds.push(boundsOf(tables.at(at)!, tables.at(Math.min(at + shared, end) - 1)!));
  return bounds;
}

function boundsOf(first: TableInfo, last: TableInfo): KeyBounds {
  return { smallest: first.smallestKey, largest: last.largestKey };
}
