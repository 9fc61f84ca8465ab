/**
 * Iterates a memtable in key order, over entries up to a sequence, while main may go on inserting.
 *
 * The iterator remembers the ref it stands on and its leaf's version. When the version moved, an insert shifted or split
 * the leaf, and the iterator finds its ref again by descending; otherwise a step is an increment.
 *
 * Invariants: entries above `maxSequence` are skipped, so one moment is seen however long the iterator lives.
 * Thread:     main for a live memtable; any thread for a frozen one.
 */

import { compareBytes } from '../base/bytes.ts';
import { Entry, EntryKind } from '../base/entry.ts';
import type { EntryBatch } from '../base/entry-batch.ts';
import type { InternalIterator, KeyLimit } from '../base/iterator.ts';
import { addToBatch, fetchEntries, readEntry } from '../log/entry-codec.ts';
import { entryKeyEnd, entryKeyStart } from '../log/log-format.ts';
import { FIRST_LEAF, LAST_LEAF, relativeSequence } from './arena.ts';
import { isDeadLeaf, isSameKey, LeafCover } from './dead-leaves.ts';
import { Memtable } from './memtable.ts';
import { NEWEST, TreePosition } from './tree.ts';
import { NEXT_LEAF, NODE_COUNT, NODE_REFS, NODE_VERSION, PREVIOUS_LEAF } from './tree-node.ts';

/** Iterates all of a frozen memtable, in place: what a flush reads. */
export function memtableIterator(buffer: SharedArrayBuffer): InternalIterator {
  return new MemtableIterator(Memtable.attach(buffer), Number.MAX_SAFE_INTEGER, true);
}

export class MemtableIterator implements InternalIterator {
  readonly entry: Entry = new Entry();
  readonly #memtable: Memtable;
  readonly #words: Uint32Array<SharedArrayBuffer>;
  readonly #maxRelative: number;
  readonly #position = new TreePosition();
  readonly #fetchesLeaves: boolean;
  /** What the memtable's own ranges delete; entries that they hide are given all the same, but count as dead. */
  #deleted: LeafCover | undefined;
  readonly #maxSequence: number;
  #ref = 0;
  #version = 0;
  /** Without meaning: the sum of the bytes touched, as bytes that nobody uses would not be fetched. */
  fetched = 0;

  /** `fetchesLeaves`: for long walks, a third faster. */
  constructor(memtable: Memtable, maxSequence: number, fetchesLeaves = false) {
    this.#memtable = memtable;
    this.#fetchesLeaves = fetchesLeaves;
    this.#words = memtable.arena.words;
    this.#maxRelative = maxSequence - memtable.arena.firstSequence;
    this.#maxSequence = maxSequence;
  }

  seekToFirst(): boolean {
    this.#memtable.arena.assertCurrent();
    this.#position.leaf = this.#words[FIRST_LEAF]!;
    this.#position.slot = 0;
    if (this.#position.leaf === 0) return false;
    if (this.#fetchesLeaves) this.#fetch(this.#position.leaf);
    return this.#settleForward();
  }

  seek(key: Uint8Array): boolean {
    this.#memtable.arena.assertCurrent();
    return (
      this.#memtable.tree.lowerBound(key, 0, key.length, NEWEST, this.#position) && this.#settleForward()
    );
  }

  next(): boolean {
    this.#findAgain();
    this.#position.slot++;
    return this.#settleForward();
  }

  seekToLast(): boolean {
    this.#memtable.arena.assertCurrent();
    const leaf = this.#words[LAST_LEAF]!;
    if (leaf === 0) return false;
    this.#position.leaf = leaf;
    this.#position.slot = this.#words[leaf + NODE_COUNT]! - 1;
    return this.#settleBackward();
  }

  seekBefore(key: Uint8Array): boolean {
    this.#memtable.arena.assertCurrent();
    if (!this.#memtable.tree.lowerBound(key, 0, key.length, NEWEST, this.#position)) return this.seekToLast();
    this.#position.slot--;
    return this.#settleBackward();
  }

  prev(): boolean {
    this.#findAgain();
    this.#position.slot--;
    return this.#settleBackward();
  }

  /** As far as the leaf goes. Whatever comes into it later is above the sequence. */
  readBatch(batch: EntryBatch, maxRows: number): void {
    this.#memtable.arena.assertCurrent();
    const { bytes, view, firstSequence } = this.#memtable.arena;
    const words = this.#words;
    const maxRelative = this.#maxRelative;
    this.#findAgain();
    const { leaf, slot } = this.#position;
    const start = leaf + NODE_REFS + slot;
    const end = leaf + NODE_REFS + words[leaf + NODE_COUNT]!;
    batch.beginScattered(bytes, view);
    this.fetched = fetchEntries(bytes, words, start, Math.min(end, start + maxRows));
    for (let at = start; at < end && batch.count < maxRows; at++) {
      const ref = words[at]!;
      const relative = relativeSequence(words, bytes, ref);
      if (relative <= maxRelative) addToBatch(bytes, ref, firstSequence + relative, batch);
    }
  }

  moveTo(batch: EntryBatch, row: number): void {
    const ref = batch.refs[row]!;
    const words = this.#words;
    const position = this.#position;
    const { bytes, firstSequence } = this.#memtable.arena;
    this.#ref = ref;
    // In a leaf that has changed, the next move finds the ref again.
    if (words[position.leaf + NODE_VERSION] === this.#version)
      while (words[position.leaf + NODE_REFS + position.slot] !== ref) position.slot++;
    readEntry(bytes, ref, firstSequence + relativeSequence(words, bytes, ref), this.entry);
  }

  /** The rest of the leaf step by step, then whole leaves. */
  skipDead(limit: KeyLimit): boolean {
    this.#findAgain();
    this.#findDeleted();
    const words = this.#words;
    const { bytes } = this.#memtable.arena;
    const position = this.#position;
    let { leaf, slot } = position;
    // The last entry that the reader sees: it hides what has its key.
    let hider = this.#ref;
    let isLimited = this.#reachesLimit(leaf, limit);
    for (slot++; ; ) {
      const count = words[leaf + NODE_COUNT]!;
      if (slot >= count) {
        leaf = words[leaf + NEXT_LEAF]!;
        if (leaf === 0) return false;
        slot = 0;
        isLimited = this.#reachesLimit(leaf, limit);
        if (!isLimited && this.#isDead(leaf)) {
          slot = words[leaf + NODE_COUNT]!;
          hider = words[leaf + NODE_REFS + slot - 1]!;
        }
        continue;
      }
      const ref = words[leaf + NODE_REFS + slot]!;
      if (this.#isVisible(ref) && !isSameKey(bytes, ref, hider)) {
        if (isLimited || this.#isLive(ref)) break;
        hider = ref;
      }
      slot++;
    }
    position.leaf = leaf;
    position.slot = slot;
    return this.#accept(words[leaf + NODE_REFS + slot]!);
  }

  /** Whole leaves only, the one it stands in among them. */
  skipDeadBefore(limit: KeyLimit): boolean {
    this.#findAgain();
    this.#findDeleted();
    const words = this.#words;
    const position = this.#position;
    while (this.#startsBehind(position.leaf, limit) && this.#isDead(position.leaf)) {
      const previous = words[position.leaf + PREVIOUS_LEAF]!;
      if (previous === 0) return false;
      position.leaf = previous;
      position.slot = words[previous + NODE_COUNT]! - 1;
    }
    return this.#settleBackward();
  }

  /** When they are first asked for. */
  #findDeleted(): void {
    const { ranges, arena } = this.#memtable;
    if (ranges !== undefined) this.#deleted ??= new LeafCover(ranges.at(this.#maxSequence), arena);
  }

  #isDead(leaf: number): boolean {
    const { arena } = this.#memtable;
    return isDeadLeaf(this.#words, arena.bytes, leaf, this.#maxRelative, this.#memtable, this.#deleted);
  }

  #isLive(ref: number): boolean {
    const { bytes } = this.#memtable.arena;
    return (
      (bytes[ref]! & 1) === EntryKind.Put && (this.#deleted === undefined || this.#deleted.deleteOf(ref) < 0)
    );
  }

  #isVisible(ref: number): boolean {
    return relativeSequence(this.#words, this.#memtable.arena.bytes, ref) <= this.#maxRelative;
  }

  /** Whether a leaf has keys from `limit` on. */
  #reachesLimit(leaf: number, limit: KeyLimit): boolean {
    const last = this.#words[leaf + NODE_COUNT]! - 1;
    return limit.isThere && last >= 0 && this.#compare(leaf, last, limit) >= 0;
  }

  /** Whether all keys of a leaf come after `limit`. */
  #startsBehind(leaf: number, limit: KeyLimit): boolean {
    return !limit.isThere || (this.#words[leaf + NODE_COUNT]! > 0 && this.#compare(leaf, 0, limit) > 0);
  }

  #compare(leaf: number, slot: number, limit: KeyLimit): number {
    const { bytes } = this.#memtable.arena;
    const ref = this.#words[leaf + NODE_REFS + slot]!;
    const start = entryKeyStart(bytes, ref);
    return compareBytes(bytes, start, entryKeyEnd(bytes, ref, start), limit.bytes, limit.start, limit.end);
  }

  close(): void {
    // Holds nothing but memory.
  }

  #findAgain(): void {
    this.#memtable.arena.assertCurrent();
    const position = this.#position;
    if (this.#words[position.leaf + NODE_VERSION] === this.#version) return;
    const bytes = this.#memtable.arena.bytes;
    const keyStart = entryKeyStart(bytes, this.#ref);
    this.#memtable.tree.lowerBound(
      bytes,
      keyStart,
      entryKeyEnd(bytes, this.#ref, keyStart),
      this.#ref,
      position,
    );
    this.#version = this.#words[position.leaf + NODE_VERSION]!;
  }

  /** From the position on, forward, to the next entry that may be seen. */
  #settleForward(): boolean {
    const words = this.#words;
    const position = this.#position;
    for (;;) {
      if (position.slot >= words[position.leaf + NODE_COUNT]!) {
        const next = words[position.leaf + NEXT_LEAF]!;
        if (next === 0) return false;
        position.leaf = next;
        position.slot = 0;
        if (this.#fetchesLeaves) this.#fetch(next);
        continue;
      }
      if (this.#accept(words[position.leaf + NODE_REFS + position.slot]!)) return true;
      position.slot++;
    }
  }

  #fetch(leaf: number): void {
    const words = this.#words;
    const refs = leaf + NODE_REFS;
    this.fetched = fetchEntries(this.#memtable.arena.bytes, words, refs, refs + words[leaf + NODE_COUNT]!);
  }

  #settleBackward(): boolean {
    const words = this.#words;
    const position = this.#position;
    for (;;) {
      if (position.slot < 0) {
        const previous = words[position.leaf + PREVIOUS_LEAF]!;
        if (previous === 0) return false;
        position.leaf = previous;
        position.slot = words[previous + NODE_COUNT]! - 1;
        continue;
      }
      if (this.#accept(words[position.leaf + NODE_REFS + position.slot]!)) return true;
      position.slot--;
    }
  }

  #accept(ref: number): boolean {
    const arena = this.#memtable.arena;
    const relative = relativeSequence(this.#words, arena.bytes, ref);
    if (relative > this.#maxRelative) return false;
    this.#ref = ref;
    this.#version = this.#words[this.#position.leaf + NODE_VERSION]!;
    readEntry(arena.bytes, ref, arena.firstSequence + relative, this.entry);
    return true;
  }
}
