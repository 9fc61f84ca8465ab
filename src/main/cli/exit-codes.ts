/**
 * Exit codes of the `stratakv` command, and which error leads to which. Scripts rely on the numbers.
 *
 *   0 ok   1 error   2 usage   3 not found   4 corruption   5 locked
 */
import { isError, StorageError } from '../../shared/base/errors.ts';

/** Part of the contract. Never renumber. */
export const ExitCode = { Ok: 0, Error: 1, Usage: 2, NotFound: 3, Corruption: 4, Locked: 5 } as const;
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

/** A failure of the command itself rather than of the store: bad usage, a key that isn't there, a malformed file. */
export class CommandError extends Error {
  readonly exitCode: ExitCode;

  constructor(exitCode: ExitCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'CommandError';
    this.exitCode = exitCode;
  }
}

export function usageError(message: string): CommandError {
  return new CommandError(ExitCode.Usage, message);
}

export function exitCodeOf(error: unknown): ExitCode {
  if (error instanceof CommandError) return error.exitCode;
  if (!(error instanceof StorageError)) return ExitCode.Error;
  if (error.code === 'STRATA_CORRUPTION') return ExitCode.Corruption;
  if (error.code === 'STRATA_LOCKED') return ExitCode.Locked;
  return error.code === 'STRATA_INVALID_ARGUMENT' ? ExitCode.Usage : ExitCode.Error;
}

/** One line for stderr: what happened, and the code of the store's or the operating system's error. */
export function describeError(error: unknown): string {
  const message = (isError(error) ? error.message : String(error)).trim().replace(/\s*\n\s*/g, ' ');
  const code = isError(error) ? (error as { code?: unknown }).code : undefined;
  return typeof code === 'string' && !message.includes(code) ? `${message} (${code})` : message;
}
