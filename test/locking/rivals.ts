/**
 * Owners of a store as their tests handle them: started, told what to do, killed.
 *
 * Owns: every process it starts; all are killed when the test ends.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { extname } from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Answer } from './owner.ts';

export const OWNER: URL = new URL(`./owner${extname(import.meta.url)}`, import.meta.url);

/** A process that may own a store. */
export class Rival {
  readonly process: ChildProcess;

  constructor(child: ChildProcess) {
    this.process = child;
  }

  get pid(): number {
    return this.process.pid!;
  }

  /** Tells it to do something and waits for the answer. */
  async ask(order: string): Promise<Answer> {
    this.process.send(order);
    return await answerOf(this.process);
  }

  /** kill -9; resolves when the process is no more. */
  async kill(): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const exited = once(this.process, 'exit');
    this.process.kill('SIGKILL');
    await exited;
  }
}

/** A rival that has loaded everything and waits for orders. `node` may name another version of it. */
export async function startRival(
  t: TestContext,
  path: string,
  options: { readonly entry?: string; readonly node?: string } = {},
): Promise<Rival> {
  const args = options.entry === undefined ? [path] : [path, options.entry];
  const child = fork(fileURLToPath(OWNER), args, {
    execArgv: [],
    execPath: options.node ?? process.execPath,
  });
  const rival = new Rival(child);
  t.after(() => rival.kill());
  await answerOf(child);
  return rival;
}

/** The next answer; rejects when the process ends without one. */
export async function answerOf(child: ChildProcess): Promise<Answer> {
  const given = new AbortController();
  try {
    return await Promise.race([
      once(child, 'message', { signal: given.signal }).then(([answer]) => answer as Answer),
      once(child, 'exit', { signal: given.signal }).then(([code, signal]) => {
        throw new Error(`the process ended (${String(code ?? signal)}) without an answer`);
      }),
    ]);
  } finally {
    given.abort();
  }
}
