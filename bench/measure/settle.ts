/**
 * Waits until a store has nothing left to do in the background.
 *
 * One criterion for all of them, as most have no call for it: the process uses hardly any processor time and writes
 * hardly anything for some time. The time reported is when that calm began.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Task } from '../task.ts';
import { cpuSeconds, writtenBytes } from './usage.ts';

const POLL_MS = 50;
/** Below this share of a core the process only polls itself. */
const CALM_CPU_SHARE = 0.1;
const CALM_WRITTEN_BYTES = 4096;

export interface Settled {
  /** performance.now() when the calm began. */
  readonly sinceMs: number;
  /** False when the time ran out first. */
  readonly isCalm: boolean;
}

export async function settle({
  settleLimitMs,
  calmMs,
}: Pick<Task, 'settleLimitMs' | 'calmMs'>): Promise<Settled> {
  const begin = performance.now();
  let since = begin;
  let calmPolls = 0;
  let before = sample();
  while (calmPolls * POLL_MS < calmMs) {
    await sleep(POLL_MS);
    const now = sample();
    const isBusy =
      (now.cpu - before.cpu) * 1000 > (now.at - before.at) * CALM_CPU_SHARE ||
      now.written - before.written > CALM_WRITTEN_BYTES;
    before = now;
    calmPolls = isBusy ? 0 : calmPolls + 1;
    if (isBusy) since = now.at;
    if (now.at - begin > settleLimitMs) return { sinceMs: now.at, isCalm: false };
  }
  return { sinceMs: since, isCalm: true };
}

function sample(): { readonly at: number; readonly cpu: number; readonly written: number } {
  return { at: performance.now(), cpu: cpuSeconds(), written: writtenBytes() ?? 0 };
}
