/**
 * Tables that deleted ranges hide wholly: they leave the store without being read.
 *
 *   look    finds range tables that are new in the version, and examines them beside all else: which tables below them (in L0,
 *           there as well) lie within their ranges, and are older by their sequences
 *   again   examines some once more, in turn, when the store comes to rest: what compactions have put together since
 *   plan    those of them that no snapshot sees and no running plan has taken, as a plan of kind 'drop', level by level
 *
 * What a table hides that goes lies within its bounds, is older than it, and so is hidden by the same ranges. Once covered, a
 * table stays so, wherever it moves, and whatever becomes of the ranges.
 *
 * Bounds: a covered table is one number and one sequence; there are never more than tables of the version. An examination holds
 *         the event loop for TABLES_PER_TURN tables at a time, a rest begins with AGAIN_AT_ONCE of them.
 * Thread: main.
 */
import { compareKeys } from '../../shared/base/bytes.ts';
import type { StorageError } from '../../shared/base/errors.ts';
import { toStorageError } from '../../shared/base/failures.ts';
import {
  type FileNumber,
  LEVEL_COUNT,
  type Level,
  type SequenceNumber,
  level as toLevel,
} from '../../shared/base/ids.ts';
import { setImmediate } from '../../shared/base/timers.ts';
import type { TableInfo } from '../../shared/base/version-edit.ts';
import type { RangeDeletes } from '../../shared/ranges/range-deletes.ts';
import type { TableCache } from '../../shared/read/table-cache.ts';
import type { Version } from '../../shared/read/version.ts';
import type { Clock } from '../../shared/threads/shared-clock.ts';
import type { VersionSet } from '../manifest/version-set.ts';
import type { SnapshotList } from '../store/snapshot.ts';

import type { BusyTables, CompactionPlan } from './compaction-plan.ts';

/** Tables looked at between two turns of the event loop. */
const TABLES_PER_TURN = 256;
/** Range tables that are examined again each time the store comes to rest. */
const AGAIN_AT_ONCE = 64;
/** Tables that one edit drops, at most. */
const MAX_DROPPED_TABLES = 1024;

export interface CoveredTablesParts {
  readonly versions: VersionSet;
  readonly tables: TableCache;
  readonly snapshots: SnapshotList;
  readonly clock: Clock;
}

export class CoveredTables {
  readonly #parts: CoveredTablesParts;
  readonly #onFound: () => void;
  /** By number: who reads from this sequence on does not see the table. */
  readonly #covered = new Map<FileNumber, SequenceNumber>();
  /** Range tables that were examined or are to be, those that were first first; undefined: none that is there was looked for. */
  #known: Set<FileNumber> | undefined;
  #waiting: TableInfo[] = [];
  #isRunning = false;
  #isEnded = false;
  /** The last failure of an examination. */
  error: StorageError | undefined;

  constructor(parts: CoveredTablesParts, onFound: () => void) {
    this.#parts = parts;
    this.#onFound = onFound;
  }

  /** Examines range tables that it has not seen. */
  look(): void {
    const version = this.#parts.versions.current;
    // What was there when the store was opened has its turn when the store is at rest.
    const isFirst = this.#known === undefined;
    this.#known ??= new Set();
    if (version.rangeTables === 0) {
      this.#known.clear();
      return;
    }
    for (let i = 0; i < LEVEL_COUNT; i++)
      for (const table of rangeTables(version, i)) {
        if (this.#known.has(table.number)) continue;
        this.#known.add(table.number);
        if (!isFirst) this.#waiting.push(table);
      }
    if (this.#known.size > 2 * version.rangeTables) this.#forgetOthers(version);
    if (!this.#isRunning && this.#waiting.length > 0) void this.#run();
  }

  /** Examines some again, in turn: compactions that ran meanwhile may have put what is covered into tables of its own. */
  lookAgain(): void {
    let left = AGAIN_AT_ONCE;
    for (const number of this.#known ?? []) {
      if (left-- === 0) break;
      this.#known!.delete(number);
    }
    this.look();
  }

  #forgetOthers(version: Version): void {
    const there = new Set(
      version.lists.flatMap((_, i) => Array.from(rangeTables(version, i), ({ number }) => number)),
    );
    for (const number of this.#known!) if (!there.has(number)) this.#known!.delete(number);
  }

  end(): void {
    this.#isEnded = true;
    this.#waiting = [];
  }

  /** Tables of one level that may go now; undefined: none. */
  plan(version: Version, busy: BusyTables): CompactionPlan | undefined {
    if (this.#covered.size === 0) return undefined;
    const { snapshots } = this.#parts.snapshots.readPoints(this.#parts.clock);
    const found: TableInfo[][] = version.lists.map(() => []);
    const there = new Set<FileNumber>();
    const numbers = new Set(this.#covered.keys());
    for (const [i, list] of version.lists.entries())
      list.find(numbers, (table) => {
        there.add(table.number);
        if (!busy.numbers.has(table.number) && !this.#isSeen(table, snapshots)) found[i]!.push(table);
      });
    for (const number of numbers) if (!there.has(number)) this.#covered.delete(number);
    const level = found.findIndex((tables, i) => tables.length > 0 && !isTaken(i, busy));
    if (level < 0) return undefined;
    return {
      kind: 'drop',
      level: toLevel(level),
      outputLevel: toLevel(level),
      inputs: found[level]!.slice(0, MAX_DROPPED_TABLES),
      overlapping: [],
      grandparents: [],
      reason: 'deleted-range',
    };
  }

  /** Whether a snapshot sees something of the table. */
  #isSeen({ number, smallestSequence }: TableInfo, snapshots: readonly SequenceNumber[]): boolean {
    const hiddenFrom = this.#covered.get(number)!;
    return snapshots.some((sequence) => smallestSequence <= sequence && sequence < hiddenFrom);
  }

  /** Never rejects. */
  async #run(): Promise<void> {
    this.#isRunning = true;
    try {
      for (
        let next = this.#waiting.shift();
        next !== undefined && !this.#isEnded;
        next = this.#waiting.shift()
      )
        await this.#examine(next);
    } finally {
      this.#isRunning = false;
    }
    if (this.#covered.size > 0 && !this.#isEnded) this.#onFound();
  }

  async #examine(table: TableInfo): Promise<void> {
    const { versions, tables } = this.#parts;
    const pin = versions.pin();
    // It may have moved since it was noted: what lies above it now is newer.
    const level = pin.version.lists.findIndex((list) => list.has(table.number));
    if (level < 0) {
      pin.release();
      return;
    }
    const fetched = tables.fetch(table);
    try {
      await fetched.ready;
      if (this.#isEnded) return;
      const { ranges } = tables.reader(table);
      if (ranges !== undefined) await this.#compare(pin.version, toLevel(level), table, ranges);
    } catch (error) {
      // Reads and compactions meet it, too, and report it; what it covers stays until then.
      this.error = toStorageError(error, 'the deleted ranges of a table could not be read');
    } finally {
      fetched.release();
      pin.release();
    }
  }

  async #compare(version: Version, level: Level, { number }: TableInfo, ranges: RangeDeletes): Promise<void> {
    const hull = { start: ranges.start, end: ranges.end };
    for (let i = level; i < LEVEL_COUNT; i++) {
      if (i === level && i > 0) continue;
      const below = version.overlapping(toLevel(i), hull);
      for (let at = 0; at < below.length; at++) {
        const table = below[at]!;
        const hiddenFrom = table.number === number ? undefined : hiddenBy(ranges, table);
        if (hiddenFrom !== undefined && table.largestSequence < hiddenFrom.lowest)
          this.#covered.set(table.number, hiddenFrom.highest as SequenceNumber);
        if ((at + 1) % TABLES_PER_TURN === 0) await new Promise<void>((resolve) => setImmediate(resolve));
        if (this.#isEnded) return;
      }
    }
  }
}

function* rangeTables(version: Version, level: number): Iterable<TableInfo> {
  for (const { tables, rangeTables: count } of version.lists[level]!.chunks)
    if (count > 0) for (const table of tables) if (table.rangeDeletes !== undefined) yield table;
}

/** A plan that takes from L0 has it for itself (compaction-plan.ts). */
function isTaken(level: number, busy: BusyTables): boolean {
  return level === 0 && busy.plans.some((plan) => plan.level === 0);
}

/**
 * The oldest deletes of the ranges that lie over all keys of the table: the lowest and the highest of these sequences;
 * undefined: a key is not covered.
 */
function hiddenBy(
  ranges: RangeDeletes,
  { smallestKey, largestKey }: TableInfo,
): { readonly lowest: number; readonly highest: number } | undefined {
  let lowest = Number.MAX_SAFE_INTEGER;
  let highest = 0;
  for (let at = ranges.find(smallestKey); ; at++) {
    if (at < 0 || at >= ranges.boundaryCount) return undefined;
    const oldest = ranges.sequencesOf(at).at(-1);
    if (oldest === undefined) return undefined;
    lowest = Math.min(lowest, oldest);
    highest = Math.max(highest, oldest);
    if (compareKeys(ranges.key(at + 1), largestKey) > 0) return { lowest, highest };
  }
}
