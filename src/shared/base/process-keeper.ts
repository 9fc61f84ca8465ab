/**
 * Keeps the process alive while somebody awaits the store.
 *
 * Nothing else of a store does: its lock, its threads and its timers are unreferenced, so a forgotten open store lets the
 * process exit. A pending promise alone keeps no process alive either, so what a caller awaits holds a timer.
 *
 * Thread: any.
 */
import { clearInterval, setInterval } from './timers.ts';

/** Timers can't wait longer; what this one does when it fires is nothing. */
const LONGEST_TIMER_MS: number = 2 ** 31 - 1;

/** Holds the process until the returned function is called, which is idempotent. */
export function keepProcessAlive(): () => void {
  const timer = setInterval(() => undefined, LONGEST_TIMER_MS);
  return () => clearInterval(timer);
}

/** Holds the process until `work` settles. */
export async function awaited<T>(work: Promise<T>): Promise<T> {
  const release = keepProcessAlive();
  try {
    return await work;
  } finally {
    release();
  }
}
