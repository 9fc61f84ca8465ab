/**
 * When the entries of a memtable expire, by a sample of them: enough to know when most of them will have, in a fraction of a
 * millisecond however many there are. Of a small memtable it is all of them.
 *
 *   inner nodes   all are walked: one for some fifty leaves
 *   leaves        every so many, and of each of these every so many entries
 *
 * Thread: main.
 */
import { readU64 } from '../base/bytes.ts';
import { EntryKind } from '../base/entry.ts';
import { entryKeyEnd, entryKeyStart, entryKind } from '../log/log-format.ts';
import { HEIGHT, LEAF_COUNT, type MemtableArena, ROOT } from './arena.ts';
import { CHILDREN, NODE_COUNT, NODE_REFS } from './tree-node.ts';

/** About so many leaves and entries are looked at. */
const LEAF_SAMPLES = 256;
const ENTRY_SAMPLES = 2048;

export interface ExpirySample {
  /** Each stands for so many entries. */
  readonly weight: number;
  /** Of those of the sample that expire, rising. */
  readonly moments: Float64Array;
}

export function sampleExpiry(arena: MemtableArena): ExpirySample {
  const { words, bytes } = arena;
  const leafStride = Math.max(1, Math.floor(words[LEAF_COUNT]! / LEAF_SAMPLES));
  const entryStride = Math.max(1, Math.floor(arena.entryCount / leafStride / ENTRY_SAMPLES));
  const moments: number[] = [];
  let leaves = 0;
  let slot = 0;
  const visit = (node: number, levelsBelow: number): void => {
    // Of a leaf that is passed over nothing is read.
    if (levelsBelow === 0 && leaves++ % leafStride !== 0) return;
    const count = words[node + NODE_COUNT]!;
    if (levelsBelow > 0) {
      for (let i = 0; i <= count; i++) visit(words[node + CHILDREN + i]!, levelsBelow - 1);
      return;
    }
    for (; slot < count; slot += entryStride) {
      const ref = words[node + NODE_REFS + slot]!;
      if (entryKind(bytes, ref) === EntryKind.ExpiringPut)
        moments.push(readU64(bytes, entryKeyEnd(bytes, ref, entryKeyStart(bytes, ref))));
    }
    slot -= count;
  };
  if (words[HEIGHT]! > 0) visit(words[ROOT]!, words[HEIGHT]! - 1);
  return { weight: leafStride * entryStride, moments: Float64Array.from(moments).sort() };
}
