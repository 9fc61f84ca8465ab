/**
 * The list of a level's tables: after any edits what an array would be, and made of few new parts.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compareKeys } from '../../../src/shared/base/bytes.ts';
import { type FileNumber, type Level, level } from '../../../src/shared/base/ids.ts';
import type { TableInfo, VersionEdit } from '../../../src/shared/base/version-edit.ts';
import type { TableList } from '../../../src/shared/read/table-list.ts';
import { compareAge, compareSmallest, overlaps, Version } from '../../../src/shared/read/version.ts';
import { type Random, seededRandom } from '../../helpers/rng.ts';
import { freshSeed, reportSeed } from '../../helpers/run-budget.ts';
import { tableMeta } from '../../helpers/table-meta.ts';

const encoder = new TextEncoder();

function keyAt(place: number): string {
  return String(place).padStart(8, '0');
}

/** Keys 10 x place + 2 to + 6. */
function tableAt(number: number, place: number): TableInfo {
  return tableMeta(number, keyAt(place * 10 + 2), keyAt(place * 10 + 6), {
    largestSequence: place as TableInfo['largestSequence'],
  });
}

function bigLevel(at: Level, count: number): Version {
  const tables = Array.from({ length: count }, (_, i) => tableAt(i + 1, i * 2));
  return Version.fromLevels(Version.empty.levels.with(at, at === 0 ? tables.sort(compareAge) : tables));
}

/** Some tables go and others come, at random places or at one. */
function randomEdit(
  at: Level,
  tables: readonly TableInfo[],
  next: () => number,
  random: Random,
): VersionEdit {
  const size = random.pick([1, 1, 3, 20, 300]);
  const first = random.between(0, Math.max(0, tables.length - size));
  const removed = random.chance(0.5)
    ? tables.slice(first, first + size)
    : tables.filter(() => random.chance(size / 2000));
  const gone = new Set(removed);
  const taken = new Set(tables.filter((table) => !gone.has(table)).map((table) => compareKey(table)));
  const places = random.chance(0.5)
    ? Array.from({ length: size }, () => random.between(0, 6000))
    : Array.from({ length: size }, (_, i) => 3000 + i);
  const added = [...new Set(places)]
    .filter((place) => !taken.has(keyAt(place * 10 + 2)))
    .map((place) => ({ level: at, table: tableAt(next(), place) }));
  return { added, removed: removed.map(({ number }) => ({ level: at, number })) };
}

function compareKey({ smallestKey }: TableInfo): string {
  return Buffer.from(smallestKey).toString();
}

function checkShape({ chunks, length }: TableList): void {
  assert.ok(chunks.every(({ tables }) => tables.length > 0 && tables.length <= 128));
  // A chunk that shrinks is joined with a neighbour: there are never many small ones.
  assert.ok(chunks.length <= 2 + length / 16, `${chunks.length} chunks of ${length} tables`);
  for (const { tables, numbers, first, last } of chunks) {
    assert.deepEqual(
      numbers,
      tables.map(({ number }) => number),
    );
    assert.ok(first === tables[0] && last === tables.at(-1));
  }
}

function checkSearches(version: Version, at: Level, model: readonly TableInfo[], random: Random): void {
  const list = version.lists[at]!;
  for (let i = 0; i < 50; i++) {
    const [a, b] = [random.between(0, 61_000), random.between(0, 61_000)].sort((x, y) => x - y);
    const range = { start: encoder.encode(keyAt(a!)), end: encoder.encode(keyAt(b!)) };
    assert.deepEqual(
      version.overlapping(at, range),
      model.filter((table) => overlaps(table, range)),
    );
    assert.equal(
      version.hasOverlap(at, range),
      model.some((table) => overlaps(table, range)),
    );
    const place = random.between(-1, model.length);
    assert.equal(list.at(place), model[place]);
    if (at === 0) continue;
    const reaching = model.findIndex((table) => compareKeys(table.largestKey, range.start) >= 0);
    assert.equal(list.firstReaching(range.start), reaching < 0 ? model.length : reaching);
    assert.equal(list.tableReaching(range.start), model[reaching]);
    const before = model.findLastIndex((table) => compareKeys(table.smallestKey, range.end) < 0);
    assert.equal(list.lastStartingBefore(range.end), before);
    const table = version.tableContaining(at, range.end);
    assert.equal(
      table,
      model.find((one) => overlaps(one, { start: range.end, end: range.end })),
    );
  }
}

test('a level is what an array would be, after any edits', (t) => {
  const seed = freshSeed();
  reportSeed(t, seed);
  const random = seededRandom(seed);
  for (const at of [level(0), level(4)]) {
    let version = bigLevel(at, random.pick([0, 100, 1500]));
    let model: readonly TableInfo[] = version.levels[at]!;
    let number = 10_000;
    for (let round = 0; round < 60; round++) {
      const edit = randomEdit(at, model, () => ++number, random);
      const gone = new Set(edit.removed.map((one) => one.number));
      model = model
        .filter((table) => !gone.has(table.number))
        .concat(edit.added.map(({ table }) => table))
        .sort(at === 0 ? compareAge : compareSmallest);
      const before = version;
      const beforeTables = [...before.lists[at]!];
      version = version.apply(edit);
      assert.deepEqual([...version.lists[at]!], model);
      assert.deepEqual([...before.lists[at]!], beforeTables, 'the version before has changed');
      assert.equal(
        version.levelBytes(at),
        model.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
      );
      checkShape(version.lists[at]!);
      checkSearches(version, at, model, random);
      for (const table of edit.added.slice(0, 10)) assert.ok(version.hasFile(table.table.number));
      for (const old of gone) assert.ok(!version.hasFile(old));
    }
  }
});

test('a table that would overlap a neighbour is refused, in its chunk and at the ends of it', () => {
  const version = bigLevel(level(7), 1000);
  const far = encoder.encode(keyAt(99_999));
  for (const { first, last } of version.lists[7]!.chunks)
    for (const near of [first, last]) {
      const table = { ...near, number: 5000 as FileNumber };
      // Between two tables it begins or ends, and reaches into the next one.
      const left = { ...table, smallestKey: beside(near.smallestKey, -1), largestKey: near.smallestKey };
      const right = { ...table, smallestKey: beside(near.largestKey, 1), largestKey: far };
      for (const wrong of near === version.lists[7]!.last ? [table, left] : [table, left, right])
        assert.throws(
          () => version.apply({ added: [{ level: level(7), table: wrong }], removed: [] }),
          /overlap/,
        );
    }
});

function beside(key: Uint8Array, by: number): Uint8Array {
  return encoder.encode(keyAt(Number(Buffer.from(key).toString()) + by));
}

test('chunks that shrink are joined', () => {
  let version = bigLevel(level(7), 4000);
  for (const [keepEvery, of] of [
    [8, 4000],
    [5, 500],
  ] as const) {
    const gone = version.levels[7]!.filter((_, i) => i % keepEvery !== 0);
    version = version.apply({ added: [], removed: gone.map(({ number }) => ({ level: level(7), number })) });
    assert.equal(version.tableCount, of / keepEvery);
    checkShape(version.lists[7]!);
  }
});

test('an edit of a level of 20,000 tables shares all of it but a few chunks with the version before', () => {
  const before = bigLevel(level(7), 20_000);
  const old = before.levels[7]!.slice(9000, 9010);
  const after = before.apply({
    removed: old.map(({ number }) => ({ level: level(7), number })),
    added: old.map((table, i) => ({
      level: level(7),
      table: { ...table, number: (30_000 + i) as FileNumber },
    })),
  });
  const known = new Set(before.lists[7]!.chunks);
  const fresh = after.lists[7]!.chunks.filter((chunk) => !known.has(chunk));
  assert.ok(fresh.length >= 1 && fresh.length <= 3, `${fresh.length} chunks are new`);
  assert.deepEqual(after.levels[7]!.map(({ number }) => number).slice(8999, 9011), [
    9000,
    ...Array.from({ length: 10 }, (_, i) => 30_000 + i),
    9011,
  ]);
});
