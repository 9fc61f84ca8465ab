/**
 * Builds the index of a memtable from entries that are in order already: a recovered log needs no descent per entry.
 *
 *   1. leaves, from the left, each filled up; the first entry of each but the first is the separator before it
 *   2. the level above, children spread evenly over as few nodes as hold them; and so on, up to one node
 *
 * What it builds obeys all that tree.ts and tree-node.ts say of nodes, and takes no more room than inserting would.
 *
 * Invariants: the arena has no index yet, and is as it was allocated: all its free bytes are zero.
 * Thread:     main.
 */
import { assert } from '../base/assert.ts';
import { sharedPrefixLength } from '../base/bytes.ts';
import { entryKeyEnd, entryKeyStart } from '../log/log-format.ts';
import {
  DATA_END,
  ENTRY_COUNT,
  FIRST_LEAF,
  HEIGHT,
  LAST_LEAF,
  LEAF_COUNT,
  type MemtableArena,
  NODE_START,
  ROOT,
} from './arena.ts';
import {
  CHILDREN,
  FILLER,
  HEADS,
  HIGH_FENCE,
  INNER_BYTES,
  keyHead,
  LEAF_BYTES,
  LOW_FENCE,
  NEXT_LEAF,
  NODE_CAPACITY,
  NODE_COUNT,
  NODE_REFS,
  PREFIX_CHECK,
  PREFIX_LENGTH,
  PREVIOUS_LEAF,
} from './tree-node.ts';

/** What the index over `count` entries takes. */
export function builtNodeBytes(count: number): number {
  let nodes = Math.ceil(count / NODE_CAPACITY);
  let bytes = nodes * LEAF_BYTES;
  while (nodes > 1) {
    nodes = Math.ceil(nodes / (NODE_CAPACITY + 1));
    bytes += nodes * INNER_BYTES;
  }
  return bytes;
}

/** Indexes the entries at `refs`, by key and falling ref, all in the arena. Requires: room for {@link builtNodeBytes}. */
export function buildTree(arena: MemtableArena, refs: Uint32Array): void {
  const { words } = arena;
  assert(words[ROOT] === 0, 'the arena has an index');
  if (refs.length === 0) return;
  const builder = new TreeBuilder(arena);
  let level = builder.leaves(refs);
  words[FIRST_LEAF] = level.nodes[0]!;
  words[LAST_LEAF] = level.nodes.at(-1)!;
  words[LEAF_COUNT] = level.nodes.length;
  let height = 1;
  for (; level.nodes.length > 1; height++) level = builder.parents(level);
  words[ROOT] = level.nodes[0]!;
  words[HEIGHT] = height;
  words[ENTRY_COUNT] = refs.length;
}

/** Nodes side by side, and the separator before each: 0 before the first. */
interface Level {
  readonly nodes: Uint32Array;
  readonly separators: Uint32Array;
}

class TreeBuilder {
  readonly #words: Uint32Array;
  readonly #bytes: Uint8Array;

  constructor({ words, bytes }: MemtableArena) {
    this.#words = words;
    this.#bytes = bytes;
  }

  leaves(refs: Uint32Array): Level {
    const words = this.#words;
    const count = Math.ceil(refs.length / NODE_CAPACITY);
    const level = { nodes: new Uint32Array(count), separators: new Uint32Array(count) };
    for (let i = 0; i < count; i++) {
      const from = i * NODE_CAPACITY;
      const to = Math.min(refs.length, from + NODE_CAPACITY);
      const leaf = this.#allocate(LEAF_BYTES);
      level.nodes[i] = leaf;
      level.separators[i] = i === 0 ? 0 : refs[from]!;
      words[leaf + PREVIOUS_LEAF] = i === 0 ? 0 : level.nodes[i - 1]!;
      if (i > 0) words[level.nodes[i - 1]! + NEXT_LEAF] = leaf;
      words.set(refs.subarray(from, to), leaf + NODE_REFS);
      const isEdge = i === 0 || i === count - 1;
      const [low, high] = [level.separators[i]!, i === count - 1 ? 0 : refs[to]!];
      this.#finish(leaf, to - from, low, high, isEdge ? 0 : this.#sharedPrefix(low, high));
    }
    return level;
  }

  parents(below: Level): Level {
    const words = this.#words;
    const total = below.nodes.length;
    const count = Math.ceil(total / (NODE_CAPACITY + 1));
    const level = { nodes: new Uint32Array(count), separators: new Uint32Array(count) };
    for (let i = 0; i < count; i++) {
      const from = Math.floor((i * total) / count);
      const to = Math.floor(((i + 1) * total) / count);
      const node = this.#allocate(INNER_BYTES);
      level.nodes[i] = node;
      level.separators[i] = below.separators[from]!;
      words.set(below.nodes.subarray(from, to), node + CHILDREN);
      words.set(below.separators.subarray(from + 1, to), node + NODE_REFS);
      const [low, high] = [below.separators[from]!, to === total ? 0 : below.separators[to]!];
      const isEdge = low === 0 || high === 0;
      words[node + PREFIX_CHECK] = isEdge ? 1 : 0;
      const [first, last] = isEdge ? [below.separators[from + 1]!, below.separators[to - 1]!] : [low, high];
      this.#finish(node, to - from - 1, low, high, this.#sharedPrefix(first, last));
    }
    return level;
  }

  /** The refs of the node are in place. */
  #finish(node: number, count: number, low: number, high: number, prefix: number): void {
    const words = this.#words;
    const bytes = this.#bytes;
    words[node + NODE_COUNT] = count;
    words[node + LOW_FENCE] = low;
    words[node + HIGH_FENCE] = high;
    words[node + PREFIX_LENGTH] = prefix;
    for (let i = 0; i < count; i++) {
      const ref = words[node + NODE_REFS + i]!;
      const start = entryKeyStart(bytes, ref);
      words[node + HEADS + i] = keyHead(bytes, start + prefix, entryKeyEnd(bytes, ref, start));
    }
  }

  /** How many leading bytes the keys of two entries share. */
  #sharedPrefix(low: number, high: number): number {
    const bytes = this.#bytes;
    const lowStart = entryKeyStart(bytes, low);
    const highStart = entryKeyStart(bytes, high);
    const lowEnd = entryKeyEnd(bytes, low, lowStart);
    return sharedPrefixLength(bytes, lowStart, lowEnd, bytes, highStart, entryKeyEnd(bytes, high, highStart));
  }

  #allocate(byteLength: number): number {
    const words = this.#words;
    const start = words[NODE_START]! - byteLength;
    assert(start >= words[DATA_END]!, 'there is no room for an index node');
    words[NODE_START] = start;
    words.fill(FILLER, start / 4 + HEADS, start / 4 + HEADS + NODE_CAPACITY);
    return start / 4;
  }
}
