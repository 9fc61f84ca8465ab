/**
 * verify(): reads every live file of a store and checks it against its checksums.
 *
 *   tables   one job each on the pool: every block, the order of keys, the index, counts, ranges, the whole file's CRC32
 *   pages    of the manifest: that they are those in use, byte for byte
 *   logs     every record of the logs behind the memtables, a piece at a time, with turns of the event loop in between
 *   kept     for changes(): such logs likewise; of tables that are in no level any more, that they are those files
 *
 * The version is pinned, so that compaction may go on meanwhile.
 *
 * Thread: main plans and sums up; workers read.
 */

import { crc32 } from '../shared/base/checksum.ts';
import { CorruptionError, invalidArgument, StorageError, systemErrorCode } from '../shared/base/errors.ts';
import { fileNumber } from '../shared/base/ids.ts';
import { checkObject } from '../shared/base/option-checks.ts';
import { now, setImmediate } from '../shared/base/timers.ts';
import type { TableInfo } from '../shared/base/version-edit.ts';
import { logPath, tablePath } from '../shared/files/file-names.ts';
import { type FileSystem, readFullyAsync, type StorageFile } from '../shared/files/file-system.ts';
import { openTableFile } from '../shared/table/table-file.ts';
import type { VerifyResult } from '../shared/threads/jobs.ts';
import type { JobRunner } from './jobs/job-runner.ts';
import { CancelToken } from './jobs/job-runner.ts';
import type { FileIdentity } from './manifest/kept-state.ts';
import { readPage } from './manifest/page-files.ts';
import type { VersionSet } from './manifest/version-set.ts';
import { walkLog } from './open/log-reader.ts';
import { LogWindow } from './open/log-window.ts';
import type { ResolvedOptions } from './store/options.ts';
import type { MemtableList } from './write/memtable-list.ts';

const KEPT_PART_BYTES: number = 256 * 1024;

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
  /** Ranges of keys that tables delete, as they lie there: cut where they overlap, and where tables end. */
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
    const kept = await verifyKept(store);
    return {
      tables: tables.length,
      blocks: results.reduce((sum, result) => sum + result.blockCount, 0),
      entries: results.reduce((sum, result) => sum + result.entryCount, 0),
      rangeDeletes: results.reduce((sum, result) => sum + result.rangeDeletes, 0),
      logs: logs.count + kept.logs,
      bytes: results.reduce((sum, result) => sum + result.bytesRead, logs.bytes + kept.bytes),
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

/** What is kept for changes(). What is dropped meanwhile may be gone. */
async function verifyKept(
  store: Pick<VerifyParts, 'fs' | 'directory' | 'versions' | 'isClosing'>,
): Promise<{ readonly logs: number; readonly bytes: number }> {
  const { fs, directory, versions } = store;
  const { keptLogs, keptTables } = versions.kept;
  let bytes = 0;
  let logs = 0;
  for (const log of keptLogs) {
    if (!versions.kept.keptLogs.some(({ number }) => number === log.number)) continue;
    const path = logPath(directory, fileNumber(log.number));
    const file = openKept(() => fs.openRead(path), path);
    try {
      await verifyLog(store, file, path, log.number, log.sizeBytes);
    } finally {
      file.close();
    }
    logs++;
    bytes += log.sizeBytes;
  }
  for (const table of keptTables) {
    if (!versions.kept.keptTables.some(({ number }) => number === table.number)) continue;
    const number = fileNumber(table.number);
    const path = tablePath(directory, number);
    const file = openKept(() => openTableFile(fs, directory, number), path);
    try {
      await verifyFile(store, file, table);
    } finally {
      file.close();
    }
    bytes += table.sizeBytes;
  }
  return { logs, bytes };
}

function openKept(open: () => StorageFile, path: string): StorageFile {
  try {
    return open();
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw error;
    throw new CorruptionError('a file that is kept for changes() is missing', { file: path, cause: error });
  }
}

async function verifyFile(
  store: Pick<VerifyParts, 'isClosing'>,
  file: StorageFile,
  { sizeBytes, checksum }: FileIdentity,
): Promise<void> {
  const part = new Uint8Array(Math.min(sizeBytes, KEPT_PART_BYTES));
  let sum = 0;
  for (let at = 0; at < sizeBytes; at += part.length) {
    const into = part.subarray(0, Math.min(part.length, sizeBytes - at));
    const count = await readFullyAsync(file, into, at);
    sum = crc32(into, 0, count, sum);
    if (count < into.length) break;
    if (store.isClosing()) throw new StorageError('STRATA_CLOSED', 'the store is closed');
  }
  if (file.size() === sizeBytes && sum === checksum) return;
  throw new CorruptionError('a table that is kept for changes() is not the one that was', {
    file: file.path,
  });
}

async function verifyLog(
  store: Pick<VerifyParts, 'isClosing'>,
  file: StorageFile,
  path: string,
  number: number,
  sizeBytes: number,
): Promise<void> {
  const window = LogWindow.sliding(sizeBytes);
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
