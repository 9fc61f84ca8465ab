/**
 * Compactions of a model store, several at once and finished in any order: what is read never changes, and no deleted
 * key comes back.
 *
 * Tables here are maps from key to the newest entry; a merge follows the same rules as the real job: newest wins, a
 * tombstone goes when no table deeper than the output (as of the plan) covers its key, outputs are cut anywhere.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  advanceCursor,
  busyTables,
  type CompactionOptions,
  type CompactionPlan,
  initialPickerState,
  type PickerState,
  pickCompaction,
} from '../../../src/main/compaction/compaction-picker.ts';
import { maxLevelZeroBytes } from '../../../src/main/compaction/level-zero.ts';
import { planManualCompaction } from '../../../src/main/compaction/manual-compaction.ts';
import { placeTables } from '../../../src/main/ingest/placement.ts';
import { type FileNumber, type Level, level, type SequenceNumber } from '../../../src/shared/base/ids.ts';
import type { LeveledTable, TableInfo } from '../../../src/shared/base/version-edit.ts';
import { totalBytes, Version } from '../../../src/shared/read/version.ts';
import { checkPlan } from '../../helpers/plans.ts';
import { seededRandom } from '../../helpers/rng.ts';
import { tableMeta } from '../../helpers/table-meta.ts';

interface ModelEntry {
  readonly sequence: number;
  readonly isDead: boolean;
}

const KEY_COUNT = 60;
const keyText = (key: number): string => String(key).padStart(3, '0');

const options: CompactionOptions = {
  l0CompactionTrigger: 3,
  levelBaseBytes: 15,
  levelMultiplier: 2,
  maxFileSizeBytes: 6,
  maxCompactionBytes: 40,
};

interface RunningJob {
  readonly plan: CompactionPlan;
  /** As of the plan: whether a level below the output holds a table around this key. */
  readonly isCoveredBelow: (key: number) => boolean;
}

class ModelStore {
  version: Version = Version.empty;
  readonly expected = new Map<number, ModelEntry>();
  readonly running: RunningJob[] = [];
  moves = 0;
  merges = 0;
  mostAtOnce = 0;
  #picker: PickerState = initialPickerState;
  #sequence = 0;
  #number = 1;
  readonly #contents = new Map<FileNumber, Map<number, ModelEntry>>();
  readonly #random: (below: number) => number;

  constructor(random: (below: number) => number) {
    this.#random = random;
  }

  flush(): void {
    const entries = new Map<number, ModelEntry>();
    // Now a narrow stretch of keys, now all of them: disjoint tables and overlapping ones.
    const width = this.#random(2) === 0 ? 8 : KEY_COUNT;
    const start = this.#random(KEY_COUNT - width + 1);
    for (let i = 1 + this.#random(8); i > 0; i--) {
      const entry = { sequence: ++this.#sequence, isDead: this.#random(3) === 0 };
      const key = start + this.#random(width);
      entries.set(key, entry);
      this.expected.set(key, entry);
    }
    this.#apply([{ level: level(0), table: this.#table(entries) }], []);
  }

  /** An ingestion: many small tables of one age, placed as if in a moment at which nothing is in memory. */
  load(): void {
    const sequence = ++this.#sequence;
    const keys = Array.from({ length: KEY_COUNT }, (_, key) => key).filter(() => this.#random(4) > 0);
    const tables: TableInfo[] = [];
    while (keys.length > 0) {
      const part = keys.splice(0, 1 + this.#random(3));
      for (const key of part) this.expected.set(key, { sequence, isDead: false });
      tables.push(this.#table(new Map(part.map((key) => [key, { sequence, isDead: false }]))));
    }
    const placed = placeTables(
      this.version,
      tables,
      options,
      busyTables(this.running.map(({ plan }) => plan)),
    );
    this.#apply(placed, []);
  }

  /** Starts what there is to start, at most four jobs at once. */
  start(isManual: boolean): boolean {
    if (this.running.length >= 4) return false;
    const busy = busyTables(this.running.map((job) => job.plan));
    const plan = isManual
      ? this.#manualPlan(busy)
      : pickCompaction(this.version, options, busy, this.#picker);
    if (plan === undefined) return false;
    checkPlan(this.version, plan, busy.plans);
    if (plan.level === 0 && plan.kind === 'merge' && plan.inputs.length > 1)
      assert.ok(
        totalBytes(plan.inputs) <= maxLevelZeroBytes(options),
        'a compaction of level 0 takes too much',
      );
    this.#picker = advanceCursor(this.#picker, plan);
    this.run(plan);
    return true;
  }

  run(plan: CompactionPlan): void {
    const below = this.version.levels.slice(plan.outputLevel + 1).flat();
    const isCoveredBelow = (key: number): boolean => below.some((table) => this.#bounds(table, key));
    this.running.push({ plan, isCoveredBelow });
    this.mostAtOnce = Math.max(this.mostAtOnce, this.running.length);
  }

  finishOne(): void {
    const [job] = this.running.splice(this.#random(this.running.length), 1);
    const { plan, isCoveredBelow } = job!;
    const removed: LeveledTable[] = [
      ...plan.inputs.map((table) => ({ level: plan.level, table })),
      ...plan.overlapping.map((table) => ({ level: plan.outputLevel, table })),
    ];
    if (plan.kind === 'move') {
      this.moves++;
      this.#apply(
        plan.inputs.map((table) => ({ level: plan.outputLevel, table })),
        removed,
      );
      return;
    }
    this.merges++;
    const merged = new Map<number, ModelEntry>();
    for (const { table } of removed) {
      for (const [key, entry] of this.#contents.get(table.number)!) {
        if ((merged.get(key)?.sequence ?? 0) < entry.sequence) merged.set(key, entry);
      }
    }
    const kept = [...merged]
      .filter(([key, entry]) => !entry.isDead || isCoveredBelow(key))
      .sort(([a], [b]) => a - b);
    const added: LeveledTable[] = [];
    while (kept.length > 0) {
      const output = new Map(kept.splice(0, 1 + this.#random(8)));
      added.push({ level: plan.outputLevel, table: this.#table(output) });
    }
    this.#apply(added, removed);
  }

  /** Reads every key as the engine does: level by level, the first answer counts. */
  check(): void {
    for (let key = 0; key < KEY_COUNT; key++) {
      const found = this.#read(key);
      const expected = this.expected.get(key);
      const isDead = expected === undefined || expected.isDead;
      assert.equal(
        found === undefined || found.isDead ? 0 : found.sequence,
        isDead ? 0 : expected.sequence,
        `key ${key}`,
      );
    }
  }

  #manualPlan(busy: ReturnType<typeof busyTables>): CompactionPlan | undefined {
    const start = this.#random(KEY_COUNT);
    const range = { start: Buffer.from(keyText(start)), end: Buffer.from(keyText(start + this.#random(20))) };
    const step = planManualCompaction(this.version, range, options, busy);
    return step.status === 'ready' ? step.plan : undefined;
  }

  #read(key: number): ModelEntry | undefined {
    for (const tables of this.version.levels) {
      for (const table of tables) {
        const entry = this.#contents.get(table.number)!.get(key);
        if (entry !== undefined) return entry;
      }
    }
    return undefined;
  }

  #bounds(table: TableInfo, key: number): boolean {
    const bytes = Buffer.from(keyText(key));
    return Buffer.compare(table.smallestKey, bytes) <= 0 && Buffer.compare(bytes, table.largestKey) <= 0;
  }

  #table(entries: Map<number, ModelEntry>): TableInfo {
    const keys = [...entries.keys()].sort((a, b) => a - b);
    const sequences = [...entries.values()].map((entry) => entry.sequence);
    const dead = [...entries.values()].filter((entry) => entry.isDead).length;
    const table = tableMeta(this.#number++, keyText(keys[0]!), keyText(keys.at(-1)!), {
      sizeBytes: keys.length,
      entryCount: keys.length,
      tombstoneCount: dead,
      smallestSequence: Math.min(...sequences) as SequenceNumber,
      largestSequence: Math.max(...sequences) as SequenceNumber,
    });
    this.#contents.set(table.number, entries);
    return table;
  }

  #apply(added: readonly LeveledTable[], removed: readonly LeveledTable[]): void {
    const gone = removed.map(({ level: from, table }) => ({ level: from, number: table.number }));
    this.version = this.version.apply({ added, removed: gone });
  }
}

test('compactions running at once, picked and manual, never change what is read', (t) => {
  let moves = 0;
  let merges = 0;
  let mostAtOnce = 0;
  const levelsUsed = new Set<Level>();
  for (let seed = 1; seed <= 60; seed++) {
    const random = seededRandom(seed).below;
    const store = new ModelStore(random);
    for (let i = 0; i < 300; i++) {
      const choice = random(10);
      if (random(30) === 0) store.load();
      else if (choice < 4) store.flush();
      else if (choice < 7) store.start(random(4) === 0);
      else if (store.running.length > 0) store.finishOne();
      assert.doesNotThrow(() => store.check(), `seed ${seed}, step ${i}`);
      store.version.levels.forEach((tables, at) => {
        if (tables.length > 0) levelsUsed.add(level(at));
      });
    }
    moves += store.moves;
    merges += store.merges;
    mostAtOnce = Math.max(mostAtOnce, store.mostAtOnce);
  }
  t.diagnostic(
    `${merges} merges, ${moves} moves, ${mostAtOnce} at once, levels ${[...levelsUsed].sort().join(' ')}`,
  );
  assert.ok(mostAtOnce >= 3 && moves > 100 && merges > 1000 && levelsUsed.size >= 4);
});

test('pickCompaction() comes to rest when nothing is written any more', () => {
  for (let seed = 100; seed < 130; seed++) {
    const store = new ModelStore(seededRandom(seed).below);
    for (let i = 0; i < 30; i++) i % 10 === 5 ? store.load() : store.flush();
    let steps = 0;
    while (store.start(false) || store.running.length > 0) {
      if (store.running.length > 2) store.finishOne();
      else if (!store.start(false) && store.running.length > 0) store.finishOne();
      assert.ok(++steps < 2000, `seed ${seed} never rests`);
    }
    store.check();
    assert.ok(store.version.levels[0]!.length < options.l0CompactionTrigger);
  }
});

test('planManualCompaction() leaves one level, without tombstones', () => {
  for (let seed = 200; seed < 230; seed++) {
    const store = new ModelStore(seededRandom(seed).below);
    for (let i = 0; i < 40; i++) {
      if (i % 15 === 9) store.load();
      else store.flush();
      if (i % 3 === 0 && store.start(false)) store.finishOne();
    }
    for (let steps = 0; ; steps++) {
      assert.ok(steps < 500, `seed ${seed} never ends`);
      const step = planManualCompaction(store.version, {}, options, busyTables([]));
      if (step.status !== 'ready') break;
      store.run(step.plan);
      store.finishOne();
    }
    store.check();
    assert.equal(store.version.levels.filter((tables) => tables.length > 0).length, 1);
    assert.ok(store.version.levels.flat().every((table) => table.tombstoneCount === 0));
  }
});
