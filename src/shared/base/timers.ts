/**
 * Time, as the platform keeps it: every timer, turn and reading of the clock in this package comes from here.
 *
 * Tests of applications put fake timers in the place of the global ones, and of the properties of `node:timers` and of
 * `performance` as well; a store that waited for those would never go on. All are taken when this module is loaded and kept as
 * constants: a named import of `node:timers` would follow its module's properties (module.syncBuiltinESMExports()).
 *
 * Invariants: nothing here looks a function up after the load.
 * Thread:     any.
 * Not chosen: the global queueMicrotask, which is the only place that function can be had from, and which may be a fake one by
 *             the time that this is loaded.
 */
import { performance } from 'node:perf_hooks';
import * as timers from 'node:timers';

export const setTimeout: typeof timers.setTimeout = timers.setTimeout;
export const clearTimeout: typeof timers.clearTimeout = timers.clearTimeout;
export const setInterval: typeof timers.setInterval = timers.setInterval;
export const clearInterval: typeof timers.clearInterval = timers.clearInterval;
export const setImmediate: typeof timers.setImmediate = timers.setImmediate;
export const clearImmediate: typeof timers.clearImmediate = timers.clearImmediate;

const resolved = Promise.resolve();

/** Runs `act` behind the microtasks that are queued. What it throws is an uncaught exception, in a turn of its own. */
export function queueMicrotask(act: () => void): void {
  void resolved.then(() => {
    try {
      act();
    } catch (error) {
      setImmediate(() => {
        throw error;
      });
    }
  });
}

const readClock = performance.now;

/** Milliseconds since some moment, fractions included. It never goes back, whatever becomes of the wall clock. */
export const now = (): number => readClock.call(performance);

const readProcessClock = process.hrtime;

/** As {@link now}, and the same moment for all threads of the process, each of which has a beginning of its own otherwise. */
export const processClock = (): number => {
  const [seconds, nanoseconds] = readProcessClock();
  return seconds * 1000 + nanoseconds / 1e6;
};

/** Resolves after `ms` milliseconds, and keeps the process alive until then. */
export function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

const readLoop = performance.eventLoopUtilization;

/** For how long the event loop of this thread has waited in all: what took longer, while it did not wait, it may have heard of
 * late. */
export const loopIdleMs = (): number => readLoop.call(performance).idle;

const readWallClock = Date.now;

/** Milliseconds since 1970, as the system has it: for what outlives the process. It may go back. */
export const wallClock = (): number => readWallClock();
