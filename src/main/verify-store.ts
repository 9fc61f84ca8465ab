/**
 * verify(): reads every live file of a store and checks it against its checksums.
 *
 *   tables   one job each on the pool: every block, the order of keys, the index, counts, ranges, the whole file's CRC32
 *   pages    of the manifest: that they are those in use, byte for byte
 *   logs     every record of the logs behind the memtables, a piece at a time, with turns of the event loop in between
 *
 * The version is pinned, so that compaction may go on meanwhile.
 *
 * Thread: main plans and sums up; workers read.
 */

import { CorruptionError, invalidArgument, StorageError } from '../shared/base/errors.ts';
import { checkObject } from '../shared/base/option-checks.ts';
import { now, setImmediate } from '../shared/base/timers.ts';
import type { TableInfo } from '../shared/base/version-edit.ts';
import { logPath } from '../shared/files/file-names.ts';
import type { FileSystem, StorageFile } from '../shared/files/file-system.ts';
import type { VerifyResult } from '../shared/threads/jobs.ts';
import type { JobRunner } from './jobs/job-runner.ts';
import { CancelToken } from './jobs/job-runner.ts';
import { readPage } from './manifest/page-files.ts';
import type { VersionSet } from './manifest/version-set.ts';
import { walkLog } from './open/log-reader.ts';
import { LogWindow } from './open/log-window.ts';
import type { ResolvedOptions } from './store/options.ts';
import type { MemtableList } from './write/memtable-list.ts';

/** How far verify() has come through the tables; logs are not counted. */
export interface VerifyProgress {
  /** 0 to totalBytes. */
  readonly doneBytes: number;
  /** Size on disk of all tables. */
  readonly totalBytes: number;
}

export interface VerifyOptions {
  /** Called as reading goes on, at most ten times a second per table. What it throws ends the verification, which rejects
   * with it. */
  readonly onProgress?: ((progress: VerifyProgress) => void) | undefined;
}

/** Everything was read and everything matched. */
export interface VerifyReport {
  readonly tables: number;
  readonly blocks: number;
  /** Entries in tables, older versions and tombstones included. */
  readonly entries: number;
  /** Deleted ranges in tables: as many as lie side by side, where they overlapped. */
  readonly rangeDeletes: number;
  readonly logs: number;
  /** Of tables and logs, as on disk. */
  readonly bytes: number;
  readonly elapsedMs: number;
}

/** What verify() needs of a store. */
export interface VerifyParts {
  readonly fs: FileSystem;
  readonly directory: string;
  readonly versions: VersionSet;
  readonly memtables: MemtableList;
  readonly jobs: JobRunner;
  readonly options: Pick<ResolvedOptions, 'threads'>;
  isClosing(): boolean;
}

export async function verifyStore(store: VerifyParts, options: VerifyOptions = {}): Promise<VerifyReport> {
  checkObject(options, 'verify options', new Set(['onProgress']));
  const { onProgress } = options;
  if (onProgress !== undefined && typeof onProgress !== 'function')
    throw invalidArgument("option 'onProgress' must be a function");
  // Reading the options may have run code of the application.
  if (store.isClosing()) throw new StorageError('STRATA_CLOSED', 'the store is closed');
  const startedAt = now();
  const pin = store.versions.pin();
  try {
    const tables = pin.version.levels.flat();
    const results = await verifyTables(store, tables, onProgress ?? (() => undefined));
    await verifyPages(store);
    const logs = await verifyLogs(store);
    return {
      tables: tables.length,
      blocks: results.reduce((sum, result) => sum + result.blockCount, 0),
      entries: results.reduce((sum, result) => sum + result.entryCount, 0),
      rangeDeletes: results.reduce((sum, result) => sum + result.rangeDeleteCount, 0),
      logs: logs.count,
      bytes: results.reduce((sum, result) => sum + result.bytesRead, logs.bytes),
      elapsedMs: now() - startedAt,
    };
  } finally {
    pin.release();
  }
}

/** A few tables at once, so that other jobs find their turn. The first damage cancels the rest. */
async function verifyTables(
  store: Pick<VerifyParts, 'jobs' | 'options'>,
  tables: readonly TableInfo[],
  onProgress: (progress: VerifyProgress) => void,
): Promise<VerifyResult[]> {
  const totalBytes = tables.reduce((sum, table) => sum + table.sizeBytes, 0);
  let doneBytes = 0;
  /** By the callback. */
  const thrown: unknown[] = [];
  const running = new Set<CancelToken>();
  const queue = [...tables];
  const results: VerifyResult[] = [];
  const lane = async (): Promise<void> => {
    for (let table = queue.shift(); table !== undefined; table = queue.shift()) {
      const meta = table;
      const own = new CancelToken();
      running.add(own);
      let told = 0;
      const tell = (bytes: number): void => {
        doneBytes += Math.min(bytes, meta.sizeBytes) - told;
        told = Math.min(bytes, meta.sizeBytes);
        if (thrown.length > 0) return;
        try {
          onProgress({ doneBytes, totalBytes });
        } catch (error) {
          // In the midst of a timer's call, or of another table's end: the lanes find out.
          thrown.push(error);
          queue.length = 0;
          for (const token of running) token.cancel();
        }
      };
      const options = { urgent: false, keepAlive: true };
      results.push(
        await store.jobs.run<'verify'>(
          (context) => ({ ...context, kind: 'verify', table: meta }),
          options,
          own,
          tell,
        ),
      );
      tell(meta.sizeBytes);
      running.delete(own);
    }
  };
  const lanes = Array.from({ length: Math.max(1, store.options.threads) }, lane);
  try {
    await Promise.all(lanes);
  } catch (error) {
    // Of what the callback has cancelled it is the cause.
    if (thrown.length === 0) throw error;
  } finally {
    queue.length = 0;
    for (const own of running) own.cancel();
    await Promise.allSettled(lanes);
  }
  if (thrown.length > 0) throw thrown[0];
  return results;
}

/** The manifest's pages, one at a time. One that an edit has replaced meanwhile may be gone. */
async function verifyPages({
  fs,
  directory,
  versions,
}: Pick<VerifyParts, 'fs' | 'directory' | 'versions'>): Promise<void> {
  for (const { tables, ...page } of versions.pages) {
    await new Promise<void>((resolve) => setImmediate(resolve));
    if (!versions.pages.some(({ number }) => number === page.number)) continue;
    readPage(fs, [directory], versions.storeId, { ...page, tableCount: tables.length });
  }
}

/**
 * The logs behind the memtables, as far as they are written now: every acknowledged write is. One that is no longer needed when
 * its turn comes, as a table has what it had, may be gone.
 */
async function verifyLogs(
  store: Pick<VerifyParts, 'fs' | 'directory' | 'memtables' | 'isClosing'>,
): Promise<{ readonly count: number; readonly bytes: number }> {
  let count = 0;
  let bytes = 0;
  for (const { number, sizeBytes } of store.memtables.writtenLogs()) {
    if (!store.memtables.writtenLogs().some((log) => log.number === number)) continue;
    const path = logPath(store.directory, number);
    // Within the same step: from here on it can be read, whatever becomes of its name.
    const file = store.fs.openRead(path);
    try {
      await verifyLog(store, file, path, number, sizeBytes);
    } finally {
      file.close();
    }
    count++;
    bytes += sizeBytes;
  }
  return { count, bytes };
}

async function verifyLog(
  store: Pick<VerifyParts, 'isClosing'>,
  file: StorageFile,
  path: string,
  number: number,
  sizeBytes: number,
): Promise<void> {
  const window = LogWindow.sliding();
  const walk = walkLog(window, path, number, sizeBytes);
  let step = walk.next();
  for (; step.done !== true; step = walk.next()) {
    await window.readAwaited(file);
    await new Promise<void>((resolve) => setImmediate(resolve));
    if (store.isClosing()) throw new StorageError('STRATA_CLOSED', 'the store is closed');
  }
  const { validBytes } = step.value;
  if (validBytes !== sizeBytes)
    throw new CorruptionError(`the log has ${validBytes} sound bytes of ${sizeBytes}`, {
      file: path,
      offset: validBytes,
    });
}
