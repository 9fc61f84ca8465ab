/**
 * Leaves of a memtable's tree in which nobody finds a value any more: tombstones, and what newer versions hide.
 *
 * A queue that is worked off has its head behind all that was deleted since the last flush. Whoever looks for the head must
 * get past that, and should not have to read every entry of it each time.
 *
 *   an entry is dead when   it is a tombstone, or the entry before it has the same key: that one is newer; or a range delete
 *                           hides it
 *   a leaf is dead when     all its entries are, and whoever reads sees all of them, and the one before the first
 *
 * Once found dead a leaf is marked with its version. Insertions move the version on; nothing else can make it live: what was
 * hidden stays so. A mark is good for reads at the sequence of the newest entry in any marked leaf, and later ones.
 *
 *   leaf word CHILDREN      1 + the version at which the leaf was found dead
 *   Memtable.deadFrom       relative sequence from which on marks are good
 *
 * Thread:     main alone: threads would have to agree on deadFrom. Others evaluate a leaf each time, or step.
 * Not chosen: noting whole stretches of leaves: each delete at the head of a queue changes one leaf and would end the stretch.
 */
import { compareBytes } from '../base/bytes.ts';
import { entryKeyEnd, entryKeyStart } from '../log/log-format.ts';
import type { RangeMap } from '../ranges/range-map.ts';
import { Stretch } from '../ranges/stretch.ts';
import { type MemtableArena, relativeSequence } from './arena.ts';
import { DEAD_MARK, HEADS, NODE_COUNT, NODE_REFS, NODE_VERSION, PREVIOUS_LEAF } from './tree-node.ts';

/** From here on marks are good; part of a Memtable. */
export interface DeadMarks {
  deadFrom: number;
}

/** Whether the entries at two refs have the same key. */
export function isSameKey(bytes: Uint8Array, a: number, b: number): boolean {
  const aStart = entryKeyStart(bytes, a);
  const bStart = entryKeyStart(bytes, b);
  const length = entryKeyEnd(bytes, a, aStart) - aStart;
  if (entryKeyEnd(bytes, b, bStart) - bStart !== length) return false;
  // From the end: keys in order differ there first.
  for (let i = length - 1; i >= 0; i--) if (bytes[aStart + i] !== bytes[bStart + i]) return false;
  return true;
}

/** The range deletes of a memtable, for entries of neighbouring keys. */
export class LeafCover {
  readonly #ranges: RangeMap;
  readonly #arena: MemtableArena;
  readonly #stretch = new Stretch();
  #isKnown = false;

  constructor(ranges: RangeMap, arena: MemtableArena) {
    this.#ranges = ranges;
    this.#arena = arena;
  }

  /** The relative sequence of the range delete that hides the entry at `ref`; -1: none does. */
  deleteOf(ref: number): number {
    const { words, bytes, firstSequence } = this.#arena;
    const start = entryKeyStart(bytes, ref);
    const end = entryKeyEnd(bytes, ref, start);
    const stretch = this.#stretch;
    if (!this.#isKnown || !isInside(stretch, bytes, start, end)) {
      this.#ranges.stretchAt(bytes, start, end, 0, stretch);
      this.#isKnown = true;
    }
    const by = stretch.sequence - firstSequence;
    return stretch.sequence > 0 && by > relativeSequence(words, bytes, ref) ? by : -1;
  }
}

function isInside({ start, end }: Stretch, bytes: Uint8Array, keyStart: number, keyEnd: number): boolean {
  return (
    (start === undefined || compareBytes(start, 0, start.length, bytes, keyStart, keyEnd) <= 0) &&
    (end === undefined || compareBytes(bytes, keyStart, keyEnd, end, 0, end.length) < 0)
  );
}

/** Whether who reads up to `maxRelative` sees no value in `leaf`. Marks it if so. */
export function isDeadLeaf(
  words: Uint32Array,
  bytes: Uint8Array,
  leaf: number,
  maxRelative: number,
  marks: DeadMarks,
  deleted: LeafCover | undefined,
): boolean {
  const version = words[leaf + NODE_VERSION]!;
  if (words[leaf + DEAD_MARK] === version + 1 && maxRelative >= marks.deadFrom) return true;
  const newest = newestIfDead(words, bytes, leaf, maxRelative, deleted);
  if (newest < 0) return false;
  words[leaf + DEAD_MARK] = version + 1;
  if (newest > marks.deadFrom) marks.deadFrom = newest;
  return true;
}

/** The relative sequence of the newest of what makes a leaf dead; -1: it is not dead, or empty. */
function newestIfDead(
  words: Uint32Array,
  bytes: Uint8Array,
  leaf: number,
  maxRelative: number,
  deleted: LeafCover | undefined,
): number {
  const count = words[leaf + NODE_COUNT]!;
  const refs = leaf + NODE_REFS;
  const heads = leaf + HEADS;
  const previous = words[leaf + PREVIOUS_LEAF]!;
  let before = 0;
  let newest = -1;
  if (previous !== 0) {
    before = words[previous + NODE_REFS + words[previous + NODE_COUNT]! - 1]!;
    newest = relativeSequence(words, bytes, before);
    if (newest > maxRelative) return -1;
  }
  if (count === 0) return -1;
  for (let slot = 0; slot < count; slot++) {
    const ref = words[refs + slot]!;
    if ((bytes[ref]! & 1) !== 0) {
      // A put. Different heads settle it in most cases.
      const isOther = slot > 0 && words[heads + slot] !== words[heads + slot - 1];
      if (isOther || before === 0 || !isSameKey(bytes, ref, before)) {
        const by = deleted === undefined ? -1 : deleted.deleteOf(ref);
        if (by < 0) return -1;
        if (by > newest) newest = by;
      }
    }
    const relative = relativeSequence(words, bytes, ref);
    if (relative > maxRelative) return -1;
    if (relative > newest) newest = relative;
    before = ref;
  }
  return newest;
}
