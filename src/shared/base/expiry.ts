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
import { copyInto, readU64, writeU64 } from './bytes.ts';
import { type Entry, EntryKind } from './entry.ts';
import { type EntryBatch, ROW_FIELDS } from './entry-batch.ts';
import { invalidArgument } from './errors.ts';
import type { InputBytes } from './input-bytes.ts';

export const EXPIRY_BYTES = 8;
/** In place of the time of a read: nothing of what it reads expires, and no clock was asked. */
export const NOTHING_EXPIRES = -1;

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

/** {@link settle} for all rows of a batch. */
export function settleBatch({ count, kinds, rows, valueBytes }: EntryBatch, nowMs: number): void {
  for (let row = 0; row < count; row++) {
    if (kinds[row] !== EntryKind.ExpiringPut) continue;
    const valueAt = row * ROW_FIELDS + 2;
    const isOver = readU64(valueBytes, rows[valueAt]!) <= nowMs;
    kinds[row] = isOver ? EntryKind.Delete : EntryKind.Put;
    if (!isOver) rows[valueAt]! += EXPIRY_BYTES;
  }
}

/** For values with their moment on the way into a memtable: an array for each keeps the garbage collector busy. */
const scratch = new Uint8Array(4096);

/** `value`, with the moment at which it expires before it. Good until the next one: its bytes are copied within the call. */
export function prependExpiry(value: InputBytes, momentMs: number): void {
  const length = EXPIRY_BYTES + value.end;
  const bytes = length > scratch.length ? new Uint8Array(length) : scratch;
  writeExpiry(bytes, 0, momentMs);
  copyInto(bytes, EXPIRY_BYTES, value.bytes, 0, value.end);
  value.bytes = bytes;
  value.end = length;
}

/** The moment `ttlMs` after `nowMs`. Throws STRATA_INVALID_ARGUMENT when it is too far away to be told from its neighbours. */
export function momentAfter(nowMs: number, ttlMs: number): number {
  const moment = nowMs + ttlMs;
  if (moment > Number.MAX_SAFE_INTEGER)
    throw invalidArgument(`option 'ttl' must end before the last moment there is, not ${ttlMs} ms from now`);
  return moment;
}

/** Bytes of key and value as the user handed them in. */
export function userBytesOf(kind: number, keyLength: number, valueLength: number): number {
  return keyLength + valueLength - (kind === EntryKind.ExpiringPut ? EXPIRY_BYTES : 0);
}
