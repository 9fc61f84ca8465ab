/**
 * The package @aws-sdk/client-s3, which an application brings along: loaded when it is first needed.
 *
 * Thread: main.
 */
import { isError, StorageError } from '../../shared/base/errors.ts';

export type S3Package = typeof import('@aws-sdk/client-s3');

let loading: Promise<S3Package> | undefined;

/** @throws STRATA_UNSUPPORTED where it is not installed. */
export async function loadS3(): Promise<S3Package> {
  try {
    // Within `try`, so that bundlers do without what is not installed.
    loading ??= import('@aws-sdk/client-s3');
    return await loading;
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
