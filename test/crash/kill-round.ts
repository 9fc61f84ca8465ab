/**
 * One life of the child of the kill loop: started, killed, and what it said.
 */
import { spawn } from 'node:child_process';
import { extname } from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import type { CrashPlan } from './crash-plan.ts';

/** When the child is killed from outside. */
export interface KillTime {
  /** Counted from when the child is about to open the store, or has opened it. */
  readonly since: 'opening' | 'open';
  readonly delayMs: number;
}

export interface Life {
  /** Highest number submitted and acknowledged; firstBatch - 1 without any. */
  readonly submitted: number;
  readonly acknowledged: number;
  readonly isOpen: boolean;
  readonly error: string | undefined;
  /** What the consumer of the changes was given. */
  readonly followed: readonly { readonly digest: string; readonly position: string }[];
}

/** Long enough for anything; a child that is not dead by then hangs. */
const HANG_MS = 60_000;

/** What is asked of every child. */
type ChildPlan = Pick<CrashPlan, 'firstBatch' | 'killAfter'>;

export async function runUntilKilled(
  plan: ChildPlan,
  kill: KillTime,
  name: 'crash-child' | 'transfer-child' = 'crash-child',
): Promise<Life> {
  const script = fileURLToPath(new URL(`./${name}${extname(import.meta.url)}`, import.meta.url));
  const child = spawn(process.execPath, [script, JSON.stringify(plan)], {
    stdio: ['ignore', 'inherit', 'inherit', 'pipe'],
  });
  const pipe = child.stdio[3] as Readable;
  let text = '';
  let timer: NodeJS.Timeout | undefined;
  const hang = setTimeout(() => child.kill('SIGKILL'), HANG_MS);
  const signal = kill.since === 'open' ? 'O\n' : 'L\n';
  pipe.setEncoding('latin1');
  pipe.on('data', (chunk: string) => {
    text += chunk;
    // With a kill planned inside, one from outside still ends a child that never gets there.
    const delayMs = plan.killAfter > 0 ? 600 : kill.delayMs;
    if (timer === undefined && text.includes(signal))
      timer = setTimeout(() => child.kill('SIGKILL'), delayMs);
  });
  const [, signalCode] = await Promise.all([
    new Promise((resolve) => pipe.on('close', resolve)),
    new Promise<NodeJS.Signals | null>((resolve) => child.on('exit', (_code, name) => resolve(name))),
  ]);
  clearTimeout(timer);
  clearTimeout(hang);
  const life = readReport(text, plan.firstBatch);
  if (life.error === undefined && signalCode !== 'SIGKILL')
    return { ...life, error: 'the child ended by itself' };
  return life;
}

function readReport(text: string, firstBatch: number): Life {
  let submitted = firstBatch - 1;
  let acknowledged = firstBatch - 1;
  let isOpen = false;
  let error: string | undefined;
  const followed: { digest: string; position: string }[] = [];
  // What follows the last newline was cut short by the kill.
  for (const line of text.split('\n').slice(0, -1)) {
    const n = Number(line.slice(2));
    if (line.startsWith('S ')) submitted = Math.max(submitted, n);
    else if (line.startsWith('A ')) acknowledged = Math.max(acknowledged, n);
    else if (line === 'O') isOpen = true;
    else if (line.startsWith('E ')) error = line.slice(2);
    else if (line.startsWith('C ')) {
      const [, digest = '', position = ''] = line.split(' ');
      followed.push({ digest, position });
    }
  }
  return { submitted, acknowledged, isOpen, error, followed };
}
