/**
 * Cuts a set of keys into ranges of about equal size, for work that several threads share.
 *
 *   samples   keys with the bytes that lie between each and the next, from any number of sorted files, in any order
 *   -> cuts   ascending: n cuts make n + 1 ranges  (.. c1)  [c1 .. c2)  ..  [cn ..)
 *
 * Thread: main. Pure.
 */
import { compareKeys, keySuccessor } from '../../shared/base/bytes.ts';
import type { KeyRange } from '../../shared/base/iterator.ts';
import type { TableInfo } from '../../shared/base/version-edit.ts';
import type { TableReader } from '../../shared/table/table-reader.ts';

export interface KeySample {
  readonly key: Uint8Array;
  readonly bytes: number;
}

/** At most `parts` ranges that together hold all keys, each about as large; fewer where the samples are few. */
export function splitKeys(samples: readonly KeySample[], parts: number): KeyRange[] {
  const sorted = [...samples].sort((a, b) => compareKeys(a.key, b.key));
  const total = sorted.reduce((sum, { bytes }) => sum + bytes, 0);
  const ranges: KeyRange[] = [];
  let start: Uint8Array | undefined;
  let passed = 0;
  for (const { key, bytes } of sorted) {
    const isDue = passed >= (total * (ranges.length + 1)) / parts;
    // A range is never empty: a cut lies above the one before, and above the smallest key of all.
    if (isDue && ranges.length + 1 < parts && compareKeys(key, start ?? sorted[0]!.key) > 0) {
      ranges.push({ start, end: key });
      start = key;
    }
    passed += bytes;
  }
  ranges.push({ start, end: undefined });
  return ranges;
}

/** More places to cut a table at than this serve nobody. */
const SAMPLES_PER_TABLE = 64;

/** Samples of a table, from the separators of its blocks. */
export function tableSamples(table: TableInfo, { index }: TableReader): KeySample[] {
  const step = Math.max(1, Math.floor(index.blockCount / SAMPLES_PER_TABLE));
  const samples: KeySample[] = [];
  let from = 0;
  let key = table.smallestKey;
  for (let block = step; block < index.blockCount; block += step) {
    const offset = index.blockOffset(block);
    samples.push({ key, bytes: offset - from });
    // The separator is the last key that the block before may hold.
    key = keySuccessor(index.separator(block - 1));
    from = offset;
  }
  samples.push({ key, bytes: Math.max(0, table.sizeBytes - from) });
  return samples;
}
