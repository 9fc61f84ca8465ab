/**
 * From which key to which a table reaches that deletes ranges: those of its entries, and those of the ranges.
 *
 * Invariants: writer and verifier ask here, so that they can't differ.
 * Thread:     any. Pure.
 */
import { compareKeys, copyBytes } from '../base/bytes.ts';
import type { RangeDeletes } from './range-deletes.ts';

export interface TableExtent {
  readonly smallestKey: Uint8Array;
  readonly largestKey: Uint8Array;
}

/** `firstKey`, `lastKey`: of the entries. */
export function tableExtent(
  firstKey: Uint8Array,
  lastKey: Uint8Array,
  ranges: RangeDeletes | undefined,
): TableExtent {
  if (ranges === undefined) return { smallestKey: firstKey, largestKey: lastKey };
  const { start } = ranges;
  const last = lastBefore(ranges.end);
  return {
    smallestKey: compareKeys(firstKey, start) <= 0 ? firstKey : copyBytes(start, 0, start.length),
    largestKey: compareKeys(lastKey, last) >= 0 ? lastKey : copyBytes(last, 0, last.length),
  };
}

/** The last key in front of `end` where there is one, as there is in front of a key and a zero; else `end`, which is wider. */
function lastBefore(end: Uint8Array): Uint8Array {
  return end.at(-1) === 0 ? end.subarray(0, -1) : end;
}
