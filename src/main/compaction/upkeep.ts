/**
 * Notices when what was deleted, or has expired, should leave memory and disk although nothing is full: a memtable of a small
 * queue never is.
 *
 *   every REST_MS, while there are writes     many deletes in memory      -> flush
 *   REST_MS after the last write              deletes that count at all   -> flush; and the store is at rest: the compactor
 *                                                                           clears away what is not worth it otherwise
 *   then, while there is something that expires: when enough of it has (expiry-watch.ts), the same again
 *   a snapshot was closed                     the compactor looks for what was kept for it; then as after a write
 *   the store was opened                      as after a write: of what an earlier run left
 *
 * What is flushed has its tombstones in a table, which compaction-garbage.ts takes to where the data is.
 *
 * Invariants: a store without writes comes to rest: one look, and no timer after it, unless something in it expires. A timer
 * keeps no process alive. A script
 *             that opens, writes and closes meets none of it. Where flushes fail, the flusher's own attempts are all there are.
 * Thread:     main.     Owns: the timer.
 * Not chosen: a timer per write, or one that always runs: two hundred stores at rest should cost nothing.
 */
import type { SequenceNumber } from '../../shared/base/ids.ts';
import { LEVEL_COUNT, level as toLevel } from '../../shared/base/ids.ts';
import { clearTimeout, setImmediate, setTimeout } from '../../shared/base/timers.ts';
import { totalBytes } from '../../shared/read/version.ts';
import type { Clock } from '../../shared/threads/shared-clock.ts';
import type { VersionSet } from '../manifest/version-set.ts';
import type { LiveMemtable, MemtableList } from '../write/memtable-list.ts';
import { areTablesDue, expiredInMemory, flushMoment, nextMoment } from './expiry-watch.ts';
import { hiddenBytes } from './hidden-bytes.ts';
import type { Scheduler } from './scheduler.ts';

/** Deleted ranges in memory from which on nobody asks what they hold. */
const REST_RANGES = 1024;
const LEVELS = Array.from({ length: LEVEL_COUNT }, (_, i) => toLevel(i));

/** Without a write for this long a store is at rest: most programs that write now and then do so more often. */
const REST_MS = 2000;
/** While writes go on, this many deletes in memory are worth a flush, if they are a quarter of its entries. */
const BUSY_TOMBSTONES = 32768;
const BUSY_TOMBSTONE_SHARE: number = 1 / 4;
/** While writes go on, looks after which a memtable that has mostly expired is flushed: not each REST_MS a small table. */
const BUSY_EXPIRY_LOOKS = 5;
/** Likewise, for ranges that were deleted, if they hide this much: in tables, or a quarter of what is in memory. */
const BUSY_RANGE_LOOKS = 5;
const BUSY_HIDDEN_BYTES = 1048576;
/** A timer is set for no longer: so far away moments are looked for again and again, which costs a walk over some summaries. */
const LONGEST_TICK_MS = 600_000;
/** At rest, this many deletes are worth a flush; fewer cost a scan some microseconds. */
const REST_TOMBSTONES = 256;
/** At rest, fewer deletes are worth a flush if they hide this much, and this share of the tables they would be merged with. */
const REST_HIDDEN_BYTES = 65536;
const REST_HIDDEN_SHARE: number = 1 / 16;

/** What upkeep looks at. */
export interface UpkeepParts {
  readonly memtables: MemtableList;
  readonly versions: VersionSet;
  readonly clock: Clock;
  visibleSequence(): SequenceNumber;
}

export class Upkeep {
  readonly #parts: UpkeepParts;
  readonly #scheduler: Scheduler;
  readonly #restMs: number;
  #timer: NodeJS.Timeout | undefined;
  /** For the next look at what expires, at rest. */
  #tick: NodeJS.Timeout | undefined;
  #isLookDue = false;
  /** Looks since the last flush for what has expired, while writes go on. */
  #busyLooks = 0;
  /** Looks since the last flush for deleted ranges; the first one need not wait. */
  #rangeLooks = BUSY_RANGE_LOOKS;
  /** What was visible when the timer was set. */
  #sequence = 0;
  #isRunning = false;

  constructor(parts: UpkeepParts, scheduler: Scheduler, restMs: number = REST_MS) {
    this.#parts = parts;
    this.#scheduler = scheduler;
    this.#restMs = restMs;
  }

  /** The store is open, for writing. */
  start(): void {
    this.#isRunning = true;
    this.#arm();
  }

  /** Costs a comparison, and more only once in a while. */
  noteWrite(): void {
    if (this.#timer === undefined) this.#arm();
  }

  stop(): void {
    this.#isRunning = false;
    clearTimeout(this.#timer);
    clearTimeout(this.#tick);
    this.#timer = undefined;
    this.#tick = undefined;
  }

  /** A snapshot was closed: what was kept for it may go. In a turn of its own, for all that are closed in this one. */
  noteRelease(): void {
    if (this.#isLookDue || !this.#isRunning) return;
    this.#isLookDue = true;
    setImmediate(() => {
      this.#isLookDue = false;
      if (!this.#isRunning) return;
      this.#scheduler.update();
      if (this.#timer === undefined) this.#arm();
    }).unref();
  }

  #arm(): void {
    if (!this.#isRunning) return;
    clearTimeout(this.#tick);
    this.#tick = undefined;
    this.#scheduler.setRest(false);
    this.#sequence = this.#parts.visibleSequence();
    this.#timer = setTimeout(() => this.#look(), this.#restMs).unref();
  }

  #look(): void {
    this.#timer = undefined;
    if (!this.#isRunning) return;
    const live = this.#live();
    if (this.#parts.visibleSequence() !== this.#sequence) {
      this.#arm();
      this.#lookWhileBusy(live);
      return;
    }
    if (this.#isWorthFlushingAtRest(live)) this.#scheduler.flushSoon();
    this.#scheduler.setRest(true);
    this.#lookForExpired();
  }

  #live(): readonly LiveMemtable[] {
    const { active, frozen } = this.#parts.memtables;
    return active === undefined ? frozen : [...frozen, active];
  }

  #lookWhileBusy(live: readonly LiveMemtable[]): void {
    const { clock, versions } = this.#parts;
    const nowMs = clock.now();
    const entries = live.reduce((sum, { memtable }) => sum + memtable.arena.entryCount, 0);
    const expired = expiredInMemory(live, nowMs);
    const dead = expired + tombstonesOf(live);
    const isMostlyExpired = expired > 0 && expired >= entries / 2 && ++this.#busyLooks >= BUSY_EXPIRY_LOOKS;
    const isMostlyDeleted = this.#hasVeryLargeRanges(live);
    if (
      isMostlyDeleted ||
      isMostlyExpired ||
      (dead >= BUSY_TOMBSTONES && dead >= BUSY_TOMBSTONE_SHARE * entries)
    ) {
      this.#busyLooks = 0;
      if (isMostlyDeleted) this.#rangeLooks = 0;
      this.#scheduler.flushSoon();
    } else if (areTablesDue(versions.current, nowMs)) this.#scheduler.update();
  }

  /** At rest: clears away what is worth it, and sets the time of the next look, if there will be anything to look for. */
  #lookForExpired(): void {
    this.#tick = undefined;
    if (!this.#isRunning) return;
    const { clock, versions } = this.#parts;
    const nowMs = clock.now();
    const live = this.#live();
    const isMemoryDue = live.some((one) => flushMoment(one) <= nowMs);
    if (isMemoryDue) this.#scheduler.flushSoon();
    else if (areTablesDue(versions.current, nowMs)) this.#scheduler.update();
    const next = nextMoment(live, versions.current, nowMs);
    const mayExpire = next < Number.POSITIVE_INFINITY || versions.current.mayExpire;
    // What comes of it may hold what expires later.
    const isAtWork = isMemoryDue || (mayExpire && this.#scheduler.isWorking);
    if (!isAtWork && next === Number.POSITIVE_INFINITY) return;
    const delayMs = isAtWork ? this.#restMs : Math.min(LONGEST_TICK_MS, next - nowMs);
    this.#tick = setTimeout(() => this.#lookForExpired(), Math.max(this.#restMs, delayMs)).unref();
  }

  #isWorthFlushingAtRest(live: readonly LiveMemtable[]): boolean {
    if (this.#hasLargeRanges(live)) return true;
    const tombstones = tombstonesOf(live);
    if (tombstones === 0 || tombstones >= REST_TOMBSTONES) return tombstones > 0;
    const { current } = this.#parts.versions;
    const ranges = live.map((one) => one.keyRange()).filter((range) => range !== undefined);
    const tables = [
      ...new Set(ranges.flatMap((range) => LEVELS.flatMap((i) => current.overlapping(i, range)))),
    ];
    const entryCount = tables.reduce((sum, table) => sum + table.entryCount, 0);
    const bytes = totalBytes(tables);
    const hiddenBytes = entryCount === 0 ? 0 : Math.min(bytes, (tombstones * bytes) / entryCount);
    return hiddenBytes >= REST_HIDDEN_BYTES && hiddenBytes >= REST_HIDDEN_SHARE * bytes;
  }

  /** Whether ranges that are deleted in memory hide much, there or in tables. */
  #hasLargeRanges(live: readonly LiveMemtable[]): boolean {
    const count = rangesOf(live);
    if (count === 0 || count > REST_RANGES) return count > 0;
    const { memory, tables } = hiddenBytes(live, this.#parts.versions.current);
    return memory + tables >= REST_HIDDEN_BYTES;
  }

  /** While writes go on: whether they hold so much that a flush is worth it, which is seldom asked for. */
  #hasVeryLargeRanges(live: readonly LiveMemtable[]): boolean {
    const count = rangesOf(live);
    if (count === 0 || ++this.#rangeLooks < BUSY_RANGE_LOOKS) return false;
    if (count > BUSY_TOMBSTONES) return true;
    const { memory, tables } = hiddenBytes(live, this.#parts.versions.current);
    const used = live.reduce((sum, { memtable }) => sum + memtable.arena.usedBytes, 0);
    return tables >= BUSY_HIDDEN_BYTES || memory >= Math.max(BUSY_HIDDEN_BYTES, BUSY_TOMBSTONE_SHARE * used);
  }
}

function rangesOf(live: readonly LiveMemtable[]): number {
  return live.reduce((sum, { memtable }) => sum + memtable.arena.rangeCount, 0);
}

function tombstonesOf(live: readonly LiveMemtable[]): number {
  return live.reduce((sum, { memtable }) => sum + memtable.arena.tombstoneCount, 0);
}
