/**
 * A memtable that another thread is writing to, as a reader sees it: lookup and iteration up to a sequence.
 *
 * The iterator copies the refs of one leaf at a time. Whatever comes into the leaf later is newer than the sequence that
 * the reader had before, so the copy stays complete and a step within it asks nobody. At its ends the iterator follows the
 * leaf's link, or, when the leaf has changed, finds the copy's last (first) ref again from the root and goes on behind
 * (before) it: refs are never removed.
 *
 * Invariants: `maxSequence` was visible before the reader was given it, so every entry up to it is in the tree for good.
 * Thread:     any but main. For a frozen memtable Memtable itself will do, on any thread.
 */

import { Entry } from '../base/entry.ts';
import type { EntryBatch } from '../base/entry-batch.ts';
import type { InternalIterator } from '../base/iterator.ts';
import { addToBatch, fetchEntries, readEntry } from '../log/entry-codec.ts';
import { entryKeyEnd, entryKeyStart } from '../log/log-format.ts';
import { MemtableArena, RANGE_COUNT, relativeSequence } from './arena.ts';
import { ConcurrentTree, pause, Step } from './concurrent-tree.ts';
import { hideUnder, keyEquals } from './memtable.ts';
import { MemtableRanges } from './memtable-ranges.ts';
import { NEWEST } from './tree.ts';
import { NODE_CAPACITY } from './tree-node.ts';

const BEFORE_ALL = new Uint8Array(0);

export class ConcurrentMemtable {
  readonly #arena: MemtableArena;
  readonly #tree: ConcurrentTree;
  readonly #ranges: MemtableRanges;

  constructor(buffer: SharedArrayBuffer) {
    this.#arena = MemtableArena.attach(buffer);
    this.#tree = new ConcurrentTree(this.#arena);
    this.#ranges = new MemtableRanges(this.#arena);
  }

  /** As Memtable.ranges. */
  get ranges(): MemtableRanges | undefined {
    return Atomics.load(this.#arena.words, RANGE_COUNT) === 0 ? undefined : this.#ranges;
  }

  get expiringCount(): number {
    return this.#arena.expiringCount;
  }

  /** As Memtable.lookup. */
  lookup(key: Uint8Array, maxSequence: number, into: Entry): boolean {
    const isFound = this.#lookupPoint(key, maxSequence, into);
    const { ranges } = this;
    return ranges === undefined ? isFound : hideUnder(ranges.at(maxSequence), key, isFound, into);
  }

  #lookupPoint(key: Uint8Array, maxSequence: number, into: Entry): boolean {
    const maxRelative = maxSequence - this.#arena.firstSequence;
    if (maxRelative < 0) return false;
    for (let attempt = 1; ; attempt++) {
      const step = this.#find(key, maxRelative, into);
      if (step !== Step.Moved) return step === Step.Found;
      pause(attempt);
    }
  }

  iterator(maxSequence: number): InternalIterator {
    return new ConcurrentMemtableIterator(this.#arena, maxSequence);
  }

  #find(key: Uint8Array, maxRelative: number, into: Entry): Step {
    const tree = this.#tree;
    const { words, bytes, firstSequence } = this.#arena;
    const descent = tree.descend(key, 0, key.length, NEWEST);
    if (descent !== Step.Found) return descent;
    for (let slot = tree.slot; ; slot++) {
      let ref = tree.refAt(slot);
      while (ref === 0) {
        const step = tree.toNext();
        if (step !== Step.Found) return step;
        slot = 0;
        ref = tree.refAt(0);
      }
      if (!tree.holds()) return Step.Moved;
      if (!keyEquals(bytes, ref, key)) return Step.End;
      const relative = relativeSequence(words, bytes, ref);
      if (relative > maxRelative) continue;
      readEntry(bytes, ref, firstSequence + relative, into);
      return Step.Found;
    }
  }
}

class ConcurrentMemtableIterator implements InternalIterator {
  readonly entry: Entry = new Entry();
  readonly #arena: MemtableArena;
  readonly #tree: ConcurrentTree;
  readonly #maxRelative: number;
  /** The refs of one leaf, as they were at some moment since the iterator was made. */
  readonly #refs: Uint32Array = new Uint32Array(NODE_CAPACITY);
  #count = 0;
  #at = 0;
  /** Without meaning: the sum of the bytes touched, as bytes that nobody uses would not be fetched. */
  fetched = 0;

  constructor(arena: MemtableArena, maxSequence: number) {
    this.#arena = arena;
    this.#tree = new ConcurrentTree(arena);
    this.#maxRelative = maxSequence - arena.firstSequence;
  }

  seekToFirst(): boolean {
    return this.seek(BEFORE_ALL);
  }

  seek(key: Uint8Array): boolean {
    return this.#descend(key, 0, key.length, NEWEST) && this.#forward();
  }

  next(): boolean {
    this.#at++;
    return this.#forward();
  }

  seekToLast(): boolean {
    return this.#seekBackward(undefined);
  }

  seekBefore(key: Uint8Array): boolean {
    return this.#seekBackward(key);
  }

  prev(): boolean {
    this.#at--;
    return this.#backward() === Step.Found;
  }

  /** As far as the copied refs go. */
  readBatch(batch: EntryBatch, maxRows: number): void {
    const { words, bytes, view, firstSequence } = this.#arena;
    batch.beginScattered(bytes, view);
    this.fetched = fetchEntries(bytes, this.#refs, this.#at, Math.min(this.#count, this.#at + maxRows));
    for (let at = this.#at; at < this.#count && batch.count < maxRows; at++) {
      const ref = this.#refs[at]!;
      const relative = relativeSequence(words, bytes, ref);
      if (relative <= this.#maxRelative) addToBatch(bytes, ref, firstSequence + relative, batch);
    }
  }

  moveTo(batch: EntryBatch, row: number): void {
    const ref = batch.refs[row]!;
    while (this.#refs[this.#at] !== ref) this.#at++;
    const { words, bytes, firstSequence } = this.#arena;
    readEntry(bytes, ref, firstSequence + relativeSequence(words, bytes, ref), this.entry);
  }

  close(): void {
    // Holds nothing but memory.
  }

  /** From #at on, forward, to the next entry that may be seen. */
  #forward(): boolean {
    for (let attempt = 1; ; ) {
      for (; this.#at < this.#count; this.#at++) if (this.#accept(this.#refs[this.#at]!)) return true;
      // Only the last leaf can be empty, and what came into it since is too new.
      if (this.#count === 0) return false;
      const last = this.#refs[this.#count - 1]!;
      const step = this.#tree.toNext();
      if (step === Step.End) return false;
      if (step === Step.Found && this.#load()) this.#at = 0;
      else {
        pause(attempt++);
        this.#standOn(last, 1);
      }
    }
  }

  /** As #forward, backward; Moved only from an empty leaf, which has no ref to find again. */
  #backward(): Step {
    for (let attempt = 1; ; ) {
      for (; this.#at >= 0; this.#at--) if (this.#accept(this.#refs[this.#at]!)) return Step.Found;
      const first = this.#count === 0 ? 0 : this.#refs[0]!;
      const step = this.#tree.toPrevious();
      if (step === Step.End) return Step.End;
      if (step === Step.Found && this.#load()) this.#at = this.#count - 1;
      else if (first === 0) return Step.Moved;
      else {
        pause(attempt++);
        this.#standOn(first, -1);
      }
    }
  }

  #seekBackward(key: Uint8Array | undefined): boolean {
    for (let attempt = 1; ; attempt++) {
      const isThere = key === undefined ? this.#descendToEnd() : this.#descend(key, 0, key.length, NEWEST);
      if (!isThere) return false;
      this.#at--;
      const step = this.#backward();
      if (step !== Step.Moved) return step === Step.Found;
      pause(attempt);
    }
  }

  /** Stands `offset` from the entry `ref`, which is in the tree. */
  #standOn(ref: number, offset: number): void {
    const { bytes } = this.#arena;
    const keyStart = entryKeyStart(bytes, ref);
    this.#descend(bytes, keyStart, entryKeyEnd(bytes, ref, keyStart), ref);
    this.#at += offset;
  }

  /** Stands at the first entry >= (key, bound), with a copy of its leaf; false: the tree is empty. */
  #descend(key: Uint8Array, keyStart: number, keyEnd: number, bound: number): boolean {
    for (let attempt = 1; ; attempt++) {
      const step = this.#tree.descend(key, keyStart, keyEnd, bound);
      if (step === Step.End) return false;
      // The copy is of the leaf that was searched: it has not moved since.
      if (step === Step.Found && this.#load()) {
        this.#at = this.#tree.slot;
        return true;
      }
      pause(attempt);
    }
  }

  #descendToEnd(): boolean {
    for (let attempt = 1; ; attempt++) {
      const step = this.#tree.descendToEnd();
      if (step === Step.End) return false;
      if (step === Step.Found && this.#load()) {
        this.#at = this.#count;
        return true;
      }
      pause(attempt);
    }
  }

  #load(): boolean {
    this.#arena.assertCurrent();
    const count = this.#tree.copyRefs(this.#refs);
    if (count < 0) return false;
    this.#count = count;
    return true;
  }

  #accept(ref: number): boolean {
    const { words, bytes, firstSequence } = this.#arena;
    const relative = relativeSequence(words, bytes, ref);
    if (relative > this.#maxRelative) return false;
    readEntry(bytes, ref, firstSequence + relative, this.entry);
    return true;
  }
}
