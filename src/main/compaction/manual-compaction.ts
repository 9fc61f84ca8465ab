/**
 * The steps of compact(): everything in a key range goes down to the bottom level, and its tombstones and shadowed
 * versions are gone afterwards.
 *
 *   loop:  step = planManualCompaction(version, range, options, busy)
 *          'ready'    carry out step.plan; ask again (at once for a plan that can run beside it)
 *          'blocked'  wait until a running compaction ends; ask again
 *          'done'
 *
 *   1. L0 tables in the range, oldest first, and what overlaps them (level-zero.ts)  -> the next level that holds any of their
 *      keys
 *   2. from the shallowest level, as many tables at once as maxCompactionBytes allows -> likewise
 *   3. tables of the bottom level that still hold tombstones or shadowed versions that no snapshot needs any more
 *      -> rewritten in place
 *
 * Each step leaves less to do, so the loop ends; what is written after compact() was called is left out
 * (`upToSequence`), or a busy writer would keep it going for ever.
 *
 * Thread: main. Pure.
 * Not chosen: rewriting the whole bottom level: the meta data of a table says whether that would change it.
 */
import { type Level, type SequenceNumber, level as toLevel } from '../../shared/base/ids.ts';
import type { KeyRange } from '../../shared/base/iterator.ts';
import type { TableInfo } from '../../shared/base/version-edit.ts';
import type { TableList } from '../../shared/read/table-list.ts';
import { hullOf, type InclusiveRange, totalBytes, type Version } from '../../shared/read/version.ts';
import {
  type BusyTables,
  bottomLevel,
  type CompactionOptions,
  type CompactionPlan,
  canShedTombstones,
  nextLevelWithData,
  planFor,
} from './compaction-plan.ts';
import { sheddableCount } from './expired-entries.ts';
import { type OutputLevel, planLevelZero } from './level-zero.ts';

/**
 * `range` as tables know theirs. Where the last key before its end has no name, the end itself is taken for it: one key more, of
 * tables that are taken whole.
 */
export function inclusiveRange({ start, end }: KeyRange): InclusiveRange {
  return { start, end: end?.at(-1) === 0 ? end.subarray(0, -1) : end };
}

export type ManualStep =
  | { readonly status: 'ready'; readonly plan: CompactionPlan }
  | { readonly status: 'blocked' | 'done' };

/** The next step of compacting `range`. Tables with nothing at or below `upToSequence` are left alone. */
export function planManualCompaction(
  version: Version,
  range: InclusiveRange,
  options: CompactionOptions,
  busy: BusyTables,
  upToSequence: SequenceNumber = Number.MAX_SAFE_INTEGER as SequenceNumber,
): ManualStep {
  const bottom = bottomLevel(version);
  let isBlocked = false;
  for (let i = 0; i <= bottom; i++) {
    const level = toLevel(i);
    const tables = version
      .overlapping(level, range)
      .filter((table) => table.smallestSequence <= upToSequence)
      .filter((table) => level < bottom || canShed(table, options));
    if (tables.length === 0) continue;
    const plan = pickRange(version, level, bottom, tables, options, busy);
    if (plan !== undefined) return { status: 'ready', plan };
    isBlocked = true;
  }
  return { status: isBlocked ? 'blocked' : 'done' };
}

function canShed(table: TableInfo, options: CompactionOptions): boolean {
  if (sheddableCount(table, options.readPoints) > 0) return true;
  const garbage = table.tombstoneCount + table.shadowedCount + (table.rangeDeletes ?? 0);
  return garbage > 0 && canShedTombstones(table, options);
}

/** The first plan that takes some of `tables`, all of `level`, further down, or rewrites them in the bottom level. */
function pickRange(
  version: Version,
  level: Level,
  bottom: Level,
  tables: readonly TableInfo[],
  options: CompactionOptions,
  busy: BusyTables,
): CompactionPlan | undefined {
  if (level === 0) {
    const next: OutputLevel = (inputs) => nextLevelWithData(version, level, hullOf(inputs)!, bottom, busy);
    return planLevelZero(version, tables.at(-1)!, next, 'manual', options, busy);
  }
  for (let first = 0; first < tables.length; ) {
    const inputs = runFrom(version, level, bottom, tables, first, options, busy);
    if (inputs.length > 0) {
      const output =
        level === bottom ? level : nextLevelWithData(version, level, hullOf(inputs)!, bottom, busy);
      const plan = planFor(version, level, output, inputs, 'manual', options, busy);
      if (plan !== undefined) return plan;
    }
    first += Math.max(inputs.length, 1);
  }
  return undefined;
}

/** Tables from `first` on that are free and, with what they overlap, stay within maxCompactionBytes; at least one. */
function runFrom(
  version: Version,
  level: Level,
  bottom: Level,
  tables: readonly TableInfo[],
  first: number,
  options: CompactionOptions,
  busy: BusyTables,
): TableInfo[] {
  const run: TableInfo[] = [];
  for (const table of tables.slice(first)) {
    if (busy.numbers.has(table.number)) break;
    // What is rewritten in place must leave out nothing between: an output could span the gap and overlap that table.
    if (level === bottom && run.length > 0 && !areNeighbours(version.lists[level]!, run.at(-1)!, table))
      break;
    const wider = [...run, table];
    if (run.length > 0 && costOf(version, level, bottom, wider, busy) > options.maxCompactionBytes) break;
    run.push(table);
  }
  return run;
}

function areNeighbours(tables: TableList, left: TableInfo, right: TableInfo): boolean {
  return tables.at(tables.firstReaching(left.largestKey) + 1) === right;
}

function costOf(
  version: Version,
  level: Level,
  bottom: Level,
  inputs: readonly TableInfo[],
  busy: BusyTables,
): number {
  if (level === bottom) return totalBytes(inputs);
  const hull = hullOf(inputs)!;
  const output = nextLevelWithData(version, level, hull, bottom, busy);
  return totalBytes(inputs) + totalBytes(version.overlapping(output, hull));
}
