/**
 * What the trace tells of an opening, and of the logs that it reads.
 *
 * Invariants: nothing is built that nobody wants.
 * Thread:     main.
 */
import { totalBytes } from '../../shared/read/version.ts';
import type { ManifestState } from '../manifest/manifest.ts';
import type { ResolvedOptions } from '../store/options.ts';
import type { Span, Trace } from '../store/trace.ts';
import type { LogFile } from './log-files.ts';
import type { RecoveredLog } from './log-reader.ts';

export function beginOpen(trace: Trace, options: ResolvedOptions): Span<'open'> | undefined {
  if (!trace.wants('open')) return undefined;
  const { readOnly, sync, threads, writeBufferBytes, cacheBytes, maxFileSizeBytes } = options;
  return trace.begin('open', { readOnly, sync, threads, writeBufferBytes, cacheBytes, maxFileSizeBytes });
}

export function traceManifest(trace: Trace, state: ManifestState, isNew: boolean): void {
  if (!trace.wants('manifest')) return;
  const { levels, pages, logNumber, lastSequence, ownerEpoch } = state;
  trace.point('manifest', {
    isNew,
    levels: levels.map((tables) => tables.length),
    bytes: levels.reduce((sum, tables) => sum + totalBytes(tables), 0),
    pages: pages.length,
    logNumber,
    lastSequence,
    ownerEpoch,
  });
}

export function traceReplayed(trace: Trace | undefined, file: LogFile, log: RecoveredLog): void {
  if (trace?.wants('log-replayed') !== true) return;
  trace.point('log-replayed', {
    log: log.number,
    fileBytes: file.sizeBytes,
    bytes: log.validBytes,
    tornBytes: file.lengthBytes - log.validBytes,
    entries: log.entryCount,
    firstSequence: log.firstSequence,
    isSealed: file.sealedBytes !== undefined,
  });
}

export function traceDropped(
  trace: Trace | undefined,
  files: readonly LogFile[],
  reason: 'given-up' | 'after-gap',
): void {
  if (trace?.wants('log-dropped') !== true) return;
  for (const { number, sizeBytes } of files)
    trace.point('log-dropped', { log: number, fileBytes: sizeBytes, reason });
}
