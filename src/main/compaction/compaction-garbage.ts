/**
 * Picks what is worth rewriting for the garbage in it: tombstones with what they hide, versions kept for snapshots that have been
 * closed, and what has expired.
 *
 *   table                              plan                       is due
 *   mostly tombstones                  goes down, or in place     always: scans step over each of them
 *   nothing below its keys             in place                   a quarter of what is rewritten would go; at rest a sixteenth
 *   something below                    -> the next level with it  likewise, judged by what tombstones hide there on average
 *   in L0                              -> the base level          likewise, but at rest only: a busy L0 goes down soon enough.
 *                                                                 Where most has expired: always
 *   small, and all that will expire has   as above                at rest, if that rewrites little: once in the table's life
 *
 * So an idle store holds at most a sixteenth of such garbage, and a byte of it costs sixteen of rewriting at most. What a table
 * holds for an open snapshot that is older than its newest entry is left until that is closed.
 *
 * Of thousands of tables few have garbage worth a look: chunks of a level in which none has (chunk-sums.ts) are passed over.
 *
 * Invariants: a plan leaves less than before: what is rewritten in place has nothing left to shed, all else goes deeper. So a
 *             store at rest comes to rest.
 * Thread:     main. Pure.
 * Not chosen: marking every bottom table with an old sequence (RocksDB's bottommost files): a large table would be rewritten for
 *             one entry.
 */
import { LEVEL_COUNT, type Level, level as toLevel } from '../../shared/base/ids.ts';
import type { TableInfo } from '../../shared/base/version-edit.ts';
import { totalBytes, type Version } from '../../shared/read/version.ts';
import { averageEntryBytesOf, sumsOf } from './chunk-sums.ts';
import {
  type BusyTables,
  type CompactionOptions,
  type CompactionPlan,
  type CompactionReason,
  canShedTombstones,
  isBottom,
  isDense,
  isTombstoneDense,
  nextLevelWithData,
  planFor,
} from './compaction-plan.ts';
import { isAboutToShedMore, isDue, isSpent, sheddableCount } from './expired-entries.ts';
import { planLevelZero } from './level-zero.ts';

/** Of what a plan rewrites, so much must be garbage while the store is in use. */
const BUSY_SHARE: number = 1 / 4;
/** ... and while it is not. */
const REST_SHARE: number = 1 / 16;
/** What may be rewritten at rest for a little that has expired. */
const LITTLE_BYTES: number = 4 * 1024 * 1024;
/** Planning costs microseconds: of thousands of tables only those with the most garbage are looked at closely. */
const MAX_TRIED = 32;
/** What tombstones hide may be so much larger than entries are on average, for a table to be looked at closely. */
const SLACK = 4;

interface Candidate {
  readonly level: Level;
  readonly table: TableInfo;
  readonly garbageBytes: number;
}

export function pickGarbage(
  version: Version,
  options: CompactionOptions,
  busy: BusyTables,
  baseLevel: Level,
): CompactionPlan | undefined {
  return (
    pickTombstones(version, options, busy, baseLevel) ??
    (options.isAtRest === true ? pickRanges(version, options, busy, baseLevel) : undefined) ??
    pickByShare(version, options, busy, baseLevel, options.isAtRest === true ? REST_SHARE : BUSY_SHARE)
  );
}

/** Scans over a queue step over every tombstone at its head: such tables are worth a compaction of their own. */
function pickTombstones(
  version: Version,
  options: CompactionOptions,
  busy: BusyTables,
  baseLevel: Level,
): CompactionPlan | undefined {
  for (let i = 0; i < LEVEL_COUNT; i++) {
    for (const table of tombstoneDense(version, i)) {
      if (busy.numbers.has(table.number)) continue;
      const plan =
        i === 0
          ? planLevelZero(version, table, () => baseLevel, 'tombstones', options, busy)
          : planTombstones(version, toLevel(i), table, options, busy);
      if (plan !== undefined) return plan;
    }
  }
  return undefined;
}

/** Tables of the level that are mostly tombstones. */
function* tombstoneDense(version: Version, level: number): Iterable<TableInfo> {
  for (const chunk of version.lists[level]!.chunks) {
    const { tombstones, tombstoneShare } = sumsOf(chunk).most;
    if (!isDense(tombstones, tombstoneShare)) continue;
    for (const table of chunk.tables) if (isTombstoneDense(table)) yield table;
  }
}

function planTombstones(
  version: Version,
  level: Level,
  table: TableInfo,
  options: CompactionOptions,
  busy: BusyTables,
): CompactionPlan | undefined {
  if (!isBottom(version, level, table)) {
    return planFor(version, level, toLevel(level + 1), [table], 'tombstones', options, busy);
  }
  return canShedTombstones(table, options)
    ? planFor(version, level, level, [table], 'tombstones', options, busy)
    : undefined;
}

/**
 * Deleted ranges go down until nothing lies below that they could hide, and then away: all reads ask them meanwhile. What they
 * hide wholly has left before (covered-tables.ts), so what is merged with them are the tables at their edges; ranges that are
 * scattered over much that stays are not worth it.
 */
function pickRanges(
  version: Version,
  options: CompactionOptions,
  busy: BusyTables,
  baseLevel: Level,
): CompactionPlan | undefined {
  if (version.rangeTables === 0) return undefined;
  for (let i = 0; i < LEVEL_COUNT; i++) {
    for (const { tables, rangeTables } of version.lists[i]!.chunks) {
      if (rangeTables === 0) continue;
      for (const table of tables) {
        if (table.rangeDeletes === undefined || busy.numbers.has(table.number)) continue;
        if (!canShedTombstones(table, options)) continue;
        const plan = planRanges(version, toLevel(i), table, options, busy, baseLevel);
        if (plan !== undefined) return plan;
      }
    }
  }
  return undefined;
}

function planRanges(
  version: Version,
  level: Level,
  table: TableInfo,
  options: CompactionOptions,
  busy: BusyTables,
  baseLevel: Level,
): CompactionPlan | undefined {
  const isOnItsOwn = isBottom(version, level, table);
  const plan = planTable(version, level, table, 'deleted-range', options, busy, { baseLevel, isOnItsOwn });
  if (plan === undefined || level === 0 || isOnItsOwn) return plan;
  const { overlapping } = plan;
  const edges = Math.min(overlapping.length, 2 * (table.rangeDeletes ?? 0));
  const hiddenBytes = (edges * totalBytes(overlapping)) / (2 * Math.max(1, overlapping.length));
  return hiddenBytes >= REST_SHARE * rewrittenBytes(plan) ? plan : undefined;
}

function pickByShare(
  version: Version,
  options: CompactionOptions,
  busy: BusyTables,
  baseLevel: Level,
  share: number,
): CompactionPlan | undefined {
  for (const { level, table } of candidates(version, options, busy, share)) {
    const plan = planGarbage(version, level, table, options, busy, baseLevel);
    if (plan !== undefined && isWorth(plan, table, options, share)) return plan;
  }
  return undefined;
}

function isWorth(plan: CompactionPlan, table: TableInfo, options: CompactionOptions, share: number): boolean {
  const rewritten = rewrittenBytes(plan);
  if (gainOf(plan, options) >= share * rewritten) return true;
  return options.isAtRest === true && isSpent(table, options.readPoints) && rewritten <= LITTLE_BYTES;
}

/** What may be worth it, going by the table alone; the most garbage first, and no more than are tried. */
function candidates(
  version: Version,
  options: CompactionOptions,
  busy: BusyTables,
  share: number,
): readonly Candidate[] {
  const found: Candidate[] = [];
  const entryBytes = averageEntryBytesOf(version);
  const { isAtRest, readPoints } = options;
  for (let i = 0; i < LEVEL_COUNT; i++) {
    const isBusyLevelZero = i === 0 && isAtRest !== true;
    for (const chunk of version.lists[i]!.chunks) {
      const { garbageShare, tombstonesPerByte } = sumsOf(chunk).most;
      // What a table is measured by below, per byte of it: no table of the chunk has more. Rounding may differ by a little.
      const isGarbageDue = SLACK * (garbageShare + tombstonesPerByte * entryBytes) >= 0.99 * share;
      const isExpiryDue = readPoints !== undefined && isDue(chunk, readPoints.nowMs);
      if (!isExpiryDue && (!isGarbageDue || isBusyLevelZero)) continue;
      for (const table of chunk.tables) {
        if (busy.numbers.has(table.number)) continue;
        if (isBusyLevelZero && !isMostlyExpired(table, options)) continue;
        if (isAboutToShedMore(table, readPoints)) continue;
        const hidden = canShedTombstones(table, options) ? table.tombstoneCount * entryBytes : 0;
        const garbageBytes = ownGarbageBytes(table, options) + hidden;
        if (garbageBytes === 0) continue;
        if (SLACK * garbageBytes < share * table.sizeBytes && !isSpent(table, readPoints)) continue;
        insert(found, { level: toLevel(i), table, garbageBytes });
      }
    }
  }
  return found;
}

/** Into `found`, which keeps the MAX_TRIED with the most garbage, in that order; of equals the first stays first. */
function insert(found: Candidate[], candidate: Candidate): void {
  let place = found.length;
  while (place > 0 && found[place - 1]!.garbageBytes < candidate.garbageBytes) place--;
  if (place === MAX_TRIED) return;
  found.splice(place, 0, candidate);
  if (found.length > MAX_TRIED) found.pop();
}

function planGarbage(
  version: Version,
  level: Level,
  table: TableInfo,
  options: CompactionOptions,
  busy: BusyTables,
  baseLevel: Level,
): CompactionPlan | undefined {
  const expired = sheddableCount(table, options.readPoints);
  const reason = reasonFor(table, expired);
  const isOnItsOwn = table.tombstoneCount + expired === 0 || isBottom(version, level, table);
  return planTable(version, level, table, reason, options, busy, { baseLevel, isOnItsOwn });
}

/** Written again by itself where it lies, or taken down to the next level that has something of its keys. */
function planTable(
  version: Version,
  level: Level,
  table: TableInfo,
  reason: CompactionReason,
  options: CompactionOptions,
  busy: BusyTables,
  { baseLevel, isOnItsOwn }: { readonly baseLevel: Level; readonly isOnItsOwn: boolean },
): CompactionPlan | undefined {
  if (level === 0) return planLevelZero(version, table, () => baseLevel, reason, options, busy);
  if (isOnItsOwn) return planFor(version, level, level, [table], reason, options, busy);
  const range = { start: table.smallestKey, end: table.largestKey };
  const output = nextLevelWithData(version, level, range, toLevel(LEVEL_COUNT - 1), busy);
  return planFor(version, level, output, [table], reason, options, busy);
}

/** Bytes that a plan would rid the store of, about. */
function gainOf(plan: CompactionPlan, options: CompactionOptions): number {
  if (plan.level === plan.outputLevel)
    return plan.inputs.reduce((sum, table) => sum + ownGarbageBytes(table, options), 0);
  const entryBytes = averageEntryBytes([...plan.inputs, ...plan.overlapping]);
  const dead = plan.inputs.reduce((sum, table) => sum + deadCount(table, options), 0);
  const expiredBelow = plan.overlapping.reduce(
    (sum, table) => sum + sheddableCount(table, options.readPoints),
    0,
  );
  return (dead + expiredBelow) * entryBytes;
}

function rewrittenBytes(plan: CompactionPlan): number {
  return plan.kind === 'merge' ? totalBytes(plan.inputs) + totalBytes(plan.overlapping) : 0;
}

/** Its share of tombstones, shadowed versions, and what has expired. */
function ownGarbageBytes(table: TableInfo, options: CompactionOptions): number {
  return (deadCount(table, options) / Math.max(1, table.entryCount)) * table.sizeBytes;
}

/** How many of its entries a rewrite would rid it of, if nothing lay below. */
function deadCount(table: TableInfo, options: CompactionOptions): number {
  const dead = canShedTombstones(table, options) ? table.tombstoneCount + table.shadowedCount : 0;
  return Math.min(table.entryCount, dead + sheddableCount(table, options.readPoints));
}

function isMostlyExpired(table: TableInfo, { readPoints }: CompactionOptions): boolean {
  const expired = sheddableCount(table, readPoints);
  return isDense(expired, expired / Math.max(1, table.entryCount));
}

function reasonFor({ tombstoneCount, shadowedCount }: TableInfo, expired: number): CompactionReason {
  if (expired > tombstoneCount && expired > shadowedCount) return 'expired';
  return shadowedCount > tombstoneCount ? 'shadowed' : 'tombstones';
}

function averageEntryBytes(tables: readonly TableInfo[]): number {
  const entries = tables.reduce((sum, { entryCount }) => sum + entryCount, 0);
  return entries === 0 ? 0 : totalBytes(tables) / entries;
}
