/**
 * What a scan reads: everything of one moment, newest first, as iterators for the merge.
 *
 *   memtables -> L0, run by run -> L1..L7, a run each
 */
import { LEVEL_COUNT } from '../base/ids.ts';
import type { InternalIterator, KeyRange } from '../base/iterator.ts';
import { ConcatIterator } from '../merge/concat-iterator.ts';
import type { SpanIterator } from '../table/block-span.ts';
import type { ReadableMemtable } from './readable-memtables.ts';
import type { ScanReads } from './scan-reads.ts';
import type { TableCache } from './table-cache.ts';
import { meets } from './table-runs.ts';
import type { Version } from './version.ts';

/** What a scan reads: fixed when the scan is made, whatever happens to the store meanwhile. */
export interface ScanSources {
  /** Newest first. */
  readonly memtables: readonly ReadableMemtable[];
  readonly version: Version;
  readonly sequence: number;
  /** false: blocks that are not cached are read past the cache. */
  readonly fillCache: boolean;
  /** The time by which entries expire: {@link timeOfRead}. */
  readonly nowMs: number;
}

/** Iterators over all sources that may have keys in the range, newest first: the children of a merge. `reads`: the scan's. */
export function openSources(
  { memtables, version, sequence, fillCache }: ScanSources,
  tables: TableCache,
  range: KeyRange,
  reads: ScanReads,
): InternalIterator[] {
  const iterators: InternalIterator[] = [];
  for (let i = 0; i < memtables.length; i++) iterators.push(memtables[i]!.iterator(sequence));
  const runs = version.levelZeroRuns;
  for (let order = 0; order < runs.length; order++) {
    const run = runs[order]!;
    if (!meets(run, range)) continue;
    const open = (place: number): SpanIterator =>
      tables.iterator(run[place]!, fillCache, { scan: reads, order, place });
    iterators.push(new ConcatIterator(run, open));
  }
  for (let level = 1; level < LEVEL_COUNT; level++) {
    const list = version.lists[level]!;
    if (!meets(list, range)) continue;
    const order = runs.length + level - 1;
    const open = (place: number): SpanIterator =>
      tables.iterator(list.at(place)!, fillCache, { scan: reads, order, place });
    iterators.push(new ConcatIterator(list, open));
  }
  return iterators;
}
