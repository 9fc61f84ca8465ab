#!/usr/bin/env node
/**
 * `stratakv [--db DIR] [command]`: the store at the command line, as a process: shell.ts with the streams of this one.
 *
 * Invariants: the exit code is set rather than forced, so that nothing on its way to a pipe is cut off.
 */
import { Output } from './output.ts';
import { runShell } from './shell.ts';

/** The prompt is loaded when somebody is to be asked something: most command lines are one command. */
async function askOnTerminal(question: string): Promise<string> {
  const prompt = await import('./prompt.ts');
  return await prompt.askOnTerminal(question);
}

const output = new Output(process.stdout, process.stderr);
const ask = process.stdin.isTTY ? askOnTerminal : undefined;
process.exitCode = await runShell(process.argv.slice(2), output, ask);
