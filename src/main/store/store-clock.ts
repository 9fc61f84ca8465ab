/**
 * Sets the time of a store when it is opened: the wall clock's, but never before what its files say was the latest.
 *
 * Logs say when they were begun, and the manifest what was the latest by its last edit, since logs are deleted. From then on it
 * is what has passed (shared-clock.ts): the wall clock is not asked again.
 *
 * Thread: main.
 */
import { processClock } from '../../shared/base/timers.ts';
import { wallOffset } from '../../shared/base/wall-time.ts';
import type { ControlBlock } from '../../shared/threads/control-block.ts';
import { SharedClock } from '../../shared/threads/shared-clock.ts';

/** What tests set the time by. */
export interface TimeSource {
  /** Sets the time base, now and whenever the time is to change. */
  attach(control: ControlBlock, latestMs: number): void;
}

/** What the arithmetic of large numbers may lose: without it the latest time might be one millisecond away. */
const ROUNDING_MS = 0.001;

/** `latestMs`: what any file of the store says is the latest. */
export function startClock(control: ControlBlock, latestMs: number, source?: TimeSource): SharedClock {
  if (source !== undefined) source.attach(control, latestMs);
  else control.setTimeBase(Math.max(wallOffset(), latestMs - processClock() + ROUNDING_MS));
  return new SharedClock(control);
}
