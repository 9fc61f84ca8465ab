/**
 * Knows when what has expired is worth clearing away, in memory and in tables, and when to look next: for upkeep.ts, in a store
 * that nobody writes to.
 *
 *   a memtable   256 entries or half of it have expired, or all that ever will if it is small   -> its flush drops them
 *   a table      expired-entries.ts                                                             -> the compactor drops them
 *
 * A memtable is sampled (expiry-sample.ts) when it is asked about. Tables say when in their summaries.
 *
 * Invariants: a store in which nothing expires has no moment to wait for.
 * Thread:     main.
 */
import { sampleExpiry } from '../../shared/memtable/expiry-sample.ts';
import type { Version } from '../../shared/read/version.ts';
import type { LiveMemtable } from '../write/memtable-list.ts';
import { isDue, nextDueMoment } from './expired-entries.ts';

/** From this number of expired entries on a flush at rest is worth it; as many deletes are (upkeep.ts). */
const REST_EXPIRED = 256;
const REST_SHARE: number = 1 / 2;
/** A memtable of this size is flushed for anything that it will ever shed. */
const SMALL_BYTES: number = 1024 * 1024;

/** The moment from which on a memtable is worth a flush for what has expired in it; Infinity: none. */
export function flushMoment({ memtable: { arena } }: LiveMemtable): number {
  if (arena.expiringCount === 0) return Number.POSITIVE_INFINITY;
  const last = arena.usedBytes <= SMALL_BYTES ? arena.latestExpiry : Number.POSITIVE_INFINITY;
  const wanted = Math.min(REST_EXPIRED, REST_SHARE * arena.entryCount);
  if (wanted > arena.expiringCount) return last;
  const { weight, moments } = sampleExpiry(arena);
  const place = Math.ceil(wanted / weight) - 1;
  return Math.min(last, moments[Math.max(0, place)] ?? arena.latestExpiry);
}

/** About how many entries of these have expired. */
export function expiredInMemory(live: readonly LiveMemtable[], nowMs: number): number {
  let total = 0;
  for (const { memtable } of live) {
    if (memtable.arena.expiringCount === 0) continue;
    const { weight, moments } = sampleExpiry(memtable.arena);
    total += weight * moments.filter((moment) => moment <= nowMs).length;
  }
  return total;
}

/** Whether a table may be worth a compaction. */
export function areTablesDue(version: Version, nowMs: number): boolean {
  return version.mayExpire && version.lists.some(({ chunks }) => chunks.some((chunk) => isDue(chunk, nowMs)));
}

/** The next moment at which something will be worth clearing away that is not yet; Infinity: there is none. */
export function nextMoment(live: readonly LiveMemtable[], version: Version, nowMs: number): number {
  let next = Number.POSITIVE_INFINITY;
  for (const one of live) next = Math.min(next, flushMoment(one));
  if (!version.mayExpire) return next;
  for (const { chunks } of version.lists)
    for (const chunk of chunks) next = Math.min(next, nextDueMoment(chunk, nowMs));
  return next;
}
