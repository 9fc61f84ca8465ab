/**
 * The interactive prompt, and the same commands fed from a pipe.
 *
 *   terminal   a prompt with history and tab completion; ctrl-c drops the line or stops the running command, twice on
 *              an empty line it leaves, as ctrl-d, `exit` and `quit` do. Ends with exit code 0.
 *   pipe       a command a line, blank lines and lines beginning with # skipped; nothing but results on stdout. A command
 *              that fails is reported with its line number and the session goes on. Ends with the exit code of the last
 *              command that failed, 0 when none did.
 *
 * The prompt itself is drawn on stderr, so that stdout stays fit for a pipe or a file.
 *
 * Owns: the terminal, between `runPrompt` and its end.
 */
import { createInterface, type Interface } from 'node:readline';
import type { Command } from 'commander';
import { StorageError } from '../../shared/base/errors.ts';
import type { CommandContext } from './context.ts';
import { ExitCode, exitCodeOf, usageError } from './exit-codes.ts';
import type { Output } from './output.ts';
import { buildProgram, run, unknownCommand } from './program.ts';
import type { Session } from './session.ts';
import { historyPath, namesAt, readHistory, writeHistory } from './user-files.ts';
import { splitWords } from './words.ts';

const HISTORY_LINES_MAX = 1000;

export interface PromptOptions {
  readonly keepsHistory: boolean;
}

export async function runPrompt(session: Session, out: Output, options: PromptOptions): Promise<ExitCode> {
  if (process.stdin.isTTY && process.stderr.isTTY) {
    await runTerminal(session, out, options);
    return ExitCode.Ok;
  }
  return runPipe(session, out);
}

/** Asks one question outside the prompt. */
export async function askOnTerminal(question: string): Promise<string> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return await ask(terminal, question);
  } finally {
    terminal.close();
  }
}

/** ctrl-d answers with nothing. */
function ask(terminal: Interface, question: string): Promise<string> {
  return new Promise((resolve) => {
    const end = (): void => resolve('');
    terminal.once('close', end);
    terminal.question(question, (answer) => {
      terminal.off('close', end);
      resolve(answer);
    });
  });
}

async function runPipe(session: Session, out: Output): Promise<ExitCode> {
  const lines = createInterface({ input: process.stdin, terminal: false });
  const signal = new AbortController().signal;
  const context: CommandContext = { session, out, isReadingStdin: true, signal, ask: undefined };
  let exitCode: ExitCode = ExitCode.Ok;
  let lineNumber = 0;
  for await (const line of lines) {
    lineNumber++;
    try {
      const outcome = await runLine(context, line);
      await out.flush();
      if (outcome === 'leave' || out.isClosed) break;
    } catch (error) {
      await out.flush();
      out.error(error, `line ${lineNumber}: `);
      exitCode = exitCodeOf(error);
    }
  }
  process.stdin.destroy();
  return exitCode;
}

async function runTerminal(session: Session, out: Output, options: PromptOptions): Promise<void> {
  out.note(`stratakv, ${session.directory}. "help" lists the commands, ctrl-d leaves.`);
  // Before the terminal is read: a line that arrives while nobody iterates would be lost.
  await openIfThere(session, out);
  const path = options.keepsHistory ? historyPath() : undefined;
  const signal = new AbortController().signal;
  const program = buildLineProgram({ session, out, isReadingStdin: true, signal, ask: undefined });
  const terminal = createInterface({
    input: process.stdin,
    output: process.stderr,
    prompt: 'stratakv> ',
    history: path === undefined ? [] : readHistory(path).reverse(),
    historySize: HISTORY_LINES_MAX,
    removeHistoryDuplicates: true,
    completer: (line: string) => complete(program, line),
  });
  let history: readonly string[] = [];
  terminal.on('history', (lines) => {
    history = lines;
  });
  await answerLines(terminal, session, out);
  terminal.close();
  // Newest first in memory, oldest first in the file.
  const problem =
    path === undefined || history.length === 0 ? undefined : await writeHistory(path, [...history].reverse());
  if (problem !== undefined) out.note(`the history was not kept: ${problem}`);
}

/** Opens an existing store at once, so that a store that is locked or damaged says so before the first command. */
async function openIfThere(session: Session, out: Output): Promise<void> {
  try {
    await session.engine('change');
  } catch (error) {
    const isMissing = error instanceof StorageError && error.code === 'STRATA_NO_DATABASE';
    if (isMissing) out.note('there is no store yet; the first put creates it');
    else out.error(error);
  }
}

/** Until ctrl-d, exit, or ctrl-c twice on an empty line. */
async function answerLines(terminal: Interface, session: Session, out: Output): Promise<void> {
  let running: AbortController | undefined;
  let isLeaving = false;
  terminal.on('SIGINT', () => {
    if (running !== undefined) {
      running.abort(new Error('interrupted'));
    } else if (terminal.line === '' && isLeaving) {
      terminal.close();
    } else {
      isLeaving = terminal.line === '';
      out.note(isLeaving ? '\n(ctrl-c again, or ctrl-d, leaves)' : '');
      terminal.write(null, { ctrl: true, name: 'u' });
      terminal.prompt();
    }
  });
  terminal.prompt();
  for await (const line of terminal) {
    isLeaving = false;
    running = new AbortController();
    const context: CommandContext = {
      session,
      out,
      isReadingStdin: true,
      signal: running.signal,
      ask: (question) => ask(terminal, question),
    };
    try {
      if ((await runLine(context, line)) === 'leave') return;
      await out.flush();
    } catch (error) {
      await out.flush();
      out.error(error);
    }
    running = undefined;
    terminal.prompt();
  }
  out.note('');
}

/** Runs one line; 'leave' for exit and quit. */
async function runLine(context: CommandContext, line: string): Promise<'leave' | undefined> {
  const words = line.trimStart().startsWith('#') ? [] : splitWords(line);
  if (words.length === 0) return undefined;
  if (words[0] === 'exit' || words[0] === 'quit') {
    if (words[1] !== undefined && words[1] !== '-h' && words[1] !== '--help')
      throw usageError(`${words[0]} takes no arguments: '${words[1]}'`);
    if (words.length === 1) return 'leave';
  }
  await run(buildLineProgram(context), words);
  return undefined;
}

/** The commands of a line: those of the shell, and the way out. */
export function buildLineProgram(context: CommandContext): Command {
  const program = buildProgram(context);
  program.command('exit').alias('quit').description('leave the prompt');
  return program
    .usage('command')
    .argument('[command...]')
    .action((rest: string[]) => {
      throw unknownCommand(rest[0] ?? '');
    });
}

/** Arguments that are a path, as help shows them. */
const PATH_ARGUMENTS: ReadonlySet<string> = new Set(['file', 'directory', 'target']);

/**
 * Commands for the first word, the command's options for a word that begins with a dash, names of files where the command takes
 * a path.
 */
export function complete(program: Command, line: string): [string[], string] {
  // A blank behind a backslash belongs to the word (words.ts).
  const words: string[] = line.trimStart().match(/(?:\\.|[^\s\\])+|\\$/g) ?? [];
  if (/^$|(?:^|[^\\])(?:\\\\)*\s$/.test(line)) words.push('');
  const last = words.at(-1) ?? '';
  const command = program.commands.find(
    (known) => known.name() === words[0] || known.aliases().includes(words[0] ?? ''),
  );
  if (words.length <= 1) {
    const names = ['help', ...program.commands.flatMap((known) => [known.name(), ...known.aliases()])];
    return [endedBySpace(names, last), last];
  }
  if (last.startsWith('-'))
    return [endedBySpace(command?.options.map((option) => option.long ?? '') ?? [], last), last];
  const takesPath =
    command?.registeredArguments.some((argument) => PATH_ARGUMENTS.has(argument.name())) === true;
  if (!takesPath) return [[], last];
  const hits = namesAt(last.replace(/\\(.)/g, '$1')).map((name) => name.replace(/[\s'"\\]/g, '\\$&'));
  return [hits.map((hit) => (hit.endsWith('/') ? hit : `${hit} `)), last];
}

function endedBySpace(names: readonly string[], start: string): string[] {
  return names
    .filter((name) => name.startsWith(start))
    .sort()
    .map((name) => `${name} `);
}
