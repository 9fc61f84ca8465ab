/**
 * Owners of a store as their tests handle them: started, told what to do, killed.
 *
 * Owns: every process it starts; all are killed when the test ends.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
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

export interface RivalOptions {
  readonly entry?: string;
  /** Another version of Node. */
  readonly node?: string;
  /** A command that starts it: `unshare -n`, say. */
  readonly wrap?: readonly string[];
}

/** A rival that has loaded everything and waits for orders. */
export async function startRival(
  t: TestContext,
  path: string,
  { entry, node = process.execPath, wrap = [] }: RivalOptions = {},
): Promise<Rival> {
  const [program, ...args] = [
    ...wrap,
    node,
    fileURLToPath(OWNER),
    path,
    ...(entry === undefined ? [] : [entry]),
  ];
  const child = spawn(program!, args, { stdio: ['inherit', 'inherit', 'inherit', 'ipc'] });
  const rival = new Rival(child);
  t.after(() => rival.kill());
  await answerOf(child);
  return rival;
}

/** Why no other network namespace can be had here; undefined when it can. */
export function whyNoNamespaces(): string | undefined {
  return spawnSync('unshare', ['-n', 'true']).status === 0 ? undefined : 'unshare -n is not possible here';
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
