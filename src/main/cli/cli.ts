#!/usr/bin/env node
/**
 * `stratakv [--db DIR] [command]`: the store at the command line, as a process: shell.ts with the streams of this one.
 *
 * Loads what it needs when it is needed: the version alone is asked for often, by scripts and by people. Where Node keeps
 * compiled code (from 22.1 on), a command starts with what the one before has left in the user's directory for such things.
 *
 * Invariants: the exit code is set rather than forced, so that nothing on its way to a pipe is cut off.
 */
import * as module from 'node:module';
import { homedir } from 'node:os';
import { join } from 'node:path';

const VERSION_OPTIONS: readonly (string | undefined)[] = ['--version', '-v', '-V'];

/** The prompt is loaded when somebody is to be asked something: most command lines are one command. */
async function askOnTerminal(question: string): Promise<string> {
  const prompt = await import('./prompt.ts');
  return await prompt.askOnTerminal(question);
}

async function main(words: readonly string[]): Promise<void> {
  if (words.length === 1 && VERSION_OPTIONS.includes(words[0])) {
    const { packageVersion } = await import('./user-files.ts');
    process.stdout.write(`${packageVersion()}\n`);
    return;
  }
  enableCompileCache();
  const { Output } = await import('./output.ts');
  const output = new Output(process.stdout, process.stderr);
  const { plainGet, runPlainGet } = await import('./get-record.ts');
  const plain = plainGet(words);
  if (plain !== undefined) {
    process.exitCode = await runPlainGet(plain, output);
    return;
  }
  const { runShell } = await import('./shell.ts');
  const ask = process.stdin.isTTY ? askOnTerminal : undefined;
  process.exitCode = await runShell(words, output, ask);
}

/** In a directory of the user: others may write where Node would put it, and compiled code is run as it is. */
function enableCompileCache(): void {
  const { enableCompileCache: enable } = module as { enableCompileCache?: (directory: string) => unknown };
  if (enable === undefined) return;
  const { env, platform } = process;
  const caches =
    platform === 'win32'
      ? (env['LOCALAPPDATA'] ?? join(homedir(), 'AppData', 'Local'))
      : env['XDG_CACHE_HOME'] || join(homedir(), '.cache');
  enable(join(caches, 'stratakv'));
}

await main(process.argv.slice(2));
