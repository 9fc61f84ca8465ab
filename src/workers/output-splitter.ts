/**
 * Decides where one output table of a compaction ends and the next begins.
 *
 *   cut before a user key when   the table in progress has reached its size, or has come to overlap more than
 *                                10 x that size of the level below the output (the grandparents)
 *   but never                    between versions of one user key: only the first of each is asked about
 *                                when the outputs reserved for the job are used up, which are more than it can need
 *                                (output-count.ts): the last one would take the rest
 *
 * So a table exceeds its size by what a block holds, and by what is left of its last key: a single value may be a gigabyte.
 *
 * The second limit bounds the next compaction: a table that spans much of the level below would drag all of it along.
 *
 * Invariants: all versions of a user key lie in one table, so that tables of a level are disjoint by user key.
 * Thread:     any; pure.
 */
import { assert } from '../shared/base/assert.ts';
import { compareBytes } from '../shared/base/bytes.ts';
import type { Entry } from '../shared/base/entry.ts';
import type { TableInfo } from '../shared/base/version-edit.ts';
import { maxGrandparentBytes } from '../shared/threads/output-count.ts';

export interface OutputSplitterOptions {
  readonly maxFileSizeBytes: number;
  /** How many tables the job may write. */
  readonly outputCount: number;
  /** Tables of the level below the output, sorted and disjoint. */
  readonly grandparents: readonly Pick<TableInfo, 'largestKey' | 'sizeBytes'>[];
}

export class OutputSplitter {
  readonly #options: OutputSplitterOptions;
  readonly #maxOverlapBytes: number;
  #tablesBegun = 0;
  /** The first grandparent that does not end before the last key seen. */
  #grandparent = 0;
  /** Bytes of grandparents that ended inside the table in progress. */
  #overlapBytes = 0;

  constructor(options: OutputSplitterOptions) {
    assert(options.outputCount > 0, 'a compaction needs at least one output');
    this.#options = options;
    this.#maxOverlapBytes = maxGrandparentBytes(options.maxFileSizeBytes);
  }

  /**
   * Whether `entry` begins a new table: true for the first of all. Ask for the first entry of each user key, in
   * order, and for no other; `sizeBytes` is that of the table in progress.
   */
  beginsTable(entry: Entry, sizeBytes: number): boolean {
    this.#passGrandparents(entry);
    if (this.#tablesBegun > 0) {
      if (this.#tablesBegun === this.#options.outputCount) return false;
      const isFull = sizeBytes >= this.#options.maxFileSizeBytes;
      if (!isFull && this.#overlapBytes <= this.#maxOverlapBytes) return false;
    }
    this.#tablesBegun++;
    this.#overlapBytes = 0;
    return true;
  }

  #passGrandparents(entry: Entry): void {
    const { grandparents } = this.#options;
    while (this.#grandparent < grandparents.length) {
      const { largestKey, sizeBytes } = grandparents[this.#grandparent]!;
      const { keyBytes, keyStart, keyEnd } = entry;
      if (compareBytes(keyBytes, keyStart, keyEnd, largestKey, 0, largestKey.length) <= 0) return;
      // Those before the first key don't overlap any output: the count starts over with each table.
      this.#overlapBytes += sizeBytes;
      this.#grandparent++;
    }
  }
}
