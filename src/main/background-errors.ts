/**
 * What flusher and compactor do alike when background work fails.
 *
 * Thread: main.
 */
import { isDiskFull, StorageError, systemErrorCode } from '../shared/errors.ts';
import type { TableMeta } from '../shared/version-edit.ts';
import { removeObsoleteFiles } from './obsolete-files.ts';
import type { Store } from './store.ts';

/** Problems that end when room returns: a full disk, no file descriptors left. */
export function isRoomProblem(error: unknown): boolean {
  const code = systemErrorCode(error);
  return isDiskFull(error) || code === 'EMFILE' || code === 'ENFILE';
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
