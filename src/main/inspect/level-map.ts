/**
 * The levels of a store as a map: how large each is, how full, and which part of the keys each of its tables has.
 *
 * The axis is the order of keys. All bounds of all tables, sorted, are its steps, each as wide as there is data: a table spreads
 * its bytes evenly over the steps that it covers. So how keys are spelled does not matter, and half of the axis is half of the
 * store.
 *
 * Scores are those of the compaction picker with the default options, as a store does not say with which it is opened: at 1 a
 * compaction is due.
 *
 * Invariants: positions lie in 0..1, and tables that share no key share no part of the axis.
 * Thread:     main. Pure.
 */
import { compareKeys } from '../../shared/base/bytes.ts';
import type { TableInfo } from '../../shared/base/version-edit.ts';
import { Version } from '../../shared/read/version.ts';
import { compactionOptions } from '../compaction/compaction-plan.ts';
import { levelScores, levelTargets } from '../compaction/compaction-score.ts';
import { resolveOptions } from '../store/options.ts';
import type { ManifestFacts } from './manifest-facts.ts';

export interface MappedTable {
  readonly number: number;
  readonly sizeBytes: number;
  /** The part of the key space that it has: [from, to), 0 <= from < to <= 1. */
  readonly from: number;
  readonly to: number;
}

export interface MappedLevel {
  readonly level: number;
  readonly files: number;
  readonly bytes: number;
  readonly entries: number;
  readonly tombstones: number;
  readonly rangeDeletes: number;
  /** undefined: it has no limit (the deepest one, and empty ones), or the manifest is damaged. */
  readonly score: number | undefined;
  readonly smallestKey: Uint8Array | undefined;
  readonly largestKey: Uint8Array | undefined;
  readonly tables: readonly MappedTable[];
}

/** What all steps share beyond that, so that none has no width. */
const LEAST_SHARE = 0.02;

export function mapLevels({ levels, state }: ManifestFacts): MappedLevel[] {
  const axis = new Axis(levels.flat());
  const scores = state === undefined ? [] : scoresOf(levels);
  return levels.map((tables, level) => {
    const sum = (of: (table: TableInfo) => number): number =>
      tables.reduce((total, table) => total + of(table), 0);
    return {
      level,
      files: tables.length,
      bytes: sum((table) => table.sizeBytes),
      entries: sum((table) => table.entryCount),
      tombstones: sum((table) => table.tombstoneCount),
      rangeDeletes: sum((table) => table.rangeDeletes ?? 0),
      score: tables.length === 0 ? undefined : scores[level],
      smallestKey: extreme(
        tables.map((table) => table.smallestKey),
        -1,
      ),
      largestKey: extreme(
        tables.map((table) => table.largestKey),
        1,
      ),
      tables: tables.map((table) => axis.place(table)),
    };
  });
}

/** By level. */
function scoresOf(levels: readonly (readonly TableInfo[])[]): (number | undefined)[] {
  const version = Version.fromSound(levels);
  const options = compactionOptions({
    options: resolveOptions(),
    snapshots: { readPoints: () => ({ snapshots: [], snapshotTimes: [], nowMs: 0 }) },
    clock: { now: () => 0 },
  });
  const targets = levelTargets(version, options);
  const scores = levelScores(version, options, targets, undefined);
  return scores.map((score, i) =>
    i > 0 && targets.targetBytes[i] === Number.POSITIVE_INFINITY ? undefined : score,
  );
}

function extreme(keys: readonly Uint8Array[], sign: 1 | -1): Uint8Array | undefined {
  let found = keys[0];
  for (const key of keys) if (found === undefined || compareKeys(key, found) * sign > 0) found = key;
  return found;
}

class Axis {
  /** All bounds, sorted, each once. */
  readonly #keys: readonly Uint8Array[];
  /** Where each key begins, and at last where the axis ends: from 0 to 1. */
  readonly #starts: Float64Array;

  constructor(tables: readonly TableInfo[]) {
    const bounds = tables.flatMap(({ smallestKey, largestKey }) => [smallestKey, largestKey]);
    bounds.sort(compareKeys);
    this.#keys = bounds.filter((key, i) => i === 0 || compareKeys(bounds[i - 1]!, key) !== 0);
    this.#starts = this.#layOut(tables);
  }

  place(table: TableInfo): MappedTable {
    const { from, to } = this.#stepsOf(table);
    const { number, sizeBytes } = table;
    return { number, sizeBytes, from: this.#starts[from]!, to: this.#starts[to]! };
  }

  #layOut(tables: readonly TableInfo[]): Float64Array {
    const count = this.#keys.length;
    const total = tables.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    /** How much more, or less, lies at a step than at the one before. */
    const changes = new Float64Array(count + 1);
    for (const table of tables) {
      const { from, to } = this.#stepsOf(table);
      changes[from]! += table.sizeBytes / (to - from);
      changes[to]! -= table.sizeBytes / (to - from);
    }
    const least = (LEAST_SHARE * Math.max(total, 1)) / count;
    const starts = new Float64Array(count + 1);
    for (let i = 0, density = 0; i < count; i++) {
      density += changes[i]!;
      starts[i + 1] = starts[i]! + Math.max(density, 0) + least;
    }
    const end = starts[count]!;
    return starts.map((start) => start / end);
  }

  /** The keys that lie in the table's range: [from, to). */
  #stepsOf({ smallestKey, largestKey }: TableInfo): { readonly from: number; readonly to: number } {
    const from = this.#stepOf(smallestKey);
    // A damaged manifest may have them the wrong way round.
    return { from, to: Math.max(from, this.#stepOf(largestKey)) + 1 };
  }

  #stepOf(key: Uint8Array): number {
    let low = 0;
    let high = this.#keys.length - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (compareKeys(this.#keys[middle]!, key) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
