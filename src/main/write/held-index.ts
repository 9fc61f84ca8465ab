/**
 * An index over the writes that wait for the gate: what a key will be once they have entered, for update() and transactions,
 * which must know of every write before them.
 *
 *   heads     hash -> the newest write of the chain; 0: none
 *   per write the write before it in its chain, its age, the number of its group, and where it is encoded there
 *   ranges    what is deleted by ranges, which are in no chain
 *
 * Nothing is noted when a write is held: a look catches up with what has come since the last one, so that writes cost nothing
 * more where nobody looks.
 *
 * Invariants: groups leave oldest first, so a chain that has come to one which is gone goes on with nothing else.
 * Thread:     main.     Owns: the index; the writes are those of HeldWrites, in whose memory it reads.
 * Not chosen: a Map by the text of the key: 150 bytes a write, where many small ones may wait.
 */
import { compareBytes, compareKeys, copyBytes } from '../../shared/base/bytes.ts';
import { type Entry, EntryKind } from '../../shared/base/entry.ts';
import type { KeyRange } from '../../shared/base/iterator.ts';
import { rangeDeleteEnd } from '../../shared/base/range-delete.ts';
import { readEntry } from '../../shared/log/entry-codec.ts';
import { entryEnd } from '../../shared/log/log-format.ts';
import { RangeMap } from '../../shared/ranges/range-map.ts';
import { hashKey } from '../../shared/table/bloom-filter.ts';
import type { HeldGroup, HeldWrites } from './held-writes.ts';

const INITIAL_WRITES = 64;
const NOTHING = new Int32Array(0);

/** What of the held writes it goes by. */
export type IndexedWrites = Pick<HeldWrites, 'count' | 'numbered' | 'oldestNumber'>;

export class HeldIndex {
  readonly #held: IndexedWrites;
  #heads: Int32Array = NOTHING;
  #before: Int32Array = NOTHING;
  #hashes: Int32Array = NOTHING;
  #groups: Float64Array = new Float64Array(0);
  #refs: Float64Array = new Float64Array(0);
  #ages: Float64Array = new Float64Array(0);
  /** Writes noted; the first one has number 1. */
  #count = 0;
  /** What is deleted by ranges, each with its age as its sequence; and the group of each. */
  #ranges: RangeMap = RangeMap.empty();
  readonly #rangeGroups = new Map<number, number>();
  #lastRangeGroup = 0;
  /** Of the last write noted: it rises with each. */
  #age = 0;
  /** Where to go on: a group, and an offset in it. -1: at its start. */
  #nextGroup = 0;
  #nextRef = -1;

  constructor(held: IndexedWrites) {
    this.#held = held;
  }

  /** The last write of `key` that waits, in `into`, with no sequence; false: none does. */
  lookup(key: Uint8Array, into: Entry): boolean {
    if (this.#held.count === 0) {
      this.#clear();
      return false;
    }
    this.#catchUp(into);
    const at = this.#pointOf(key, into);
    const covered = this.#coveredAt(key);
    if (covered === 0 || (at > 0 && this.#ages[at]! > covered)) return at > 0;
    into.setDeleted(0);
    return true;
  }

  /** The age of the last range delete that waits and covers `key`; 0: none does. */
  #coveredAt(key: Uint8Array): number {
    if (this.#ranges.length === 0) return 0;
    if (this.#lastRangeGroup < this.#held.oldestNumber) {
      this.#forgetRanges();
      return 0;
    }
    const age = this.#ranges.sequenceAt(key, 0, key.length);
    return age > 0 && this.#rangeGroups.get(age)! >= this.#held.oldestNumber ? age : 0;
  }

  #forgetRanges(): void {
    this.#ranges = RangeMap.empty();
    this.#rangeGroups.clear();
  }

  /** The number of the last write of `key` itself, which is then in `into`; 0: none waits. */
  #pointOf(key: Uint8Array, into: Entry): number {
    const hash = hashKey(key, 0, key.length) | 0;
    for (let at = this.#heads[hash & (this.#heads.length - 1)]!; at > 0; at = this.#before[at]!) {
      const group = this.#held.numbered(this.#groups[at]!);
      if (group === undefined || group.isGone) return 0;
      if (this.#hashes[at] !== hash) continue;
      readEntry(group.bytes, this.#refs[at]!, 0, into);
      if (compareBytes(into.keyBytes, into.keyStart, into.keyEnd, key, 0, key.length) === 0) return at;
    }
    return 0;
  }

  /** Whether any write to a key of `range` waits. Walks all that wait. `entry` is used for that. */
  touches(range: KeyRange, entry: Entry): boolean {
    for (let number = this.#held.oldestNumber; ; number++) {
      const group = this.#held.numbered(number);
      if (group === undefined) return false;
      for (let ref = group.start; ref < group.end; ref = entryEnd(ref, entry.valueEnd)) {
        readEntry(group.bytes, ref, 0, entry);
        if (entry.kind === EntryKind.RangeDelete ? meets(entry, range) : isWithin(entry, range)) return true;
      }
    }
  }

  #catchUp(entry: Entry): void {
    if (this.#nextGroup < this.#held.oldestNumber) {
      this.#nextGroup = this.#held.oldestNumber;
      this.#nextRef = -1;
    }
    for (;;) {
      const group = this.#held.numbered(this.#nextGroup);
      if (group === undefined) return;
      this.#note(group, entry);
      // The last one may take more writes.
      if (this.#held.numbered(this.#nextGroup + 1) === undefined) return;
      this.#nextGroup++;
      this.#nextRef = -1;
    }
  }

  /** The writes of a group that are not noted yet. */
  #note(group: HeldGroup, entry: Entry): void {
    let ref = this.#nextRef < 0 ? group.start : this.#nextRef;
    while (ref < group.end) {
      readEntry(group.bytes, ref, 0, entry);
      if (entry.kind === EntryKind.RangeDelete) this.#addRange(entry);
      else this.#add(hashKey(entry.keyBytes, entry.keyStart, entry.keyEnd) | 0, ref);
      ref = entryEnd(ref, entry.valueEnd);
    }
    this.#nextRef = ref;
  }

  #add(hash: number, ref: number): void {
    if (this.#count + 1 >= this.#before.length) this.#grow();
    const at = ++this.#count;
    const slot = hash & (this.#heads.length - 1);
    this.#before[at] = this.#heads[slot]!;
    this.#hashes[at] = hash;
    this.#groups[at] = this.#nextGroup;
    this.#refs[at] = ref;
    this.#ages[at] = ++this.#age;
    this.#heads[slot] = at;
  }

  #addRange({ keyBytes, keyStart, keyEnd, valueStart, valueEnd }: Entry): void {
    const age = ++this.#age;
    const end = rangeDeleteEnd(keyBytes, valueStart, valueEnd);
    this.#ranges = this.#ranges.assign(copyBytes(keyBytes, keyStart, keyEnd), end, age);
    this.#rangeGroups.set(age, this.#nextGroup);
    this.#lastRangeGroup = this.#nextGroup;
  }

  /** Makes room for one more: by forgetting those that are gone, or by taking more memory. */
  #grow(): void {
    let gone = 0;
    while (gone < this.#count && this.#groups[gone + 1]! < this.#held.oldestNumber) gone++;
    const left = this.#count - gone;
    const size = Math.max(INITIAL_WRITES, this.#before.length * (left * 2 > this.#before.length ? 2 : 1));
    this.#hashes = moved(this.#hashes, gone, new Int32Array(size));
    this.#groups = moved(this.#groups, gone, new Float64Array(size));
    this.#refs = moved(this.#refs, gone, new Float64Array(size));
    this.#ages = moved(this.#ages, gone, new Float64Array(size));
    this.#before = new Int32Array(size);
    this.#heads = new Int32Array(size);
    this.#count = left;
    for (let at = 1; at <= left; at++) {
      const slot = this.#hashes[at]! & (size - 1);
      this.#before[at] = this.#heads[slot]!;
      this.#heads[slot] = at;
    }
  }

  /** Nothing waits: what was noted is of no use. */
  #clear(): void {
    if (this.#ranges.length > 0) this.#forgetRanges();
    if (this.#count === 0) return;
    this.#count = 0;
    this.#nextGroup = this.#held.oldestNumber;
    this.#nextRef = -1;
    this.#heads = NOTHING;
    this.#before = NOTHING;
    this.#hashes = NOTHING;
    this.#groups = new Float64Array(0);
    this.#refs = new Float64Array(0);
    this.#ages = new Float64Array(0);
  }
}

/** What is behind the first `gone` writes, as those of `to`. */
function moved<T extends Int32Array | Float64Array>(words: T, gone: number, to: T): T {
  if (words.length > 0) to.set(words.subarray(gone + 1), 1);
  return to;
}

/** Whether a range delete covers a key of the range. */
function meets(
  { keyBytes, keyStart, keyEnd, valueStart, valueEnd }: Entry,
  { start, end }: KeyRange,
): boolean {
  if (end !== undefined && compareBytes(keyBytes, keyStart, keyEnd, end, 0, end.length) >= 0) return false;
  const deletedEnd = rangeDeleteEnd(keyBytes, valueStart, valueEnd);
  return start === undefined || deletedEnd === undefined || compareKeys(deletedEnd, start) > 0;
}

function isWithin({ keyBytes, keyStart, keyEnd }: Entry, { start, end }: KeyRange): boolean {
  return (
    (start === undefined || compareBytes(keyBytes, keyStart, keyEnd, start, 0, start.length) >= 0) &&
    (end === undefined || compareBytes(keyBytes, keyStart, keyEnd, end, 0, end.length) < 0)
  );
}
