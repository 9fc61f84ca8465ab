/**
 * A target by its name: a directory, or s3://bucket/prefix, with region, credentials and endpoint from where the SDK takes them,
 * which is the environment and the files of the AWS command line.
 *
 *   AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL     another server; buckets are part of its paths, as not every one has names for them,
 *                                             and AWS_REGION may be missing
 *
 * Thread: main.
 */
import { invalidArgument } from '../../shared/base/errors.ts';
import { directoryTarget } from '../directory-target.ts';
import type { BackupTarget } from '../target.ts';
import { loadS3 } from './s3-package.ts';
import { type S3ClientLike, s3Target } from './s3-target.ts';

/** Servers other than Amazon's ask for none, but the SDK does. */
const ANY_REGION = 'us-east-1';

export async function namedTarget(name: string): Promise<BackupTarget> {
  return name.startsWith('s3://') ? await environmentTarget(name) : directoryTarget(name);
}

async function environmentTarget(url: string): Promise<BackupTarget> {
  const [, bucket, prefix] = /^s3:\/\/([^/]+)\/?(.*)$/.exec(url) ?? [];
  if (bucket === undefined) throw invalidArgument(`'${url}' names no bucket: s3://bucket/prefix`);
  const { S3Client } = await loadS3();
  const { env } = process;
  const isElsewhere = Boolean(env['AWS_ENDPOINT_URL_S3'] || env['AWS_ENDPOINT_URL']);
  const isRegionless = isElsewhere && !env['AWS_REGION'];
  const client = new S3Client({
    forcePathStyle: isElsewhere,
    ...(isRegionless ? { region: ANY_REGION } : {}),
  });
  return s3Target({ client: client as S3ClientLike, bucket, prefix });
}
