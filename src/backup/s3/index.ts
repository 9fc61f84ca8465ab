/**
 * The public surface of `stratakv/backup-s3`.
 *
 * @module stratakv/backup-s3
 */

export type { S3ClientLike, S3TargetOptions } from './s3-target.ts';
export { s3Target } from './s3-target.ts';
