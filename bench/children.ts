/**
 * Children: starts child processes, one at a time, and sees to it that none outlives its time or its parent.
 *
 * Invariants: `run` never rejects: a crash, a hang and a failed store are all replies. `killAll` is synchronous, for
 *             signal handlers.
 */
import { type ChildProcess, fork, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Reply, Task } from './task.ts';

const CHILD: string = fileURLToPath(
  new URL(import.meta.url.endsWith('.ts') ? './child.ts' : './child.js', import.meta.url),
);
const KEPT_STDERR_CHARS = 2000;

const alive = new Set<ChildProcess>();

export function killAll(): void {
  for (const child of alive) child.kill('SIGKILL');
}

/** `execArgv`: options for Node, such as --cpu-prof. */
export function runTask(task: Task, timeoutMs: number, execArgv: readonly string[]): Promise<Reply> {
  return new Promise((resolve) => {
    const child = fork(CHILD, [], { stdio: ['ignore', 'ignore', 'pipe', 'ipc'], execArgv: [...execArgv] });
    alive.add(child);
    let reply: Reply | undefined;
    let stderr = '';
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      child.kill('SIGKILL');
    }, timeoutMs);
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      stderr = (stderr + text).slice(-KEPT_STDERR_CHARS);
    });
    child.on('message', (message: Reply) => {
      reply = message;
    });
    child.on('error', (error) => {
      reply ??= { kind: 'failed', message: error.message };
    });
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      alive.delete(child);
      const how = isLate ? `no result after ${timeoutMs / 1000} s` : (signal ?? `exit code ${code}`);
      const last = stderr.trim().split('\n').at(-1) ?? '';
      resolve(reply ?? { kind: 'failed', message: last === '' ? how : `${how}: ${last}` });
    });
    child.send(task, (error) => {
      if (error !== null) reply ??= { kind: 'failed', message: error.message };
    });
  });
}

/** Runs a program and returns what it printed; rejects when it fails or takes too long. */
export function runProgram(file: string, args: readonly string[], timeoutMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    alive.add(child);
    let output = '';
    const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
    const collect = (text: string): void => {
      output += text;
    };
    child.stdout.setEncoding('utf8').on('data', collect);
    child.stderr.setEncoding('utf8').on('data', collect);
    child.on('error', reject);
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      alive.delete(child);
      if (code === 0) resolve(output);
      else
        reject(new Error(`${file}: ${signal ?? `exit code ${code}`}: ${output.trim().split('\n').at(-1)}`));
    });
  });
}
