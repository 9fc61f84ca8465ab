/**
 * Which backup a restore begins with: the newest, one by its id, or that of a position or time.
 *
 * Thread: main.
 * Invariants: what a caller names and the target does not hold exactly is refused, never replaced by something near it.
 */
import { invalidArgument, StorageError } from '../shared/base/errors.ts';
import { type Description, newestDescription, readDescriptions } from './description.ts';
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
  if (position !== undefined && typeof position !== 'string')
    throw invalidArgument("option 'position' must be a string");
  if (time !== undefined && !(Number.isSafeInteger(time) && time >= 0))
    throw invalidArgument("option 'time' must be milliseconds since 1970, a whole number");
}

export async function chooseBackup(session: TargetSession, point: RestorePoint): Promise<Description> {
  const { id, position, time } = point;
  if (id !== undefined) return await needDescription(session, id);
  if (position === undefined && time === undefined) return await needNewest(session);
  const found = (await readDescriptions(session)).findLast(
    (one) => one.position === position || one.timeMs === time,
  );
  if (found !== undefined) return found;
  throw new StorageError(
    'STRATA_POSITION_LOST',
    `${session.target.name} does not reach that ${position === undefined ? 'time' : 'position'}`,
  );
}

async function needNewest(session: TargetSession): Promise<Description> {
  const found = await newestDescription(session);
  if (found !== undefined) return found;
  throw new StorageError('STRATA_NO_DATABASE', `a backup in ${session.target.name} does not exist`);
}
