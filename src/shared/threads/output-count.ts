/**
 * How many tables a job may write, at most: that many file numbers it has room to note (output-numbers.ts).
 *
 *   a table ends for its size    when it has reached maxFileSizeBytes: so often as that goes into all that may be written
 *   or for its grandparents      when they exceed maxGrandparentBytes(): so often as that goes into theirs
 *   or with the job              once
 *
 * What may be written is judged by what entries take as they are, not by what the inputs take on the disk: they may have been
 * compressed a hundred times better than the outputs will be.
 *
 * Invariants: a sound job never needs more. Numbers that are left over come back (version-set.ts).
 * Thread:     any. Pure.
 */
import type { TableOptions } from './jobs.ts';

/** LevelDB's factor: an output never costs its next compaction more than this many tables of input. */
const MAX_GRANDPARENT_TABLES = 10;
/**
 * Beyond key and value, in a table: three lengths, the sequence, the kind, restarts, its share of a block's trailer and the
 * index.
 */
const ENTRY_OVERHEAD_BYTES = 48;

/**
 * Bytes of grandparents, the tables of the level below the output, that one output may overlap: its next compaction reads them.
 * Planning (may a table move?) and writing (where does an output end?) go by the same.
 */
export function maxGrandparentBytes(maxFileSizeBytes: number): number {
  return MAX_GRANDPARENT_TABLES * maxFileSizeBytes;
}

export interface OutputEstimate {
  /** Keys and values of all that may be written. */
  readonly rawBytes: number;
  readonly entryCount: number;
  /** Of the tables of the level below the output. */
  readonly grandparentBytes: number;
}

export function maxOutputCount(
  { rawBytes, entryCount, grandparentBytes }: OutputEstimate,
  maxFileSizeBytes: number,
  table: Pick<TableOptions, 'bloomBitsPerKey'>,
): number {
  const filterBytes = Math.ceil(table.bloomBitsPerKey / 4);
  // Bounds of blocks are written a second time, into the index, as long as the keys are.
  const writtenBytes = 2 * rawBytes + entryCount * (ENTRY_OVERHEAD_BYTES + filterBytes);
  const bySize = Math.ceil(writtenBytes / maxFileSizeBytes);
  const byGrandparents = Math.ceil(grandparentBytes / maxGrandparentBytes(maxFileSizeBytes));
  return bySize + byGrandparents + 1;
}
