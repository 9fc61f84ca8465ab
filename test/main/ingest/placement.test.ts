/** placeTables(): as deep as the order of age allows. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type BusyTables,
  busyTables,
  type CompactionOptions,
} from '../../../src/main/compaction/compaction-picker.ts';
import { planFor } from '../../../src/main/compaction/compaction-plan.ts';
import { placeTables } from '../../../src/main/ingest/placement.ts';
import { level, type SequenceNumber } from '../../../src/shared/base/ids.ts';
import { parseVersion, tableMeta } from '../../helpers/table-meta.ts';

const options: CompactionOptions = {
  l0CompactionTrigger: 4,
  levelBaseBytes: 200,
  levelMultiplier: 10,
  maxFileSizeBytes: 100,
  maxCompactionBytes: 400,
};

function placesOf(
  levels: Readonly<Record<number, readonly string[]>>,
  tables: readonly [string, string][],
  busy: BusyTables = busyTables([]),
): number[] {
  const version = parseVersion(
    Object.entries(levels).map(([level, list]) => `L${level}: ${list.join('; ')}`),
  );
  return placeTables(
    version,
    tables.map(([from, to], i) => tableMeta(100 + i, from, to, { largestSequence: 99 as SequenceNumber })),
    options,
    busy,
  ).map(({ level }) => level);
}

test('placeTables(): the bottom where nothing overlaps, else just above what does', () => {
  assert.deepEqual(placesOf({}, [['a', 'b']]), [7]);
  assert.deepEqual(
    placesOf({ 0: ['1:[a-c]'] }, [
      ['b', 'b'],
      ['d', 'e'],
    ]),
    [0, 7],
  );
  assert.deepEqual(
    placesOf({ 7: ['1:[a-c]', '2:[m-p]'] }, [
      ['b', 'b'],
      ['c', 'm'],
      ['d', 'e'],
      ['p', 'z'],
    ]),
    [6, 6, 7, 6],
  );
  assert.deepEqual(
    placesOf({ 5: ['1:[a-c]'], 7: ['2:[a-z]'] }, [
      ['b', 'b'],
      ['d', 'e'],
    ]),
    [4, 6],
  );
  assert.deepEqual(placesOf({ 1: ['1:[a-c]'], 7: ['2:[a-z]'] }, [['b', 'b']]), [0]);
});

test('placeTables(): the bottom is the deepest level in use', () => {
  assert.deepEqual(
    placesOf({ 3: ['1:[a-c]'] }, [
      ['d', 'e'],
      ['c', 'c'],
    ]),
    [3, 2],
  );
});

test('placeTables(): not where a running compaction may put a table, in a gap as well', () => {
  const levels = { 5: ['1:[a-c]', '2:[p-r]'], 7: ['3:[b-d]', '4:[q-s]'] };
  const version = parseVersion(Object.entries(levels).map(([at, list]) => `L${at}: ${list.join('; ')}`));
  const plan = planFor(version, level(5), level(7), version.levels[5]!, 'manual', options, busyTables([]));
  assert.deepEqual(placesOf(levels, [['f', 'g']]), [7]);
  assert.deepEqual(
    placesOf(
      levels,
      [
        ['f', 'g'],
        ['t', 'v'],
      ],
      busyTables([plan!]),
    ),
    [6, 7],
  );
});

test('placeTables(): of a small load, a table that spans much of the next level goes to level 0; of a large one it is cut', () => {
  const wide = (size: number): Record<number, readonly string[]> => ({ 7: [`1:[b-y] size=${size}`] });
  assert.deepEqual(placesOf(wide(1000), [['a', 'z']]), [6]);
  assert.deepEqual(placesOf(wide(1001), [['a', 'z']]), [0]);
  const many = Array.from('bcdefg', (from): [string, string] => [from, from]);
  assert.deepEqual(
    placesOf(wide(1001), many),
    many.map(() => 6),
  );
});
