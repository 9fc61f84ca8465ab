/**
 * When the entries of a memtable expire, by a sample of them: enough to know when most of them will have, in a millisecond.
 *
 * Thread: main.
 */
import { readU64 } from '../base/bytes.ts';
import { EntryKind } from '../base/entry.ts';
import { entryKeyEnd, entryKeyStart, entryKind } from '../log/log-format.ts';
import { FIRST_LEAF, type MemtableArena } from './arena.ts';
import { NEXT_LEAF, NODE_COUNT, NODE_REFS } from './tree-node.ts';

/** About so many entries are looked at. */
const SAMPLES = 2048;

export interface ExpirySample {
  /** Each stands for so many entries. */
  readonly weight: number;
  /** Of those of the sample that expire, rising. */
  readonly moments: Float64Array;
}

export function sampleExpiry(arena: MemtableArena): ExpirySample {
  const { words, bytes } = arena;
  const weight = Math.max(1, Math.floor(arena.entryCount / SAMPLES));
  const moments: number[] = [];
  let slot = 0;
  for (let leaf = words[FIRST_LEAF]!; leaf !== 0; leaf = words[leaf + NEXT_LEAF]!) {
    const count = words[leaf + NODE_COUNT]!;
    for (; slot < count; slot += weight) {
      const ref = words[leaf + NODE_REFS + slot]!;
      if (entryKind(bytes, ref) === EntryKind.ExpiringPut)
        moments.push(readU64(bytes, entryKeyEnd(bytes, ref, entryKeyStart(bytes, ref))));
    }
    slot -= count;
  }
  return { weight, moments: Float64Array.from(moments).sort() };
}
