/**
 * The loops all workloads run in: one after another, several in flight, or without promises.
 *
 * Every loop gives the event loop a turn now and then, as a server would between requests; without it, stores that answer
 * at once would starve their own workers' messages and show stalls that are the loop's own.
 *
 * Invariants: stops at the limit or when the time is up, whichever is first; counts what was done.
 */
import type { ReadContext } from './workload.ts';

type LoopContext = Pick<ReadContext, 'meter' | 'limit'>;

const CALLS_PER_TURN = 256;
/** Fast workloads do this many unmeasured operations first, so that the code is compiled: a server is warm, too. */
const WARM_UP_CALLS = 50_000;
const WARM_UP_MS = 400;

export interface LoopOptions {
  /** One call in so many is timed. */
  readonly timeEvery: number;
  /** Operations in a call. */
  readonly perCall?: number;
}

export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Awaits each call. */
export async function inSeries(
  { meter, limit }: LoopContext,
  { timeEvery, perCall = 1 }: LoopOptions,
  call: (index: number) => Promise<unknown> | unknown,
): Promise<void> {
  const calls = limit / perCall;
  const callsPerTurn = Math.max(1, Math.floor(CALLS_PER_TURN / perCall));
  for (let i = 0; i < calls; i++) {
    if (i % timeEvery === 0) {
      const begin = performance.now();
      await call(i);
      meter.record(begin);
    } else await call(i);
    meter.operations += perCall;
    if (i % callsPerTurn === callsPerTurn - 1) {
      if (meter.lap()) return;
      await turn();
    }
  }
}

/** Keeps `lanes` calls in flight. */
export async function inFlight(
  { meter, limit }: LoopContext,
  lanes: number,
  { timeEvery, perCall = 1 }: LoopOptions,
  call: (index: number) => Promise<unknown> | unknown,
): Promise<void> {
  const calls = limit / perCall;
  let next = 0;
  let isOver = false;
  /** While the event loop has its turn, no lane starts a call: one that goes on would keep it from ending. */
  let pause: Promise<void> | undefined;
  const lane = async (): Promise<void> => {
    while (!isOver && next < calls) {
      const i = next++;
      if (i % timeEvery === 0) {
        const begin = performance.now();
        await call(i);
        meter.record(begin);
      } else await call(i);
      meter.operations += perCall;
      if (i % CALLS_PER_TURN === CALLS_PER_TURN - 1) {
        isOver ||= meter.lap();
        pause = turn();
      }
      if (pause !== undefined) {
        const current = pause;
        await current;
        if (pause === current) pause = undefined;
      }
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
}

/** Without promises, between two turns of the event loop. */
export async function inTurns(
  { meter, limit }: LoopContext,
  { timeEvery }: LoopOptions,
  call: (index: number) => void,
): Promise<void> {
  for (let i = 0; i < limit; ) {
    const end = Math.min(limit, i + CALLS_PER_TURN);
    for (; i < end; i++) {
      if (i % timeEvery === 0) {
        const begin = performance.now();
        call(i);
        meter.record(begin);
      } else call(i);
    }
    meter.operations = i;
    if (meter.lap()) return;
    await turn();
  }
}

/** Runs `call` unmeasured until it has been called often, or for long, enough. */
export async function warmUp(call: (index: number) => Promise<unknown> | unknown): Promise<void> {
  const begin = performance.now();
  for (let i = 0; i < WARM_UP_CALLS; i++) {
    await call(i);
    if (i % 64 === 63 && performance.now() - begin > WARM_UP_MS) return;
  }
}
