/**
 * A memtable: writes of one log, in an arena, found through a tree. The passive part: append, look up, iterate.
 *
 *   append/appendEncoded   encode or copy into the arena, then index (main only)
 *   lookup                 the newest version a reader may see, three-valued through Entry.kind; a range delete that hides the
 *                          key is one
 *
 * Thread: main appends; once frozen, any thread looks up and iterates.
 * Owns:   nothing beyond the arena it is given.
 */
import { copyInto, readU64 } from '../base/bytes.ts';
import { type Entry, EntryKind } from '../base/entry.ts';
import { encodedEntryBytes, encodeEntry, readEntry, SHORT_HEADER_BYTES, tagOf } from '../log/entry-codec.ts';
import {
  BUCKET_SHIFT,
  ENTRY_PREFIX_BYTES,
  entryEnd,
  entryKeyEnd,
  entryKeyStart,
  entryKind,
  entryValueEnd,
} from '../log/log-format.ts';
import type { RangeMap } from '../ranges/range-map.ts';
import {
  BUCKETS,
  DATA_END,
  ENTRY_COUNT,
  LEAF_COUNT,
  MemtableArena,
  NODE_START,
  RANGE_COUNT,
  RAW_BYTES,
  relativeSequence,
  TOMBSTONE_COUNT,
} from './arena.ts';
import { addRange, MemtableRanges, PAGE_BYTES } from './memtable-ranges.ts';
import { worstCaseNodeBytes } from './node-room.ts';
import { MemtableTree, NEWEST, TreePosition } from './tree.ts';
import { NEXT_LEAF, NODE_COUNT, NODE_REFS } from './tree-node.ts';

export class Memtable {
  readonly arena: MemtableArena;
  readonly tree: MemtableTree;
  /** Reads from this relative sequence on may go by the marks of dead leaves (dead-leaves.ts). */
  deadFrom = 0;
  readonly #position = new TreePosition();
  /** The word of the bucket in which the last entry starts. */
  #bucket = 0;
  #ranges: MemtableRanges | undefined;

  constructor(arena: MemtableArena) {
    this.arena = arena;
    this.tree = new MemtableTree(arena);
  }

  static attach(buffer: SharedArrayBuffer): Memtable {
    return new Memtable(MemtableArena.attach(buffer));
  }

  /** The sequence number the next appended entry gets. */
  get nextSequence(): number {
    return this.arena.firstSequence + this.arena.entryCount;
  }

  /** Its range deletes; undefined: none. */
  get ranges(): MemtableRanges | undefined {
    if (this.arena.words[RANGE_COUNT] === 0) return undefined;
    this.#ranges ??= new MemtableRanges(this.arena);
    return this.#ranges;
  }

  get expiringCount(): number {
    return this.arena.expiringCount;
  }

  /** Whether `count` entries of `dataBytes` in all are sure to fit, index included. */
  hasRoom(dataBytes: number, count: number): boolean {
    const words = this.arena.words;
    const nodeBytes = worstCaseNodeBytes(count, words[LEAF_COUNT]!) + PAGE_BYTES;
    return words[NODE_START]! - words[DATA_END]! >= dataBytes + nodeBytes;
  }

  /** Appends one entry with the next sequence. Requires: hasRoom. */
  append(
    kind: number,
    key: Uint8Array,
    keyStart: number,
    keyEnd: number,
    value: Uint8Array,
    valueStart: number,
    valueEnd: number,
  ): void {
    const arena = this.arena;
    const ref = arena.reserve(encodedEntryBytes(keyEnd - keyStart, valueEnd - valueStart, kind));
    const tag = this.#tagFor(ref, kind);
    encodeEntry(arena.bytes, ref, tag, key, keyStart, keyEnd, value, valueStart, valueEnd);
    const keyAt = entryKeyStart(arena.bytes, ref);
    this.#index(
      ref,
      kind,
      keyAt,
      keyAt + keyEnd - keyStart,
      keyAt + keyEnd - keyStart + valueEnd - valueStart,
    );
  }

  /** Appends entries that are encoded already (a WriteBatch, a recovered log), renumbering them. Requires: hasRoom. */
  appendEncoded(bytes: Uint8Array, start: number, end: number): void {
    const arena = this.arena;
    const target = arena.bytes;
    let ref = arena.reserve(end - start);
    const dataEnd = ref + end - start;
    copyInto(target, ref, bytes, start, end);
    while (ref < dataEnd) {
      let keyStart = ref + SHORT_HEADER_BYTES;
      let keyEnd = keyStart + target[ref + ENTRY_PREFIX_BYTES]!;
      let valueEnd = keyEnd + target[ref + ENTRY_PREFIX_BYTES + 1]!;
      let kind = target[ref]! & 1;
      if ((target[ref + ENTRY_PREFIX_BYTES]! | target[ref + ENTRY_PREFIX_BYTES + 1]!) >= 128) {
        kind = entryKind(target, ref);
        keyStart = entryKeyStart(target, ref);
        keyEnd = entryKeyEnd(target, ref, keyStart);
        valueEnd = entryValueEnd(target, ref, keyEnd);
      }
      target[ref] = this.#tagFor(ref, kind);
      this.#index(ref, kind, keyStart, keyEnd, valueEnd);
      ref = entryEnd(ref, valueEnd);
    }
  }

  /** The tag of the next entry, at `ref`; notes the sequence if it is the first of its bucket. */
  #tagFor(ref: number, kind: number): number {
    const words = this.arena.words;
    const bucket = BUCKETS + (ref >>> BUCKET_SHIFT);
    const sequence = words[ENTRY_COUNT]!;
    if (bucket !== this.#bucket) {
      this.#bucket = bucket;
      words[bucket] = sequence;
    }
    return tagOf(kind) + ((sequence - words[bucket]!) << 1);
  }

  #index(ref: number, kind: number, keyStart: number, keyEnd: number, valueEnd: number): void {
    const words = this.arena.words;
    words[RAW_BYTES]! += valueEnd - keyStart;
    if (kind === EntryKind.RangeDelete) {
      addRange(this.arena, ref);
      words[ENTRY_COUNT]!++;
      return;
    }
    this.tree.insert(ref, keyStart, keyEnd);
    if (kind === EntryKind.Put) return;
    if (kind === EntryKind.Delete) words[TOMBSTONE_COUNT]!++;
    else if (kind === EntryKind.ExpiringPut) this.arena.noteExpiring(readU64(this.arena.bytes, keyEnd));
  }

  /**
   * The newest version of `key` with a sequence <= `maxSequence`, in `into`; false when the memtable holds none.
   * A tombstone is found, with kind Delete.
   */
  lookup(key: Uint8Array, maxSequence: number, into: Entry): boolean {
    const words = this.arena.words;
    if (words[ENTRY_COUNT] === 0) return false;
    if (words[RANGE_COUNT] === 0) return this.#lookupPoint(key, maxSequence, into);
    const isFound = this.#lookupPoint(key, maxSequence, into);
    return hideUnder(this.ranges!.at(maxSequence), key, isFound, into);
  }

  #lookupPoint(key: Uint8Array, maxSequence: number, into: Entry): boolean {
    const words = this.arena.words;
    const maxRelative = maxSequence - this.arena.firstSequence;
    if (maxRelative < 0) return false;
    const position = this.#position;
    if (!this.tree.lowerBound(key, 0, key.length, NEWEST, position)) return false;
    let { leaf, slot } = position;
    const bytes = this.arena.bytes;
    for (;;) {
      const ref = words[leaf + NODE_REFS + slot]!;
      if (!keyEquals(bytes, ref, key)) return false;
      const relative = relativeSequence(words, bytes, ref);
      if (relative <= maxRelative) {
        readEntry(bytes, ref, this.arena.firstSequence + relative, into);
        return true;
      }
      if (++slot === words[leaf + NODE_COUNT]!) {
        leaf = words[leaf + NEXT_LEAF]!;
        slot = 0;
        if (leaf === 0) return false;
      }
    }
  }
}

/** What a lookup comes to that found `into`, or nothing, in a memtable with these ranges. */
export function hideUnder(ranges: RangeMap, key: Uint8Array, isFound: boolean, into: Entry): boolean {
  const sequence = ranges.sequenceAt(key, 0, key.length);
  if (sequence === 0 || (isFound && into.sequence > sequence)) return isFound;
  into.setDeleted(sequence);
  return true;
}

export function keyEquals(bytes: Uint8Array, ref: number, key: Uint8Array): boolean {
  const start = entryKeyStart(bytes, ref);
  if (entryKeyEnd(bytes, ref, start) - start !== key.length) return false;
  for (let i = 0; i < key.length; i++) if (bytes[start + i] !== key[i]) return false;
  return true;
}
