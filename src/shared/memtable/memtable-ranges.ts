/**
 * The range deletes of a memtable: in the arena a list of their refs, for each thread that reads them a RangeMap.
 *
 *   word 18  how many there are; stored last, with a release
 *        19  the first page of the list (word), 0: none      20  the last
 *   page     word 0 next page | refs[PAGE_REFS]               taken from the room of index nodes
 *
 * Who reads takes up what has come since, in order, up to the sequence that it reads at. Each delete makes another map, and the
 * last MAPS_KEPT are kept, as somebody may read a little behind the newest: at what was acknowledged, beside what was not. The
 * map of an older moment, a snapshot's, is built when it is asked for.
 *
 * Invariants: a page's refs below the count never change. Refs rise, and so do sequences.
 * Thread:     main adds; any thread reads, each with a MemtableRanges of its own.
 */
import { compareBytes, copyBytes } from '../base/bytes.ts';
import { Entry } from '../base/entry.ts';
import { rangeDeleteEnd } from '../base/range-delete.ts';
import { readEntry } from '../log/entry-codec.ts';
import { RangeMap } from '../ranges/range-map.ts';
import {
  DATA_END,
  type MemtableArena,
  NODE_START,
  RANGE_COUNT,
  RANGE_HEAD,
  RANGE_TAIL,
  relativeSequence,
} from './arena.ts';

const PAGE_REFS = 62;
const NEXT_PAGE = 0;
const REFS = 1;
/** Half a leaf: of `count` entries, range deletes take one page more, at most, than what node-room.ts has asked for. */
export const PAGE_BYTES: number = 4 * (REFS + PAGE_REFS + 1);

/** What pages may take beyond the nodes that as many other entries would have (tree-builder.ts). */
export const MOST_PAGE_BYTES: number = 2 * PAGE_BYTES;

const MAPS_KEPT = 64;
/** Of moments further back. */
const OLD_MAPS_KEPT = 8;

const entry = new Entry();

/** A range delete as it was written. */
export interface RangeDelete {
  readonly start: Uint8Array;
  /** undefined: to the end. */
  readonly end: Uint8Array | undefined;
  readonly sequence: number;
}

/** Adds the range delete at `ref`. Requires: room for a page. */
export function addRange({ words }: MemtableArena, ref: number): void {
  const count = words[RANGE_COUNT]!;
  const slot = count % PAGE_REFS;
  if (slot === 0) {
    const start = words[NODE_START]! - PAGE_BYTES;
    if (start < words[DATA_END]!) throw new Error('assertion failed: no room for a list of ranges');
    words[NODE_START] = start;
    const page = start / 4;
    words[page + NEXT_PAGE] = 0;
    if (count === 0) words[RANGE_HEAD] = page;
    else words[words[RANGE_TAIL]! + NEXT_PAGE] = page;
    words[RANGE_TAIL] = page;
  }
  words[words[RANGE_TAIL]! + REFS + slot] = ref;
  Atomics.store(words, RANGE_COUNT, count + 1);
}

export class MemtableRanges {
  readonly #arena: MemtableArena;
  /** Of those taken up so far. */
  readonly #refs: number[] = [];
  readonly #sequences: number[] = [];
  #page = 0;
  /** The newest maps, oldest first; map i holds the first `#firstKept` + i ranges. */
  #maps: RangeMap[] = [RangeMap.empty()];
  #firstKept = 0;
  /** Of older moments, by how many ranges they hold; the one asked for last is the last. */
  readonly #old = new Map<number, RangeMap>();

  constructor(arena: MemtableArena) {
    this.#arena = arena;
  }

  /** What is deleted for who reads at `maxSequence`. */
  at(maxSequence: number): RangeMap {
    this.#takeUp();
    const count = this.#countUpTo(maxSequence);
    let have = this.#firstKept + this.#maps.length - 1;
    if (count - have > MAPS_KEPT) {
      // Nobody has asked for the moments in between.
      this.#maps = [this.#maps.at(-1)!.assignAll(this.#rangesBetween(have, count))];
      this.#firstKept = count;
    } else for (; have < count; have++) this.#keep(this.#extended(this.#maps.at(-1)!, have));
    return count >= this.#firstKept ? this.#maps[count - this.#firstKept]! : this.#oldMap(count);
  }

  /** All of them up to `maxSequence`, as they were written, oldest first. */
  list(maxSequence: number): RangeDelete[] {
    this.#takeUp();
    return this.#rangesBetween(0, this.#countUpTo(maxSequence));
  }

  /** From the first key that is deleted to the end of the last range; without an end, if one has none. */
  hull(): Omit<RangeDelete, 'sequence'> {
    this.#takeUp();
    const { bytes } = this.#arena;
    let { start, end } = this.#rangeAt(0);
    for (const ref of this.#refs) {
      readEntry(bytes, ref, 0, entry);
      const { keyStart, keyEnd, valueStart, valueEnd } = entry;
      if (compareBytes(bytes, keyStart, keyEnd, start, 0, start.length) < 0)
        start = copyBytes(bytes, keyStart, keyEnd);
      // Behind its first byte the value is the end, if there is one.
      if (end !== undefined && compareBytes(bytes, valueStart + 1, valueEnd, end, 0, end.length) > 0)
        end = rangeDeleteEnd(bytes, valueStart, valueEnd);
      else if (valueEnd === valueStart + 1) end = rangeDeleteEnd(bytes, valueStart, valueEnd);
    }
    entry.release();
    return { start, end };
  }

  #rangesBetween(from: number, to: number): RangeDelete[] {
    const ranges: RangeDelete[] = [];
    for (let i = from; i < to; i++) ranges.push(this.#rangeAt(i));
    return ranges;
  }

  /** Takes up refs that were added since. */
  #takeUp(): void {
    const { words, bytes, firstSequence } = this.#arena;
    const count = Atomics.load(words, RANGE_COUNT);
    for (let i = this.#refs.length; i < count; i++) {
      const slot = i % PAGE_REFS;
      if (slot === 0) this.#page = i === 0 ? words[RANGE_HEAD]! : words[this.#page + NEXT_PAGE]!;
      const ref = words[this.#page + REFS + slot]!;
      this.#refs.push(ref);
      this.#sequences.push(firstSequence + relativeSequence(words, bytes, ref));
    }
  }

  /** How many have a sequence up to `maxSequence`. */
  #countUpTo(maxSequence: number): number {
    const sequences = this.#sequences;
    // Nearly always all of them.
    let high = sequences.length;
    if (high === 0 || sequences[high - 1]! <= maxSequence) return high;
    let low = 0;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (sequences[middle]! <= maxSequence) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #keep(map: RangeMap): void {
    this.#maps.push(map);
    if (this.#maps.length <= 2 * MAPS_KEPT) return;
    this.#firstKept += this.#maps.length - MAPS_KEPT;
    this.#maps = this.#maps.slice(-MAPS_KEPT);
  }

  #oldMap(count: number): RangeMap {
    let map = this.#old.get(count);
    map ??= RangeMap.empty().assignAll(this.#rangesBetween(0, count));
    this.#old.delete(count);
    this.#old.set(count, map);
    if (this.#old.size > OLD_MAPS_KEPT) this.#old.delete(this.#old.keys().next().value!);
    return map;
  }

  #extended(map: RangeMap, index: number): RangeMap {
    const { start, end, sequence } = this.#rangeAt(index);
    return map.assign(start, end, sequence);
  }

  #rangeAt(index: number): RangeDelete {
    const { bytes } = this.#arena;
    const sequence = this.#sequences[index]!;
    readEntry(bytes, this.#refs[index]!, sequence, entry);
    const start = copyBytes(bytes, entry.keyStart, entry.keyEnd);
    const end = rangeDeleteEnd(bytes, entry.valueStart, entry.valueEnd);
    entry.release();
    return { start, end, sequence };
  }
}
