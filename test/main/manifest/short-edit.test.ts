/** Bounds of long keys are shortened so that no search goes wrong and no table claims a key of another. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { shortenEdit, shortenTables } from '../../../src/main/manifest/short-edit.ts';
import { compareKeys } from '../../../src/shared/base/bytes.ts';
import { fileNumber, level } from '../../../src/shared/base/ids.ts';
import {
  isLargestOf,
  isSmallestOf,
  SHORT_BOUND_BYTES,
  shortenLargest,
  shortenSmallest,
} from '../../../src/shared/base/table-bounds.ts';
import type { TableInfo } from '../../../src/shared/base/version-edit.ts';
import { Version } from '../../../src/shared/read/version.ts';
import { type Random, seededRandom } from '../../helpers/rng.ts';
import { freshSeed, reportSeed } from '../../helpers/run-budget.ts';
import { tableMeta } from '../../helpers/table-meta.ts';

/** Long, of few different bytes, and often equal to another for long. */
function longKey(random: Random): Uint8Array {
  const key = new Uint8Array(random.pick([3, 512, 513, 600, 1500])).fill(random.pick([0, 0x61, 0xff]));
  for (let i = 0; i < 4; i++)
    key[random.pick([0, 1, 510, 511, 512, 599, 1400])] = random.pick([0, 0x61, 0xfe, 0xff]);
  return key;
}

function sortedKeys(random: Random, count: number): Uint8Array[] {
  const keys = Array.from({ length: count }, () => longKey(random)).sort(compareKeys);
  return keys.filter((key, i) => i === 0 || compareKeys(keys[i - 1]!, key) !== 0);
}

function tableOf(number: number, smallestKey: Uint8Array, largestKey: Uint8Array): TableInfo {
  return { ...tableMeta(number, '', ''), smallestKey, largestKey };
}

test('shortenSmallest() and shortenLargest() stay on their side of key and neighbour, and keys of 512 bytes as they are', (t) => {
  const random = seededRandom(freshSeed());
  reportSeed(t, random.seed);
  for (let i = 0; i < 3000; i++) {
    const [before, key, after] = sortedKeys(random, 3);
    if (key === undefined || after === undefined) continue;
    const smallest = shortenSmallest(key, before);
    const largest = shortenLargest(key, after);
    assert.ok(compareKeys(before!, smallest) < 0 && compareKeys(smallest, key) <= 0);
    assert.ok(compareKeys(key, largest) <= 0 && compareKeys(largest, after) < 0);
    assert.ok(isSmallestOf(smallest, key) && isLargestOf(largest, key));
    if (key.length <= SHORT_BOUND_BYTES) assert.ok(smallest === key && largest === key);
    assert.ok(shortenSmallest(key, undefined).length <= SHORT_BOUND_BYTES);
    assert.equal(
      compareKeys(shortenLargest(new Uint8Array(900).fill(0xff), undefined), new Uint8Array(900).fill(0xff)),
      0,
    );
  }
});

test('isSmallestOf() and isLargestOf() take no other bound for a short key, and none on the wrong side for a long one', () => {
  const [short, long] = [new Uint8Array(9).fill(5), new Uint8Array(900).fill(5)];
  assert.ok(!isSmallestOf(short.subarray(1), short) && !isLargestOf(new Uint8Array(9).fill(6), short));
  assert.ok(!isSmallestOf(new Uint8Array(600).fill(6), long) && !isLargestOf(long.subarray(0, 600), long));
});

test('shortenEdit() keeps tables apart that an edit adds between others, level by level', (t) => {
  const random = seededRandom(freshSeed());
  reportSeed(t, random.seed);
  for (let i = 0; i < 300; i++) {
    const keys = sortedKeys(random, 20);
    const tables: TableInfo[] = [];
    for (let at = 0; at + 1 < keys.length; at += 2) tables.push(tableOf(at + 1, keys[at]!, keys[at + 1]!));
    let version = Version.empty;
    // Some at first, the others among them, one edit after the other.
    const order = tables.map((table) => ({ table, edit: random.below(4) }));
    const placed: TableInfo[] = [];
    for (let edit = 0; edit < 4; edit++) {
      // What overlaps the bounds of a table that is there goes to another level: whoever places tables looks at them.
      const tables = order.filter((one) => one.edit === edit).map(({ table }) => table);
      const fitting = tables.filter(
        (table) => !version.hasOverlap(level(3), { start: table.smallestKey, end: table.largestKey }),
      );
      placed.push(...fitting);
      const added = fitting.map((table) => ({ level: level(3), table }));
      version = version.apply(shortenEdit(version, { added, removed: [] }, []));
    }
    const found = version.levels[3]!;
    placed.sort((a, b) => compareKeys(a.smallestKey, b.smallestKey));
    assert.equal(found.length, placed.length);
    for (const [at, table] of placed.entries()) {
      assert.equal(found[at]!.number, table.number);
      assert.equal(version.tableContaining(level(3), table.smallestKey), found[at]);
      assert.equal(version.tableContaining(level(3), table.largestKey), found[at]);
    }
    assert.deepEqual(
      shortenTables(3, tables).map(({ number }) => number),
      tables.map(({ number }) => number),
    );
    Version.fromLevels(
      Version.empty.levels.map((none, where) => (where === 3 ? shortenTables(3, tables) : none)),
    );
  }
});

test('shortenEdit() does not reach into what a running compaction may write, nor out of what an edit replaces', () => {
  const key = (first: number, last: number): Uint8Array => {
    const bytes = new Uint8Array(600).fill(7);
    bytes[0] = first;
    bytes[599] = last;
    return bytes;
  };
  const added = [{ level: level(3), table: tableOf(9, key(5, 20), key(5, 30)) }];
  const free = shortenEdit(Version.empty, { added, removed: [] }, []).added[0]!.table;
  assert.ok(free.smallestKey.length === SHORT_BOUND_BYTES && free.largestKey.length === SHORT_BOUND_BYTES);
  const reserved = [
    { start: key(1, 0), end: key(5, 19) },
    { start: key(5, 31), end: key(6, 0) },
  ];
  const held = shortenEdit(Version.empty, { added, removed: [] }, reserved).added[0]!.table;
  assert.ok(compareKeys(held.smallestKey, key(5, 19)) > 0 && compareKeys(held.largestKey, key(5, 31)) < 0);
  const before = Version.empty.apply({
    added: [{ level: level(2), table: tableOf(1, key(5, 10), key(5, 40)) }],
    removed: [],
  });
  const removed = [{ level: level(2), number: fileNumber(1) }];
  const replaced = shortenEdit(before, { added, removed }, [{ start: key(5, 10), end: key(5, 40) }]).added[0]!
    .table;
  assert.ok(
    compareKeys(replaced.smallestKey, key(5, 10)) >= 0 && compareKeys(replaced.largestKey, key(5, 40)) <= 0,
  );
});
