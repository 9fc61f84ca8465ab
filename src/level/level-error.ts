/**
 * Errors as users of abstract-level know them: `LEVEL_*` codes, each of ours under one of its own, with ours as the `cause`.
 *
 * Invariants: a code of the engine and a code here belong together one to one, so nothing is lost by the translation.
 * Thread:     any. Pure.
 */
import { StorageError, type StorageErrorCode } from '../shared/base/errors.ts';

/** The names that abstract-level and classic-level have, where they have one. */
const CODES: Readonly<Record<StorageErrorCode, string>> = {
  STRATA_CORRUPTION: 'LEVEL_CORRUPTION',
  STRATA_LOCKED: 'LEVEL_LOCKED',
  STRATA_CLOSED: 'LEVEL_DATABASE_NOT_OPEN',
  STRATA_INVALID_ARGUMENT: 'LEVEL_INVALID_ARGUMENT',
  STRATA_IO: 'LEVEL_IO_ERROR',
  STRATA_READ_ONLY: 'LEVEL_READONLY',
  STRATA_NO_DATABASE: 'LEVEL_NO_DATABASE',
  STRATA_EXISTS: 'LEVEL_EXISTS',
  STRATA_UNSUPPORTED: 'LEVEL_NOT_SUPPORTED',
  STRATA_BUSY: 'LEVEL_BUSY',
  STRATA_CONFLICT: 'LEVEL_CONFLICT',
  STRATA_POSITION_LOST: 'LEVEL_POSITION_LOST',
};

/** What StrataLevel rejects with; `cause` is the engine's StorageError where it comes from there. */
export class LevelError extends Error {
  readonly code: string;

  constructor(code: string, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'LevelError';
    this.code = code;
  }
}

/** An error of the engine as one of ours; any other, of a hook or an encoding, as it is. */
export function levelErrorOf(error: unknown): unknown {
  return error instanceof StorageError ? new LevelError(CODES[error.code], error.message, error) : error;
}

export function notOpen(call: string): LevelError {
  return new LevelError('LEVEL_DATABASE_NOT_OPEN', `Database is not open: cannot call ${call}()`);
}

/** A read that its signal has ended, as those of other abstract-level databases. */
export function aborted(reason: unknown): LevelError {
  const error = new LevelError('LEVEL_ABORTED', 'Operation has been aborted', reason);
  error.name = 'AbortError';
  return error;
}

/** abstract-level says that opening failed, and in the cause why; most people see the message alone. */
export function tellCause(error: unknown): void {
  if (typeof error !== 'object' || error === null) return;
  const { code, cause } = error as { code?: unknown; cause?: unknown };
  if (code !== 'LEVEL_DATABASE_NOT_OPEN' || typeof cause !== 'object' || cause === null) return;
  const { message } = cause as { message?: unknown };
  const told = error as { message: string };
  if (typeof message === 'string' && !told.message.includes(message)) told.message += `: ${message}`;
}
