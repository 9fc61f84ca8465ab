/**
 * Which backup a restore begins with, and what of the archive follows: the newest and all that does, one by its id and nothing,
 * or what leads to a position or time.
 *
 * Thread: main.
 * Invariants: what a caller names and the target does not hold exactly is refused, never replaced by something near it.
 */
import { invalidArgument, StorageError } from '../shared/base/errors.ts';
import { decodePosition } from '../shared/changes/position.ts';
import { type Description, newestDescription } from './description.ts';
import { type FoundPlan, findPlan, planOnwards } from './find-plan.ts';
import type { TargetSession } from './target-session.ts';
import { needDescription } from './verify-backup.ts';

/** At most one of them. */
export interface RestorePoint {
  /** That backup. */
  readonly id?: string | undefined;
  /** Exactly the writes up to there. */
  readonly position?: string | undefined;
  /** Exactly the writes that had been made at that time, in milliseconds since 1970. */
  readonly time?: number | undefined;
}

export const POINT_NAMES: readonly string[] = ['id', 'position', 'time'];

/** In the call, before the target is asked. */
export function checkPoint(point: RestorePoint): void {
  const { id, position, time } = point;
  if ([id, position, time].filter((value) => value !== undefined).length > 1)
    throw invalidArgument("of the options 'id', 'position' and 'time' one may be given");
  if (position !== undefined) decodePosition(position);
  if (time !== undefined && !(Number.isSafeInteger(time) && time >= 0))
    throw invalidArgument("option 'time' must be milliseconds since 1970, a whole number");
}

/** A backup, and what of the archive is replayed onto it. */
export interface Choice {
  readonly description: Description;
  /** undefined: the backup is it. */
  readonly plan: FoundPlan | undefined;
}

export async function chooseBackup(
  session: TargetSession,
  storeId: string,
  point: RestorePoint,
): Promise<Choice> {
  const { id, position, time } = point;
  if (id !== undefined) return { description: await needDescription(session, id), plan: undefined };
  if (position === undefined && time === undefined) {
    const description = await needNewest(session);
    return { description, plan: await planOnwards(session, description) };
  }
  const plan = await findPlan(session, storeId, { position, time });
  return { description: plan.base, plan: plan.segments.length === 0 ? undefined : plan };
}

async function needNewest(session: TargetSession): Promise<Description> {
  const found = await newestDescription(session);
  if (found !== undefined) return found;
  throw new StorageError('STRATA_NO_DATABASE', `a backup in ${session.target.name} does not exist`);
}
