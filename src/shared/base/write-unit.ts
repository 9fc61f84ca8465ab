/**
 * Writes that wait are gathered into units, which enter whole: those that a gate holds back (held-writes.ts), and those that a
 * client sends (turn-writer.ts).
 *
 * All writes of a unit have one fate, so they share a promise, and what waits costs its bytes and a few more: a promise of its
 * own is more than most records.
 *
 * Thread: any. Pure.
 */

/** Writes per unit, at most: few bytes of the unit's own cost then fall on each, and its index needs little room. */
export const MAX_UNIT_WRITES = 128;
/** A unit takes no more writes from this size on, ... */
const MAX_UNIT_BYTES = 65536;
const MIN_UNIT_BYTES = 256;
/** ... or to such a part of a write buffer: it must fit into what is left of one, which is else left over. */
const UNITS_PER_BUFFER = 32;

/** Bytes at which a unit takes no more writes. A larger write is one by itself. */
export function unitBytes(writeBufferBytes: number): number {
  return Math.min(MAX_UNIT_BYTES, Math.max(MIN_UNIT_BYTES, Math.floor(writeBufferBytes / UNITS_PER_BUFFER)));
}
