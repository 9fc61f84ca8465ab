/**
 * The wall clock, finer than it tells: what to add to the process's clock (timers.ts) for milliseconds since 1970, fractions
 * included.
 *
 * The wall clock gives whole milliseconds. Who compares with it wants to know when the next one begins, so this waits for that
 * moment, a millisecond at most, looks at both clocks, and remembers the difference for a minute, or until it is contradicted:
 *
 *   wall clock      ..17  17  17  17 | 18  18          difference = 18 - reading of the process's clock just before the 18
 *   process clock     a   b   c   d  | e   f                      = 18 - d: too large by the time from d to e at most
 *
 * Invariants: no wall clock that shows a moment while the sum is below it. A clock that stands still (a false one, made before
 *             this was loaded) is waited for no longer than others.
 * Thread:     any; each finds it out for itself.
 * Not chosen: performance.timeOrigin, which is of the process's start: the wall clock may have been set since, and it is missing
 *             where tests replace the object. Reading the clock once: half a millisecond wrong on average.
 */
import { processClock, wallClock } from './timers.ts';

/** A difference that is older is found out anew: the wall clock may have been set by less than a millisecond. */
const KNOWN_FOR_MS = 60_000;
/** Longer than the clock takes to move on. */
const LONGEST_WAIT_MS = 1.5;
/** A thread that is not interrupted reads both clocks in a fraction of this. */
const SHARP_MS = 0.02;
const ATTEMPTS = 3;

let known: { readonly offset: number; readonly at: number } | undefined;

/** Milliseconds between the process's clock and the wall clock. */
export function wallOffset(): number {
  if (known !== undefined && !isContradicted(known)) return known.offset;
  let best = lookForEdge();
  for (let i = 1; i < ATTEMPTS && best.unsureMs > SHARP_MS; i++) {
    const next = lookForEdge();
    if (next.unsureMs < best.unsureMs) best = next;
  }
  known = { offset: best.offset, at: processClock() };
  return best.offset;
}

function isContradicted({ offset, at }: { readonly offset: number; readonly at: number }): boolean {
  const before = processClock();
  const wall = Math.floor(wallClock());
  const after = processClock();
  return after - at > KNOWN_FOR_MS || wall > after + offset || wall + 1 + SHARP_MS < before + offset;
}

function lookForEdge(): { readonly offset: number; readonly unsureMs: number } {
  const begin = processClock();
  const first = Math.floor(wallClock());
  for (let before = begin; ; ) {
    const between = processClock();
    const wall = Math.floor(wallClock());
    const after = processClock();
    // Read between two readings of the other clock: the edge lies behind the reading before it, and before this one.
    if (wall !== first) return { offset: wall - before, unsureMs: after - before };
    if (after - begin > LONGEST_WAIT_MS) return { offset: wall + 1 - after, unsureMs: 1 };
    before = between;
  }
}
