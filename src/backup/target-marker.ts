/**
 * stratakv-backup.json: what makes a place a backup target, and says whose backups these are.
 *
 *   {"format":1,"targetId":"...","storeId":"...","createdAt":ms}
 *
 * Written once, by the first backup, if there is nothing else in the place. A target holds the backups of one store and of the
 * stores that have been restored from it, which have the same id.
 *
 * Thread: main.
 */

import { CorruptionError, StorageError } from '../shared/base/errors.ts';
import { randomId } from '../shared/base/random.ts';
import { wallClock } from '../shared/base/timers.ts';
import { BACKUPS, MARKER_KEY } from './layout.ts';
import { probeConditions } from './probe.ts';
import { openSealed, sealText, TARGET_FORMAT } from './sealed-text.ts';
import type { TargetSession } from './target-session.ts';

export interface TargetMarker {
  readonly targetId: string;
  readonly storeId: string;
}

/** The marker of a target that is there; undefined: there is nothing at all in the place. */
export async function findMarker(session: TargetSession): Promise<TargetMarker | undefined> {
  const found = await session.readSealed(MARKER_KEY, ({ bytes }, file) => decodeMarker(bytes, file));
  if (found !== undefined) return found;
  if (await session.isEmpty()) return undefined;
  if ((await session.list(BACKUPS)).length > 0)
    throw new CorruptionError('it is missing, though there are backups', {
      file: session.nameOf(MARKER_KEY),
    });
  throw new StorageError(
    'STRATA_EXISTS',
    `something exists in ${session.target.name}, and it is no backup target of stratakv`,
  );
}

/** The marker of a target that must be there. */
export async function needMarker(session: TargetSession): Promise<TargetMarker> {
  const marker = await findMarker(session);
  if (marker !== undefined) return marker;
  throw new StorageError('STRATA_NO_DATABASE', `the backup target ${session.target.name} does not exist`);
}

/**
 * Makes the place a target of the store, unless it is one. @throws STRATA_CONFLICT for the target of another store, and
 * STRATA_UNSUPPORTED for a place where conditions mean nothing.
 */
export async function claimTarget(session: TargetSession, storeId: string): Promise<TargetMarker> {
  const found = await findMarker(session);
  await probeConditions(session);
  const marker = found ?? (await createMarker(session, storeId));
  if (marker.storeId !== storeId)
    throw new StorageError(
      'STRATA_CONFLICT',
      `the backups in ${session.target.name} are of another store: give this one a target of its own`,
    );
  return marker;
}

async function createMarker(session: TargetSession, storeId: string): Promise<TargetMarker> {
  const marker = { targetId: randomId(), storeId };
  const text = sealText({ format: TARGET_FORMAT, ...marker, createdAt: wallClock() });
  if (await session.create(MARKER_KEY, text)) return marker;
  // Somebody else was faster.
  return await needMarker(session);
}

function decodeMarker(bytes: Uint8Array, file: string): TargetMarker {
  const fields = openSealed(bytes, file);
  return { targetId: fields.text('targetId', /./), storeId: fields.text('storeId', /./) };
}
