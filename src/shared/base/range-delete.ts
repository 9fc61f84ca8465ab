/**
 * The delete of a range of keys, as an entry of logs and memtables: its key is the first key of the range, and its value says
 * where the range ends.
 *
 *   value = 0 u8 | the first key behind the range          [key, end)
 *         | 1 u8                                           from key on, without an end
 *
 * It begins with what can be a key, and its end has up to MAX_BOUND_BYTES: what comes right behind the longest key is one byte
 * longer.
 *
 * Thread: any. Pure.
 */
import { compareBytes, copyBytes } from './bytes.ts';
import { MAX_KEY_BYTES } from './limits.ts';

export const MAX_BOUND_BYTES: number = MAX_KEY_BYTES + 1;

const BOUNDED = 0;
const UNBOUNDED = 1;

/** The value for a range that ends before `end`; undefined: it has no end. */
export function rangeDeleteValue(end: Uint8Array | undefined): Uint8Array {
  if (end === undefined) return new Uint8Array([UNBOUNDED]);
  const value = new Uint8Array(1 + end.length);
  value[0] = BOUNDED;
  value.set(end, 1);
  return value;
}

/** A copy of the end that bytes[start, end), the value of a sound entry, gives. */
export function rangeDeleteEnd(bytes: Uint8Array, start: number, end: number): Uint8Array | undefined {
  return bytes[start] === UNBOUNDED ? undefined : copyBytes(bytes, start + 1, end);
}

/** Whether key and value are those of a range that holds at least one key. */
export function isRangeDelete(
  bytes: Uint8Array,
  keyStart: number,
  keyEnd: number,
  valueStart: number,
  valueEnd: number,
): boolean {
  if (keyEnd - keyStart > MAX_KEY_BYTES || valueEnd === valueStart) return false;
  if (bytes[valueStart] === UNBOUNDED) return valueEnd === valueStart + 1;
  const endLength = valueEnd - valueStart - 1;
  if (bytes[valueStart] !== BOUNDED || endLength > MAX_BOUND_BYTES) return false;
  return compareBytes(bytes, keyStart, keyEnd, bytes, valueStart + 1, valueEnd) < 0;
}
