/**
 * get: one value. `stratakv [--db DIR] get KEY`, without any option, is what scripts ask for again and again: that line is
 * carried out without loading commander and the grammar of all commands.
 *
 * Invariants: a line that is not exactly that goes the long way (shell.ts), and prints the same.
 */
import { CommandError, ExitCode, exitCodeOf } from './exit-codes.ts';
import { type Notation, parseBytes, showValue } from './notation.ts';
import type { Output } from './output.ts';
import { Session } from './session.ts';

export const DEFAULT_DIRECTORY = './db_data';

/** Prints the value of a key. */
export async function getRecord(
  session: Session,
  out: Output,
  key: string,
  { notation, isRaw }: { readonly notation: Notation; readonly isRaw: boolean },
): Promise<void> {
  const keyBytes = parseBytes(key, notation);
  const store = await session.use('read');
  const value = await store.get(keyBytes);
  if (value === undefined) throw new CommandError(ExitCode.NotFound, 'not found');
  if (isRaw) await out.bytes(value);
  else await out.line(showValue(value, notation));
}

/** Where and what a plain `get` looks for; undefined: the line is another one. */
export function plainGet(
  words: readonly string[],
): { readonly db: string; readonly key: string } | undefined {
  const hasDirectory = words[0] === '--db' && words.length === 4;
  const [command, key] = hasDirectory ? words.slice(2) : words;
  if (command !== 'get' || key === undefined || key.startsWith('-')) return undefined;
  if (!hasDirectory && words.length !== 2) return undefined;
  const db = hasDirectory ? words[1]! : DEFAULT_DIRECTORY;
  return db.startsWith('-') ? undefined : { db, key };
}

/** Never throws, as runShell (shell.ts). */
export async function runPlainGet(
  line: { readonly db: string; readonly key: string },
  out: Output,
): Promise<ExitCode> {
  const session = new Session(line.db);
  try {
    try {
      await getRecord(session, out, line.key, { notation: 'text', isRaw: false });
    } finally {
      await session.close();
      await out.flush();
    }
    return ExitCode.Ok;
  } catch (error) {
    out.error(error);
    return exitCodeOf(error);
  }
}
