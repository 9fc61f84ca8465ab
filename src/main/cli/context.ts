/**
 * What every command is given, and the options that several of them share.
 */
import { InvalidArgumentError, Option } from 'commander';
import type { Notation } from './notation.ts';
import type { Output } from './output.ts';
import type { Session } from './session.ts';

export interface CommandContext {
  readonly session: Session;
  readonly out: Output;
  /** The commands themselves come through standard input. */
  readonly isReadingStdin: boolean;
  /** Aborted by ctrl-c at the prompt. */
  readonly signal: AbortSignal;
  /** Asks the person at the terminal; undefined when there is none. */
  readonly ask: ((question: string) => Promise<string>) | undefined;
}

export interface NotationOptions {
  readonly hex?: boolean;
  readonly base64?: boolean;
}

/** `--hex` and `--base64`: how keys and values are given and printed. */
export function notationOptions(): [Option, Option] {
  return [
    new Option('--hex', 'keys and values in hexadecimal, given and printed').conflicts('base64'),
    new Option('--base64', 'keys and values in base64, given and printed'),
  ];
}

export function notationOf(options: NotationOptions): Notation {
  if (options.hex === true) return 'hex';
  return options.base64 === true ? 'base64' : 'text';
}

export function noProgressOption(): Option {
  return new Option('--no-progress', 'no progress bar, even on a terminal');
}

/** For options that count something. */
export function parseCount(text: string): number {
  const count = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(count)) {
    throw new InvalidArgumentError('It must be a whole number, 0 or more.');
  }
  return count;
}

/** For options that take a time in milliseconds. */
export function parseMilliseconds(text: string): number {
  const ms = Number(text);
  if (!/^[0-9]+$/.test(text) || !Number.isSafeInteger(ms) || ms < 1)
    throw new InvalidArgumentError('It must be a whole number of milliseconds, 1 or more.');
  return ms;
}
