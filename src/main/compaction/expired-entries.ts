/**
 * How much of a table has expired, as far as its summary says (TableExpiry): for the picker, for stats(), and for who waits until
 * it is worth looking.
 *
 *   moments    m0 .. m1 .. m2 .. .. .. m8       an eighth of the entries that expire lies between two of them
 *   at time t  none before m0, all from m8 on, in between in proportion
 *
 * An entry goes when it has expired for the first who sees it: by the time of the oldest open snapshot that may, or now.
 *
 * Thread: main. Pure.
 */
import { EXPIRY_STEPS, type TableInfo } from '../../shared/base/version-edit.ts';
import type { TableChunk } from '../../shared/read/table-list.ts';
import type { ReadPoints } from '../store/snapshot.ts';

/** Of what a table holds, so much is worth a compaction when the store is at rest (compaction-garbage.ts). */
const REST_SHARE: number = 1 / 16;
/** Up to here a table is rewritten for anything that it will ever shed: once, when the last of its entries has expired. */
const SMALL_BYTES: number = 1024 * 1024;
/** Where half as much again expires within this time, and again then, one compaction at the end does for all of it. */
const SOON_MS = 2000;
const WORTH_WAITING = 1.5;

export function expiredCount({ expiry }: Pick<TableInfo, 'expiry'>, timeMs: number): number {
  if (expiry === undefined) return 0;
  const { count, moments } = expiry;
  if (timeMs >= moments[EXPIRY_STEPS]!) return count;
  let step = 0;
  while (step < EXPIRY_STEPS && moments[step]! <= timeMs) step++;
  if (step === 0) return 0;
  const from = moments[step - 1]!;
  const part = (timeMs - from) / (moments[step]! - from);
  return Math.min(count - 1, Math.max(1, Math.round((count * (step - 1 + part)) / EXPIRY_STEPS)));
}

/** How many entries of a table a compaction would rid it of for their age. */
export function sheddableCount(table: TableInfo, readPoints: ReadPoints | undefined): number {
  return table.expiry === undefined || readPoints === undefined
    ? 0
    : expiredCount(table, timeFor(table, readPoints));
}

/** Whether it is small, and all of its entries that ever expire have done so. */
export function isSpent(table: TableInfo, readPoints: ReadPoints | undefined): boolean {
  const { expiry, sizeBytes } = table;
  if (expiry === undefined || readPoints === undefined || sizeBytes > SMALL_BYTES) return false;
  return expiry.moments[EXPIRY_STEPS]! <= timeFor(table, readPoints);
}

/** Whether so much more of it is about to expire that a compaction now would soon be followed by another. */
export function isAboutToShedMore(table: TableInfo, readPoints: ReadPoints | undefined): boolean {
  if (table.expiry === undefined || readPoints === undefined) return false;
  const timeMs = timeFor(table, readPoints);
  const expired = expiredCount(table, timeMs);
  return expired > 0 && expiredCount(table, timeMs + SOON_MS) >= WORTH_WAITING * expired;
}

/** The earliest time by which anybody reads it. */
function timeFor({ smallestSequence }: TableInfo, { snapshots, snapshotTimes, nowMs }: ReadPoints): number {
  const oldest = snapshots.findIndex((sequence) => sequence >= smallestSequence);
  return oldest < 0 ? nowMs : snapshotTimes[oldest]!;
}

/** The moments at which a compaction at rest may be worth it for what has expired by then. */
function momentsOf({ expiry, entryCount, sizeBytes }: TableInfo): readonly number[] {
  if (expiry === undefined) return [];
  const { count, moments } = expiry;
  const steps = Math.ceil((REST_SHARE * entryCount * EXPIRY_STEPS) / count);
  return moments.slice(sizeBytes <= SMALL_BYTES ? Math.min(steps, EXPIRY_STEPS) : steps);
}

const dueMoments = new WeakMap<TableChunk, readonly number[]>();

/** Of a chunk's tables, rising. */
function dueMomentsOf(chunk: TableChunk): readonly number[] {
  if (!chunk.mayExpire) return [];
  let moments = dueMoments.get(chunk);
  if (moments === undefined) {
    moments = chunk.tables.flatMap(momentsOf).sort((a, b) => a - b);
    dueMoments.set(chunk, moments);
  }
  return moments;
}

/** Whether a table of the chunk may be worth a compaction for what has expired. */
export function isDue(chunk: TableChunk, timeMs: number): boolean {
  const [first] = dueMomentsOf(chunk);
  return first !== undefined && first <= timeMs;
}

/** When to look at the chunk's tables next; Infinity: never. */
export function nextDueMoment(chunk: TableChunk, timeMs: number): number {
  return dueMomentsOf(chunk).find((moment) => moment > timeMs) ?? Number.POSITIVE_INFINITY;
}
