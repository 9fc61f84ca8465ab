/**
 * Judges a transaction that is about to commit: whether anything that it has read was written since its moment.
 *
 *   tables        those with entries above the moment. Read in steps, between which the event loop turns, of a version that is
 *                 pinned: the transaction may be as long as many flushes
 *   expiry        when the first value expires that was read: it is the same whenever one looks (expiring-reads.ts)
 *   memory        memtables with entries above the moment, and the held writes. In the step that commits
 *
 *   keys          the newest entry of the key says it, if it is above the moment
 *   ranges        any entry above the moment in what the scan has seen, and any range delete that meets it
 *
 * Memtables are flushed oldest first, so what has come into tables by one look at them is everything up to the last sequence that
 * they have: the next look goes by that one instead of the moment.
 *
 * Invariants: tables keep what is asked for here: of each key the newest entry above the moment, deletes as well, for the moment
 *             is in SnapshotList until the transaction has ended, and so are jobs told (`keepDeletesAbove`).
 * Thread:     main.     Owns: the version it has pinned.
 */
import { compareBytes, compareKeys } from '../../shared/base/bytes.ts';
import { Entry } from '../../shared/base/entry.ts';
import { LEVEL_COUNT } from '../../shared/base/ids.ts';
import type { InternalIterator, KeyRange } from '../../shared/base/iterator.ts';
import { now } from '../../shared/base/timers.ts';
import type { TableInfo } from '../../shared/base/version-edit.ts';
import { type RangeSource, Stretch } from '../../shared/ranges/stretch.ts';
import type { TableCache } from '../../shared/read/table-cache.ts';
import type { Version } from '../../shared/read/version.ts';
import { hashKey } from '../../shared/table/bloom-filter.ts';
import type { SharedClock } from '../../shared/threads/shared-clock.ts';
import type { Reads } from '../../shared/transact/read-set.ts';
import type { VersionSet } from '../manifest/version-set.ts';
import type { EndlessDelete, SnapshotList } from '../store/snapshot.ts';
import type { CommitPipeline } from '../write/commit-pipeline.ts';
import type { LiveMemtable, MemtableList } from '../write/memtable-list.ts';
import { type ExpiringParts, ExpiringReads, type ReadTime } from './expiring-reads.ts';

const NEWEST = Number.MAX_SAFE_INTEGER;
/** How long a step takes, about. */
const STEP_MS = 2;
/** Entries between two looks at the clock. */
const ENTRIES_PER_LOOK = 256;

/** What it looks into. */
export interface JudgedParts extends ExpiringParts {
  readonly memtables: MemtableList;
  readonly versions: VersionSet;
  readonly tables: TableCache;
  readonly pipeline: CommitPipeline;
  readonly snapshots: SnapshotList;
  readonly clock: SharedClock;
  /** The last sequence given to any write, published or not. */
  lastSequence(): number;
}

/** Used within one call. */
const entry = new Entry();
const stretch = new Stretch();
const FIRST_KEY = new Uint8Array(0);

/** Whether anything that `reads` names was written after `moment`, in memory, if tables have nothing above `moment`. */
export function isWrittenInMemory(parts: JudgedParts, reads: Reads, moment: number): boolean {
  const { memtables, pipeline } = parts;
  const isHeld = pipeline.held.count > 0;
  if (!isHeld && parts.lastSequence() <= moment) return false;
  try {
    const newer = [memtables.active, ...memtables.frozen.toReversed()].filter(
      (live) => live !== undefined && live.memtable.nextSequence - 1 > moment,
    ) as LiveMemtable[];
    for (let i = 0, start = 0; i < reads.ends.length; i++) {
      const key = reads.keys.subarray(start, reads.ends[i]);
      start = reads.ends[i]!;
      if (isHeld && pipeline.heldIndex.lookup(key, entry)) return true;
      if (newer.some(({ memtable }) => memtable.lookup(key, NEWEST, entry) && entry.sequence > moment))
        return true;
    }
    return reads.ranges.some(
      (range) =>
        (isHeld && pipeline.heldIndex.touches(range, entry)) ||
        newer.some((live) => hasNewer(live, range, moment)),
    );
  } finally {
    entry.release();
  }
}

/** Looks into tables, step by step. */
export class TableJudgement {
  readonly #parts: JudgedParts;
  readonly #reads: Reads;
  #moment: number;
  #walk: Generator<boolean> | undefined;
  readonly #expiring: ExpiringReads;

  constructor(parts: JudgedParts, reads: Reads, { sequence, timeMs }: ReadTime) {
    this.#parts = parts;
    this.#reads = reads;
    this.#moment = sequence;
    this.#expiring = new ExpiringReads(parts, reads, sequence, timeMs);
  }

  /** What memory is to be judged by, when tables are done with. */
  get moment(): number {
    return this.#moment;
  }

  /** Whether something that was read has expired since. */
  hasExpired(): boolean {
    return this.#parts.clock.now() >= this.#expiring.first;
  }

  /** What flushes have cut off range deletes without an end is in no table. */
  #isDeletedByEndless(): boolean {
    const newer = this.#parts.snapshots.endlessDeletes.filter(({ sequence }) => sequence > this.#moment);
    return newer.length > 0 && isReadFrom(this.#reads, newer);
  }

  /** Some milliseconds of it: 'written' since; 'clean': no table has anything; 'more': to be called again. */
  step(): 'written' | 'clean' | 'more' {
    const { versions } = this.#parts;
    if (this.#isDeletedByEndless()) return 'written';
    const until = now() + STEP_MS;
    while (this.#walk !== undefined || versions.lastSequence > this.#moment || !this.#expiring.isKnown) {
      this.#walk ??= this.#expiring.isKnown ? this.#look() : this.#expiring.look();
      const { value, done } = this.#walk.next();
      if (done === true) this.#walk = undefined;
      else if (value) return 'written';
      if (now() > until) return 'more';
    }
    return 'clean';
  }

  /** Lets go of what it has pinned. Idempotent. */
  end(): void {
    this.#walk?.return(undefined);
    this.#walk = undefined;
  }

  /** Yields true when something was written, and false now and then. */
  *#look(): Generator<boolean> {
    const { versions, tables } = this.#parts;
    const upTo = versions.lastSequence;
    const pin = versions.pin();
    try {
      const newer = tablesAbove(pin.version, this.#moment);
      yield* this.#lookAtKeys(newer);
      for (const range of this.#reads.ranges) {
        for (const table of newer) {
          if (!overlaps(table, range)) continue;
          yield this.#isDeleted(table, range);
          const iterator = tables.iterator(table, false);
          try {
            yield* walkForNewer(iterator, range, this.#moment);
          } finally {
            iterator.close();
          }
        }
      }
      this.#moment = upTo;
    } finally {
      pin.release();
    }
  }

  #isDeleted(table: TableInfo, range: KeyRange): boolean {
    if (table.rangeDeletes === undefined) return false;
    return hasNewerDelete(this.#parts.tables.reader(table).ranges, range, this.#moment);
  }

  *#lookAtKeys(newer: readonly TableInfo[]): Generator<boolean> {
    const { keys, ends } = this.#reads;
    for (let i = 0, start = 0; i < ends.length; i++) {
      const key = keys.subarray(start, ends[i]);
      start = ends[i]!;
      yield this.#isWritten(key, newer);
    }
  }

  #isWritten(key: Uint8Array, newer: readonly TableInfo[]): boolean {
    const hash = hashKey(key, 0, key.length);
    for (const table of newer) {
      if (compareKeys(table.smallestKey, key) > 0 || compareKeys(key, table.largestKey) > 0) continue;
      if (!this.#parts.tables.reader(table).lookup(key, hash, NEWEST, entry)) continue;
      const { sequence } = entry;
      entry.release();
      if (sequence > this.#moment) return true;
    }
    return false;
  }
}

/** Whether `ranges` delete a key of `range` with a sequence above `moment`. */
function hasNewerDelete(ranges: RangeSource | undefined, range: KeyRange, moment: number): boolean {
  if (ranges === undefined) return false;
  let key: Uint8Array | undefined = range.start ?? FIRST_KEY;
  while (key !== undefined && (range.end === undefined || compareKeys(key, range.end) < 0)) {
    ranges.stretchAt(key, 0, key.length, NEWEST, stretch);
    if (stretch.sequence > moment) return true;
    key = stretch.end;
  }
  return false;
}

/** Whether anything was read at or behind the start of one of `deletes`. */
function isReadFrom({ keys, ends, ranges }: Reads, deletes: readonly EndlessDelete[]): boolean {
  return deletes.some(({ start }) => {
    for (let i = 0, from = 0; i < ends.length; i++) {
      if (compareBytes(keys, from, ends[i]!, start, 0, start.length) >= 0) return true;
      from = ends[i]!;
    }
    return ranges.some(({ end }) => end === undefined || compareKeys(end, start) > 0);
  });
}

function tablesAbove(version: Version, moment: number): TableInfo[] {
  const newer: TableInfo[] = [];
  for (let level = 0; level < LEVEL_COUNT; level++)
    for (const table of version.lists[level]!) if (table.largestSequence > moment) newer.push(table);
  return newer;
}

function overlaps({ smallestKey, largestKey }: TableInfo, { start, end }: KeyRange): boolean {
  return (
    (end === undefined || compareKeys(smallestKey, end) < 0) &&
    (start === undefined || compareKeys(largestKey, start) >= 0)
  );
}

function hasNewer(live: LiveMemtable, range: KeyRange, moment: number): boolean {
  if (hasNewerDelete(live.memtable.ranges?.at(NEWEST), range, moment)) return true;
  const iterator = live.iterator(NEWEST);
  for (const isNewer of walkForNewer(iterator, range, moment)) if (isNewer) return true;
  return false;
}

function* walkForNewer(iterator: InternalIterator, range: KeyRange, moment: number): Generator<boolean> {
  let stands = range.start === undefined ? iterator.seekToFirst() : iterator.seek(range.start);
  for (let walked = 1; stands && !isBehind(iterator.entry, range.end); walked++) {
    if (iterator.entry.sequence > moment) yield true;
    if (walked % ENTRIES_PER_LOOK === 0) yield false;
    stands = iterator.next();
  }
}

function isBehind({ keyBytes, keyStart, keyEnd }: Entry, end: Uint8Array | undefined): boolean {
  return end !== undefined && compareBytes(keyBytes, keyStart, keyEnd, end, 0, end.length) >= 0;
}
