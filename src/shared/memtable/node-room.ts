/**
 * How much room the index of a memtable may still need: asked before every write, as a write that ran out of room half-way
 * would leave entries in the log that no index finds.
 */
import { INNER_BYTES, LEAF_BYTES, NODE_CAPACITY } from './tree-node.ts';

/**
 * Bytes of nodes that `count` further inserts may need, at worst, in a tree of `leafCount` leaves.
 *
 * At worst every leaf is full and so is every inner node, and the inserts meet as many different ones as there are: series
 * of keys written in step get there by themselves. A node that was split has room for half its capacity again, so that
 * further splits cost one in 32 inserts; and below 66 leaves there is one inner node, the root.
 */
export function worstCaseNodeBytes(count: number, leafCount: number): number {
  const leafSplits = Math.min(count, leafCount) + Math.ceil(count / (NODE_CAPACITY / 2)) + 1;
  if (leafCount === 0 && count < NODE_CAPACITY) return leafSplits * LEAF_BYTES;
  if (leafCount + leafSplits <= NODE_CAPACITY + 1) return leafSplits * LEAF_BYTES + INNER_BYTES;
  const half = NODE_CAPACITY / 2;
  // Splits of nodes that were split before, and new roots.
  let innerSplits = Math.ceil(leafSplits / (half - 1)) + 3;
  for (let nodes = leafCount; nodes > 1; ) {
    nodes = Math.ceil(nodes / half);
    innerSplits += Math.min(leafSplits, nodes);
  }
  return leafSplits * LEAF_BYTES + innerSplits * INNER_BYTES;
}
