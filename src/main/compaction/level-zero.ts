/**
 * Plans what goes down from level 0, so that no step grows with what has piled up there, an ingestion least of all.
 *
 *   age        newest  F3 [a.....................z]
 *                      F2   [c...................y]
 *                      R  [a.b][d..e] ... [x...z]      an ingestion: many tables of one age, disjoint
 *              oldest  F0     [d.......p]
 *
 *   1. start at the table asked for, or at the oldest that must go before it: F0
 *   2. take along, from old to new, what overlaps it (transitively), as long as all stays within maxLevelZeroBytes(): F0 alone
 *   3. an ingestion whose time has come (R, once F0 is gone) is not merged: its tables move, in one edit, each to the deepest
 *      level that the order of age allows. What can't move, as L1 is in the way, is merged a few tables at a time
 *   4. ask again: F2 and F3
 *
 * Every step is an edit of its own; what is left is found again from the version alone, after a crash as well.
 *
 * Invariants: whatever of L0 is older than an input and shares a key range with it is an input, too. What stays is newer than all
 *             inputs that it overlaps, and stays above them: for each key, shallower is newer, and in L0 sequences still decide.
 *             Newer tables need not come along: they hold no version between those of the inputs.
 * Thread:     main. Pure.
 * Not chosen: all that overlaps, however much (LevelDB): after an ingestion one plan had all its tables, and writers waited for
 *             it. Cutting wide tables at key boundaries first: what they meet further down is small (compaction-score.ts), and
 *             each would be written once more.
 */

import { type Level, MAX_LEVEL, level as toLevel } from '../../shared/base/ids.ts';
import type { TableInfo } from '../../shared/base/version-edit.ts';
import { closure, hullOf, overlaps, totalBytes, type Version } from '../../shared/read/version.ts';
import { maxGrandparentBytes } from '../../shared/threads/output-count.ts';
import {
  type BusyTables,
  bottomLevel,
  type CompactionOptions,
  type CompactionPlan,
  type CompactionReason,
  isWrittenTo,
  planFor,
} from './compaction-plan.ts';

type Tables = readonly TableInfo[];

/** Tables that one edit moves, at most: less than a millisecond on main. */
const MAX_MOVED_TABLES = 256;

/** Where inputs of L0 are merged into. */
export type OutputLevel = (inputs: Tables) => Level;

/** A compaction takes so much from L0, at least one table: eight memtables where options say nothing else. */
export function maxLevelZeroBytes(options: CompactionOptions): number {
  return Math.max(options.maxCompactionBytes, 2 * options.levelBaseBytes);
}

/** A step that takes `table` of L0 down, or what must go before it; undefined when running plans stand in its way. */
export function planLevelZero(
  version: Version,
  table: TableInfo,
  outputLevel: OutputLevel,
  reason: CompactionReason,
  options: CompactionOptions,
  busy: BusyTables,
): CompactionPlan | undefined {
  if (busy.plans.some((plan) => plan.level === 0)) return undefined;
  const tables = version.levelZero;
  const limit = maxLevelZeroBytes(options);
  const below = closure(tables.slice(tables.indexOf(table)), rangeOf(table));
  const seed = totalBytes(below) > limit ? below.at(-1)! : table;
  const ingestion = tables.filter((other) => other.largestSequence === seed.largestSequence);
  if (ingestion.length > 1 && !isMergedWhole(tables, seed, ingestion.length, limit))
    return planIngestion(version, ingestion, outputLevel, reason, options, busy);
  const inputs = asManyAs(tables, seed, limit);
  return planFor(version, toLevel(0), outputLevel(inputs), inputs, reason, options, busy);
}

/**
 * Where each table of `ingestion`, newer than all that it overlaps outside of L0, may go from L0: see deepestFreeLevel(). Of a
 * small ingestion, one that spans much of the next level stays in L0: merged from there, it is cut on its way down, while its own
 * compaction would have to take all of that along. Tables of large ingestions are cut when they are built (ingest/ingestion.ts).
 */
export function placesOutOfLevelZero(
  version: Version,
  ingestion: Tables,
  options: CompactionOptions,
  busy: BusyTables,
): Level[] {
  const isSmall = totalBytes(ingestion) <= maxLevelZeroBytes(options);
  return ingestion.map((table) => {
    const level = deepestFreeLevel(version, table, busy);
    if (!isSmall || level === MAX_LEVEL) return level;
    const below = version.overlapping(toLevel(level + 1), rangeOf(table));
    return totalBytes(below) > maxGrandparentBytes(options.maxFileSizeBytes) ? toLevel(0) : level;
  });
}

/** The deepest level such that nothing in it or above, L0 excepted, shares keys with `table` or is about to. */
function deepestFreeLevel(version: Version, table: TableInfo, busy: BusyTables): Level {
  const range = rangeOf(table);
  const bottom = bottomLevel(version);
  let found = toLevel(0);
  for (let i = 1; i <= bottom; i++) {
    const level = toLevel(i);
    if (version.hasOverlap(level, range) || isWrittenTo(level, range, busy)) return found;
    found = level;
  }
  return found;
}

function rangeOf(table: TableInfo): { readonly start: Uint8Array; readonly end: Uint8Array } {
  return { start: table.smallestKey, end: table.largestKey };
}

/** A small ingestion is merged with all that hangs together with it, as if it had been flushed. */
function isMergedWhole(tables: Tables, seed: TableInfo, loadCount: number, limit: number): boolean {
  const whole = closure(tables, rangeOf(seed));
  const ofIngestion = whole.filter((table) => table.largestSequence === seed.largestSequence);
  return ofIngestion.length === loadCount && totalBytes(whole) <= limit;
}

/**
 * `seed` and what hangs together with it among the oldest tables, as many of them as the limit allows. Whatever is older
 * than one of them and overlaps it is among them, wherever the line is drawn between old and new.
 */
function asManyAs(tables: Tables, seed: TableInfo, limit: number): Tables {
  // From `low` on: too much, or not tried. From `high` on: within the limit, or the least there is.
  let high = tables.indexOf(seed);
  let inputs: Tables = closure(tables.slice(high), rangeOf(seed));
  for (let low = 0; low < high; ) {
    const middle = startOfAge(tables, (low + high) >>> 1);
    const wider = closure(tables.slice(middle), rangeOf(seed));
    if (totalBytes(wider) <= limit) {
      inputs = wider;
      high = middle;
    } else low = ((low + high) >>> 1) + 1;
  }
  return inputs;
}

/** Tables of one age come together or not at all. */
function startOfAge(tables: Tables, place: number): number {
  let start = place;
  while (start > 0 && tables[start - 1]!.largestSequence === tables[place]!.largestSequence) start--;
  return start;
}

function planIngestion(
  version: Version,
  ingestion: Tables,
  outputLevel: OutputLevel,
  reason: CompactionReason,
  options: CompactionOptions,
  busy: BusyTables,
): CompactionPlan | undefined {
  const tables = version.levelZero;
  const older = tables.slice(tables.indexOf(ingestion.at(-1)!) + 1);
  const free = ingestion.filter(
    (table) => !busy.numbers.has(table.number) && !older.some((other) => overlaps(other, rangeOf(table))),
  );
  const places = placesOutOfLevelZero(version, free, options, busy);
  const level = places.find((place) => place > 0);
  if (level !== undefined) {
    const inputs = free.filter((_, i) => places[i] === level).slice(0, MAX_MOVED_TABLES);
    return {
      kind: 'move',
      level: toLevel(0),
      outputLevel: level,
      inputs,
      overlapping: [],
      grandparents: [],
      reason,
    };
  }
  const inputs = someOf(version, free, outputLevel, options);
  if (inputs.length === 0) return undefined;
  return planFor(version, toLevel(0), outputLevel(inputs), inputs, reason, options, busy);
}

/** The first of `ingestion` that, with what they meet, stay within maxCompactionBytes; at least one. */
function someOf(
  version: Version,
  ingestion: Tables,
  outputLevel: OutputLevel,
  options: CompactionOptions,
): Tables {
  let count = Math.min(1, ingestion.length);
  for (; count < ingestion.length; count++) {
    const wider = ingestion.slice(0, count + 1);
    const met = version.overlapping(outputLevel(wider), hullOf(wider)!);
    if (totalBytes(wider) + totalBytes(met) > options.maxCompactionBytes) break;
  }
  return ingestion.slice(0, count);
}
