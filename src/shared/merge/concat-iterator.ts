/**
 * Walks tables that are sorted and disjoint (a level, or the chosen tables of one) as if they were one, opening a
 * table when the walk reaches it and closing it when it leaves.
 *
 *   1. a seek finds the only table that can hold the key by binary search over the bounds, and opens that one
 *   2. a move that runs off a table's end goes on at the near end of its neighbour
 *
 * Invariants: at most one child is open. A table without entries inside is skipped, in both directions.
 * Owns:       the open child; what `open` needs to make one belongs to the caller.
 * Lifetime:   `entry` is the open child's own entry: read it again after each move.
 */
import { assert } from '../base/assert.ts';
import { compareKeys } from '../base/bytes.ts';
import { Entry } from '../base/entry.ts';
import type { EntryBatch } from '../base/entry-batch.ts';
import type { TableInfo } from '../base/version-edit.ts';
import type { BlockSpan, SpanIterator } from '../table/block-span.ts';

/** Where an iterator without an open child stands. */
const NOWHERE = new Entry();

/** What is known of a table before it is opened: user keys, both inclusive. */
export type TableBounds = Pick<TableInfo, 'smallestKey' | 'largestKey'>;

/** Sorted and disjoint tables, and their search: an array, or something faster to change (read/table-list.ts). */
export interface SortedTables {
  readonly length: number;
  /** The place of the first table whose largest key is >= `key`; the length when there is none. */
  firstReaching(key: Uint8Array): number;
  /** The place of the last table whose smallest key is < `key`; -1 when there is none. */
  lastStartingBefore(key: Uint8Array): number;
}

class ArrayOfTables implements SortedTables {
  readonly #tables: readonly TableBounds[];

  constructor(tables: readonly TableBounds[]) {
    this.#tables = tables;
  }

  get length(): number {
    return this.#tables.length;
  }

  firstReaching(key: Uint8Array): number {
    return firstTableReaching(this.#tables, key);
  }

  lastStartingBefore(key: Uint8Array): number {
    return lastTableStartingBefore(this.#tables, key);
  }
}

export class ConcatIterator implements SpanIterator {
  readonly #tables: SortedTables;
  readonly #open: (index: number) => SpanIterator;
  /** Of the open child; -1 when none is open. */
  #index = -1;
  #child: SpanIterator | undefined;

  entry: Entry = NOWHERE;

  constructor(tables: readonly TableBounds[] | SortedTables, open: (index: number) => SpanIterator) {
    this.#tables = 'firstReaching' in tables ? tables : new ArrayOfTables(tables);
    this.#open = open;
  }

  seekToFirst(): boolean {
    return this.#enterForward(0);
  }

  seekToLast(): boolean {
    return this.#enterBackward(this.#tables.length - 1);
  }

  seek(key: Uint8Array): boolean {
    const index = this.#tables.firstReaching(key);
    if (index === this.#tables.length) return this.#leave();
    return this.#enter(index).seek(key) ? this.#stand() : this.#enterForward(index + 1);
  }

  seekBefore(key: Uint8Array): boolean {
    const index = this.#tables.lastStartingBefore(key);
    if (index < 0) return this.#leave();
    return this.#enter(index).seekBefore(key) ? this.#stand() : this.#enterBackward(index - 1);
  }

  next(): boolean {
    return this.#standing().next() ? this.#stand() : this.#enterForward(this.#index + 1);
  }

  prev(): boolean {
    return this.#standing().prev() ? this.#stand() : this.#enterBackward(this.#index - 1);
  }

  lookAhead(span: BlockSpan): boolean {
    return this.#standing().lookAhead?.(span) ?? false;
  }

  readBatch(batch: EntryBatch, maxRows: number): void {
    const child = this.#standing();
    if (child.readBatch === undefined) batch.setOne(child.entry);
    else child.readBatch(batch, maxRows);
  }

  moveTo(batch: EntryBatch, row: number): void {
    this.#standing().moveTo?.(batch, row);
    this.#stand();
  }

  close(): void {
    this.#leave();
  }

  #enterForward(from: number): boolean {
    for (let index = from; index < this.#tables.length; index++) {
      if (this.#enter(index).seekToFirst()) return this.#stand();
    }
    return this.#leave();
  }

  #enterBackward(from: number): boolean {
    for (let index = from; index >= 0; index--) {
      if (this.#enter(index).seekToLast()) return this.#stand();
    }
    return this.#leave();
  }

  #standing(): SpanIterator {
    assert(this.#child !== undefined, 'move on an iterator that stands nowhere');
    return this.#child;
  }

  /** Makes table `index` the open one. A seek within the open table keeps it open. */
  #enter(index: number): SpanIterator {
    if (this.#child !== undefined && this.#index === index) return this.#child;
    this.#leave();
    this.#child = this.#open(index);
    this.#index = index;
    return this.#child;
  }

  #stand(): true {
    this.entry = this.#standing().entry;
    return true;
  }

  #leave(): false {
    const child = this.#child;
    this.#child = undefined;
    this.#index = -1;
    this.entry = NOWHERE;
    child?.close();
    return false;
  }
}

/** The first of sorted and disjoint tables whose largest key is >= `key`; tables.length when there is none. */
export function firstTableReaching(tables: readonly TableBounds[], key: Uint8Array): number {
  let low = 0;
  let high = tables.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareKeys(tables[middle]!.largestKey, key) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The last table whose smallest key is < `key`; -1 when there is none. */
export function lastTableStartingBefore(tables: readonly TableBounds[], key: Uint8Array): number {
  let low = 0;
  let high = tables.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareKeys(tables[middle]!.smallestKey, key) < 0) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
