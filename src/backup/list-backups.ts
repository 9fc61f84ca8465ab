/**
 * listBackups(): what there is in a target.
 *
 * Invariants: changes nothing. A place with nothing in it has no backups; one with something else in it is refused.
 * Thread:     main.
 */
import { type BackupInfo, infoOf, readDescriptions } from './description.ts';
import type { BackupTarget } from './target.ts';
import { findMarker } from './target-marker.ts';
import { TargetSession } from './target-session.ts';
import { checkTarget, resolveTransfer, type TransferOptions } from './transfer-options.ts';

/**
 * The backups in a target, oldest first.
 * @throws {@link StorageError} STRATA_EXISTS for a place that holds something else, STRATA_CORRUPTION, STRATA_UNSUPPORTED,
 * STRATA_IO.
 * @example
 * for (const { id, time, bytes } of await listBackups(target)) log(id, new Date(time), bytes);
 */
export async function listBackups(target: BackupTarget, options?: TransferOptions): Promise<BackupInfo[]> {
  checkTarget(target);
  const session = new TargetSession(target, resolveTransfer(options, 'options'));
  try {
    if ((await findMarker(session)) === undefined) return [];
    return (await readDescriptions(session)).map(infoOf);
  } finally {
    session.close();
  }
}
