/**
 * About which share of a memtable's entries comes before a key: one descent of the tree, whatever it holds.
 *
 * Each node is taken to hold as much as its siblings, when it may hold half. So the share is right to a few percent of the whole
 * where keys came at random, and exact where one leaf holds all.
 *
 * Invariants: never less for a greater key.
 * Thread:     main for a live memtable; any thread for a frozen one.
 * Not chosen: counting the leaves of the range, 20,000 for each million entries, while the event loop waits.
 */
import { HEIGHT, type MemtableArena, ROOT } from './arena.ts';
import { NEWEST } from './tree.ts';
import { CHILDREN, NODE_COUNT, searchNode } from './tree-node.ts';

/** 0 to 1. */
export function shareBefore({ words, bytes }: MemtableArena, key: Uint8Array): number {
  let node = words[ROOT]!;
  if (node === 0) return 0;
  let share = 0;
  let part = 1;
  for (let depth = words[HEIGHT]!; depth > 1; depth--) {
    const slot = searchNode(words, bytes, node, key, 0, key.length, NEWEST);
    part /= words[node + NODE_COUNT]! + 1;
    share += slot * part;
    node = words[node + CHILDREN + slot]!;
  }
  const count = words[node + NODE_COUNT]!;
  return count === 0
    ? share
    : share + (part * searchNode(words, bytes, node, key, 0, key.length, NEWEST)) / count;
}
