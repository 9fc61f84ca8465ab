/**
 * Picks the next compaction that should run by itself, or none.
 *
 *   1. score the levels (compaction-score.ts); try those at 1 or more, highest first
 *   2. L0: the oldest table and what overlaps it, within bounds (level-zero.ts) -> the base level
 *      L1..L6: one table, with what comes along for free -> the next level in use
 *   3. nothing due: what is worth it for the garbage in it (compaction-garbage.ts)
 *   4. complete the plan with the overlapping tables of the output level (compaction-plan.ts); if running plans stand
 *      in the way, try the next candidate; but when it is L0 that must wait, start nothing else in its base level, or
 *      a few threads at work there would lock it out until writers stall
 *
 * Which table of a level goes down: of the next few after the level's cursor, the one that overlaps least per byte of
 * its own. The cursor (LevelDB's compact_pointer) goes round, so that every key range has its turn; the choice among
 * the next few saves rewriting. Cursors are not persisted: after a restart any place is as good as another.
 *
 * L0 comes before all others once it has twice the tables that make it due, but not twice in a row: however far another level
 * is over its size, what waits for L0 are the writers; and the others must get on as well, or each merge of L0 meets more.
 *
 * Invariants: the same arguments give the same plan; nothing is remembered here, the caller keeps the cursors.
 * Thread:     main. Pure.
 * Not chosen: least overlap in the whole level (RocksDB's default). It looks at every table of both levels on each
 *             pick, on the thread that serves reads, and a range that always overlaps much never has its turn.
 */
import { compareKeys } from '../../shared/base/bytes.ts';
import { LEVEL_COUNT, type Level, level as toLevel } from '../../shared/base/ids.ts';
import type { TableInfo } from '../../shared/base/version-edit.ts';
import type { TableList } from '../../shared/read/table-list.ts';
import { hullOf, totalBytes, type Version } from '../../shared/read/version.ts';
import { pickGarbage } from './compaction-garbage.ts';
import {
  type BusyTables,
  type CompactionOptions,
  type CompactionPlan,
  nextLevelWithData,
  planFor,
} from './compaction-plan.ts';
import { type LevelTargets, levelScores, levelTargets } from './compaction-score.ts';
import { planLevelZero } from './level-zero.ts';

export {
  type BusyTables,
  busyTables,
  type CompactionOptions,
  type CompactionPlan,
} from './compaction-plan.ts';
export { compactionScore, pendingCompactionBytes } from './compaction-score.ts';

/** By level: the largest key of the table that went down last; undefined = start at the first. */
export interface PickerState {
  readonly cursors: readonly (Uint8Array | undefined)[];
  /** Where the plan before came from. */
  readonly lastLevel?: Level;
}

export const initialPickerState: PickerState = {
  cursors: Array.from({ length: LEVEL_COUNT }, () => undefined),
};

/** How many tables after the cursor compete. */
const CANDIDATE_COUNT = 16;
/** Twice the trigger: writers are slowed down at three times as many. */
const URGENT_L0_SCORE = 2;

export function pickCompaction(
  version: Version,
  options: CompactionOptions,
  busy: BusyTables,
  state: PickerState,
): CompactionPlan | undefined {
  const targets = levelTargets(version, options);
  const due = levelScores(version, options, targets, busy)
    .map((score, i) => ({ level: toLevel(i), score }))
    .filter(({ score }) => score >= 1)
    .sort((a, b) => urgency(b, state) - urgency(a, state));
  let isLevelZeroWaiting = false;
  for (const { level } of due) {
    // Whatever starts in the base level now would keep level 0 waiting even longer.
    if (isLevelZeroWaiting && level === targets.baseLevel) continue;
    const plan =
      level === 0
        ? planOldest(version, options, busy, targets)
        : pickLevel(version, level, options, busy, targets, state.cursors[level]);
    if (plan !== undefined) return plan;
    isLevelZeroWaiting ||= level === 0 && isWaiting(busy);
  }
  if (isLevelZeroWaiting) return undefined;
  return pickGarbage(version, options, busy, targets.baseLevel);
}

/** Against that of the other levels. */
function urgency(
  { level, score }: { readonly level: Level; readonly score: number },
  { lastLevel }: PickerState,
): number {
  return level === 0 && lastLevel !== 0 && score >= URGENT_L0_SCORE ? Number.POSITIVE_INFINITY : score;
}

/** The state after `plan` was started: the cursor of its level moves past it. */
export function advanceCursor(state: PickerState, plan: CompactionPlan): PickerState {
  const lastLevel = plan.level;
  if (plan.level === 0 || plan.reason !== 'level-size') return { ...state, lastLevel };
  return { cursors: state.cursors.with(plan.level, hullOf(plan.inputs)?.end), lastLevel };
}

/** Takes the oldest of L0 to the base level, whether that is due or not. */
export function planOldest(
  version: Version,
  options: CompactionOptions,
  busy: BusyTables,
  targets: LevelTargets = levelTargets(version, options),
): CompactionPlan | undefined {
  const oldest = version.levelZero.at(-1);
  return oldest && planLevelZero(version, oldest, () => targets.baseLevel, 'l0-count', options, busy);
}

/** Whether level 0 is held up by others; not by a compaction of its own, nor by tables that nothing will ever free. */
function isWaiting(busy: BusyTables): boolean {
  return busy.plans.length > 0 && busy.plans.every((plan) => plan.level !== 0);
}

function pickLevel(
  version: Version,
  level: Level,
  options: CompactionOptions,
  busy: BusyTables,
  targets: LevelTargets,
  cursor: Uint8Array | undefined,
): CompactionPlan | undefined {
  const candidates = candidatesAfter(cursor, version.lists[level]!, busy);
  const next = toLevel(level + 1);
  const costs = new Map(candidates.map((table) => [table, relativeOverlap(version, next, table)]));
  candidates.sort((a, b) => costs.get(a)! - costs.get(b)!);
  for (const table of candidates) {
    const range = { start: table.smallestKey, end: table.largestKey };
    // A level that is being emptied need not stop at each of the empty ones below.
    const output =
      level < targets.wantedBaseLevel
        ? nextLevelWithData(version, level, range, targets.wantedBaseLevel, busy)
        : next;
    const plan = planFor(version, level, output, [table], 'level-size', options, busy);
    if (plan !== undefined) return plan;
  }
  return undefined;
}

/** The free ones that come next past the cursor: `tables` are a ring, of which no more is looked at than it takes. */
function candidatesAfter(cursor: Uint8Array | undefined, tables: TableList, busy: BusyTables): TableInfo[] {
  let first = cursor === undefined ? 0 : tables.firstReaching(cursor);
  const reached = tables.at(first);
  if (cursor !== undefined && reached !== undefined && compareKeys(reached.largestKey, cursor) === 0) first++;
  const candidates: TableInfo[] = [];
  for (let i = 0; i < tables.length && candidates.length < CANDIDATE_COUNT; i++) {
    const table = tables.at((first + i) % tables.length)!;
    if (!busy.numbers.has(table.number)) candidates.push(table);
  }
  return candidates;
}

/** Bytes of the next level to rewrite for each byte that goes down. */
function relativeOverlap(version: Version, next: Level, table: TableInfo): number {
  const overlapping = version.overlapping(next, { start: table.smallestKey, end: table.largestKey });
  return totalBytes(overlapping) / table.sizeBytes;
}
