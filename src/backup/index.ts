/** The public surface of `stratakv/backup`. */

export type { BackupOptions, BackupSource, TransferProgress } from './backup.ts';
export { backup } from './backup.ts';
export type { RestorePoint } from './choose-backup.ts';
export type { BackupInfo } from './description.ts';
export { directoryTarget } from './directory-target.ts';
export { listBackups } from './list-backups.ts';
export type { PurgeOptions, PurgeReport } from './purge-backups.ts';
export { purgeBackups } from './purge-backups.ts';
export type { RestoreOptions, RestoreReport } from './restore.ts';
export { restore } from './restore.ts';
export type {
  BackupTarget,
  ListedObject,
  ListPage,
  StoredObject,
  TargetCall,
  TargetUpload,
} from './target.ts';
export type { TransferOptions } from './transfer-options.ts';
export type { BackupVerifyReport as VerifyReport, VerifyBackupOptions } from './verify-backup.ts';
export { verifyBackup } from './verify-backup.ts';
