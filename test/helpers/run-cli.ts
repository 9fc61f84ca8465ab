/**
 * Runs the real `stratakv` command in a process of its own, without a terminal.
 */
import { spawn } from 'node:child_process';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';

export const CLI: string = fileURLToPath(
  new URL(`../../src/main/cli/cli${extname(import.meta.url)}`, import.meta.url),
);

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
    child.on('close', (exitCode) => {
      const stdoutBytes = Buffer.concat(stdout);
      resolve({
        exitCode,
        stdout: stdoutBytes.toString('utf8'),
        stdoutBytes,
        stderr: Buffer.concat(stderr).toString('utf8'),
      });
    });
  });
}

/** A session from a pipe: one line per command. */
export function runLines(directory: string, lines: readonly string[]): Promise<CliResult> {
  return runCli(directory, [], `${lines.join('\n')}\n`);
}
