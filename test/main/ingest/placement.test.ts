/** placeTables(): as deep as the order of age allows. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { placeTables } from '../../../src/main/ingest/placement.ts';
import { parseVersion, tableMeta } from '../../helpers/table-meta.ts';

function placesOf(
  levels: Readonly<Record<number, readonly string[]>>,
  tables: readonly [string, string][],
): number[] {
  const version = parseVersion(
    Object.entries(levels).map(([level, list]) => `L${level}: ${list.join('; ')}`),
  );
  return placeTables(
    version,
    tables.map(([from, to], i) => tableMeta(100 + i, from, to)),
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
