/**
 * What an edit of a large store looks at: not all tables, whoever hears of the edit.
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { averageEntryBytesOf, sumsOf } from '../../../src/main/compaction/chunk-sums.ts';
import {
  type CompactionOptions,
  compactionScore,
  initialPickerState,
  pickCompaction,
} from '../../../src/main/compaction/compaction-picker.ts';
import { busyTables } from '../../../src/main/compaction/compaction-plan.ts';
import { deeperBounds } from '../../../src/main/compaction/deeper-bounds.ts';
import { emptyState } from '../../../src/main/manifest/manifest.ts';
import { VersionSet } from '../../../src/main/manifest/version-set.ts';
import { type FileNumber, level } from '../../../src/shared/base/ids.ts';
import type { TableInfo, VersionEdit } from '../../../src/shared/base/version-edit.ts';
import { nodeFileSystem } from '../../../src/shared/files/node-file-system.ts';
import { Version } from '../../../src/shared/read/version.ts';
import { ControlBlock } from '../../../src/shared/threads/control-block.ts';
import { tableMeta } from '../../helpers/table-meta.ts';
import { temporaryDirectory } from '../../helpers/temp-directory.ts';

const MANY = 20_000;
const options: CompactionOptions = {
  l0CompactionTrigger: 4,
  levelBaseBytes: 100 * MANY,
  levelMultiplier: 10,
  maxFileSizeBytes: 100,
  maxCompactionBytes: 1000,
};

function tableAt(number: number, place: number, rest: Partial<TableInfo> = {}): TableInfo {
  const key = String(place).padStart(8, '0');
  return tableMeta(number, `${key}a`, `${key}y`, rest);
}

/** The same table; `touched` learns of every look at it. */
function watched(table: TableInfo, touched: Set<number>): TableInfo {
  const copy = {};
  for (const [name, value] of Object.entries(table))
    Object.defineProperty(copy, name, {
      enumerable: true,
      get: () => {
        touched.add(table.number);
        return value;
      },
    });
  return copy as TableInfo;
}

function largeSet(t: TestContext, touched: Set<number>): VersionSet {
  const directory = temporaryDirectory(t);
  const tables = Array.from({ length: MANY }, (_, i) => watched(tableAt(i + 1, i), touched));
  const state = {
    ...emptyState('01234567-89ab-4cde-8f01-23456789abcd'),
    nextFileNumber: MANY + 1,
    lastSequence: 1,
    levels: Version.empty.levels.with(7, tables),
  };
  return VersionSet.create(nodeFileSystem, directory, new ControlBlock(), state);
}

/** Ten tables of one place and one of another are replaced. */
function replacing(set: VersionSet, at: number): VersionEdit {
  const old = [...set.current.lists[7]!.slice(at, at + 10), set.current.lists[7]!.at(MANY - 1 - at)!];
  return {
    removed: old.map(({ number }) => ({ level: level(7), number })),
    added: old.map((table) => ({
      level: level(7),
      table: { ...table, number: set.reserveFileNumbers(1), largestKey: Uint8Array.from(table.largestKey) },
    })),
  };
}

/** What follows each edit in a running store. */
function follow(version: Version): void {
  assert.ok(compactionScore(version, options) < 1);
  assert.equal(pickCompaction(version, options, busyTables([]), initialPickerState), undefined);
  assert.ok(averageEntryBytesOf(version) > 0);
  for (const list of version.lists) list.chunks.forEach(sumsOf);
  const flushed = { start: version.lists[7]!.at(0)!.smallestKey, end: version.lists[7]!.last!.largestKey };
  assert.equal(deeperBounds(version, 0, flushed)[0]!.length, MANY / 20);
}

test('an edit of 20,000 tables, and what follows it, looks at a few hundred of them', async (t) => {
  const touched = new Set<number>();
  const set = largeSet(t, touched);
  // Nothing has pages yet, nor sums.
  await set.apply(replacing(set, 0), { lastSequence: 0 });
  follow(set.current);
  for (const at of [100, 5000, 12_345]) {
    const edit = replacing(set, at);
    touched.clear();
    const pin = set.pin();
    await set.apply(edit, { lastSequence: 0 });
    pin.release();
    t.diagnostic(`FIGURE touched=${touched.size}`);
    // Pages and chunks of up to 128 around two places, and those in a path of a search.
    assert.ok(touched.size < 1000, `the edit has looked at ${touched.size} tables`);
    follow(set.current);
    // Each of the 1,000 bounds that a flush takes along is a look at two.
    assert.ok(touched.size < 1000 + MANY / 10, `what follows it has looked at ${touched.size} tables`);
  }
});

test('an edit with long keys looks at no more', async (t) => {
  const touched = new Set<number>();
  const set = largeSet(t, touched);
  await set.apply(replacing(set, 0), { lastSequence: 0 });
  const { removed, added } = replacing(set, 7000);
  const long = new Uint8Array(5000).fill(0x7a);
  long.set(added[5]!.table.smallestKey.subarray(0, 8));
  const tables = added.map((one, i) =>
    i === 5 ? { ...one, table: { ...one.table, largestKey: long } } : one,
  );
  touched.clear();
  await set.apply({ removed, added: tables }, { lastSequence: 0 });
  assert.ok(touched.size < 1000, `${touched.size} tables`);
  const entered = set.current.lists[7]!.at(7005)!;
  assert.equal(entered.number, added[5]!.table.number);
  assert.ok(entered.largestKey.length <= 512, 'its bound is short');
});

test('garbage is found in whatever chunk of a level it is, and the most of it goes first', () => {
  const dead = (entries: number): Partial<TableInfo> => ({ entryCount: 100, tombstoneCount: entries });
  const tables = Array.from({ length: 2000 }, (_, i) => tableAt(i + 1, i, { entryCount: 100 }));
  for (const [place, entries] of [
    [17, 60],
    [700, 90],
    [1999, 70],
  ] as const)
    tables[place] = tableAt(place + 1, place, dead(entries));
  let version = Version.fromLevels(Version.empty.levels.with(7, tables));
  const found: FileNumber[] = [];
  for (;;) {
    const plan = pickCompaction(version, options, busyTables([]), initialPickerState);
    if (plan === undefined) break;
    const [input] = plan.inputs;
    assert.ok(plan.inputs.length === 1 && plan.reason === 'tombstones');
    found.push(input!.number);
    version = version.apply({ removed: [{ level: level(7), number: input!.number }], added: [] });
  }
  assert.deepEqual(found, [701, 2000, 18]);
});
