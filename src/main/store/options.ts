/**
 * The options of a store: resolved once, validated, frozen. Names are LevelDB's where the meaning is.
 *
 * Invariants: whatever passes here is in range everywhere; nobody writes to it. An unknown option is an error, as a
 *             misspelt one would silently keep a default.
 */
import { availableParallelism } from 'node:os';
import { invalidArgument, StorageError } from '../../shared/base/errors.ts';
import { boolean, integer } from '../../shared/base/option-checks.ts';
import { canMapFiles } from '../../shared/files/memory-map.ts';
import { MAY_START_THREADS } from '../../shared/files/permission.ts';
import { isCodecAvailable } from '../../shared/table/compression.ts';
import { JOB_SLOT_COUNT } from '../../shared/threads/control-block.ts';
import type { TableOptions } from '../../shared/threads/jobs.ts';
import type { ForeignPool } from '../jobs/worker-pool.ts';
import { TAKE_OVER_AFTER_MS } from '../locking/foreign-owner.ts';
import { readOpenOptions } from './open-request.ts';
import { DEEP_FILE_FACTOR } from './table-size.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
/** Timers of Node's fire at once when they are given more. */
const MAX_TIMEOUT_MS: number = 2 ** 31 - 1;

export interface EngineOptions {
  /** Create the store if there is none. Default true. */
  readonly createIfMissing?: boolean;
  /** Refuse a store that exists, with STRATA_EXISTS. Default false. */
  readonly errorIfExists?: boolean;
  /** Refuse all writes and change nothing on disk but LOCK, which names the owner. The store must exist, and is locked like
   * any other: two readers exclude each other. Default false. */
  readonly readOnly?: boolean;
  /** Whether writes wait for the disk (fdatasync) unless they say otherwise. Default false: they survive the death of the
   * process, not of the power supply. */
  readonly sync?: boolean;
  /** Size of a memtable with its index, in bytes, 4 KiB to 2 GiB; less is rounded up. Default 64 MiB. Up to three exist at
   * once, and one grows beyond this for a single batch that is larger. */
  readonly writeBufferSize?: number;
  /** Size of the block cache in bytes; 0 = none. Default 64 MiB. */
  readonly cacheSize?: number;
  /** Size at which a table's block is closed, in bytes before compression, 64 to 64 MiB; less is rounded up.
   * Default 4096. */
  readonly blockSize?: number;
  /** Entries between two whole keys in a block, 1 to 256. Default 16. */
  readonly blockRestartInterval?: number;
  /** Size at which compaction closes a table, in bytes, 4 KiB to 1 GiB; less is rounded up. Default 32 MiB, or half the write buffer if that is
   * less; without the option, levels of more than a thousand such tables get tables of two or four times the size. A flush writes one table, whatever its size. */
  readonly maxFileSize?: number;
  /** Codec for new blocks; every codec can always be read. 'lz4' needs the package lz4-napi. Default 'snappy'. */
  readonly compression?: 'snappy' | 'lz4' | 'none';
  /** Bits of bloom filter per key, 0 (none) to 64. Default 10: 1 % of look-ups for absent keys read a block. */
  readonly bloomBitsPerKey?: number;
  /** Tables open at once, each with a file descriptor, its index and its filter: 8 to 1,000,000; less is
   * rounded up. Default 1000. */
  readonly maxOpenFiles?: number;
  /** Worker threads for compaction, 0 to 62; 0 = run on the calling thread. Default: one less than there are cores, at
   * least 1. While all are busy, a flush gets one more; unless you say how many, ingest() and compact() get one for every
   * core. Where Node's permission model allows no threads the default is 0, and more are refused. */
  readonly threads?: number;
  /** A piscina of the application's to use instead of threads of our own. It is not closed with the store. */
  readonly pool?: ForeignPool;
  /** Read tables through memory mapping. Default: where the optional package koffi is installed (not on Windows); else
   * through pread. true insists on it. A mapped page that the disk cannot deliver ends the process with SIGBUS; on Linux pages that
   * are not in memory are read instead. Reads with a promise don't wait for the disk in the call, mapped or not. */
  readonly mmap?: boolean;
  /** How long `open` waits while somebody else owns the store, in milliseconds: an owner that is closing, or a process that is
   * about to end. 0 to 2,147,483,647. Default 0: it is refused at once. */
  readonly lockTimeout?: number;
  /** After so many milliseconds without a sign of life an owner on another host counts as dead, and the store is taken over;
   * 0 = at once, which is for whoever knows that it is dead. Owners show that they live every 5 seconds. Owners on this machine
   * are known to live or to be dead, and not a matter of time. 0 to 2,147,483,647. Default 60,000. */
  readonly takeOverAfter?: number;
  /** Bytes of writes that may wait, in the form of the log, while flush or compaction is behind; when more wait, the next write
   * is refused with STRATA_BUSY, and {@link StorageEngine.writable} resolves when there is room again. So the last one that
   * is taken may go beyond it, and with 0 one write waits. Each client holds as many back in its own thread. Default 64 MiB. */
  readonly maxHeldBytes?: number;
  /** Bytes that flush, compaction, bulk loads and verify() may read and write in a second, together; 64 KiB to 2^53 - 1; less is
   * rounded up. Flushes go first. Writes that bring more are slowed, and at last held. With `threads: 0` jobs are not held up,
   * but the next one waits until the one before is paid for. While the store closes it does not count. Default: no bound. */
  readonly backgroundBytesPerSecond?: number;
}

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
  /** How many may work for bulk loads and compact(), which a caller waits for: every core, unless `threads` was given. */
  readonly bulkThreads: number;
  readonly pool: ForeignPool | undefined;
  readonly lockTimeoutMs: number;
  readonly takeOverAfterMs: number;
  readonly maxHeldBytes: number;
  /** undefined: no bound. */
  readonly backgroundBytesPerSecond: number | undefined;
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
    bulkThreads: options.threads ?? Math.max(1, options.pool === undefined ? cores : cores - 1),
    pool: pool(options),
    lockTimeoutMs: integer(options, 'lockTimeout', 0, 0, MAX_TIMEOUT_MS),
    takeOverAfterMs: integer(options, 'takeOverAfter', TAKE_OVER_AFTER_MS, 0, MAX_TIMEOUT_MS),
    maxHeldBytes: integer(options, 'maxHeldBytes', 64 * MIB, 0, Number.MAX_SAFE_INTEGER),
    backgroundBytesPerSecond: backgroundBytesPerSecond(options),
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
