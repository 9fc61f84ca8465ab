/**
 * What a compaction is, before anyone carries it out, and when several may run at once.
 *
 *   level            inputs       [b....f]  [h....k]         the tables that go down
 *   outputLevel      overlapping    [d..e]    [i......m]     every table there that shares keys with their hull b..k
 *   outputLevel + 1  grandparents [a......................p] what the outputs will have to be merged with next
 *
 * 'merge': a job rewrites inputs and overlapping as new tables of outputLevel.
 * 'move':  one input that overlaps nothing, or several of an ingestion (level-zero.ts), change their level in the manifest,
 *          without being read; not a flush's that is much larger than tables should be: that is cut by a merge.
 * 'drop':  inputs that deleted ranges hide wholly (covered-tables.ts) leave the store, without being read.
 *
 * Plans may run at once when they share no table and, if they write to one level, their hulls are disjoint: two new
 * tables must never overlap there, even in a gap where no table was before; what moves keeps its bounds, and may go on both sides
 * of what another plan writes. Only one plan at a time takes from L0.
 *
 * Invariants: `overlapping` is complete, or deleted keys would come back. No level strictly between `level` and
 *             `outputLevel` holds a key of the hull, or old data would end up above new.
 * Thread:     main. Pure.
 */

import { compareKeys } from '../../shared/base/bytes.ts';
import {
  type FileNumber,
  type Level,
  MAX_LEVEL,
  type SequenceNumber,
  level as toLevel,
} from '../../shared/base/ids.ts';
import type { TableInfo } from '../../shared/base/version-edit.ts';
import { hullOf, totalBytes, type Version } from '../../shared/read/version.ts';
import { maxGrandparentBytes } from '../../shared/threads/output-count.ts';
import type { Clock } from '../../shared/threads/shared-clock.ts';
import type { ResolvedOptions } from '../store/options.ts';
import type { ReadPoints, SnapshotList } from '../store/snapshot.ts';

export type CompactionReason =
  | 'l0-count'
  | 'level-size'
  | 'tombstones'
  | 'shadowed'
  | 'expired'
  | 'deleted-range'
  | 'manual';

export interface CompactionPlan {
  readonly kind: 'move' | 'merge' | 'drop';
  readonly level: Level;
  /** Deeper than `level`; equal to it when a bottom table is rewritten to shed its tombstones, and when tables are dropped. */
  readonly outputLevel: Level;
  /** Tables of `level`, in the level's order (L0: newest first). */
  readonly inputs: readonly TableInfo[];
  /** Tables of `outputLevel`, sorted. */
  readonly overlapping: readonly TableInfo[];
  /** Tables of the level below `outputLevel`, sorted. */
  readonly grandparents: readonly TableInfo[];
  readonly reason: CompactionReason;
}

export interface CompactionOptions {
  /** Runs in L0 from which on a compaction is due. LevelDB: 4. */
  readonly l0CompactionTrigger: number;
  /** Target size of the shallowest level in use. */
  readonly levelBaseBytes: number;
  /** How many times larger each level is than the one above. LevelDB: 10. */
  readonly levelMultiplier: number;
  readonly maxFileSizeBytes: number;
  /** Inputs are not added voluntarily beyond this sum. */
  readonly maxCompactionBytes: number;
  /** The oldest open snapshot, if any: tombstones above it can't be dropped yet. */
  readonly oldestSnapshot?: SequenceNumber | undefined;
  /** Who reads, and by what time: what has expired by then can be dropped. Missing: nothing has. */
  readonly readPoints?: ReadPoints | undefined;
  /** Nobody has written for a while: garbage is worth more than work. */
  readonly isAtRest?: boolean | undefined;
}

/** What the shape of a store depends on. */
export interface ShapedStore {
  readonly options: Pick<ResolvedOptions, 'writeBufferBytes' | 'maxFileSizeBytes'>;
  readonly snapshots: Pick<SnapshotList, 'readPoints'>;
  readonly clock: Clock;
}

/** Runs in L0 from which on a compaction is due (LevelDB: 4). */
const L0_COMPACTION_TRIGGER = 4;
/** Compactions read at most about this many tables' worth, so that one ends within seconds. */
const COMPACTION_TABLES = 10;

/** How levels are shaped. Everything scales with the write buffer, so that a small store behaves like a large one. */
export function compactionOptions(store: ShapedStore): CompactionOptions {
  const { writeBufferBytes, maxFileSizeBytes } = store.options;
  const readPoints = store.snapshots.readPoints(store.clock);
  return {
    l0CompactionTrigger: L0_COMPACTION_TRIGGER,
    levelBaseBytes: L0_COMPACTION_TRIGGER * writeBufferBytes,
    levelMultiplier: 10,
    maxFileSizeBytes,
    maxCompactionBytes: COMPACTION_TABLES * maxFileSizeBytes,
    oldestSnapshot: readPoints.snapshots[0],
    readPoints,
  };
}

/** The bottom: the deepest level in use; of a store that has only L0 tables, or none, the deepest there is. */
export function bottomLevel(version: Version): Level {
  return version.deepestLevel || MAX_LEVEL;
}

/** What running plans have taken. Make it with busyTables(). */
export interface BusyTables {
  readonly numbers: ReadonlySet<FileNumber>;
  readonly plans: readonly CompactionPlan[];
}

export function busyTables(plans: Iterable<CompactionPlan>): BusyTables {
  const running = [...plans];
  const numbers = running.flatMap((plan) =>
    [...plan.inputs, ...plan.overlapping].map((table) => table.number),
  );
  return { numbers: new Set(numbers), plans: running };
}

/** The user keys that a plan reads and writes, both inclusive. */
export function planRange(plan: CompactionPlan): { readonly start: Uint8Array; readonly end: Uint8Array } {
  return hullOf([...plan.inputs, ...plan.overlapping])!;
}

/** Bytes that a job reads for this plan; only a merge reads any. */
export function planBytes(plan: CompactionPlan): number {
  return plan.kind === 'merge' ? totalBytes(plan.inputs) + totalBytes(plan.overlapping) : 0;
}

/**
 * The whole plan that takes `inputs` from `level` to `outputLevel`, with everything it must include; undefined when a
 * running plan stands in its way.
 */
export function planFor(
  version: Version,
  level: Level,
  outputLevel: Level,
  inputs: readonly TableInfo[],
  reason: CompactionReason,
  options: CompactionOptions,
  busy: BusyTables,
): CompactionPlan | undefined {
  if (level === 0 && busy.plans.some((plan) => plan.level === 0)) return undefined;
  const chosen =
    level === outputLevel ? inputs : expandInputs(version, level, outputLevel, inputs, options, busy);
  const overlapping = level === outputLevel ? [] : version.overlapping(outputLevel, hullOf(chosen) ?? {});
  const hull = hullOf([...chosen, ...overlapping]);
  if (hull === undefined) return undefined;
  const grandparents = outputLevel < MAX_LEVEL ? version.overlapping(toLevel(outputLevel + 1), hull) : [];
  const isMove =
    level !== outputLevel &&
    chosen.length === 1 &&
    overlapping.length === 0 &&
    totalBytes(grandparents) <= maxGrandparentBytes(options.maxFileSizeBytes) &&
    !(level === 0 && isOversized(chosen[0]!, options)) &&
    // Moved to where it could shed most of itself, it would only be picked again at once.
    !shedsAtBottom(version, outputLevel, chosen[0]!, options);
  const kind = isMove ? 'move' : 'merge';
  const plan: CompactionPlan = {
    kind,
    level,
    outputLevel,
    inputs: chosen,
    overlapping,
    grandparents,
    reason,
  };
  return conflicts(plan, busy) ? undefined : plan;
}

/** Twice the size that tables should have, and a merge could cut it: not between versions of one key. */
function isOversized(table: TableInfo, { maxFileSizeBytes }: CompactionOptions): boolean {
  return table.sizeBytes > 2 * maxFileSizeBytes && compareKeys(table.smallestKey, table.largestKey) < 0;
}

/** Fewer tombstones than this cost a scan nothing that anyone could measure. */
const MIN_DENSE_TOMBSTONES = 1024;

/** More than half of the table says that something is not there. */
export function isTombstoneDense({ tombstoneCount, entryCount }: TableInfo): boolean {
  return isDense(tombstoneCount, tombstoneCount / Math.max(1, entryCount));
}

/** Whether a table with this many tombstones, this share of its entries, is worth a compaction for them. */
export function isDense(tombstones: number, share: number): boolean {
  return tombstones >= MIN_DENSE_TOMBSTONES && share > 1 / 2;
}

function shedsAtBottom(
  version: Version,
  outputLevel: Level,
  table: TableInfo,
  options: CompactionOptions,
): boolean {
  return (
    (isTombstoneDense(table) || table.rangeDeletes !== undefined) &&
    canShedTombstones(table, options) &&
    isBottom(version, outputLevel, table)
  );
}

/** Whether no level below holds a key of `table`'s range. */
export function isBottom(version: Version, level: Level, table: TableInfo): boolean {
  const range = { start: table.smallestKey, end: table.largestKey };
  for (let i = level + 1; i <= MAX_LEVEL; i++) if (version.hasOverlap(toLevel(i), range)) return false;
  return true;
}

/**
 * Whether rewriting a bottom table would rid it of every tombstone. If a snapshot keeps some, the outcome would be the
 * same table again, to be rewritten for ever.
 */
export function canShedTombstones(table: TableInfo, options: CompactionOptions): boolean {
  return options.oldestSnapshot === undefined || table.largestSequence <= options.oldestSnapshot;
}

/** The next level that a table of `level` with these keys must meet, at most `bottom`: levels without them are skipped. */
export function nextLevelWithData(
  version: Version,
  level: Level,
  range: { readonly start: Uint8Array; readonly end: Uint8Array },
  bottom: Level,
  busy: BusyTables,
): Level {
  for (let i = level + 1; i < bottom; i++) {
    const candidate = toLevel(i);
    if (version.hasOverlap(candidate, range) || isWrittenTo(candidate, range, busy)) return candidate;
  }
  return bottom;
}

/**
 * More tables of `level` that come along for free: inside the hull of what is merged anyway, so that nothing more of
 * the output level has to be read for them.
 */
function expandInputs(
  version: Version,
  level: Level,
  outputLevel: Level,
  inputs: readonly TableInfo[],
  options: CompactionOptions,
  busy: BusyTables,
): readonly TableInfo[] {
  const hull = hullOf(inputs);
  if (hull === undefined || level === 0) return inputs;
  const overlapping = version.overlapping(outputLevel, hull);
  if (overlapping.length === 0) return inputs;
  const wider = version.overlapping(level, hullOf([...inputs, ...overlapping])!);
  if (wider.length === inputs.length || wider.some((table) => busy.numbers.has(table.number))) return inputs;
  const widerHull = hullOf(wider)!;
  if (version.overlapping(outputLevel, widerHull).length !== overlapping.length) return inputs;
  if (totalBytes(wider) + totalBytes(overlapping) > options.maxCompactionBytes) return inputs;
  // The levels that this plan skips must be free of the wider range, too.
  for (let i = level + 1; i < outputLevel; i++) {
    if (version.hasOverlap(toLevel(i), widerHull) || isWrittenTo(toLevel(i), widerHull, busy)) return inputs;
  }
  return wider;
}

function conflicts(plan: CompactionPlan, busy: BusyTables): boolean {
  if ([...plan.inputs, ...plan.overlapping].some((table) => busy.numbers.has(table.number))) return true;
  return isWrittenTo(plan.outputLevel, planRange(plan), busy);
}

/** Whether a running plan may put tables into `range` of `level`. */
export function isWrittenTo(
  level: Level,
  range: { readonly start: Uint8Array; readonly end: Uint8Array },
  busy: BusyTables,
): boolean {
  return busy.plans.some((plan) => {
    if (plan.outputLevel !== level) return false;
    const taken = planRange(plan);
    return compareKeys(taken.start, range.end) <= 0 && compareKeys(taken.end, range.start) >= 0;
  });
}
