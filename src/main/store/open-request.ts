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
import type { RepairOptions } from '../repair/repair-report.ts';
import type { EngineOptions } from './options.ts';

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
]);

/** Every option of repair(). */
export const REPAIR_OPTION_NAMES: ReadonlySet<string> = new Set<keyof RepairOptions>(['dryRun']);

/** A copy of the options of open(), each read once; throws STRATA_INVALID_ARGUMENT for unknown ones. */
export function readOpenOptions(given: EngineOptions = {}): EngineOptions {
  checkObject(given, 'options', OPTION_NAMES);
  return readOnce(given, OPTION_NAMES);
}

/** As {@link readOpenOptions}, for repair(). */
export function readRepairOptions(given: RepairOptions = {}): RepairOptions {
  checkObject(given, 'repair options', REPAIR_OPTION_NAMES);
  return readOnce(given, REPAIR_OPTION_NAMES);
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
