/**
 * Looks a position or a time up in a target: which branch it is of, and what it is restored from (restore-plan.ts).
 *
 * A position names its epoch, so it is of one history, and of every branch that has left that one later. A time is of a branch
 * only if that had been restored by then: before, its parent was what people used. Of several the newest one that reaches it is
 * meant, as who restored a store went on with that one.
 *
 * Thread: main.
 */
import { StorageError } from '../shared/base/errors.ts';
import { GENESIS } from '../shared/changes/history.ts';
import { decodePosition, type Place } from '../shared/changes/position.ts';
import { type Epoch, readTips, type Tip } from './branches.ts';
import { type Description, readDescriptions } from './description.ts';
import { type Goal, planRestore, type ReplayedSegment, type TargetContents } from './restore-plan.ts';
import { parseSegmentName, SEGMENTS, type SegmentName } from './segment.ts';
import type { TargetSession } from './target-session.ts';

/** What to restore, and up to where. */
export interface FoundPlan {
  readonly base: Description;
  readonly segments: readonly ReplayedSegment[];
  readonly goal: Goal;
  /** Of the branch, up to its tip. */
  readonly epochs: readonly Epoch[];
  /** Until this time nothing is missing, in milliseconds since 1970. */
  readonly reachedMs: number;
}

export interface SoughtPoint {
  readonly position?: string | undefined;
  readonly time?: number | undefined;
}

/** Whose write the sequence is, in a history that ends with the last of `epochs`; undefined: it lies behind that. */
export function epochAt(epochs: readonly Epoch[], sequence: number): string | undefined {
  if (sequence === 0) return GENESIS;
  return epochs.find(({ end }) => end >= sequence)?.id;
}

/** The epochs of a history that ends at `sequence`. */
export function epochsUpTo(epochs: readonly Epoch[], sequence: number): Epoch[] {
  const id = epochAt(epochs, sequence);
  const before = epochs.filter(({ end }) => end < sequence);
  return id === undefined || sequence === 0 ? before : [...before, { id, end: sequence }];
}

/** @throws STRATA_POSITION_LOST: the target does not reach it. */
export async function findPlan(
  session: TargetSession,
  storeId: string,
  point: SoughtPoint,
): Promise<FoundPlan> {
  const tips = await readTips(session);
  const descriptions = await readDescriptions(session);
  const listed = (await session.list(SEGMENTS)).flatMap((object) => parseSegmentName(object) ?? []);
  const contents = contentsOf(tips, descriptions, listed);
  // The newest branch first.
  const branches = [...tips].sort((a, b) => b.coveredMs - a.coveredMs);
  let failure: unknown = lost(session, 'position or time');
  for (const tip of branches) {
    const goal = goalOn(tip, storeId, point);
    if (goal === undefined) continue;
    try {
      const { base, ...plan } = planRestore(contents, goal);
      return { base: descriptions.find(({ id }) => id === base.id)!, ...plan, goal, epochs: tip.epochs };
    } catch (error) {
      failure = withReach(error, descriptions.at(-1), contents);
    }
  }
  throw failure;
}

/** Says until when the newest backup and what follows it reach, to whoever has asked for something else. */
function withReach(error: unknown, newest: Description | undefined, contents: TargetContents): unknown {
  if (!(error instanceof StorageError) || newest === undefined) return error;
  const { branch, id } = newest;
  const { reachedMs } = planRestore(contents, { kind: 'latest', branch, base: id });
  const until = new Date(reachedMs).toISOString();
  return new StorageError(error.code, `${error.message}. It reaches until ${until}`);
}

/** As far as the archive leads on from a backup; undefined: nothing does. */
export async function planOnwards(session: TargetSession, base: Description): Promise<FoundPlan | undefined> {
  const listed = (await session.list(SEGMENTS)).flatMap((object) => parseSegmentName(object) ?? []);
  if (listed.length === 0) return undefined;
  const tips = await readTips(session);
  const goal: Goal = { kind: 'latest', branch: base.branch, base: base.id };
  const { segments, reachedMs } = planRestore(contentsOf(tips, [base], listed), goal);
  const epochs = tips.find(({ branch }) => branch === base.branch)?.epochs ?? [];
  return segments.length === 0 ? undefined : { base, segments, reachedMs, goal, epochs };
}

/** What a plan is made from. */
export function contentsOf(
  tips: readonly Tip[],
  descriptions: readonly Description[],
  listed: readonly SegmentName[],
): TargetContents {
  const epochsOf = new Map(tips.map((tip) => [tip.branch, tip.epochs]));
  return {
    branches: tips.map(({ branch, epoch, coveredMs, parent }) => ({
      name: branch,
      sequence: epoch?.end ?? 0,
      coveredMs,
      parent,
    })),
    backups: descriptions.map(({ id, branch, sequence, timeMs }) => ({ id, branch, sequence, timeMs })),
    // What bears the id of another epoch was shipped by a store that was refused.
    segments: listed.filter(
      ({ branch, to, epochId }) => epochAt(epochsOf.get(branch) ?? [], to.sequence) === epochId,
    ),
  };
}

function goalOn(tip: Tip, storeId: string, { position, time }: SoughtPoint): Goal | undefined {
  const { branch, epochs, parent } = tip;
  if (position === undefined)
    return parent !== undefined && time! < parent.bornMs
      ? undefined
      : { kind: 'time', branch, timeMs: time! };
  const place = decodePosition(position);
  return isOf(place, storeId, epochs) ? { kind: 'position', branch, sequence: place.sequence } : undefined;
}

function isOf(place: Place, storeId: string, epochs: readonly Epoch[]): boolean {
  return place.storeId === storeId && epochAt(epochs, place.sequence) === place.epochId;
}

function lost(session: TargetSession, what: string): StorageError {
  return new StorageError('STRATA_POSITION_LOST', `${session.target.name} does not reach that ${what}`);
}
