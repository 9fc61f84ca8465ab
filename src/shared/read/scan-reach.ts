/**
 * How much of each run of tables a scan is expected to come to, so that what it needs is read at once, and no more.
 *
 *   by its limit     limit x bytes of an entry x (bytes of the run / bytes of the largest run), and a quarter more
 *   by its bounds    up to the block behind the one that the far bound may lie in: there it is seen that the range has ended
 *
 * The largest run is taken to give every entry, and the others as many as lie between those: keys of one run may hide the same
 * keys in another, which are read nonetheless.
 *
 * Invariants: only how much is read at a time follows from it. A scan that comes further has more read.
 * Thread:     any. Pure.
 */
import { LEVEL_COUNT, type Level } from '../base/ids.ts';
import type { KeyRange } from '../base/iterator.ts';
import type { TableInfo } from '../base/version-edit.ts';
import type { TableReader } from '../table/table-reader.ts';
import { totalBytes, type Version } from './version.ts';

/** Keys are not spread evenly, nor are all values of one size. */
const SPARE = 1.25;

/** Bytes of blocks of the run of this order (lookup.ts), in which the scan begins in `meta`; Infinity: as many as there are. */
export function expectedBytes(version: Version, order: number, meta: TableInfo, limit: number): number {
  if (limit === Number.POSITIVE_INFINITY) return limit;
  const runs = runBytes(version);
  const share = runs[order]! / Math.max(...runs);
  // In reverse it has to see where the last key ends.
  return Math.ceil(((limit + 1) * share * SPARE * meta.sizeBytes) / meta.entryCount);
}

/** The block of this table with which a scan is surely done, going in its direction: the table's last one without a far bound. */
export function farBlock(reader: TableReader, { start, end }: KeyRange, isReverse: boolean): number {
  const last = reader.blockCount - 1;
  if (isReverse) return start === undefined ? 0 : Math.max(0, reader.index.find(start) - 1);
  return end === undefined ? last : Math.min(last, reader.index.find(end) + 1);
}

function runBytes(version: Version): number[] {
  const runs = version.levelZeroRuns.map(totalBytes);
  for (let level = 1; level < LEVEL_COUNT; level++) runs.push(version.levelBytes(level as Level));
  return runs;
}
