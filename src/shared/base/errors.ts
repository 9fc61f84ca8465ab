/**
 * The one error class of the store, its codes, and its form for crossing a thread.
 *
 * A structured clone keeps only `message`, `stack` and `cause` of an Error, so job failures travel as
 * {@link WireError} (plain data) and are rebuilt on the receiving side with their class and code.
 *
 * Invariants: messages are lower case, say what and where, and hold no key or value bytes.
 * Not chosen: one subclass per code; callers switch on `code`. CorruptionError exists so that decoders can name it.
 *             `instanceof Error`: where the tests of an application run in a context of their own (node:vm), the errors of
 *             Node and of the application are made by the Error of another one. Our own classes are known by `instanceof`,
 *             which goes by a mark that those of other copies of the package carry, too.
 */
import { types } from 'node:util';

/** How many causes behind an error are looked at: somebody's may go round in a circle. */
const DEEPEST_CAUSE = 16;

/** What Node's permission model refuses with; to the store the same as a refusal of the system. */
const NO_PERMISSION = 'ERR_ACCESS_DENIED';

/** Stable within a major version. See the table in README.md. */
export type StorageErrorCode =
  | 'STRATA_CORRUPTION'
  | 'STRATA_LOCKED'
  | 'STRATA_CLOSED'
  | 'STRATA_INVALID_ARGUMENT'
  | 'STRATA_IO'
  | 'STRATA_READ_ONLY'
  | 'STRATA_NO_DATABASE'
  | 'STRATA_EXISTS'
  | 'STRATA_UNSUPPORTED'
  | 'STRATA_BUSY'
  | 'STRATA_CONFLICT'
  | 'STRATA_POSITION_LOST';

/** What errors of all copies of the package carry, whichever version. */
const STORAGE_ERROR = Symbol.for('stratakv.StorageError');
const CORRUPTION_ERROR = Symbol.for('stratakv.CorruptionError');

export interface StorageErrorDetails {
  readonly cause?: unknown;
  /** Path of the file concerned. */
  readonly file?: string | undefined;
  /** Byte offset in `file`. */
  readonly offset?: number | undefined;
}

/**
 * Every error the store throws or rejects with.
 *
 * @example
 * try { await engine.put('k', 'v'); } catch (error) {
 *   if (error instanceof StorageError && error.code === 'STRATA_CLOSED') reopen();
 * }
 */
export class StorageError extends Error {
  readonly code: StorageErrorCode;
  /** Path of the file concerned, where there is one. */
  declare readonly file?: string;
  /** Byte offset in `file`, where there is one. */
  declare readonly offset?: number;

  constructor(code: StorageErrorCode, message: string, details: StorageErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'StorageError';
    this.code = code;
    if (details.file !== undefined) this.file = details.file;
    if (details.offset !== undefined) this.offset = details.offset;
  }

  /**
   * Whether this is an error of a store, of whichever copy or version of the package and whichever realm (node:vm, a test
   * runner's).
   * @example
   * try { await engine.put('k', 'v'); } catch (error) {
   *   if (StorageError.is(error) && error.code === 'STRATA_BUSY') await engine.writable();
   * }
   */
  static is(value: unknown): value is StorageError {
    return carries(value, STORAGE_ERROR);
  }
}

/** Bytes on disk are not what was written: `code` is `STRATA_CORRUPTION`, with `file` and `offset`. */
export class CorruptionError extends StorageError {
  declare readonly code: 'STRATA_CORRUPTION';

  constructor(message: string, details: StorageErrorDetails = {}) {
    const where =
      details.file === undefined
        ? ''
        : details.offset === undefined
          ? ` in ${details.file}`
          : ` in ${details.file} at offset ${details.offset}`;
    super('STRATA_CORRUPTION', `corruption: ${message}${where}`, details);
    this.name = 'CorruptionError';
  }

  /** As {@link StorageError.is}, of these alone. */
  static override is(value: unknown): value is CorruptionError {
    return carries(value, CORRUPTION_ERROR);
  }
}

for (const [errors, mark] of [
  [StorageError, STORAGE_ERROR],
  [CorruptionError, CORRUPTION_ERROR],
] as const) {
  Object.defineProperty(errors.prototype, mark, { value: true });
  // `instanceof` goes by the same mark; classes derived from these by nothing but their own prototype.
  const isInstance = function (this: unknown, value: unknown): boolean {
    return (
      Function.prototype[Symbol.hasInstance].call(this, value) || (this === errors && carries(value, mark))
    );
  };
  Object.defineProperty(errors, Symbol.hasInstance, { value: isInstance });
}

function carries(value: unknown, mark: symbol): boolean {
  return typeof value === 'object' && value !== null && Reflect.get(value, mark) === true;
}

export function invalidArgument(message: string): StorageError {
  return new StorageError('STRATA_INVALID_ARGUMENT', message);
}

/** Whether this is an error, of whichever context; a DOMException is none to the engine, and so is judged by its message. */
export function isError(value: unknown): value is Error {
  if (types.isNativeError(value)) return true;
  return typeof value === 'object' && value !== null && typeof (value as Error).message === 'string';
}

/** Wraps an error of the operating system; `cause` keeps its `code` (ENOSPC, EIO, ...). */
export function ioError(action: string, file: string, cause: unknown): StorageError {
  const reason = isError(cause) ? cause.message + permissionNote(cause) : String(cause);
  return new StorageError('STRATA_IO', `cannot ${action} ${file}: ${reason}`, { cause, file });
}

/** Node's own refusal says what is missing, but in older versions not who misses it. */
function permissionNote(cause: Error): string {
  const { code, permission } = cause as { code?: unknown; permission?: unknown };
  if (code !== NO_PERMISSION) return '';
  return ` (the permission model of node does not allow ${typeof permission === 'string' ? permission : 'it'})`;
}

/** The `code` of the operating system's error behind `error`, if there is one: 'ENOSPC', 'ENOENT', ... */
export function systemErrorCode(error: unknown): string | undefined {
  let e = error;
  for (let depth = 0; depth < DEEPEST_CAUSE && isError(e); depth++, e = e.cause) {
    const code = (e as { code?: unknown }).code;
    if (code === NO_PERMISSION) return 'EACCES';
    if (typeof code === 'string' && /^E[A-Z0-9]+$/.test(code)) return code;
  }
  return undefined;
}

/** No room: the disk, the quota or the file size limit is exhausted. Ends when room returns; nothing is damaged. */
export function isDiskFull(error: unknown): boolean {
  const code = systemErrorCode(error);
  return code === 'ENOSPC' || code === 'EDQUOT' || code === 'EFBIG';
}

/** No file descriptors left, in the process or the system. Whatever needed one was not begun. */
export function isOutOfDescriptors(error: unknown): boolean {
  const code = systemErrorCode(error);
  return code === 'EMFILE' || code === 'ENFILE';
}

/** An error as plain data, fit for postMessage. */
export interface WireError {
  readonly name: string;
  readonly message: string;
  readonly code?: string;
  readonly file?: string;
  readonly offset?: number;
  readonly stack?: string;
  readonly cause?: WireError;
}

/** Whether `value` is an error as {@link errorToWire} makes it, so far as {@link errorFromWire} goes by it. */
export function isWireError(value: unknown, depth = 0): value is WireError {
  if (typeof value !== 'object' || value === null || depth > 5) return false;
  const { name, message, code, file, offset, stack, cause } = value as Record<string, unknown>;
  return (
    typeof name === 'string' &&
    typeof message === 'string' &&
    [code, file, stack].every((text) => text === undefined || typeof text === 'string') &&
    (offset === undefined || typeof offset === 'number') &&
    (cause === undefined || isWireError(cause, depth + 1))
  );
}

export function errorToWire(error: unknown, depth = 0): WireError {
  if (!isError(error)) return { name: 'Error', message: String(error) };
  const extra = error as { code?: unknown; file?: unknown; offset?: unknown };
  return {
    name: error.name,
    message: error.message,
    ...(typeof extra.code === 'string' ? { code: extra.code } : {}),
    ...(typeof extra.file === 'string' ? { file: extra.file } : {}),
    ...(typeof extra.offset === 'number' ? { offset: extra.offset } : {}),
    ...(error.stack === undefined ? {} : { stack: error.stack }),
    ...(error.cause === undefined || depth >= 4 ? {} : { cause: errorToWire(error.cause, depth + 1) }),
  };
}

export function errorFromWire(wire: WireError): Error {
  const cause = wire.cause === undefined ? undefined : errorFromWire(wire.cause);
  const isOurs = wire.code?.startsWith('STRATA_') ?? false;
  const error = isOurs
    ? new StorageError(wire.code as StorageErrorCode, wire.message, {
        cause,
        file: wire.file,
        offset: wire.offset,
      })
    : new Error(wire.message, cause === undefined ? undefined : { cause });
  if (wire.code === 'STRATA_CORRUPTION') Object.setPrototypeOf(error, CorruptionError.prototype);
  error.name = wire.name;
  if (!isOurs && wire.code !== undefined) Object.assign(error, { code: wire.code });
  if (wire.stack !== undefined) error.stack = wire.stack;
  return error;
}
