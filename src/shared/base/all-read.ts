/**
 * A merge has to have read everything that its inputs say they hold: a reader that ends early would lose the rest for good.
 */
import { CorruptionError } from './errors.ts';

/** Throws when fewer or more came out of `what` than it holds. */
export function checkAllRead(what: string, read: number, expected: number): void {
  if (read !== expected) throw new CorruptionError(`${what} hold ${read} entries instead of ${expected}`);
}
