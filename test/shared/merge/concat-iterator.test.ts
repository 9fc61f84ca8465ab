/**
 * ConcatIterator: a level as one iterator, opening tables lazily and one at a time.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConcatIterator } from '../../../src/shared/merge/concat-iterator.ts';
import {
  type ArrayEntry,
  ArrayIterator,
  bytesOf,
  copyEntry,
  put,
  showEntry,
} from '../../helpers/array-iterator.ts';
import { seededRandom } from '../../helpers/rng.ts';
import { freshSeed, reportSeed } from '../../helpers/run-budget.ts';

interface Opened {
  readonly iterator: ConcatIterator;
  /** Indexes in the order they were opened. */
  readonly opened: number[];
  readonly children: ArrayIterator[];
}

function concat(tables: readonly ArrayEntry[][]): Opened {
  const opened: number[] = [];
  const children: ArrayIterator[] = [];
  const bounds = tables.map((entries) => ({ smallestKey: entries[0]!.key, largestKey: entries.at(-1)!.key }));
  const iterator = new ConcatIterator(bounds, (index) => {
    assert.ok(
      children.every((child) => child.isClosed),
      'the table before is closed first',
    );
    opened.push(index);
    const child = new ArrayIterator(tables[index]!);
    children.push(child);
    return child;
  });
  return { iterator, opened, children };
}

const LEVEL = [[put('a', 4), put('b', 3), put('b', 1)], [put('d', 9), put('f', 2)], [put('h', 5)]];
const ALL = ['a@4', 'b@3', 'b@1', 'd@9', 'f@2', 'h@5'];

test('ConcatIterator walks all tables in both directions and closes what it leaves', () => {
  const { iterator, opened, children } = concat(LEVEL);
  const seen: string[] = [];
  for (let on = iterator.seekToFirst(); on; on = iterator.next())
    seen.push(showEntry(copyEntry(iterator.entry)));
  assert.deepEqual(seen, ALL);
  for (let on = iterator.seekToLast(); on; on = iterator.prev())
    seen.unshift(showEntry(copyEntry(iterator.entry)));
  assert.deepEqual(seen, [...ALL, ...ALL]);
  assert.deepEqual(opened, [0, 1, 2, 2, 1, 0]);
  assert.ok(children.every((child) => child.isClosed));
});

test('ConcatIterator opens only the table that can hold the key', () => {
  const { iterator, opened } = concat(LEVEL);
  assert.deepEqual(opened, []);
  assert.ok(iterator.seek(bytesOf('e')));
  assert.equal(showEntry(copyEntry(iterator.entry)), 'f@2');
  assert.deepEqual(opened, [1]);
  assert.ok(iterator.seek(bytesOf('d')));
  assert.deepEqual(opened, [1], 'a seek inside the open table keeps it');
  assert.equal(iterator.seek(bytesOf('i')), false);
  assert.equal(iterator.seekBefore(bytesOf('a')), false);
  assert.deepEqual(opened, [1], 'keys outside all bounds open nothing');
});

test('ConcatIterator.seek between two tables lands on the next, seekBefore on the one before', () => {
  const { iterator } = concat(LEVEL);
  assert.ok(iterator.seek(bytesOf('c')));
  assert.equal(showEntry(copyEntry(iterator.entry)), 'd@9');
  assert.ok(iterator.prev());
  assert.equal(showEntry(copyEntry(iterator.entry)), 'b@1');
  assert.ok(iterator.seekBefore(bytesOf('d')));
  assert.equal(showEntry(copyEntry(iterator.entry)), 'b@1');
  assert.ok(iterator.next());
  assert.equal(showEntry(copyEntry(iterator.entry)), 'd@9');
});

test('ConcatIterator without tables stands nowhere; close is idempotent', () => {
  const { iterator } = concat([]);
  assert.equal(iterator.seekToFirst(), false);
  assert.equal(iterator.seekToLast(), false);
  assert.throws(() => iterator.next(), /stands nowhere/);
  iterator.close();
  iterator.close();
});

test('ConcatIterator passes on what open throws and can be used again', () => {
  let fails = true;
  const table = LEVEL[2]!;
  const iterator = new ConcatIterator([{ smallestKey: table[0]!.key, largestKey: table[0]!.key }], () => {
    if (fails) throw new Error('no such table');
    return new ArrayIterator(table);
  });
  assert.throws(() => iterator.seekToFirst(), /no such table/);
  fails = false;
  assert.ok(iterator.seekToFirst());
});

test('ConcatIterator walks like one array, wherever it is sent', (t) => {
  const seed = freshSeed();
  reportSeed(t, seed);
  const random = seededRandom(seed);
  for (let round = 0; round < 100; round++) {
    const tables: ArrayEntry[][] = [];
    let key = 0;
    for (let i = random.between(1, 5); i > 0; i--) {
      const table: ArrayEntry[] = [];
      for (let j = random.between(1, 4); j > 0; j--) {
        key += random.between(1, 3);
        for (let version = random.between(1, 3); version > 0; version--) {
          table.push(put(String(key).padStart(3, '0'), version));
        }
      }
      tables.push(table);
    }
    const all = tables.flat();
    const { iterator } = concat(tables);
    let at = -1;
    for (let step = 0; step < 60; step++) {
      const target = String(random.below(key + 2)).padStart(3, '0');
      const text = (entry: ArrayEntry): string => new TextDecoder().decode(entry.key);
      let moved: boolean;
      if (at >= 0 && at < all.length && random.chance(0.8)) {
        const isForward = random.chance(0.5);
        moved = isForward ? iterator.next() : iterator.prev();
        at += isForward ? 1 : -1;
      } else if (random.chance(0.5)) {
        moved = iterator.seek(bytesOf(target));
        at = all.findIndex((entry) => text(entry) >= target);
      } else {
        moved = iterator.seekBefore(bytesOf(target));
        at = all.findLastIndex((entry) => text(entry) < target);
      }
      assert.equal(moved, at >= 0 && at < all.length);
      if (moved) assert.deepEqual(copyEntry(iterator.entry), all[at]);
    }
  }
});
