/**
 * What a restore to a position or a time is made of: a backup, and the segments of the archive from there on.
 *
 *   main      backup B1 ---s1---s2--- B2 ---s3---    (gap)   ---s5---
 *                             \
 *   branch a                   ---s1---s2---             a store that was restored to a position within s2 of main
 *
 * A backup or segment belongs to a branch; the history of a branch is its own and, before it began, that of its parent up to
 * there. The base of a restore is the newest backup of that history that is not above the goal; every segment from it up to the
 * goal has to be there, one where the other ends.
 *
 * Invariants: what is not reached without a gap is refused with STRATA_POSITION_LOST, never approximated.
 * Thread:     main. Pure.
 */
import { StorageError } from '../shared/base/errors.ts';
import { comparePlaces, type LogPlace, type SegmentName } from './segment.ts';

/** A backup, as far as it matters here. */
export interface BaseBackup {
  readonly id: string;
  readonly branch: string;
  /** Of the last write in it. */
  readonly sequence: number;
  readonly timeMs: number;
}

export interface BranchInfo {
  readonly name: string;
  /** Of its tip. */
  readonly sequence: number;
  /** Until this time nothing is missing up to the tip. */
  readonly coveredMs: number;
  /** Where it left its parent; undefined: it is the first one. */
  readonly parent: { readonly branch: string; readonly sequence: number } | undefined;
}

export interface TargetContents {
  readonly branches: readonly BranchInfo[];
  readonly backups: readonly BaseBackup[];
  readonly segments: readonly SegmentName[];
}

export type Goal =
  | { readonly kind: 'position'; readonly branch: string; readonly sequence: number }
  | { readonly kind: 'time'; readonly branch: string; readonly timeMs: number }
  /** As far as the archive leads on from that backup. */
  | { readonly kind: 'latest'; readonly branch: string; readonly base: string };

/** A segment that is to be replayed, as far as the branch goes on to the goal. */
export interface ReplayedSegment {
  readonly name: SegmentName;
  readonly upTo: number;
}

export interface RestorePlan {
  readonly base: BaseBackup;
  /** In the order in which they are to be replayed. */
  readonly segments: readonly ReplayedSegment[];
  /** Until this time nothing is missing, in milliseconds since 1970. */
  readonly reachedMs: number;
}

/** A branch that the history of another one, or of itself, goes through: up to `upTo`. */
interface Stretch {
  readonly branch: string;
  readonly upTo: number;
}

/** The history of `branch`, the oldest stretch first. */
function stretchesOf(branches: readonly BranchInfo[], branch: string): Stretch[] {
  const stretches: Stretch[] = [];
  let name: string | undefined = branch;
  let upTo: number = Number.MAX_SAFE_INTEGER;
  const seen = new Set<string>();
  while (name !== undefined && !seen.has(name)) {
    seen.add(name);
    const info: BranchInfo | undefined = branches.find((candidate) => candidate.name === name);
    const parent: BranchInfo['parent'] = info?.parent;
    stretches.unshift({ branch: name, upTo });
    upTo = Math.min(upTo, parent?.sequence ?? upTo);
    name = parent?.branch;
  }
  return stretches;
}

/** @throws {@link StorageError} STRATA_POSITION_LOST. */
export function planRestore(contents: TargetContents, goal: Goal): RestorePlan {
  const history = stretchesOf(contents.branches, goal.branch);
  const bases = contents.backups
    .filter(({ branch, sequence }) => sequence <= lastOf(history, branch))
    .filter((backup) => mayBeBase(backup, goal))
    .sort((a, b) => a.sequence - b.sequence || (a.id < b.id ? -1 : 1));
  const base = bases.at(-1);
  if (base === undefined) throw lost('it lies before the first backup that is kept');
  const segments = contents.segments
    .flatMap((name) => {
      const upTo = lastOf(history, name.branch);
      return name.after.sequence > upTo ? [] : [{ name, upTo }];
    })
    .sort((a, b) => comparePlaces(a.name.after, b.name.after) || a.name.coveredMs - b.name.coveredMs);
  return { base, ...chainFrom(base, segments, goal, contents) };
}

function mayBeBase({ id, sequence, timeMs }: BaseBackup, goal: Goal): boolean {
  if (goal.kind === 'latest') return id === goal.base;
  return goal.kind === 'time' ? timeMs <= goal.timeMs : sequence <= goal.sequence;
}

/** Up to where `branch` is of this history; -1: it is not. */
function lastOf(history: readonly Stretch[], branch: string): number {
  return history.find((stretch) => stretch.branch === branch)?.upTo ?? -1;
}

/** The segments that lead from the base to the goal, one where the other ends. */
function chainFrom(
  base: BaseBackup,
  segments: readonly ReplayedSegment[],
  goal: Goal,
  { branches }: TargetContents,
): Omit<RestorePlan, 'base'> {
  const chain: ReplayedSegment[] = [];
  let reached: LogPlace = { sequence: base.sequence, parts: 0 };
  let reachedMs = base.timeMs;
  const isThere = (): boolean => {
    if (goal.kind === 'latest') return false;
    return goal.kind === 'time' ? reachedMs >= goal.timeMs : reached.sequence >= goal.sequence;
  };
  for (const segment of segments) {
    if (isThere()) break;
    const { name, upTo } = segment;
    // A segment that goes on beyond the place where the branch left it says nothing about the time after that.
    const isWhole = name.to.sequence <= upTo;
    const to = isWhole ? name.to : { sequence: upTo, parts: 0 };
    const order = comparePlaces(to, reached);
    if (order < 0 || (order === 0 && !(isWhole && name.coveredMs > reachedMs))) continue;
    if (comparePlaces(name.after, reached) > 0) break;
    chain.push(segment);
    reached = to;
    if (isWhole) reachedMs = Math.max(reachedMs, name.coveredMs);
  }
  // What nobody wrote is in no segment: the tip says until when.
  const tip = branches.find(({ name }) => name === goal.branch);
  if (tip?.sequence === reached.sequence && reached.parts === 0)
    reachedMs = Math.max(reachedMs, tip.coveredMs);
  if (goal.kind !== 'latest' && !isThere())
    throw lost('the archive does not reach it, or has a gap before it');
  return { segments: chain, reachedMs };
}

function lost(why: string): StorageError {
  return new StorageError('STRATA_POSITION_LOST', `the target can't bring that back: ${why}`);
}
