/**
 * Merges k sorted iterators into one, in the order of iterator.ts.
 *
 *   1. a seek positions every child and builds a binary heap of those that stand on an entry
 *   2. a move advances the leader (the root) and compares it with the runner-up, the better of the root's two sons
 *   3. only when the leader falls behind is it sifted down; a source that leads for a while costs one comparison
 *      per entry, as the runner-up stands still meanwhile
 *
 * Invariants: going forward, every child but the leader stands on its first entry after the leader's; going
 *             backward, on its last entry before it. Turning round keeps this: the others take one step across the
 *             leader's entry, and one that had run off its end comes back through seekToLast or seekToFirst.
 *             Equal key and sequence (two zeroed sequences) are ordered by child: the earlier child comes first
 *             going forward, so the order of all entries is total and both directions agree on it.
 * Owns:       the children.
 * Lifetime:   `entry` is the leader's own entry and changes from move to move: read it again after each one.
 *             A move that throws leaves the iterator fit for close() alone.
 * Not chosen: a loser tree, which does log2(k) comparisons per entry where this does one while a source leads, as
 *             levels do; turning round by seekBefore(key), which would lose the newer versions of that key.
 */
import { assert } from './assert.ts';
import { compareBytes } from './bytes.ts';
import { Entry, type InternalIterator } from './iterator.ts';
import type { BlockRun } from './table/block-run.ts';

/** A child and where it stands. */
class Source {
  readonly iterator: InternalIterator;
  /** Breaks ties: position among the children. */
  readonly order: number;
  entry: Entry;

  constructor(iterator: InternalIterator, order: number) {
    this.iterator = iterator;
    this.order = order;
    this.entry = iterator.entry;
  }
}

/** The runner-up is not known and has to be looked up among the root's sons. */
const UNKNOWN = -1;

export class MergingIterator implements InternalIterator {
  /** Stands in while the iterator stands nowhere, so that a stale read finds no bytes. */
  readonly #nowhere: Entry = new Entry();
  readonly #sources: readonly Source[];
  /** The first `#size` places are the heap; a child that has run out is beyond it. */
  readonly #heap: Source[];
  #size = 0;
  #runnerUp: number = UNKNOWN;
  /** 1 forward, -1 backward: the sign applied to every comparison. */
  #direction: 1 | -1 = 1;
  #isClosed = false;

  entry: Entry = this.#nowhere;

  constructor(children: readonly InternalIterator[]) {
    this.#sources = children.map((child, order) => new Source(child, order));
    this.#heap = this.#sources.slice();
  }

  seekToFirst(): boolean {
    this.#begin(1);
    for (const source of this.#sources) if (source.iterator.seekToFirst()) this.#admit(source);
    return this.#build();
  }

  seek(key: Uint8Array): boolean {
    this.#begin(1);
    for (const source of this.#sources) if (source.iterator.seek(key)) this.#admit(source);
    return this.#build();
  }

  seekToLast(): boolean {
    this.#begin(-1);
    for (const source of this.#sources) if (source.iterator.seekToLast()) this.#admit(source);
    return this.#build();
  }

  seekBefore(key: Uint8Array): boolean {
    this.#begin(-1);
    for (const source of this.#sources) if (source.iterator.seekBefore(key)) this.#admit(source);
    return this.#build();
  }

  next(): boolean {
    assert(this.#size > 0, 'next() on an iterator that stands nowhere');
    if (this.#direction !== 1) return this.#turn(1);
    const leader = this.#heap[0]!;
    return leader.iterator.next() ? this.#leaderMoved(leader) : this.#leaderEnded();
  }

  prev(): boolean {
    assert(this.#size > 0, 'prev() on an iterator that stands nowhere');
    if (this.#direction !== -1) return this.#turn(-1);
    const leader = this.#heap[0]!;
    return leader.iterator.prev() ? this.#leaderMoved(leader) : this.#leaderEnded();
  }

  /** The leader runs ahead, up to the key of the runner-up. */
  lookAhead(run: BlockRun): boolean {
    assert(this.#size > 0, 'lookAhead() on an iterator that stands nowhere');
    const { iterator } = this.#heap[0]!;
    if (this.#direction !== 1 || iterator.lookAhead === undefined) return false;
    if (this.#size > 1) {
      if (this.#runnerUp === UNKNOWN) this.#runnerUp = this.#betterSon(0);
      const { keyBytes, keyStart, keyEnd } = this.#heap[this.#runnerUp]!.entry;
      run.boundBy(keyBytes, keyStart, keyEnd);
    }
    return iterator.lookAhead(run);
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#size = 0;
    this.entry = this.#nowhere;
    for (const source of this.#sources) source.iterator.close();
  }

  #begin(direction: 1 | -1): void {
    assert(!this.#isClosed, 'seek on a closed iterator');
    this.#direction = direction;
    this.#size = 0;
  }

  #admit(source: Source): void {
    source.entry = source.iterator.entry;
    this.#heap[this.#size++] = source;
  }

  #build(): boolean {
    for (let i = (this.#size >> 1) - 1; i >= 0; i--) this.#siftDown(i);
    return this.#lead();
  }

  #leaderMoved(leader: Source): boolean {
    leader.entry = leader.iterator.entry;
    if (this.#size > 1) {
      if (this.#runnerUp === UNKNOWN) this.#runnerUp = this.#betterSon(0);
      if (!this.#isBefore(leader, this.#heap[this.#runnerUp]!)) {
        this.#siftDown(0);
        return this.#lead();
      }
    }
    this.entry = leader.entry;
    return true;
  }

  #leaderEnded(): boolean {
    this.#size--;
    this.#heap[0] = this.#heap[this.#size]!;
    if (this.#size > 1) this.#siftDown(0);
    return this.#lead();
  }

  /** Takes the root's entry as ours after the heap has changed. */
  #lead(): boolean {
    this.#runnerUp = UNKNOWN;
    if (this.#size === 0) {
      this.entry = this.#nowhere;
      return false;
    }
    this.entry = this.#heap[0]!.entry;
    return true;
  }

  /** One step in the other direction: all children step, those that had run out re-enter from their end. */
  #turn(direction: 1 | -1): boolean {
    const standing = new Set(this.#heap.slice(0, this.#size));
    this.#begin(direction);
    for (const source of this.#sources) {
      const iterator = source.iterator;
      const stands =
        direction === 1
          ? standing.has(source)
            ? iterator.next()
            : iterator.seekToFirst()
          : standing.has(source)
            ? iterator.prev()
            : iterator.seekToLast();
      if (stands) this.#admit(source);
    }
    return this.#build();
  }

  #siftDown(from: number): void {
    const heap = this.#heap;
    const source = heap[from]!;
    let hole = from;
    while (hole * 2 + 1 < this.#size) {
      const son = this.#betterSon(hole);
      if (this.#isBefore(source, heap[son]!)) break;
      heap[hole] = heap[son]!;
      hole = son;
    }
    heap[hole] = source;
  }

  /** Requires: `parent` has at least one son. */
  #betterSon(parent: number): number {
    const left = parent * 2 + 1;
    const right = left + 1;
    return right < this.#size && this.#isBefore(this.#heap[right]!, this.#heap[left]!) ? right : left;
  }

  #isBefore(a: Source, b: Source): boolean {
    return compareSources(a, b) * this.#direction < 0;
  }
}

function compareSources(a: Source, b: Source): number {
  const x = a.entry;
  const y = b.entry;
  const byKey = compareBytes(x.keyBytes, x.keyStart, x.keyEnd, y.keyBytes, y.keyStart, y.keyEnd);
  if (byKey !== 0) return byKey;
  return x.sequence !== y.sequence ? y.sequence - x.sequence : a.order - b.order;
}
