/**
 * What an answer of an S3 server, or the lack of one, means: over for good, to be tried again, or the answer to a condition.
 *
 *   412 PreconditionFailed                    the condition does not hold
 *   404 NoSuchKey                             nothing is there
 *   501, or 400 where a condition was sent    the server has no conditional writes
 *   5xx, 408, 429, 409 of two that collide, no answer, a body that breaks or makes no sense       again
 *   all else, 403 AccessDenied above all      over
 *
 * Thread: main. Pure.
 */
import { isError, StorageError } from '../../shared/base/errors.ts';

/** What the SDK tells of a failure. */
interface S3Failure {
  readonly name?: unknown;
  readonly message?: unknown;
  readonly Code?: unknown;
  readonly $metadata?: { readonly httpStatusCode?: unknown };
  readonly $response?: { readonly statusCode?: unknown };
}

/** Two writes of one object at the same time, and requests that took too long to arrive. */
const COLLISIONS: ReadonlySet<unknown> = new Set(['ConditionalRequestConflict', 'OperationAborted']);
const PASSING: ReadonlySet<unknown> = new Set([
  'RequestTimeout',
  'SlowDown',
  'Throttling',
  'ThrottlingException',
]);
/** Of the client itself: no request was made. */
const OWN_FAILURES: ReadonlySet<unknown> = new Set(['CredentialsProviderError', 'TypeError', 'RangeError']);

/** What the SDK says of settings that it does not find; it has no name for these. */
const MISSING_SETTING =
  /region is missing|could not load credentials|resolved credential object is not valid/i;

export function statusOf(error: unknown): number | undefined {
  const { $metadata, $response } = asFailure(error);
  const status = $metadata?.httpStatusCode ?? $response?.statusCode;
  return typeof status === 'number' ? status : undefined;
}

export function isMissing(error: unknown): boolean {
  const { name } = asFailure(error);
  return name === 'NoSuchKey' || name === 'NotFound' || (statusOf(error) === 404 && name !== 'NoSuchBucket');
}

export function isRefusedCondition(error: unknown): boolean {
  return statusOf(error) === 412 || asFailure(error).name === 'PreconditionFailed';
}

export function isUnknownCondition(error: unknown): boolean {
  const { name } = asFailure(error);
  return statusOf(error) === 501 || name === 'NotImplemented' || name === 'InvalidArgument';
}

/** The SDK compares the checksum that the server has sent with the bytes. Ours says more, so the bytes are taken as they came. */
export function isChecksumMismatch(error: unknown): boolean {
  return /checksum mismatch/i.test(String(asFailure(error).message));
}

/** STRATA_IO, and whether the next attempt may succeed. */
export function s3Error(action: string, name: string, error: unknown): StorageError {
  if (error instanceof StorageError) return error;
  const failure = asFailure(error);
  const status = statusOf(error);
  const code = [failure.name, failure.Code].find((one) => typeof one === 'string' && one !== 'Error');
  const words = [code, isError(error) ? error.message : String(error)].filter((word) => word !== undefined);
  const http = status === undefined ? '' : ` (HTTP ${status})`;
  const message = `cannot ${action} ${name}: ${words.join(': ')}${http}`;
  const wrapped = new StorageError('STRATA_IO', message, { cause: error, file: name });
  return isPassing(failure, status) ? Object.assign(wrapped, { retryable: true }) : wrapped;
}

function isPassing({ name, message }: S3Failure, status: number | undefined): boolean {
  if (status === undefined && MISSING_SETTING.test(String(message))) return false;
  if (OWN_FAILURES.has(name)) return status !== undefined && status < 400;
  if (status === undefined || PASSING.has(name) || COLLISIONS.has(name)) return true;
  return (status >= 500 && status !== 501) || status === 408 || status === 429 || status < 400;
}

function asFailure(error: unknown): S3Failure {
  return typeof error === 'object' && error !== null ? error : {};
}
