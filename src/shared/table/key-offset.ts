/**
 * About where in a table's blocks a key lies, by the index alone: no block is read.
 *
 *   blocks      [ 0 ....... ][ 1 ....... ][ 2 ....... ]
 *   separators              s0           s1           s2      a key between s0 and s1: in block 1, as far into it as the bytes of
 *                                                             the key lie between those of s0 and s1
 *
 * Invariants: never less for a greater key, 0 up to the smallest: of ranges that make up a table the bytes add up to its own.
 * Thread:     any. Pure.
 * Not chosen: whole blocks for every range that touches them, which counts a block for each of ten small ranges in it; none of
 *             them, which says of such ranges that nothing is there.
 */
import { compareKeys, headOf, sharedPrefixLength } from '../base/bytes.ts';
import type { SparseIndex } from './sparse-index.ts';

/** The bytes of blocks before `key`, in a table whose smallest key is `smallestKey`. */
export function bytesBefore(index: SparseIndex, smallestKey: Uint8Array, key: Uint8Array): number {
  const block = index.find(key);
  if (block === index.blockCount) return index.blockOffset(block);
  const low = block === 0 ? smallestKey : index.separator(block - 1);
  const share = shareBelow(low, index.separator(block), key);
  return index.blockOffset(block) + share * index.blockSize(block);
}

/** How far from `low` to `high` the key lies, 0 to 1. */
function shareBelow(low: Uint8Array, high: Uint8Array, key: Uint8Array): number {
  if (compareKeys(key, low) <= 0) return 0;
  // Of what lies between two keys, all have what those have in common.
  const common = sharedPrefixLength(low, 0, low.length, high, 0, high.length);
  const [from, to, at] = [low, high, key].map((bytes) => headOf(bytes, common, bytes.length)) as [
    number,
    number,
    number,
  ];
  return to > from ? (at - from) / (to - from) : 0.5;
}
