/**
 * The tables of a version as sorted runs: the table or the ingestion of each step in L0, then the levels. A scan merges runs;
 * what it reads ahead it counts by run.
 */
import { compareKeys } from '../base/bytes.ts';
import type { KeyRange } from '../base/iterator.ts';
import type { TableInfo } from '../base/version-edit.ts';
import type { TableList } from './table-list.ts';
import type { Version } from './version.ts';

/** The tables of a version as sorted runs, newest first, as scans count them (scan-sources.ts). */
export function runsOf(version: Version): readonly TableRun[] {
  return [...version.levelZeroRuns, ...version.lists.slice(1)];
}

/** Sorted and disjoint tables. */
export type TableRun = readonly TableInfo[] | TableList;

/** Whether keys of these tables, which are sorted, may lie in the range. */
export function meets(metas: TableRun, { start, end }: KeyRange): boolean {
  return (
    metas.length > 0 &&
    (start === undefined || compareKeys(start, metas.at(metas.length - 1)!.largestKey) <= 0) &&
    (end === undefined || compareKeys(metas.at(0)!.smallestKey, end) < 0)
  );
}
