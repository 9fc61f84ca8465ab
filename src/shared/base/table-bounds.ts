/**
 * Bounds of a table: what the store says of a table's keys without opening it. A key has up to 64 KiB, a store many thousand
 * tables, and all bounds are in memory, in the manifest and with every client; so a long key is shortened, outwards:
 *
 *   smallestKey   a prefix of the table's first key                                  "apple pie"  ->  "appl"
 *   largestKey    a prefix of its last key whose last byte is raised by one          "apple pie"  ->  "appm"
 *
 * Keys of up to SHORT_BOUND_BYTES are kept as they are. Of longer ones so much is kept as sets the table apart from its
 * neighbours in the level, and SHORT_BOUND_BYTES at least: bounds may claim keys that the table does not hold, but never keys
 * that a neighbour claims. The exact keys are in the table's own properties.
 *
 * Whoever plans by bounds is right with wider ones: a plan takes in a table too many, a search looks into one that has not got
 * the key. What is proven by bounds (nothing below holds the key) stays proven.
 *
 * Invariants: bounds do not change while the table is in the store; a table that moves to another level keeps them.
 * Thread:     any. Pure.
 * Not chosen: bounds that touch, with both tables searched: every search would pay for keys that are nearly equal for 64 KiB.
 */
import { compareKeys, sharedPrefixLength } from './bytes.ts';

/** Sets all but contrived keys apart. Two bounds take 1.4 KiB in the manifest, a hundred thousand tables 100 MiB in memory. */
export const SHORT_BOUND_BYTES = 512;

const LAST_BYTE = 0xff;

/** A bound <= `key`, above `before` (which lies below `key`) if there is such a neighbour. */
export function shortenSmallest(key: Uint8Array, before: Uint8Array | undefined): Uint8Array {
  if (key.length <= SHORT_BOUND_BYTES) return key;
  // A prefix that has the first byte in which they differ lies on the same side of `before` as the key.
  const length = Math.max(SHORT_BOUND_BYTES, before === undefined ? 0 : commonPrefixLength(before, key) + 1);
  return length >= key.length ? key : key.slice(0, length);
}

/** A bound >= `key`, below `after` (which lies above `key`) if there is such a neighbour. */
export function shortenLargest(key: Uint8Array, after: Uint8Array | undefined): Uint8Array {
  if (key.length <= SHORT_BOUND_BYTES) return key;
  const common = after === undefined ? 0 : commonPrefixLength(key, after);
  for (let length = Math.max(SHORT_BOUND_BYTES, common + 1); length < key.length; length++) {
    if (key[length - 1] === LAST_BYTE) continue;
    const bound = key.slice(0, length);
    bound[length - 1]!++;
    // Only where the neighbour goes on by the very byte that was raised is one byte more needed.
    if (after === undefined || compareKeys(bound, after) < 0) return bound;
  }
  return key;
}

/** Whether `bound` can be the stated smallest key of a table that begins with `key`. */
export function isSmallestOf(bound: Uint8Array, key: Uint8Array): boolean {
  const order = compareKeys(bound, key);
  return key.length <= SHORT_BOUND_BYTES ? order === 0 : order <= 0;
}

/** Whether `bound` can be the stated largest key of a table that ends with `key`. */
export function isLargestOf(bound: Uint8Array, key: Uint8Array): boolean {
  const order = compareKeys(bound, key);
  return key.length <= SHORT_BOUND_BYTES ? order === 0 : order >= 0;
}

/** How many leading bytes two keys share. */
export function commonPrefixLength(a: Uint8Array, b: Uint8Array): number {
  return sharedPrefixLength(a, 0, a.length, b, 0, b.length);
}
