/**
 * How an entry that expires says when: its value begins with that moment.
 *
 *   value of an ExpiringPut = moment u64, milliseconds since 1970 | the user's value
 *
 * All that carries entries takes the moment for a part of the value; only what shows values to users takes it off (settle), and
 * what drops entries asks for it (expiryOf).
 *
 * Thread: any. Pure.
 */
import { readU64, writeU64 } from './bytes.ts';
import { type Entry, EntryKind } from './entry.ts';

export const EXPIRY_BYTES = 8;

/** The moment from which on an ExpiringPut counts as deleted, in milliseconds since 1970. */
export function expiryOf(entry: Entry): number {
  return readU64(entry.valueBytes, entry.valueStart);
}

export function writeExpiry(to: Uint8Array, position: number, momentMs: number): void {
  writeU64(to, position, momentMs);
}

/** Makes an ExpiringPut what a reader at `nowMs` sees: a Put of the user's value, or a Delete. Other kinds stay as they are. */
export function settle(entry: Entry, nowMs: number): void {
  if (entry.kind !== EntryKind.ExpiringPut) return;
  const isOver = expiryOf(entry) <= nowMs;
  entry.kind = isOver ? EntryKind.Delete : EntryKind.Put;
  entry.valueStart = isOver ? entry.valueEnd : entry.valueStart + EXPIRY_BYTES;
}
