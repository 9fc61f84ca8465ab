/**
 * Searches in the tree of a memtable that another thread is inserting into.
 *
 *   read a version (even)  ->  read the node  ->  fence  ->  read the version again: the same, or all of it counts for nothing
 *   from node to node:         read the version of the next one, then look at this one's again
 *
 * The second rule makes a chain: at the moment the next node's version was read, the way to it was still the right one. A
 * split is odd from the highest parent it changes to the last link (tree.ts), so it can't happen in between unseen.
 *
 * Memory order. The writer: entry bytes, then the odd version and a fence (beginChange), the node, then the even version,
 * which is a release. A reader that loads an even version with Atomics (an acquire) has all that came before it: the node
 * as it is, and the bytes of every entry in it. What it then reads may already be part of the next change. The fence keeps
 * these reads in front of the second look at the version, and that finds the change's odd version, which no part of the
 * change can overtake. ECMAScript's model has no words for a plain read that is thrown away when it raced, so this rests on
 * what engines do: typed-array elements of 4 bytes don't tear, and Atomics are neither moved nor removed.
 * What is visible is decided elsewhere: a reader loads the visible sequence first (an acquire, published with a release
 * after the entries were inserted), so all entries up to it are in the tree, and it steps over those above it.
 *
 * Invariants: nothing read from a node is acted upon before the node is known to have held still; but a search in a node
 *             that moves must be harmless: refs in a node are entries or 0, links are nodes or 0, counts are checked.
 * Thread:     any but main, beside main's inserts.
 * Not chosen: a lock, which would let a reader that is descheduled hold up every write of the store.
 */
import { StorageError } from '../base/errors.ts';
import { HEADER_BYTES, HEIGHT, INDEX_VERSION, LAST_LEAF, type MemtableArena, ROOT } from './arena.ts';
import {
  CHILDREN,
  NEXT_LEAF,
  NODE_CAPACITY,
  NODE_COUNT,
  NODE_REFS,
  NODE_VERSION,
  PREVIOUS_LEAF,
  searchNode,
} from './tree-node.ts';

/** What a step comes to. */
export const Step = { Moved: 0, End: 1, Found: 2 } as const;
export type Step = (typeof Step)[keyof typeof Step];

/** Attempts before the thread sleeps for the first time: a change takes main less than a microsecond. */
const SPINS = 64;
const SLEEP_MS = 1;
/** After this many sleeps main is not merely waiting for a core: its thread has ended in the middle of a change. */
const SLEEPS_MAX = 20_000;

const LOWEST_NODE = HEADER_BYTES / 4;
const fenceWord = new Int32Array(1);
const sleepWord = new Int32Array(new SharedArrayBuffer(4));

/** A search and where it ended. One per iterator, one for all lookups of a thread. */
export class ConcurrentTree {
  readonly arena: MemtableArena;
  readonly #words: Uint32Array<SharedArrayBuffer>;
  readonly #bytes: Uint8Array<SharedArrayBuffer>;
  /** 0: the tree is empty. */
  leaf = 0;
  #version = 0;
  /** The first position >= what was searched for; believe it once {@link holds}. */
  slot = 0;

  constructor(arena: MemtableArena) {
    this.arena = arena;
    this.#words = arena.words;
    this.#bytes = arena.bytes;
  }

  /** Goes to the leaf and slot of the first entry >= (key, bound), or behind the last of the leaf in which it belongs. */
  descend(key: Uint8Array, keyStart: number, keyEnd: number, bound: number): Step {
    const words = this.#words;
    const indexVersion = Atomics.load(words, INDEX_VERSION);
    let node = Atomics.load(words, ROOT);
    const height = Atomics.load(words, HEIGHT);
    if (node === 0) return Step.End;
    let version = Atomics.load(words, node + NODE_VERSION);
    if (((indexVersion | version) & 1) !== 0 || Atomics.load(words, INDEX_VERSION) !== indexVersion)
      return Step.Moved;
    for (let depth = height; depth > 1; depth--) {
      let slot = searchNode(words, this.#bytes, node, key, keyStart, keyEnd, bound);
      if (slot < words[node + NODE_COUNT]! && words[node + NODE_REFS + slot] === bound) slot++;
      const child = words[node + CHILDREN + slot]!;
      if (!this.#isNode(child)) return Step.Moved;
      const childVersion = Atomics.load(words, child + NODE_VERSION);
      if ((childVersion & 1) !== 0 || !this.#held(node, version)) return Step.Moved;
      node = child;
      version = childVersion;
    }
    this.leaf = node;
    this.#version = version;
    this.slot = searchNode(words, this.#bytes, node, key, keyStart, keyEnd, bound);
    return Step.Found;
  }

  /** Goes behind the last entry of the tree. */
  descendToEnd(): Step {
    const words = this.#words;
    const leaf = Atomics.load(words, LAST_LEAF);
    if (leaf === 0) return Step.End;
    const version = Atomics.load(words, leaf + NODE_VERSION);
    this.slot = words[leaf + NODE_COUNT]!;
    const isLast = words[leaf + NEXT_LEAF] === 0;
    if ((version & 1) !== 0 || !isLast || !this.#held(leaf, version)) return Step.Moved;
    this.leaf = leaf;
    this.#version = version;
    return Step.Found;
  }

  /** Whether nothing in the leaf has changed since the search came to it. */
  holds(): boolean {
    return this.#held(this.leaf, this.#version);
  }

  toNext(): Step {
    return this.#follow(NEXT_LEAF);
  }

  toPrevious(): Step {
    return this.#follow(PREVIOUS_LEAF);
  }

  /** The ref at `slot`, 0 behind the last; believe it once {@link holds}. */
  refAt(slot: number): number {
    return slot < this.#words[this.leaf + NODE_COUNT]! ? this.#words[this.leaf + NODE_REFS + slot]! : 0;
  }

  /** Copies the leaf's refs; how many, or -1 when the leaf has changed since the search came to it. */
  copyRefs(into: Uint32Array): number {
    const words = this.#words;
    const count = words[this.leaf + NODE_COUNT]!;
    if (count > NODE_CAPACITY) return -1;
    const refs = this.leaf + NODE_REFS;
    for (let i = 0; i < count; i++) into[i] = words[refs + i]!;
    return this.holds() ? count : -1;
  }

  #follow(link: number): Step {
    const words = this.#words;
    const leaf = words[this.leaf + link]!;
    const version = this.#isNode(leaf) ? Atomics.load(words, leaf + NODE_VERSION) : 0;
    if (!this.holds()) return Step.Moved;
    if (leaf === 0) return Step.End;
    if ((version & 1) !== 0) return Step.Moved;
    this.leaf = leaf;
    this.#version = version;
    return Step.Found;
  }

  #isNode(node: number): boolean {
    return node >= LOWEST_NODE && node < this.#words.length;
  }

  #held(node: number, version: number): boolean {
    fence();
    return Atomics.load(this.#words, node + NODE_VERSION) === version;
  }
}

/**
 * No read after it is made before one in front of it. On x86 that holds without; on ARM the store is a release, behind all
 * reads before it, and an acquiring load does not overtake it.
 */
function fence(): void {
  Atomics.store(fenceWord, 0, 0);
  Atomics.load(fenceWord, 0);
}

/** To be called before attempt number `attempt` (from 1) at what main was in the way of. */
export function pause(attempt: number): void {
  if (attempt <= SPINS) return;
  if (attempt > SPINS + SLEEPS_MAX)
    throw new StorageError('STRATA_CLOSED', 'the thread that owns the store ended in the middle of a write');
  Atomics.wait(sleepWord, 0, 0, SLEEP_MS);
}
