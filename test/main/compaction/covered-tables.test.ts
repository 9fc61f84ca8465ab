/**
 * Which tables deleted ranges hide wholly, of versions that change while that is found out: those that are older, and no others.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { busyTables } from '../../../src/main/compaction/compaction-plan.ts';
import { CoveredTables, type CoveredTablesParts } from '../../../src/main/compaction/covered-tables.ts';
import { fileNumber, type SequenceNumber } from '../../../src/shared/base/ids.ts';
import type { TableInfo } from '../../../src/shared/base/version-edit.ts';
import { RangeDeletes } from '../../../src/shared/ranges/range-deletes.ts';
import { Version } from '../../../src/shared/read/version.ts';
import { parseLevels, parseTable } from '../../helpers/table-meta.ts';

/** Deletes [a, z) by 50. */
const RANGES = RangeDeletes.of([
  { key: Buffer.from('a'), sequences: [50] },
  { key: Buffer.from('z'), sequences: [] },
]);

/** The table whose ranges are asked about. */
const OF_RANGES: TableInfo = { ...parseTable('9:[a-yy]@50-50'), rangeDeletes: 1 };
/** Another one, in front of it: it is examined first. */
const FIRST: TableInfo = { ...parseTable('8:[0-1]@50-50'), rangeDeletes: 1 };
const FAR = RangeDeletes.of([
  { key: Buffer.from('0'), sequences: [50] },
  { key: Buffer.from('2'), sequences: [] },
]);

function versionOf(lines: readonly string[], level: number, rest: readonly TableInfo[]): Version {
  const levels = parseLevels(lines);
  levels[level]!.push(...rest);
  for (const tables of levels.slice(1)) tables.sort((a, b) => Buffer.compare(a.smallestKey, b.smallestKey));
  return Version.fromLevels(levels);
}

class Store {
  current: Version;
  readonly covered: CoveredTables;
  /** Lets examinations go on: each waits until the file of its table is open. */
  openFiles!: () => void;
  found!: () => void;
  readonly done: Promise<void> = new Promise((resolve) => {
    this.found = resolve;
  });

  constructor(snapshots: readonly number[] = []) {
    this.current = Version.fromLevels(parseLevels([]));
    const ready = new Promise<void>((resolve) => {
      this.openFiles = resolve;
    });
    const parts = {
      versions: {
        pin: () => ({ version: this.current, release: () => undefined }),
      },
      tables: {
        fetch: () => ({ ready, release: () => undefined }),
        reader: ({ number }: TableInfo) => ({ ranges: number === OF_RANGES.number ? RANGES : FAR }),
      },
      snapshots: { readPoints: () => ({ snapshots: snapshots as SequenceNumber[] }) },
      clock: { now: () => 0 },
    };
    Object.defineProperty(parts.versions, 'current', { get: () => this.current });
    this.covered = new CoveredTables(parts as unknown as CoveredTablesParts, () => this.found());
    // What is there at first has its turn later.
    this.covered.look();
  }

  /** Numbers of the tables that may go, level by level. */
  plans(): number[][] {
    const plans: number[][] = [];
    for (;;) {
      const plan = this.covered.plan(this.current, busyTables([]));
      if (plan === undefined) return plans;
      const numbers = plan.inputs.map(({ number }) => number);
      plans.push(numbers);
      const gone = new Set(numbers.map((number) => fileNumber(number)));
      this.current = Version.fromLevels(
        this.current.levels.map((tables) => tables.filter(({ number }) => !gone.has(number))),
      );
    }
  }
}

test('deeper tables within the ranges that are older leave, and no others', async () => {
  const store = new Store();
  store.current = versionOf(
    ['L1: 3:[zzzza-zzzzb]@1-9', 'L2: 4:[b-c]@10-20; 5:[d-e]@10-60', 'L3: 6:[Z-b]@1-9; 7:[c-y]@0-0'],
    1,
    [OF_RANGES],
  );
  store.covered.look();
  store.openFiles();
  await store.done;
  assert.deepEqual(store.plans(), [[4], [7]]);
});

test('a snapshot that sees something of a table keeps it', async () => {
  const store = new Store([15]);
  store.current = versionOf(['L2: 4:[b-c]@10-20; 5:[d-e]@20-30'], 1, [OF_RANGES]);
  store.covered.look();
  store.openFiles();
  await store.done;
  assert.deepEqual(store.plans(), [[5]]);
});

test('a range table that moves before its turn comes hides nothing of what came in above it', async () => {
  const store = new Store();
  store.current = versionOf(['L6: 4:[b-c]@10-20'], 1, [OF_RANGES, FIRST]);
  store.covered.look();
  // While the first waits for its file, the other moves down, and newer tables come to lie where it was, and below.
  store.current = versionOf(
    ['L2: 20:[b-c]@60-70', 'L3: 21:[d-e]@60-70; 22:[f-g]@10-20', 'L6: 4:[b-c]@10-20; 23:[h-i]@60-70'],
    5,
    [OF_RANGES, FIRST],
  );
  store.openFiles();
  await store.done;
  assert.deepEqual(store.plans(), [[4]]);
});
