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

/** What a child says that is prepared and waits for the parent to be, too. */
export const READY = { kind: 'ready' } as const;

export interface Failure {
  readonly kind: 'failed';
  readonly message: string;
}

const alive = new Set<ChildProcess>();

export function killAll(): void {
  for (const child of alive) child.kill('SIGKILL');
}

export interface Start {
  readonly timeoutMs: number;
  /** Options for Node, such as --cpu-prof. */
  readonly execArgv: readonly string[];
  /** Called when the child says that it is ready; it goes on when this has returned, and fails with what it throws. */
  readonly onReady?: (processId: number) => void;
}

/** Carries out a task of the usual kind. */
export function runTask(task: Task, timeoutMs: number, execArgv: readonly string[]): Promise<Reply> {
  return runChild<Task, Reply>(CHILD, task, { timeoutMs, execArgv });
}

/** Starts `file`, sends it the task, and resolves with its reply, or with a failure. */
export function runChild<T extends object, R extends { readonly kind: string }>(
  file: string,
  task: T,
  { timeoutMs, execArgv, onReady }: Start,
): Promise<R | Failure> {
  return new Promise((resolve) => {
    const child = fork(file, [], { stdio: ['ignore', 'ignore', 'pipe', 'ipc'], execArgv: [...execArgv] });
    alive.add(child);
    let reply: R | Failure | undefined;
    let stderr = '';
    let isLate = false;
    let unsent: Error | undefined;
    const fail = (error: Error): void => {
      reply ??= { kind: 'failed', message: error.message };
      child.kill('SIGKILL');
    };
    const send = (message: object): void => {
      child.send(message, (error) => {
        if (error === null) return;
        // How it ended says more than that it no longer listens.
        unsent = error;
        child.kill('SIGKILL');
      });
    };
    const timer = setTimeout(() => {
      isLate = true;
      child.kill('SIGKILL');
    }, timeoutMs);
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      stderr = (stderr + text).slice(-KEPT_STDERR_CHARS);
    });
    child.on('message', (message: R | typeof READY) => {
      if (message.kind !== READY.kind) {
        reply = message as R;
        return;
      }
      try {
        onReady?.(child.pid!);
        send({ kind: 'go' });
      } catch (error) {
        fail(error instanceof Error ? error : new Error(String(error)));
      }
    });
    child.on('error', fail);
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      alive.delete(child);
      const how = isLate ? `no result after ${timeoutMs / 1000} s` : (signal ?? `exit code ${code}`);
      const last = stderr.trim().split('\n').at(-1) || unsent?.message;
      resolve(reply ?? { kind: 'failed', message: last === undefined ? how : `${how}: ${last}` });
    });
    send(task);
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
