/**
 * The real S3 client, with an S3 stub as its server.
 */
import type { TestContext } from 'node:test';
import { S3Client } from '@aws-sdk/client-s3';
import { s3Target } from '../../src/backup/s3/index.ts';
import type { BackupTarget } from '../../src/backup/target.ts';
import { S3Stub } from './s3-stub.ts';

export interface StubbedTarget {
  readonly stub: S3Stub;
  readonly target: BackupTarget;
}

export function stubClient(endpoint: string): S3Client {
  return new S3Client({
    endpoint,
    forcePathStyle: true,
    region: 'us-east-1',
    credentials: { accessKeyId: 'id', secretAccessKey: 'secret' },
    // Faults are for the target to deal with.
    maxAttempts: 1,
  });
}

/** A target in a bucket of its own, gone after the test. */
export async function stubbedTarget(t: TestContext, prefix = 'stores/one'): Promise<StubbedTarget> {
  const stub = await S3Stub.start();
  const client = stubClient(stub.endpoint);
  t.after(async () => {
    client.destroy();
    await stub.stop();
  });
  return { stub, target: s3Target({ client, bucket: 'bucket', prefix }) };
}
