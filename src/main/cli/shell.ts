/**
 * One command line, from its words to its exit code.
 *
 *   1. parse the arguments (program.ts)
 *   2. run the command, or the prompt when there is none (prompt.ts)
 *   3. close the store, write out what is pending
 *
 * Invariants: the store is closed whatever happened. Nothing of the process is touched but by the prompt and by `load -`, which
 *             read standard input: cli.ts gives the streams and takes the exit code.
 */
import { type CommandContext, parseMilliseconds } from './context.ts';
import { ExitCode, exitCodeOf } from './exit-codes.ts';
import { DEFAULT_DIRECTORY } from './get-record.ts';
import type { Output } from './output.ts';
import { buildProgram, run, unknownCommand } from './program.ts';
import { Session } from './session.ts';
import { packageVersion } from './user-files.ts';

interface ShellOptions {
  readonly db: string;
  readonly history: boolean;
  readonly answerTimeout?: number;
}

/** Runs one command line. Never throws: an error is a line on stderr and an exit code. */
export async function runShell(
  words: readonly string[],
  out: Output,
  ask: CommandContext['ask'],
): Promise<ExitCode> {
  try {
    return await runWords(words, out, ask);
  } catch (error) {
    out.error(error);
    return exitCodeOf(error);
  }
}

async function runWords(
  words: readonly string[],
  out: Output,
  ask: CommandContext['ask'],
): Promise<ExitCode> {
  /** Made when a command first asks for it: --db may stand behind the command. */
  let session: Session | undefined;
  const context: CommandContext = {
    get session() {
      const { db, answerTimeout } = program.opts<ShellOptions>();
      session ??= new Session(db, answerTimeout);
      return session;
    },
    out,
    isReadingStdin: false,
    signal: new AbortController().signal,
    ask,
  };
  let promptCode: ExitCode = ExitCode.Ok;
  const program = buildProgram(context)
    .usage('[--db DIR] [command]')
    .option('--db <directory>', 'where the store is', DEFAULT_DIRECTORY)
    .option(
      '--answer-timeout <ms>',
      'how long a process that has the store open may be silent',
      parseMilliseconds,
    )
    .option('--no-history', 'do not keep the lines typed at the prompt')
    .version(packageVersion(), '-v, --version', 'show the version')
    .argument('[command...]')
    .action(async (rest: string[], options: ShellOptions) => {
      if (rest[0] !== undefined) throw unknownCommand(rest[0]);
      const { runPrompt } = await import('./prompt.ts');
      promptCode = await runPrompt(context.session, out, { keepsHistory: options.history });
    });
  try {
    await run(program, words);
  } finally {
    await session?.close();
    // After a failure too: what was found before the damage is worth having.
    await out.flush();
  }
  return promptCode;
}
