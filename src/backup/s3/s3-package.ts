/**
 * The package @aws-sdk/client-s3, which an application brings along: loaded when it is first needed.
 *
 * Thread: main.
 */
import { isError, StorageError } from '../../shared/base/errors.ts';

export type S3Package = typeof import('@aws-sdk/client-s3');

/** @throws STRATA_UNSUPPORTED where it is not installed. */
export async function loadS3(): Promise<S3Package> {
  try {
    // Awaited within `try`, so that bundlers do without what is not installed.
    return await import('@aws-sdk/client-s3');
  } catch (error) {
    const reason = isError(error) ? error.message : String(error);
    throw new StorageError(
      'STRATA_UNSUPPORTED',
      `the package @aws-sdk/client-s3 can't be loaded: ${reason}`,
      {
        cause: error,
      },
    );
  }
}
