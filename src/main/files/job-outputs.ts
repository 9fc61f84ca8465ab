/**
 * Tables that a job made and no manifest names, and deletions that fail.
 *
 * Thread: main.
 */
import { basename } from 'node:path';
import { toStorageError } from '../../shared/base/failures.ts';
import type { FileNumber } from '../../shared/base/ids.ts';
import type { TableInfo } from '../../shared/base/version-edit.ts';
import type { FileSystem } from '../../shared/files/file-system.ts';
import type { VersionSet } from '../manifest/version-set.ts';
import type { TellEvent } from '../store/events.ts';
import type { Trace } from '../store/trace.ts';
import { removeObsoleteFiles } from './deletion-queue.ts';

/** Where outputs lie, and who hears when they can't be deleted. */
export interface OutputFiles {
  readonly fs: FileSystem;
  readonly directory: string;
  readonly versions: VersionSet;
  readonly report: TellEvent;
  readonly trace: Trace;
}

/** Tells that the file at `path` is gone. */
export function traceDeleted(trace: Trace, path: string): void {
  if (trace.wants('file-deleted')) trace.point('file-deleted', { file: basename(path) });
}

export function reportDeletion(report: TellEvent, cause: unknown): void {
  const error = toStorageError(cause, 'a file that is no longer needed could not be deleted');
  report('backgroundError', { error, operation: 'delete', willRetry: false });
}

/**
 * Deletes tables that a job made and no manifest will ever name, because the edit that adds them failed. Where the manifest's
 * state is unknown they stay: it may name them after all.
 */
export async function discardOutputs(files: OutputFiles, outputs: readonly TableInfo[]): Promise<void> {
  await discardTables(
    files,
    outputs.map((table) => table.number),
  );
}

/** As {@link discardOutputs}, of tables of which only the numbers are known. */
export async function discardTables(files: OutputFiles, numbers: readonly FileNumber[]): Promise<void> {
  if (files.versions.isPoisoned) return;
  await removeObsoleteFiles(
    files.fs,
    files.directory,
    { newTables: numbers },
    (error) => reportDeletion(files.report, error),
    (_, path) => traceDeleted(files.trace, path),
  );
}
