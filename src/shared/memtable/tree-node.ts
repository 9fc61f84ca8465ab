/**
 * The nodes of a memtable's B+tree (tree.ts): their layout, and the search within one.
 *
 *   leaf   word 0 version | 1 count | 2 prefix length | 3 low fence | 4 high fence | 5 next | 6 prev | 7 whether to check
 *          8       heads[NODE_CAPACITY]     the 4 key bytes behind the node's prefix, big-endian, zero-padded; FILLER
 *                                           behind the last, so that a search need not know the count
 *          8+64    refs[NODE_CAPACITY]
 *          8+128   mark of a leaf without values (dead-leaves.ts)
 *   inner  same 8 words (next, prev unused), heads, separators[NODE_CAPACITY] (refs), children[NODE_CAPACITY + 1]
 *
 * Fences are the refs of the separators that bound a node (0 = none). All keys of a node lie between its fences, so they
 * share the fences' common prefix, and 4 bytes behind it settle nearly every comparison without leaving the node
 * (Graefe, "Modern B-Tree Techniques", 2011: prefix truncation by fence keys and poor man's normalized keys).
 * An inner node at the edge of the tree lacks a fence, and any key may come by. Its prefix is what its separators have in
 * common, word 7 is 1, and a search compares those bytes first. An edge leaf has prefix 0.
 *
 * The search counts smaller heads, of every eighth and then of eight, instead of bisecting: no branch to mispredict, and
 * the cache misses of a cold node overlap. Only equal heads are bisected, by whole keys.
 *
 * Thread:     any. Pure. A reader beside the writer sees nonsense at worst, and finds out from the version (tree.ts).
 * Not chosen: bisecting the heads: six mispredictions or misses in a row per node.
 */
import { compareBytes } from '../base/bytes.ts';
import { entryKeyEnd, entryKeyStart } from '../log/log-format.ts';

export const NODE_VERSION = 0;
export const NODE_COUNT = 1;
export const PREFIX_LENGTH = 2;
export const LOW_FENCE = 3;
export const HIGH_FENCE = 4;
export const NEXT_LEAF = 5;
export const PREVIOUS_LEAF = 6;
/** 1: not every key that comes by begins with the node's prefix. */
export const PREFIX_CHECK = 7;
export const HEADS = 8;

/** The search is written for 64. */
export const NODE_CAPACITY = 64;
/** Refs of a leaf, separators of an inner node. */
export const NODE_REFS: number = HEADS + NODE_CAPACITY;
export const CHILDREN: number = NODE_REFS + NODE_CAPACITY;
/** Of a leaf: 0, or 1 + the version at which it held no value that anyone could see. */
export const DEAD_MARK: number = CHILDREN;
/** Nodes fill whole cache lines, so that the heads of none of them begin in the middle of one. */
const LINE_BYTES = 64;
export const LEAF_BYTES: number = Math.ceil(((DEAD_MARK + 1) * 4) / LINE_BYTES) * LINE_BYTES;
export const INNER_BYTES: number = Math.ceil(((CHILDREN + NODE_CAPACITY + 1) * 4) / LINE_BYTES) * LINE_BYTES;

/** A head that is not there: no smaller than any. */
export const FILLER = 0xffffffff;

/**
 * As headOf() in bytes.ts, but without a branch that is only taken late: keys whose ends come into play appear when nodes
 * have split a few times, and the compiled write path would be thrown away for them.
 */
export function keyHead(bytes: Uint8Array, start: number, end: number): number {
  const length = end - start;
  return (
    (((length > 0 ? bytes[start]! : 0) << 24) |
      ((length > 1 ? bytes[start + 1]! : 0) << 16) |
      ((length > 2 ? bytes[start + 2]! : 0) << 8) |
      (length > 3 ? bytes[start + 3]! : 0)) >>>
    0
  );
}

/**
 * Orders the entry at `ref` against (key, bound): < 0 when the entry comes first. `skip` leading bytes are known equal.
 */
export function compareEntry(
  bytes: Uint8Array,
  ref: number,
  key: Uint8Array,
  keyStart: number,
  keyEnd: number,
  bound: number,
  skip: number,
): number {
  const start = entryKeyStart(bytes, ref);
  const end = entryKeyEnd(bytes, ref, start);
  const order = compareBytes(bytes, start + skip, end, key, keyStart + skip, keyEnd);
  return order !== 0 ? order : bound - ref;
}

/** The first position in a node whose entry is >= (key, bound). */
export function searchNode(
  words: Uint32Array,
  bytes: Uint8Array,
  node: number,
  key: Uint8Array,
  keyStart: number,
  keyEnd: number,
  bound: number,
): number {
  const prefix = words[node + PREFIX_LENGTH]!;
  if (words[node + PREFIX_CHECK] !== 0) {
    const order = comparePrefix(bytes, words[node + NODE_REFS]!, prefix, key, keyStart, keyEnd);
    if (order !== 0) return order > 0 ? 0 : words[node + NODE_COUNT]!;
  }
  const head = keyHead(key, keyStart + prefix, keyEnd);
  const slot = countSmaller(words, node + HEADS, head >>> 1);
  if (slot === NODE_CAPACITY || words[node + HEADS + slot]! > head) return slot;
  return searchAmongEqual(words, bytes, node, slot, head, prefix, key, keyStart, keyEnd, bound);
}

/** < 0 when the first `length` bytes of the key at `ref` come before those of `key`, 0 when they are the same. */
function comparePrefix(
  bytes: Uint8Array,
  ref: number,
  length: number,
  key: Uint8Array,
  keyStart: number,
  keyEnd: number,
): number {
  const start = entryKeyStart(bytes, ref);
  for (let i = 0; i < length; i++) {
    if (keyStart + i === keyEnd) return 1;
    const difference = bytes[start + i]! - key[keyStart + i]!;
    if (difference !== 0) return difference;
  }
  return 0;
}

/**
 * How many of a node's heads are smaller, in their upper 31 bits: differences of those do not overflow, and the sign bit is
 * 1 or 0 without a branch. Written out: before it is compiled, a call would cost more than the rest of each line.
 */
function countSmaller(words: Uint32Array, heads: number, half: number): number {
  const eighths =
    (((words[heads + 7]! >>> 1) - half) >>> 31) +
    (((words[heads + 15]! >>> 1) - half) >>> 31) +
    (((words[heads + 23]! >>> 1) - half) >>> 31) +
    (((words[heads + 31]! >>> 1) - half) >>> 31) +
    (((words[heads + 39]! >>> 1) - half) >>> 31) +
    (((words[heads + 47]! >>> 1) - half) >>> 31) +
    (((words[heads + 55]! >>> 1) - half) >>> 31) +
    (((words[heads + 63]! >>> 1) - half) >>> 31);
  if (eighths === 8) return NODE_CAPACITY;
  const at = heads + eighths * 8;
  return (
    eighths * 8 +
    (((words[at]! >>> 1) - half) >>> 31) +
    (((words[at + 1]! >>> 1) - half) >>> 31) +
    (((words[at + 2]! >>> 1) - half) >>> 31) +
    (((words[at + 3]! >>> 1) - half) >>> 31) +
    (((words[at + 4]! >>> 1) - half) >>> 31) +
    (((words[at + 5]! >>> 1) - half) >>> 31) +
    (((words[at + 6]! >>> 1) - half) >>> 31)
  );
}

/** Goes on from `low`, the first entry whose head is not smaller in its upper 31 bits. */
function searchAmongEqual(
  words: Uint32Array,
  bytes: Uint8Array,
  node: number,
  low: number,
  head: number,
  prefix: number,
  key: Uint8Array,
  keyStart: number,
  keyEnd: number,
  bound: number,
): number {
  let high = words[node + NODE_COUNT]!;
  // A lookup mostly finds its key here.
  let middle = low;
  while (low < high) {
    const other = words[node + HEADS + middle]!;
    if (other < head) low = middle + 1;
    else if (other > head) high = middle;
    else if (compareEntry(bytes, words[node + NODE_REFS + middle]!, key, keyStart, keyEnd, bound, prefix) < 0)
      low = middle + 1;
    else high = middle;
    middle = (low + high) >>> 1;
  }
  return low;
}
