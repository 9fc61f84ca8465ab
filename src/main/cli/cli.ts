#!/usr/bin/env node
/**
 * `stratakv [--db DIR] [command]`: the store at the command line.
 *
 *   1. parse the arguments (program.ts)
 *   2. run the command, or the prompt when there is none (prompt.ts)
 *   3. close the store, write out what is pending, exit with the code of exit-codes.ts
 *
 * Invariants: the store is closed whatever happened, and the exit code is set rather than forced, so that nothing on its
 *             way to a pipe is cut off.
 */
import type { CommandContext } from './context.ts';
import { ExitCode, exitCodeOf } from './exit-codes.ts';
import { Output } from './output.ts';
import { buildProgram, run, unknownCommand } from './program.ts';
import { Session } from './session.ts';
import { packageVersion } from './user-files.ts';

/** Loaded when somebody is to be asked something: most command lines are one command. */
const prompt = (): Promise<typeof import('./prompt.ts')> => import('./prompt.ts');

const DEFAULT_DIRECTORY = './db_data';

interface ShellOptions {
  readonly db: string;
  readonly history: boolean;
}

async function main(words: readonly string[], out: Output): Promise<ExitCode> {
  /** Made when a command first asks for it: --db may stand behind the command. */
  let session: Session | undefined;
  const context: CommandContext = {
    get session() {
      session ??= new Session(program.opts<ShellOptions>().db);
      return session;
    },
    out,
    isReadingStdin: false,
    signal: new AbortController().signal,
    ask: process.stdin.isTTY ? async (question) => (await prompt()).askOnTerminal(question) : undefined,
  };
  let promptCode: ExitCode = ExitCode.Ok;
  const program = buildProgram(context)
    .usage('[--db DIR] [command]')
    .option('--db <directory>', 'where the store is', DEFAULT_DIRECTORY)
    .option('--no-history', 'do not keep the lines typed at the prompt')
    .version(packageVersion())
    .argument('[command...]')
    .action(async (rest: string[], options: ShellOptions) => {
      if (rest[0] !== undefined) throw unknownCommand(rest[0]);
      const { runPrompt } = await prompt();
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

const output = new Output(process.stdout, process.stderr);
try {
  process.exitCode = await main(process.argv.slice(2), output);
} catch (error) {
  output.error(error);
  process.exitCode = exitCodeOf(error);
}
