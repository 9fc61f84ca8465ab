/**
 * Runs the real `stratakv` command without a terminal: in a process of its own, or, where the test is about a command and not
 * about a process, in this one. A process costs several times what its command does.
 */
import { spawn } from 'node:child_process';
import { Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { Output } from '../../src/main/cli/output.ts';
import { runShell } from '../../src/main/cli/shell.ts';

/** As the package ships it. */
export const CLI: string = fileURLToPath(new URL('../../lib/cli.js', import.meta.url));

export interface CliResult {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stdoutBytes: Buffer;
  readonly stderr: string;
}

/** `input` is what the command finds on standard input: nothing, unless given. */
export function runCli(
  directory: string,
  args: readonly string[],
  input: string | Buffer = '',
): Promise<CliResult> {
  const child = spawn(process.execPath, [CLI, '--db', directory, ...args], {
    env: { ...process.env, STRATAKV_HISTORY: '', STRATAKV_DEBUG: '' },
  });
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
  // A command that reads nothing may be gone before its input is written.
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (exitCode) => resolve(resultOf(exitCode, stdout, stderr)));
  });
}

/** As {@link runCli}, without a process: of commands that read nothing from standard input. */
export async function runCommand(directory: string, args: readonly string[]): Promise<CliResult> {
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  const out = new Output(collector(stdout), collector(stderr));
  const exitCode = await runShell(['--db', directory, ...args], out, undefined);
  return resultOf(exitCode, stdout, stderr);
}

/** Makes a store: each of these lines as a command of its own, without a process. Words have no spaces. */
export async function runEach(directory: string, lines: readonly string[]): Promise<void> {
  for (const line of lines) {
    const { exitCode, stderr } = await runCommand(directory, line.split(' '));
    if (exitCode !== 0) throw new Error(`${line}: ${stderr}`);
  }
}

/** What is written to it lands in `chunks`. */
export function collector(chunks: Buffer[]): Writable {
  return new Writable({
    write(chunk: Buffer, _encoding, done) {
      chunks.push(chunk);
      done();
    },
  });
}

function resultOf(exitCode: number | null, stdout: Buffer[], stderr: Buffer[]): CliResult {
  const stdoutBytes = Buffer.concat(stdout);
  return {
    exitCode,
    stdout: stdoutBytes.toString('utf8'),
    stdoutBytes,
    stderr: Buffer.concat(stderr).toString('utf8'),
  };
}

/** A session from a pipe: one line per command. */
export function runLines(directory: string, lines: readonly string[]): Promise<CliResult> {
  return runCli(directory, [], `${lines.join('\n')}\n`);
}
