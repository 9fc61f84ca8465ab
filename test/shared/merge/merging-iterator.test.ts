/**
 * MergingIterator against a sorted array: order, seeks, both directions and turning round at any point.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compareKeys } from '../../../src/shared/base/bytes.ts';
import type { InternalIterator } from '../../../src/shared/base/iterator.ts';
import { MergingIterator } from '../../../src/shared/merge/merging-iterator.ts';
import {
  type ArrayEntry,
  ArrayIterator,
  bytesOf,
  compareEntries,
  copyEntry,
  del,
  put,
  showEntry,
} from '../../helpers/array-iterator.ts';
import { type Random, seededRandom } from '../../helpers/rng.ts';
import { freshSeed, reportSeed } from '../../helpers/run-budget.ts';

function merge(...children: ArrayEntry[][]): MergingIterator {
  return new MergingIterator(children.map((entries) => new ArrayIterator(entries)));
}

function forward(iterator: InternalIterator, stands: boolean): string[] {
  const seen: string[] = [];
  for (let on = stands; on; on = iterator.next()) seen.push(showEntry(copyEntry(iterator.entry)));
  return seen;
}

function backward(iterator: InternalIterator, stands: boolean): string[] {
  const seen: string[] = [];
  for (let on = stands; on; on = iterator.prev()) seen.push(showEntry(copyEntry(iterator.entry)));
  return seen;
}

test('MergingIterator yields keys ascending and versions newest first', () => {
  const iterator = merge([put('a', 3), put('c', 1)], [put('a', 7), put('b', 2)], [del('a', 5)]);
  assert.deepEqual(forward(iterator, iterator.seekToFirst()), ['a@7', 'a@5-', 'a@3', 'b@2', 'c@1']);
  assert.deepEqual(backward(iterator, iterator.seekToLast()), ['c@1', 'b@2', 'a@3', 'a@5-', 'a@7']);
});

test('MergingIterator over nothing, and over children without entries, stands nowhere', () => {
  for (const iterator of [merge(), merge([], [])]) {
    assert.equal(iterator.seekToFirst(), false);
    assert.equal(iterator.seekToLast(), false);
    assert.equal(iterator.seek(bytesOf('a')), false);
    assert.equal(iterator.seekBefore(bytesOf('a')), false);
    assert.throws(() => iterator.next(), /stands nowhere/);
  }
});

test('MergingIterator orders equal sequences by child, the same in both directions', () => {
  const children = [[put('k', 0, 'first')], [put('k', 0, 'second')], [put('k', 0, 'third')]];
  const values = (iterator: InternalIterator, stands: boolean, step: 'next' | 'prev'): string[] => {
    const seen: string[] = [];
    for (let on = stands; on; on = iterator[step]()) {
      seen.push(new TextDecoder().decode(copyEntry(iterator.entry).value));
    }
    return seen;
  };
  const iterator = merge(...children);
  assert.deepEqual(values(iterator, iterator.seekToFirst(), 'next'), ['first', 'second', 'third']);
  assert.deepEqual(values(iterator, iterator.seekToLast(), 'prev'), ['third', 'second', 'first']);
});

test('MergingIterator.seek lands on the newest version, seekBefore on the oldest of the key before', () => {
  const iterator = merge([put('a', 1), put('b', 2)], [put('a', 4), put('b', 9), put('d', 5)]);
  assert.ok(iterator.seek(bytesOf('b')));
  assert.equal(showEntry(copyEntry(iterator.entry)), 'b@9');
  assert.ok(iterator.seekBefore(bytesOf('c')));
  assert.equal(showEntry(copyEntry(iterator.entry)), 'b@2');
  assert.equal(iterator.seek(bytesOf('e')), false);
  assert.equal(iterator.seekBefore(bytesOf('a')), false);
});

test('MergingIterator.close closes every child, once', () => {
  const children = [new ArrayIterator([put('a', 1)]), new ArrayIterator([])];
  const iterator = new MergingIterator(children);
  iterator.close();
  iterator.close();
  assert.ok(children.every((child) => child.isClosed));
  assert.throws(() => iterator.seekToFirst(), /closed/);
});

test('MergingIterator passes on what a child throws and does not end early', () => {
  const bad = new ArrayIterator([put('b', 1), put('d', 1)]);
  bad.next = () => {
    throw new Error('bad block');
  };
  const iterator = new MergingIterator([new ArrayIterator([put('a', 2), put('c', 2)]), bad]);
  assert.throws(() => forward(iterator, iterator.seekToFirst()), /bad block/);
});

test('MergingIterator walks like a sorted array, wherever it is sent', (t) => {
  const seed = freshSeed();
  reportSeed(t, seed);
  const random = seededRandom(seed);
  for (let round = 0; round < 200; round++) walkAtRandom(random);
});

function walkAtRandom(random: Random): void {
  const children: ArrayEntry[][] = Array.from({ length: random.between(1, 6) }, () => []);
  const all: ArrayEntry[] = [];
  const count = random.below(60);
  for (let sequence = 1; sequence <= count; sequence++) {
    const entry = put(`k${random.below(8)}`, sequence);
    // In streaks, so that a child leads for a while.
    random.pick(random.chance(0.7) ? children.slice(0, 1) : children).push(entry);
    all.push(entry);
  }
  all.sort(compareEntries);
  const iterator = merge(...children);
  let at = -1;
  for (let step = 0; step < 80; step++) {
    const stands = at >= 0 && at < all.length;
    const key = bytesOf(`k${random.below(9)}`);
    const moves: [() => boolean, () => number][] = [
      [() => iterator.seekToFirst(), () => 0],
      [() => iterator.seekToLast(), () => all.length - 1],
      [() => iterator.seek(key), () => indexOrEnd(all, (entry) => compareKeys(entry.key, key) >= 0)],
      [() => iterator.seekBefore(key), () => all.findLastIndex((entry) => compareKeys(entry.key, key) < 0)],
    ];
    const steps: [() => boolean, () => number][] = [
      [() => iterator.next(), () => at + 1],
      [() => iterator.prev(), () => at - 1],
    ];
    const [move, expected] = stands && random.chance(0.9) ? random.pick(steps) : random.pick(moves);
    const moved = move();
    at = expected();
    assert.equal(moved, at >= 0 && at < all.length);
    if (moved) assert.deepEqual(copyEntry(iterator.entry), all[at]);
  }
}

function indexOrEnd(entries: readonly ArrayEntry[], matches: (entry: ArrayEntry) => boolean): number {
  const index = entries.findIndex(matches);
  return index < 0 ? entries.length : index;
}
