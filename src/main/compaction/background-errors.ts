/**
 * What flusher, compactor and log do alike when they fail.
 *
 * Thread: main.
 */
import { isDiskFull, isOutOfDescriptors, StorageError } from '../../shared/base/errors.ts';
import type { TableMeta } from '../../shared/base/version-edit.ts';
import { removeObsoleteFiles } from '../files/deletion-queue.ts';
import type { Store } from '../store.ts';

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

export function reportDeletion(store: Store, cause: unknown): void {
  const error = toStorageError(cause, 'a file that is no longer needed could not be deleted');
  store.report('backgroundError', { error, operation: 'delete', willRetry: false });
}

/**
 * Deletes tables that a job made and no manifest will ever name, because the edit that adds them failed. Where the manifest's
 * state is unknown they stay: it may name them after all.
 */
export async function discardOutputs(store: Store, outputs: readonly TableMeta[]): Promise<void> {
  if (store.versions.isPoisoned) return;
  const tables = outputs.map((table) => table.number);
  await removeObsoleteFiles(store.fs, store.directory, { newTables: tables }, (error) =>
    reportDeletion(store, error),
  );
}
