/**
 * The options of a store: resolved once, validated, frozen. Names are LevelDB's where the meaning is.
 *
 * Invariants: whatever passes here is in range everywhere; nobody writes to it. An unknown option is an error, as a
 *             misspelt one would silently keep a default.
 */
import { availableParallelism } from 'node:os';
import { invalidArgument, StorageError } from '../../shared/base/errors.ts';
import { boolean, checkObject, integer, readOnce } from '../../shared/base/option-checks.ts';
import { canMapFiles } from '../../shared/files/memory-map.ts';
import { MAY_START_THREADS } from '../../shared/files/permission.ts';
import { isCodecAvailable } from '../../shared/table/compression.ts';
import { JOB_SLOT_COUNT } from '../../shared/threads/control-block.ts';
import type { TableOptions } from '../../shared/threads/jobs.ts';
import { TAKE_OVER_AFTER_MS } from '../locking/foreign-owner.ts';
import { NO_RETENTION, type RetentionPolicy } from '../manifest/retention.ts';
import { type EngineOptions, type ForeignPool, readOpenOptions } from './open-request.ts';
import { DEEP_FILE_FACTOR } from './table-size.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
/** Timers of Node's fire at once when they are given more. */
const MAX_TIMEOUT_MS: number = 2 ** 31 - 1;

const RETENTION_NAMES: ReadonlySet<string> = new Set(['bytes', 'ms']);

/** Everything the engine goes by. */
export interface ResolvedOptions {
  readonly createIfMissing: boolean;
  readonly errorIfExists: boolean;
  readonly readOnly: boolean;
  readonly sync: boolean;
  readonly writeBufferBytes: number;
  readonly cacheBytes: number;
  readonly maxFileSizeBytes: number;
  /** Of tables in the deep levels of a large store: more only where maxFileSize was not given (table-size.ts). */
  readonly deepFileSizeBytes: number;
  readonly maxOpenFiles: number;
  readonly mmap: boolean;
  readonly threads: number;
  /** How many may work for ingestions and compact(), which a caller waits for: every core, unless `threads` was given. */
  readonly callerThreads: number;
  readonly pool: ForeignPool | undefined;
  readonly lockTimeoutMs: number;
  readonly takeOverAfterMs: number;
  readonly maxHeldBytes: number;
  /** undefined: no bound. */
  readonly backgroundBytesPerSecond: number | undefined;
  readonly retention: RetentionPolicy;
  readonly table: TableOptions;
}

/** Throws STRATA_INVALID_ARGUMENT for anything wrong, STRATA_UNSUPPORTED for what this installation can't do. */
export function resolveOptions(given: EngineOptions = {}): ResolvedOptions {
  const options = readOpenOptions(given);
  const writeBufferBytes = integer(options, 'writeBufferSize', 64 * MIB, 1, 2048 * MIB);
  const cores = Math.min(availableParallelism(), JOB_SLOT_COUNT - 2);
  const maxFileSizeBytes = Math.max(
    integer(options, 'maxFileSize', Math.min(32 * MIB, Math.ceil(writeBufferBytes / 2)), 1, 1024 * MIB),
    4 * KIB,
  );
  const resolved: ResolvedOptions = {
    createIfMissing: boolean(options, 'createIfMissing', true),
    errorIfExists: boolean(options, 'errorIfExists', false),
    readOnly: boolean(options, 'readOnly', false),
    sync: boolean(options, 'sync', false),
    // Like LevelDB, too small a buffer is rounded up and not refused.
    writeBufferBytes: Math.max(writeBufferBytes, 4 * KIB),
    cacheBytes: integer(options, 'cacheSize', 64 * MIB, 0, Number.MAX_SAFE_INTEGER),
    maxFileSizeBytes,
    deepFileSizeBytes:
      options.maxFileSize === undefined ? DEEP_FILE_FACTOR * maxFileSizeBytes : maxFileSizeBytes,
    maxOpenFiles: Math.max(integer(options, 'maxOpenFiles', 1000, 1, 1_000_000), 8),
    mmap: boolean(options, 'mmap', true),
    threads: threads(options, cores),
    callerThreads: options.threads ?? Math.max(1, options.pool === undefined ? cores : cores - 1),
    pool: pool(options),
    lockTimeoutMs: integer(options, 'lockTimeout', 0, 0, MAX_TIMEOUT_MS),
    takeOverAfterMs: integer(options, 'takeOverAfter', TAKE_OVER_AFTER_MS, 0, MAX_TIMEOUT_MS),
    maxHeldBytes: integer(options, 'maxHeldBytes', 64 * MIB, 0, Number.MAX_SAFE_INTEGER),
    backgroundBytesPerSecond: backgroundBytesPerSecond(options),
    retention: retention(options),
    table: Object.freeze({
      blockSizeBytes: Math.max(integer(options, 'blockSize', 4 * KIB, 1, 64 * MIB), 64),
      restartInterval: integer(options, 'blockRestartInterval', 16, 1, 256),
      compression: codec(options),
      bloomBitsPerKey: integer(options, 'bloomBitsPerKey', 10, 0, 64),
    }),
  };
  // Without the option mapping is tried when the first table opens: loading koffi is not free.
  if (options.mmap === true && !canMapFiles())
    throw new StorageError(
      'STRATA_UNSUPPORTED',
      'option mmap needs the package koffi, which is not installed or not for this platform',
    );
  return Object.freeze(resolved);
}

function threads(options: EngineOptions, cores: number): number {
  const count = integer(
    options,
    'threads',
    MAY_START_THREADS ? Math.max(1, cores - 1) : 0,
    0,
    JOB_SLOT_COUNT - 2,
  );
  if (count > 0 && !MAY_START_THREADS && options.pool === undefined)
    throw new StorageError(
      'STRATA_UNSUPPORTED',
      `option threads is ${count}, but the permission model of node allows no worker threads (--allow-worker)`,
    );
  return count;
}

/** Below the least, a job would spend its time showing that it lives. */
function backgroundBytesPerSecond(options: EngineOptions): number | undefined {
  if (options.backgroundBytesPerSecond === undefined) return undefined;
  return Math.max(integer(options, 'backgroundBytesPerSecond', 1, 1, Number.MAX_SAFE_INTEGER), 64 * KIB);
}

/** Of `ms` alone all that is younger stays, however much it is. */
function retention({ retainChanges: given }: EngineOptions): RetentionPolicy {
  if (given === undefined) return NO_RETENTION;
  checkObject(given, "option 'retainChanges'", RETENTION_NAMES);
  const { bytes, ms } = readOnce(given, RETENTION_NAMES);
  const terms = { bytes, ms };
  const most = Number.MAX_SAFE_INTEGER;
  if (bytes === undefined && ms === undefined) return NO_RETENTION;
  return Object.freeze({
    bytes: bytes === undefined ? Number.POSITIVE_INFINITY : integer(terms, 'bytes', 0, 0, most),
    ms: ms === undefined ? undefined : integer(terms, 'ms', 0, 0, most),
  });
}

function codec(options: EngineOptions): TableOptions['compression'] {
  const value: unknown = options.compression;
  if (value === undefined) return 'snappy';
  if (value !== 'snappy' && value !== 'lz4' && value !== 'none')
    throw invalidArgument("option 'compression' must be 'snappy', 'lz4' or 'none'");
  if (!isCodecAvailable(value))
    throw new StorageError(
      'STRATA_UNSUPPORTED',
      `compression '${value}' needs the package lz4-napi, which is not installed`,
    );
  return value;
}

function pool(options: EngineOptions): ForeignPool | undefined {
  const value: unknown = options.pool;
  if (value === undefined) return undefined;
  if (typeof value !== 'object' || value === null || typeof (value as ForeignPool).run !== 'function')
    throw invalidArgument("option 'pool' must be a piscina");
  return value as ForeignPool;
}
