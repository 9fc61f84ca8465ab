/**
 * The public surface of `stratakv/backup`. restore() stands here as it opens the store that it makes, to replay an archive onto
 * it; everything else lies below what it is given (src/backup).
 *
 * @module stratakv/backup
 */
import { type RestoreOptions, type RestoreReport, restoreWith } from '../backup/restore.ts';
import type { BackupTarget } from '../backup/target.ts';
import { StorageEngine } from './engine.ts';

export type { ArchiveEvents, ArchiveState, ArchiveStatus, ShippedEvent } from '../backup/archive.ts';
export { Archive } from '../backup/archive.ts';
export type { BackupOptions, BackupSource, TransferProgress } from '../backup/backup.ts';
export { backup } from '../backup/backup.ts';
export type { RestorePoint } from '../backup/choose-backup.ts';
export type { BackupInfo } from '../backup/description.ts';
export { directoryTarget } from '../backup/directory-target.ts';
export { listBackups } from '../backup/list-backups.ts';
export type { ArchiveOptions } from '../backup/open-archive.ts';
export { archive } from '../backup/open-archive.ts';
export type { PurgeOptions, PurgeReport } from '../backup/purge-backups.ts';
export { purgeBackups } from '../backup/purge-backups.ts';
export type { RestoreOptions, RestoreReport } from '../backup/restore.ts';
export type {
  BackupTarget,
  ListedObject,
  ListPage,
  StoredObject,
  TargetCall,
  TargetUpload,
} from '../backup/target.ts';
export type { TransferOptions } from '../backup/transfer-options.ts';
export type { BackupVerifyReport as VerifyReport, VerifyBackupOptions } from '../backup/verify-backup.ts';
export { verifyBackup } from '../backup/verify-backup.ts';
export type { VerifiedArchive } from '../backup/verify-segments.ts';

/**
 * Makes a store in a directory that is empty or does not exist: of the newest backup and all that an archive has behind it, of
 * one backup by its `id`, or of what was there at a `position` or `time`. What an interrupted restore has left there is used.
 * The store goes on with a history of its own.
 * @throws {@link StorageError} STRATA_EXISTS for a directory with anything in it; STRATA_INVALID_ARGUMENT for an unknown id;
 * STRATA_POSITION_LOST for a position or time that the target does not reach; STRATA_CORRUPTION for a damaged backup;
 * STRATA_NO_DATABASE where there is no backup; STRATA_LOCKED, STRATA_UNSUPPORTED, STRATA_IO.
 * @example
 * await restore(directoryTarget('/mnt/backup/orders'), './db_data');
 * const engine = await StorageEngine.open('./db_data');
 */
export async function restore(
  target: BackupTarget,
  directory: string,
  options?: RestoreOptions,
): Promise<RestoreReport> {
  return await restoreWith(
    { open: (stage) => StorageEngine.open(stage, { createIfMissing: false }) },
    target,
    directory,
    options,
  );
}
