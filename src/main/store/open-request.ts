/**
 * What open(), destroy() and repair() are asked for, as it stands when they are called.
 *
 * The code of a store is loaded by the first of them (engine.ts), which takes some turns of the event loop. So what may change
 * meanwhile is read before: the options, and the working directory that a relative path begins at.
 *
 * Invariants: names only; whether the values are in range is checked where they are used.
 * Thread:     main.
 */
import { resolve } from 'node:path';
import { invalidArgument, ioError } from '../../shared/base/errors.ts';
import { describe } from '../../shared/base/input-bytes.ts';
import { checkObject, readOnce } from '../../shared/base/option-checks.ts';
import type { TraceLogger } from './trace-events.ts';

/** What we need of a pool the application gives us: any version of piscina has it. */
export interface ForeignPool {
  run(task: unknown, options: { readonly filename: string; readonly name: string }): Promise<unknown>;
}

/** How much of the past is kept for those who follow the changes. */
export interface RetainChanges {
  /** Bytes of log; 0 to 2^53 - 1. */
  readonly bytes?: number | undefined;
  /** Milliseconds; 0 to 2^53 - 1. */
  readonly ms?: number | undefined;
}

/** What `StorageEngine.open` takes. */
export interface EngineOptions {
  /** Create the store if there is none. Default true. */
  readonly createIfMissing?: boolean | undefined;
  /** Refuse a store that exists, with STRATA_EXISTS. Default false. */
  readonly errorIfExists?: boolean | undefined;
  /** Refuse all writes and change nothing on disk. The store must exist. No lock is taken: any number may read it at once, also
   * on a read-only disk; while an owner runs it is refused with STRATA_LOCKED. Should an owner start later, a reader goes on with
   * what it has open, and gives STRATA_CLOSED where that is not enough. Default false. */
  readonly readOnly?: boolean | undefined;
  /** Whether writes wait for the disk (fdatasync) unless they say otherwise. Default false: they survive the death of the
   * process, not of the power supply. */
  readonly sync?: boolean | undefined;
  /** Size of a memtable with its index, in bytes, 4 KiB to 2 GiB; less is rounded up. Default 64 MiB. Up to three exist at
   * once, and one grows beyond this for a single batch that is larger. */
  readonly writeBufferSize?: number | undefined;
  /** Size of the block cache in bytes; 0 = none. Default 64 MiB. */
  readonly cacheSize?: number | undefined;
  /** Size at which a table's block is closed, in bytes before compression, 64 to 64 MiB; less is rounded up.
   * Default 4096. */
  readonly blockSize?: number | undefined;
  /** Entries between two whole keys in a block, 1 to 256. Default 16. */
  readonly blockRestartInterval?: number | undefined;
  /** Size at which compaction closes a table, in bytes, 4 KiB to 1 GiB; less is rounded up. Default 32 MiB, or half the write
   * buffer if that is less; without the option, levels of more than a thousand such tables get tables of two or four times the
   * size. A flush writes one table, whatever its size. */
  readonly maxFileSize?: number | undefined;
  /** Codec for new blocks; every codec can always be read. 'lz4' needs the package lz4-napi. Default 'snappy'. */
  readonly compression?: 'snappy' | 'lz4' | 'none' | undefined;
  /** Bits of bloom filter per key, 0 (none) to 64. Default 10: 1 % of look-ups for absent keys read a block. */
  readonly bloomBitsPerKey?: number | undefined;
  /** Tables open at once, each with a file descriptor, its index and its filter: 8 to 1,000,000; less is
   * rounded up. Default 1000. */
  readonly maxOpenFiles?: number | undefined;
  /** Worker threads for compaction, 0 to 62; 0 = run on the calling thread. Default: one less than there are cores, at
   * least 1. While all are busy, a flush gets one more; unless you say how many, ingest() and compact() get one for every
   * core. Where Node's permission model allows no threads the default is 0, and more are refused. */
  readonly threads?: number | undefined;
  /** A piscina of the application's to use instead of threads of our own. It is not closed with the store. */
  readonly pool?: ForeignPool | undefined;
  /** Read tables through memory mapping. Default: where the optional package koffi is installed (not on Windows); else
   * through pread. true insists on it. A mapped page that the disk cannot deliver ends the process with SIGBUS; on Linux pages
   * that are not in memory are read instead. Reads with a promise don't wait for the disk in the call, mapped or not. */
  readonly mmap?: boolean | undefined;
  /** How long `open` waits while somebody else owns the store, in milliseconds: an owner that is closing, or a process that is
   * about to end. 0 to 2,147,483,647. Default 0: it is refused at once. */
  readonly lockTimeout?: number | undefined;
  /** Milliseconds without a sign of life after which an owner on another host counts as dead, and the store is taken over;
   * 0 = at once, which is for whoever knows that it is dead. Owners show that they live every 5 seconds. Owners on this machine
   * are known to live or to be dead, and not a matter of time. 0 to 2,147,483,647. Default 60,000. */
  readonly takeOverAfter?: number | undefined;
  /** Bytes of writes that may wait, in the form of the log, while flush or compaction is behind; when more wait, the next write
   * is refused with STRATA_BUSY, and {@link StorageEngine.writable} resolves when there is room again. So the last one that
   * is taken may go beyond it, and with 0 one write waits. Each client holds as many back in its own thread. Default 64 MiB. */
  readonly maxHeldBytes?: number | undefined;
  /** Bytes that flush, compaction, ingestions and verify() may read and write in a second, together; 64 KiB to 2^53 - 1; less is
   * rounded up. Flushes go first. Writes that bring more are slowed, and at last held. With `threads: 0` jobs are not held up,
   * but the next one waits until the one before is paid for. While the store closes it does not count. Default: no bound. */
  readonly backgroundBytesPerSecond?: number | undefined;
  /** How much of the past {@link StorageEngine.changes} can be asked for, besides the logs in use: at least the newest `bytes` of
   * log (and of what was ingested); with `ms` only what is no older than that; with `ms` alone all of that. Default: none. */
  readonly retainChanges?: RetainChanges | undefined;
  /** Hears of what happens in the store, step by step (docs/trace.md): a function is given records, an object with the methods
   * debug, info, warn and error (the console, a pino) lines of text. Called later than what it hears of, never within it, so it
   * may use the store; what it throws is an uncaught exception. Default: none. */
  readonly logger?: TraceLogger | undefined;
}

/** Every option of open(). */
export const OPTION_NAMES: ReadonlySet<string> = new Set<keyof EngineOptions>([
  'createIfMissing',
  'errorIfExists',
  'readOnly',
  'sync',
  'writeBufferSize',
  'cacheSize',
  'blockSize',
  'blockRestartInterval',
  'maxFileSize',
  'compression',
  'bloomBitsPerKey',
  'maxOpenFiles',
  'threads',
  'pool',
  'mmap',
  'lockTimeout',
  'takeOverAfter',
  'maxHeldBytes',
  'backgroundBytesPerSecond',
  'retainChanges',
  'logger',
]);

/** A copy of the options of open(), each read once; throws STRATA_INVALID_ARGUMENT for unknown ones. */
export function readOpenOptions(given: EngineOptions = {}): EngineOptions {
  checkObject(given, 'options', OPTION_NAMES);
  return readOnce(given, OPTION_NAMES);
}

/** An absolute path; throws STRATA_INVALID_ARGUMENT for what can't be one. */
export function resolveDirectory(path: unknown): string {
  if (typeof path !== 'string' || path.length === 0)
    throw invalidArgument(
      `the path of a store must be a string, not ${path === '' ? 'empty' : describe(path)}`,
    );
  if (path.includes('\0')) throw invalidArgument('the path of a store must not contain a zero byte');
  try {
    return resolve(path);
  } catch (error) {
    // A relative path where the working directory has been deleted.
    throw ioError('find the working directory for', path, error);
  }
}
