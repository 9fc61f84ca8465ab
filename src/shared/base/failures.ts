/**
 * What a failure means for what goes on: a shortage that passes, the end of all numbers, a job that was cancelled.
 *
 * Each of these judgements stands here and nowhere else.
 */
import { isDiskFull, isOutOfDescriptors, StorageError } from './errors.ts';

/** Problems that end when room returns: a full disk, no file descriptors left. */
export function isRoomProblem(error: unknown): boolean {
  return isDiskFull(error) || isOutOfDescriptors(error);
}

/** The numbers of files or sequences have come to their end: a store that takes no more writes, now and after reopening. */
export function isExhaustion(error: unknown): boolean {
  return error instanceof StorageError && error.code === 'STRATA_READ_ONLY';
}

/** A job that was cancelled, on this thread or another. */
export function isCancelled(error: unknown): boolean {
  return error instanceof StorageError && error.name === 'JobCancelledError';
}

/** What becomes of writes once `operation` has failed with `error`: says which, and why. */
export function readOnlyAfter(operation: string, error: StorageError): StorageError {
  if (isExhaustion(error)) return error;
  const message = `the store takes no more writes: its ${operation} failed; reopen it to go on (${error.message})`;
  return new StorageError('STRATA_READ_ONLY', message, { cause: error, file: error.file });
}

export function toStorageError(cause: unknown, message: string): StorageError {
  return cause instanceof StorageError
    ? cause
    : new StorageError('STRATA_IO', `${message}: ${String(cause)}`, { cause });
}
