/**
 * What a scan reads: everything of one moment, newest first, as iterators for the merge.
 *
 *   memtables -> L0, run by run -> L1..L7, a run each
 */
import { LEVEL_COUNT } from '../base/ids.ts';
import type { InternalIterator, KeyRange } from '../base/iterator.ts';
import type { TableInfo } from '../base/version-edit.ts';
import { ConcatIterator } from '../merge/concat-iterator.ts';
import { HiddenRanges } from '../merge/hidden-ranges.ts';
import type { RangeSource } from '../ranges/stretch.ts';
import type { SpanIterator } from '../table/block-span.ts';
import { TableRanges } from './range-sources.ts';
import type { ReadableMemtable } from './readable-memtables.ts';
import type { ScanReads } from './scan-reads.ts';
import type { TableCache } from './table-cache.ts';
import { TableList } from './table-list.ts';
import { meets } from './table-runs.ts';
import type { Version } from './version.ts';

/** What a scan reads: fixed when the scan is made, whatever happens to the store meanwhile. */
export interface ScanSources {
  /** Newest first. */
  readonly memtables: readonly ReadableMemtable[];
  readonly version: Version;
  readonly sequence: number;
  /** A source of its own, newer than all others, with sequences up to its own: what a transaction has written. */
  readonly own?: OwnSource | undefined;
  /** false: blocks that are not cached are read past the cache. */
  readonly fillCache: boolean;
  /** The time by which entries expire: {@link timeOfRead}. */
  readonly nowMs: number;
}

export interface OwnSource {
  readonly sequence: number;
  /** What it has deleted of all others. It hides nothing of its own. */
  readonly ranges: RangeSource | undefined;
  open(): InternalIterator;
}

/** Iterators over all sources that may have keys in the range, newest first: the children of a merge. `reads`: the scan's. */
export function openSources(
  { memtables, version, sequence, own, fillCache }: ScanSources,
  tables: TableCache,
  range: KeyRange,
  reads: ScanReads,
): InternalIterator[] {
  const children = new Children(sequence);
  if (own !== undefined) children.addOwn(own);
  for (let i = 0; i < memtables.length; i++)
    children.add(memtables[i]!.iterator(sequence), memtables[i]!.memtable.ranges?.at(sequence));
  const runs = version.levelZeroRuns;
  for (let order = 0; order < runs.length; order++) {
    const run = runs[order]!;
    if (!meets(run, range)) continue;
    const open = (place: number): SpanIterator =>
      tables.iterator(run[place]!, fillCache, { scan: reads, order, place });
    children.add(new ConcatIterator(run, open), rangesOfRun(run, tables));
  }
  for (let level = 1; level < LEVEL_COUNT; level++) {
    const list = version.lists[level]!;
    if (!meets(list, range)) continue;
    const order = runs.length + level - 1;
    const open = (place: number): SpanIterator =>
      tables.iterator(list.at(place)!, fillCache, { scan: reads, order, place });
    children.add(
      new ConcatIterator(list, open),
      list.rangeTables === 0 ? undefined : new TableRanges(list, tables),
    );
  }
  return children.iterators;
}

function rangesOfRun(run: readonly TableInfo[], tables: TableCache): RangeSource | undefined {
  if (run.every(({ rangeDeletes }) => rangeDeletes === undefined)) return undefined;
  return new TableRanges(TableList.from(run), tables);
}

/** Newest first; each without what it and those before it have deleted. */
class Children {
  readonly iterators: InternalIterator[] = [];
  readonly #sequence: number;
  readonly #ranges: RangeSource[] = [];

  constructor(sequence: number) {
    this.#sequence = sequence;
  }

  addOwn({ open, ranges }: OwnSource): void {
    this.iterators.push(open());
    if (ranges !== undefined) this.#ranges.push(ranges);
  }

  add(child: InternalIterator, own: RangeSource | undefined): void {
    const isBare = own === undefined && this.#ranges.length === 0;
    const ranges = { newer: isBare ? [] : [...this.#ranges], own, sequence: this.#sequence };
    this.iterators.push(isBare ? child : new HiddenRanges(child, ranges));
    if (own !== undefined) this.#ranges.push(own);
  }
}
