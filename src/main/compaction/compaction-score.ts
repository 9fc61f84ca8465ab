/**
 * How large each level may be, and how far each exceeds that: what makes a compaction due.
 *
 * The largest level sets the scale. It is the bottom one, unless data is on its way down; above it stand as many
 * levels as needed to step from B = levelBaseBytes to its size, all steps equal and none above levelMultiplier:
 *
 *   bottom level L7      step       targets                  base level
 *   up to 3 x B          -          L7: none                 7      L0 merges straight into L7
 *   10 x B               10         L6: B                    6
 *   25 x B               5          L5: B   L6: 5 x B        5
 *   100 x B              10         L5: B   L6: 10 x B       5
 *
 * L0 is compacted into the base level; the levels between are empty. So a small store is rewritten by one merge, not
 * by seven, a merge from L0 never meets much more than 3 x B, and deleted or shadowed data takes a fraction of the
 * bottom level. The first step is only worth its level when the bottom is sqrt(levelMultiplier) times B.
 * A level above the base level (the store has shrunk, was written with other options, or took an ingestion) is emptied when
 * nothing more urgent is due; until then L0 goes there. Unless that level is too large, as an ingestion may be: then the empty
 * one above it is the base level, so that what L0 is merged with stays within 16 x B whatever lies below, and the large one is
 * emptied as one that exceeds a target of B.
 *
 * A score is size / target; at 1 a compaction is due. L0 is counted in runs, as every read looks into each: a flushed
 * table, or all tables of one ingestion. Its bytes count as well, against what one compaction takes of it: a large ingestion is
 * to leave L0 at once.
 *
 * Invariants: no level above the base level holds a table, except L0. L1 is the last resort: nothing is between it and L0, and
 *             where ingestions came so fast that they fill it, a merge of L0 meets all of them (writers are slowed down to what
 *             that takes).
 * Thread:     main. Pure.
 * Not chosen: LevelDB's fixed 10 MB * 10^n from L1 downwards: the data ends in a half-filled last level under nearly as
 *             much garbage. RocksDB's dynamic bytes, with steps always of 10 from the bottom up: its base level may be
 *             as small as B / 10, less than one merge from L0 delivers, and then only adds a rewrite.
 */
import { type Level, MAX_LEVEL, level as toLevel } from '../../shared/base/ids.ts';
import { levelZeroRuns, totalBytes, type Version } from '../../shared/read/version.ts';
import type { BusyTables, CompactionOptions, CompactionPlan } from './compaction-plan.ts';
import { maxLevelZeroBytes } from './level-zero.ts';

/** More times B than writers make of a base level, however far compactions are behind: an ingestion did. */
const MAX_BASE_LEVELS = 16;

export interface LevelTargets {
  /** Where L0 is compacted into. */
  readonly baseLevel: Level;
  /** Where the base level would be if no data lay above it; levels before it are being emptied. */
  readonly wantedBaseLevel: Level;
  /** By level; Infinity where a level has no limit: L0, the bottom, and empty ones above the base level. */
  readonly targetBytes: readonly number[];
}

export function levelTargets(version: Version, options: CompactionOptions): LevelTargets {
  const { levelBaseBytes, levelMultiplier } = options;
  const sizes = version.lists.map((_, i) => (i === 0 ? 0 : version.levelBytes(toLevel(i))));
  const largest = Math.max(...sizes);
  const ratio = largest / levelBaseBytes;
  const wanted =
    ratio <= Math.sqrt(levelMultiplier) ? 0 : Math.ceil(Math.log(ratio) / Math.log(levelMultiplier));
  const steps = Math.min(wanted, MAX_LEVEL - 1);
  const step = ratio ** (1 / steps);
  const targetBytes = sizes.map(() => Number.POSITIVE_INFINITY);
  for (let i = 1; i <= steps; i++) targetBytes[MAX_LEVEL - i] = largest / step ** i;
  const firstUsed = version.lists.findIndex((tables, i) => i > 0 && tables.length > 0);
  const wantedBaseLevel = toLevel(MAX_LEVEL - steps);
  const shallowest = firstUsed < 0 ? wantedBaseLevel : Math.min(firstUsed, wantedBaseLevel);
  // Its own size as target: a score of 1, the least urgent there is, and below it while a compaction is at work.
  for (let i = shallowest; i < wantedBaseLevel; i++)
    targetBytes[i] = isOversized(sizes[i]!, options) ? levelBaseBytes : Math.max(sizes[i]!, 1);
  const isRaised = shallowest > 1 && isOversized(sizes[shallowest]!, options);
  return { baseLevel: toLevel(isRaised ? shallowest - 1 : shallowest), wantedBaseLevel, targetBytes };
}

/** Whether a merge of L0, which may meet all of a level of this size, would take longer than it should. */
function isOversized(levelBytes: number, options: CompactionOptions): boolean {
  return levelBytes > MAX_BASE_LEVELS * options.levelBaseBytes;
}

/** Scores by level. What running plans take away from a level doesn't count for it any more. */
export function levelScores(
  version: Version,
  options: CompactionOptions,
  targets: LevelTargets,
  busy: BusyTables | undefined,
): number[] {
  return version.lists.map((_, i) => {
    const leaving = busy?.plans.filter((plan) => plan.level === i && plan.outputLevel !== i) ?? [];
    if (i === 0) {
      const leavingCount = leaving.reduce((sum, plan) => sum + levelZeroRuns(plan.inputs).length, 0);
      const count = version.levelZeroRuns.length - leavingCount;
      const bytes = version.levelBytes(toLevel(0)) - sumOfInputs(leaving);
      return Math.max(count / options.l0CompactionTrigger, bytes / maxLevelZeroBytes(options));
    }
    return (version.levelBytes(toLevel(i)) - sumOfInputs(leaving)) / targets.targetBytes[i]!;
  });
}

function sumOfInputs(plans: readonly CompactionPlan[]): number {
  return plans.reduce((sum, plan) => sum + totalBytes(plan.inputs), 0);
}

/** The highest score of any level, whatever is running: for stalls and statistics. */
export function compactionScore(version: Version, options: CompactionOptions): number {
  return Math.max(...levelScores(version, options, levelTargets(version, options), undefined));
}

/**
 * About how many bytes must be rewritten before every level is within its target: what exceeds a level is merged with
 * its share of the next one, and adds to that.
 */
export function pendingCompactionBytes(version: Version, options: CompactionOptions): number {
  const { baseLevel, targetBytes } = levelTargets(version, options);
  const isL0Due = version.levelZeroRuns.length >= options.l0CompactionTrigger;
  let incoming = isL0Due ? version.levelBytes(toLevel(0)) : 0;
  let pending = isL0Due ? incoming + version.levelBytes(baseLevel) : 0;
  for (let i: number = baseLevel; i < MAX_LEVEL; i++) {
    const size = version.levelBytes(toLevel(i)) + incoming;
    incoming = Math.max(0, size - targetBytes[i]!);
    const nextShare = version.levelBytes(toLevel(i + 1)) / Math.max(size, 1);
    pending += incoming * (1 + nextShare);
  }
  return Math.round(pending);
}
