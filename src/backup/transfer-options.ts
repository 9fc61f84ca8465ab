/**
 * The options that all calls upon a target have in common, checked.
 *
 * Thread: main.
 */
import { invalidArgument } from '../shared/base/errors.ts';
import { describe } from '../shared/base/input-bytes.ts';
import { checkObject, integer } from '../shared/base/option-checks.ts';
import { signalOption } from '../shared/base/signals.ts';

/** How a call goes about its transfers. */
export interface TransferOptions {
  /** Ends the call with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** The call gives up with `STRATA_IO` after this long without progress, in milliseconds. Default 30,000. */
  readonly timeoutMs?: number | undefined;
  /** How many objects are on their way at once. Default 4. */
  readonly concurrency?: number | undefined;
  /** At most this many bytes a second, up or down. Default: no bound. */
  readonly bytesPerSecond?: number | undefined;
}

export interface ResolvedTransfer {
  readonly signal: AbortSignal | undefined;
  readonly timeoutMs: number;
  readonly concurrency: number;
  readonly bytesPerSecond: number;
}

const DEFAULT_TIMEOUT_MS = 30_000;
const DEFAULT_CONCURRENCY = 4;
const MAX_CONCURRENCY = 64;
/** Half a year; far below what timers and counters can hold. */
const MAX_TIMEOUT_MS = 180 * 24 * 60 * 60 * 1000;

const TRANSFER_NAMES: readonly string[] = ['signal', 'timeoutMs', 'concurrency', 'bytesPerSecond'];

/** Checks all of `options`: those of every transfer, and `others`, whose values the caller looks at. */
export function resolveTransfer(
  options: TransferOptions | undefined,
  what: string,
  others: readonly string[] = [],
): ResolvedTransfer {
  const given = options ?? {};
  checkObject(given, what, new Set([...TRANSFER_NAMES, ...others]));
  return {
    signal: signalOption(given.signal),
    timeoutMs: integer(given, 'timeoutMs', DEFAULT_TIMEOUT_MS, 1, MAX_TIMEOUT_MS),
    concurrency: integer(given, 'concurrency', DEFAULT_CONCURRENCY, 1, MAX_CONCURRENCY),
    bytesPerSecond:
      integer(given, 'bytesPerSecond', 0, 0, Number.MAX_SAFE_INTEGER) || Number.POSITIVE_INFINITY,
  };
}

/** An option that is a function, or is not there. */
export function functionOption<T>(value: T | undefined, name: string): T | undefined {
  if (value !== undefined && typeof value !== 'function')
    throw invalidArgument(`option '${name}' must be a function, not ${describe(value)}`);
  return value;
}

/** The target, as far as can be told in the call. */
export function checkTarget(target: unknown): void {
  const methods = ['read', 'download', 'upload', 'create', 'replace', 'remove', 'list'];
  const isTarget =
    typeof target === 'object' &&
    target !== null &&
    methods.every((name) => typeof Reflect.get(target, name) === 'function');
  if (!isTarget) throw invalidArgument('the target must be one that directoryTarget or s3Target has made');
}
