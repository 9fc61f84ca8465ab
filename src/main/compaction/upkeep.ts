/**
 * Notices when what was deleted should leave memory and disk although nothing is full: a memtable of a small queue never is.
 *
 *   every REST_MS, while there are writes     many deletes in memory      -> flush
 *   REST_MS after the last write              deletes that count at all   -> flush; and the store is at rest: the compactor
 *                                                                           clears away what is not worth it otherwise
 *   a snapshot was closed                     the compactor looks for what was kept for it; then as after a write
 *   the store was opened                      as after a write: of what an earlier run left
 *
 * What is flushed has its tombstones in a table, which compaction-garbage.ts takes to where the data is.
 *
 * Invariants: a store without writes comes to rest: one look, and no timer after it. A timer keeps no process alive. A script
 *             that opens, writes and closes meets none of it. Where flushes fail, the flusher's own attempts are all there are.
 * Thread:     main.     Owns: the timer.
 * Not chosen: a timer per write, or one that always runs: two hundred stores at rest should cost nothing.
 */
import type { SequenceNumber } from '../../shared/base/ids.ts';
import { LEVEL_COUNT, level as toLevel } from '../../shared/base/ids.ts';
import { clearTimeout, setImmediate, setTimeout } from '../../shared/base/timers.ts';
import { totalBytes } from '../../shared/read/version.ts';
import type { VersionSet } from '../manifest/version-set.ts';
import type { LiveMemtable, MemtableList } from '../write/memtable-list.ts';
import type { Scheduler } from './scheduler.ts';

/** Deleted ranges in memory from which on nobody asks what they hold. */
const REST_RANGES = 1024;
const LEVELS = Array.from({ length: LEVEL_COUNT }, (_, i) => toLevel(i));

/** Without a write for this long a store is at rest: most programs that write now and then do so more often. */
const REST_MS = 2000;
/** While writes go on, this many deletes in memory are worth a flush, if they are a quarter of its entries. */
const BUSY_TOMBSTONES = 32768;
const BUSY_TOMBSTONE_SHARE: number = 1 / 4;
/** At rest, this many deletes are worth a flush; fewer cost a scan some microseconds. */
const REST_TOMBSTONES = 256;
/** At rest, fewer deletes are worth a flush if they hide this much, and this share of the tables they would be merged with. */
const REST_HIDDEN_BYTES = 65536;
const REST_HIDDEN_SHARE: number = 1 / 16;

/** What upkeep looks at. */
export interface UpkeepParts {
  readonly memtables: MemtableList;
  readonly versions: VersionSet;
  visibleSequence(): SequenceNumber;
}

export class Upkeep {
  readonly #parts: UpkeepParts;
  readonly #scheduler: Scheduler;
  readonly #restMs: number;
  #timer: NodeJS.Timeout | undefined;
  #isLookDue = false;
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
    this.#timer = undefined;
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
    this.#scheduler.setRest(false);
    this.#sequence = this.#parts.visibleSequence();
    this.#timer = setTimeout(() => this.#look(), this.#restMs).unref();
  }

  #look(): void {
    this.#timer = undefined;
    if (!this.#isRunning) return;
    const { memtables } = this.#parts;
    const live = memtables.active === undefined ? memtables.frozen : [...memtables.frozen, memtables.active];
    if (this.#parts.visibleSequence() !== this.#sequence) {
      this.#arm();
      if (isWorthFlushing(live)) this.#scheduler.flushSoon();
      return;
    }
    if (this.#isWorthFlushingAtRest(live)) this.#scheduler.flushSoon();
    this.#scheduler.setRest(true);
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

  /** Whether ranges that are deleted in memory hold much on the disk. */
  #hasLargeRanges(live: readonly LiveMemtable[]): boolean {
    const { current } = this.#parts.versions;
    const ranges = live.flatMap(({ memtable }) => memtable.ranges?.list(Number.MAX_SAFE_INTEGER) ?? []);
    if (ranges.length > REST_RANGES) return true;
    const bytes = ranges.reduce((sum, range) => sum + current.approximateBytes(range), 0);
    return bytes >= REST_HIDDEN_BYTES;
  }
}

function isWorthFlushing(live: readonly LiveMemtable[]): boolean {
  const tombstones = tombstonesOf(live);
  const entries = live.reduce((sum, { memtable }) => sum + memtable.arena.entryCount, 0);
  return tombstones >= BUSY_TOMBSTONES && tombstones >= BUSY_TOMBSTONE_SHARE * entries;
}

function tombstonesOf(live: readonly LiveMemtable[]): number {
  return live.reduce((sum, { memtable }) => sum + memtable.arena.tombstoneCount, 0);
}
