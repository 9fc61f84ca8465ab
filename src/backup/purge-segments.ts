/**
 * Which segments of an archive a purge deletes: those that no backup that stays leads to.
 *
 *   a branch that a backup of its parent leads to      none
 *   a branch with backups that stay                    segments that end at or below the oldest of them
 *   one without                                        all of them, unless a backup is under way, which may be its first one
 *   shipped by a store that was refused                those that are older than any attempt
 *
 * Thread: main.
 */
import { readTips, type Tip } from './branches.ts';
import type { Description } from './description.ts';
import { epochAt } from './find-plan.ts';
import { parseSegmentName, SEGMENTS, type SegmentName } from './segment.ts';
import type { ListedObject } from './target.ts';
import type { TargetSession } from './target-session.ts';

export interface PurgedSegments {
  readonly objects: number;
  readonly bytes: number;
}

/** `isIdle`: no backup is under way. `oldMs`: what was written before that is nobody's who is still at it. */
export async function purgeSegments(
  session: TargetSession,
  kept: readonly Description[],
  isIdle: boolean,
  oldMs: number,
): Promise<PurgedSegments> {
  const listed = await session.list(SEGMENTS);
  if (listed.length === 0) return { objects: 0, bytes: 0 };
  const tips = await readTips(session);
  const doomed = listed.filter((object) => {
    const name = parseSegmentName(object);
    // What bears no name of ours is a draft.
    if (name === undefined) return object.key.endsWith('.tmp') && object.modifiedMs < oldMs;
    return isOrphan(name, tips) ? object.modifiedMs < oldMs : isUnneeded(name, tips, kept, isIdle);
  });
  await session.each(doomed, async ({ key }: ListedObject) => await session.remove(key));
  return { objects: doomed.length, bytes: doomed.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0) };
}

/** Its tip has not come to it, or never will. */
function isOrphan({ branch, to, epochId }: SegmentName, tips: readonly Tip[]): boolean {
  const tip = tips.find((candidate) => candidate.branch === branch);
  return epochAt(tip?.epochs ?? [], to.sequence) !== epochId;
}

function isUnneeded(
  { branch, to }: SegmentName,
  tips: readonly Tip[],
  kept: readonly Description[],
  isIdle: boolean,
): boolean {
  if (hasBase(branch, tips, kept)) return false;
  const own = kept.filter((description) => description.branch === branch);
  return own.length === 0 ? isIdle : own.every(({ sequence }) => to.sequence <= sequence);
}

/** Whether a backup of a branch that this one comes from leads to it. */
function hasBase(branch: string, tips: readonly Tip[], kept: readonly Description[]): boolean {
  const seen = new Set([branch]);
  let parent = tips.find((tip) => tip.branch === branch)?.parent;
  while (parent !== undefined && !seen.has(parent.branch)) {
    const { branch: name, sequence } = parent;
    if (kept.some((description) => description.branch === name && description.sequence <= sequence))
      return true;
    seen.add(name);
    parent = tips.find((tip) => tip.branch === name)?.parent;
  }
  return false;
}
