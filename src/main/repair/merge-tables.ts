/**
 * Makes one level of tables whose places are not known: without a manifest, nothing says which level a table was on, nor
 * which of two tables is the newer where compaction has zeroed sequence numbers.
 *
 *   1. tables that share no key with any other stay as they are
 *   2. the others are merged, in groups that overlap. Of each key the version with the highest sequence number stays, with
 *      that number, tombstones as well. So a version numbered zero loses against every other, as it should: it was the
 *      oldest of its key when it was numbered
 *   3. of two versions numbered zero, the table with the higher file number has the later: only merges number zero, and
 *      the later of two merges over a key was given its number after it had read the output of the earlier
 *
 * Invariants: every key keeps its newest version that is known. Nothing is dropped but what a newer version of the same key
 *             hides. The result is disjoint: fit for any level but 0.
 * Thread:     main; workers merge. One file is open per table that overlaps at one place.
 * Not chosen: putting all tables into level 0 and leaving the rest to compaction. Level 0 is searched by sequence numbers,
 *             which say nothing where they are zero; and thousands of tables there would stop writers for hours.
 */
import { compareKeys } from '../../shared/base/bytes.ts';
import { level, MAX_LEVEL } from '../../shared/base/ids.ts';
import type { TableInfo } from '../../shared/base/version-edit.ts';
import { hullOf, overlaps } from '../../shared/read/version.ts';
import { maxOutputCount } from '../../shared/threads/output-count.ts';
import type { Workshop } from './workshop.ts';

export interface MergedTables {
  /** Sorted and disjoint. */
  readonly tables: readonly TableInfo[];
  /** What was merged into others. */
  readonly merged: readonly TableInfo[];
}

export async function mergeTables(shop: Workshop, tables: readonly TableInfo[]): Promise<MergedTables> {
  const result: TableInfo[] = [];
  const merged: TableInfo[] = [];
  for (const group of overlappingGroups(tables)) {
    if (group.length === 1) result.push(group[0]!);
    else {
      merged.push(...group);
      if (!shop.isDryRun) result.push(...(await mergeGroup(shop, group)));
    }
  }
  return { tables: result, merged };
}

/** The tables in groups that overlap no other group, in key order. */
export function overlappingGroups(tables: readonly TableInfo[]): TableInfo[][] {
  const sorted = [...tables].sort((a, b) => compareKeys(a.smallestKey, b.smallestKey));
  const groups: TableInfo[][] = [];
  let end: Uint8Array | undefined;
  for (const table of sorted) {
    if (end !== undefined && compareKeys(table.smallestKey, end) <= 0) groups.at(-1)!.push(table);
    else groups.push([table]);
    if (end === undefined || compareKeys(table.largestKey, end) > 0) end = table.largestKey;
  }
  return groups;
}

/**
 * Lists of disjoint tables. Where two overlap, the one with the higher file number is in an earlier list, which is the one
 * that a merge prefers among equal sequence numbers.
 */
export function sortedRuns(group: readonly TableInfo[]): TableInfo[][] {
  const runs: TableInfo[][] = [];
  for (const table of [...group].sort((a, b) => b.number - a.number)) {
    const range = { start: table.smallestKey, end: table.largestKey };
    const last = runs.findLastIndex((run) => run.some((other) => overlaps(other, range)));
    if (last + 1 === runs.length) runs.push([]);
    runs[last + 1]!.push(table);
  }
  for (const run of runs) run.sort((a, b) => compareKeys(a.smallestKey, b.smallestKey));
  return runs;
}

async function mergeGroup(shop: Workshop, group: readonly TableInfo[]): Promise<readonly TableInfo[]> {
  const { maxFileSizeBytes, table } = shop.options;
  const estimate = {
    rawBytes: group.reduce((sum, { rawBytes }) => sum + rawBytes, 0),
    entryCount: group.reduce((sum, { entryCount }) => sum + entryCount, 0),
    grandparentBytes: 0,
  };
  const outputCount = maxOutputCount(estimate, maxFileSizeBytes, table);
  const hull = hullOf(group)!;
  const { outputs } = await shop.run<'compact'>((context) => ({
    ...context,
    kind: 'compact',
    inputs: sortedRuns(group),
    outputLevel: level(MAX_LEVEL),
    range: {},
    outputs: shop.outputNumbers(outputCount),
    maxFileSizeBytes,
    table,
    snapshots: [],
    snapshotTimes: [],
    // What has expired is left to the store, whose time is not known here.
    nowMs: 0,
    // As if more lay below: nobody is to take tombstones and sequence numbers away while a repair may yet be repeated.
    deeper: [[{ smallest: hull.start, largest: hull.end }]],
    grandparents: [],
  }));
  return outputs;
}
