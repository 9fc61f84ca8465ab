/**
 * The wall clock, finer than it tells: what to add to the process's clock (timers.ts) for milliseconds since 1970, fractions
 * included.
 *
 * The wall clock gives whole milliseconds. A reading of it between two readings of the other bounds the difference on both sides,
 * and readings just before and just after it moves on bound it closely; so it is read again and again, for a millisecond or so:
 *
 *   process clock   a    b    c    d                 lower bounds   17 - b   17 - c   18 - d     the largest counts
 *   wall clock        17   17   18                   upper bounds   18 - a   18 - b   19 - c     the smallest counts
 *
 * Bounds are kept for a minute, for the stores that are opened next: they never become worse by another reading, whenever the
 * thread is interrupted.
 *
 * Invariants: the upper bound is what counts: no wall clock shows a moment while the sum is below it. A clock that was set, or
 *             stands still (a false one, made before this was loaded), contradicts the bounds: they are begun anew, once.
 * Thread:     any; each finds it out for itself.
 * Not chosen: performance.timeOrigin, which is read when the process starts, by whichever thread is interrupted then: it was
 *             found to be milliseconds off. It is missing where tests replace the object, and the clock may have been set since.
 *             Reading the clock once: half a millisecond wrong on average.
 */
import { processClock, wallClock } from './timers.ts';

/** Bounds that are older are found out anew: the wall clock may have been set by less than they are apart. */
const KNOWN_FOR_MS = 60_000;
/** As near as the bounds come when nothing interrupts the thread. */
const SHARP_MS = 0.0015;
/** Of a sum of some 10^12 ms; so far bounds may cross. */
const ROUNDING_MS = 0.001;
/** After so long, what is near enough will do. */
const PATIENCE_MS = 3;
const NEAR_MS = 0.05;
/** On a machine that gives the thread no time. */
const LONGEST_MS = 40;
/** Where both clocks stand still. */
const MOST_READINGS = 100_000;

class Bounds {
  lower: number = Number.NEGATIVE_INFINITY;
  upper: number = Number.POSITIVE_INFINITY;
  readonly begunAt: number = processClock();

  get width(): number {
    return this.upper - this.lower;
  }

  /** `wall` was read between the two. */
  narrow(before: number, wall: number, after: number): void {
    this.lower = Math.max(this.lower, wall - after);
    this.upper = Math.min(this.upper, wall + 1 - before);
  }
}

let known: Bounds | undefined;

/** Milliseconds between the process's clock and the wall clock: at most so many. */
export function wallOffset(): number {
  const begin = processClock();
  let bounds = known === undefined || begin - known.begunAt > KNOWN_FOR_MS ? new Bounds() : known;
  let isSecond = false;
  for (let before = begin, reading = 1; ; reading++) {
    const wall = Math.floor(wallClock());
    const after = processClock();
    bounds.narrow(before, wall, after);
    if (bounds.width < -ROUNDING_MS) {
      if (isSecond) return wall - after;
      isSecond = true;
      bounds = new Bounds();
    } else if (isNearEnough(bounds.width, after - begin) || reading === MOST_READINGS) {
      known = bounds;
      return bounds.upper;
    }
    before = after;
  }
}

function isNearEnough(width: number, elapsedMs: number): boolean {
  return width <= SHARP_MS || (elapsedMs > PATIENCE_MS && width <= NEAR_MS) || elapsedMs > LONGEST_MS;
}
