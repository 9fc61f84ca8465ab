/**
 * Deleted ranges against a list of all of them that is gone through from end to end: RangeMap, the sweep that makes one of many,
 * and RangeDeletes, which a table holds.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compareKeys } from '../../../src/shared/base/bytes.ts';
import { EntryBatch, MAX_BATCH_ROWS } from '../../../src/shared/base/entry-batch.ts';
import { type RangeBoundary, RangeDeletes } from '../../../src/shared/ranges/range-deletes.ts';
import { RangeMap } from '../../../src/shared/ranges/range-map.ts';
import { type SweptRange, sweep } from '../../../src/shared/ranges/range-sweep.ts';
import { type RangeSource, Stretch } from '../../../src/shared/ranges/stretch.ts';
import { type Random, seededRandom } from '../../helpers/rng.ts';
import { runBudget, runSeed } from '../../helpers/run-budget.ts';

const ROUNDS = runBudget('STRATA_RANGE_MAP_ROUNDS', 12);
const NEWEST = Number.MAX_SAFE_INTEGER;

/** Keys that are prefixes of each other, begin alike, and lie on both sides of any four bytes. */
function randomKey(random: Random): Uint8Array {
  const number = random.below(400);
  if (random.chance(0.1)) return Buffer.alloc(random.below(6), random.pick([0, 0x61, 0xff]));
  if (random.chance(0.3)) return Buffer.from(`a long common beginning ${String(number).padStart(3, '0')}`);
  return Buffer.from(`k${String(number).padStart(3, '0')}`);
}

/** `count` ranges, each newer than those before it. */
function randomRanges(random: Random, count: number, first = 1): SweptRange[] {
  const ranges: SweptRange[] = [];
  while (ranges.length < count) {
    const [a, b] = [randomKey(random), randomKey(random)];
    const order = compareKeys(a, b);
    const end = random.chance(0.01) ? undefined : order < 0 ? b : a;
    if (order === 0) continue;
    ranges.push({ start: order < 0 ? a : b, end, sequence: first + ranges.length });
  }
  return ranges;
}

/** Short ones beside each other: many boundaries, and many chunks of them. */
function manyRanges(random: Random, count: number, first = 1): SweptRange[] {
  return Array.from({ length: count }, (_, i) => {
    const number = random.below(4000);
    const keyOf = (n: number): Uint8Array => Buffer.from(`many ${String(n).padStart(5, '0')}`);
    return { start: keyOf(number), end: keyOf(number + random.between(1, 3)), sequence: first + i };
  });
}

function newestOver(ranges: readonly SweptRange[], key: Uint8Array, maxSequence = NEWEST): number {
  let newest = 0;
  for (const { start, end, sequence } of ranges)
    if (
      sequence <= maxSequence &&
      sequence > newest &&
      compareKeys(start, key) <= 0 &&
      (end === undefined || compareKeys(key, end) < 0)
    )
      newest = sequence;
  return newest;
}

/** All bounds, what lies right behind and in front of each, and some others; in order. */
function probes(random: Random, ranges: readonly SweptRange[]): Uint8Array[] {
  const bounds = ranges.flatMap(({ start, end }) => (end === undefined ? [start] : [start, end]));
  const some = bounds.length > 200 ? bounds.filter(() => random.chance(200 / bounds.length)) : bounds;
  const keys = some.flatMap((key) => [key, Buffer.concat([key, Buffer.alloc(1)]), key.subarray(0, -1)]);
  for (let i = 0; i < 40; i++) keys.push(randomKey(random));
  return keys.sort(compareKeys);
}

/** What `source` says of each key, asked in any order, with one stretch as a scan has it. */
function checkStretches(
  random: Random,
  source: RangeSource,
  ranges: readonly SweptRange[],
  keys: readonly Uint8Array[],
  maxSequence = NEWEST,
): void {
  const stretch = new Stretch();
  let at = 0;
  for (let i = 0; i < keys.length * 2; i++) {
    // To and fro in small steps, now and then far away.
    at = random.chance(0.05) ? random.below(keys.length) : at + random.between(-2, 3);
    const key = keys[(at + keys.length) % keys.length]!;
    source.stretchAt(key, 0, key.length, maxSequence, stretch);
    assert.equal(stretch.sequence, newestOver(ranges, key, maxSequence));
    if (stretch.start !== undefined) {
      assert.ok(compareKeys(stretch.start, key) <= 0);
      assert.equal(newestOver(ranges, stretch.start, maxSequence), stretch.sequence);
    }
    if (stretch.end !== undefined) assert.ok(compareKeys(key, stretch.end) < 0);
    for (const other of [keys[Math.max(0, at - 1)], keys[at + 1]])
      if (
        other !== undefined &&
        (stretch.start === undefined || compareKeys(stretch.start, other) <= 0) &&
        (stretch.end === undefined || compareKeys(other, stretch.end) < 0)
      )
        assert.equal(newestOver(ranges, other, maxSequence), stretch.sequence, 'a stretch is one throughout');
  }
}

/** What `source` says of rows of a batch, in runs of any length, from a stretch near them or from nothing. */
function checkRows(
  random: Random,
  source: RangeSource,
  ranges: readonly SweptRange[],
  keys: readonly Uint8Array[],
  maxSequence = NEWEST,
): void {
  for (let first = 0; first < keys.length; ) {
    const some = keys.slice(first, first + random.between(1, MAX_BATCH_ROWS));
    const batch = new EntryBatch();
    const bytes = Buffer.concat(some);
    batch.beginScattered(bytes, new DataView(bytes.buffer));
    let position = 0;
    for (const { length } of some) {
      batch.add(position, position + length, 0, 0, 1, 0);
      position += length;
    }
    const near = new Stretch();
    if (random.chance(0.5)) source.stretchAt(some[0]!, 0, some[0]!.length, maxSequence, near);
    const from = random.below(some.length);
    const into = new Float64Array(MAX_BATCH_ROWS).fill(-1);
    source.coverRows({ batch, maxSequence, near }, from, some.length, into);
    for (const [row, key] of some.entries())
      assert.equal(into[row], row < from ? -1 : newestOver(ranges, key, maxSequence));
    first += some.length;
  }
}

function checkMap(random: Random, map: RangeMap, ranges: readonly SweptRange[]): void {
  const keys = probes(random, ranges);
  for (const key of keys) assert.equal(map.sequenceAt(key, 0, key.length), newestOver(ranges, key));
  checkStretches(random, map, ranges, keys);
  checkRows(random, map, ranges, keys);
  let before: Uint8Array | undefined;
  let boundaries = 0;
  for (const [key, sequence] of map) {
    assert.ok(before === undefined || compareKeys(before, key) < 0, 'boundaries rise');
    assert.ok(boundaries > 0 || sequence > 0, 'the first deletes something');
    assert.equal(sequence, newestOver(ranges, key));
    before = key;
    boundaries++;
  }
  assert.equal(map.length, boundaries);
}

test('RangeMap says of every key what a list of all ranges says, range after range and older maps as well', (t) => {
  const random = seededRandom(runSeed(t));
  for (let round = 0; round < ROUNDS; round++) {
    const ranges = randomRanges(random, random.between(1, 60));
    let map = RangeMap.empty();
    const older: { readonly map: RangeMap; readonly count: number }[] = [];
    for (const [i, { start, end, sequence }] of ranges.entries()) {
      map = map.assign(start, end, sequence);
      if (random.chance(0.1)) older.push({ map, count: i + 1 });
    }
    checkMap(random, map, ranges);
    for (const old of older) checkMap(random, old.map, ranges.slice(0, old.count));
  }
});

test('RangeMap of many chunks, and with many ranges at once on top of it', (t) => {
  const random = seededRandom(runSeed(t));
  for (const more of [5, 100, 1200]) {
    const ranges = manyRanges(random, 1200);
    let map = RangeMap.empty();
    for (const { start, end, sequence } of ranges) map = map.assign(start, end, sequence);
    checkMap(random, map, ranges);
    const newer = [...manyRanges(random, more, 1201), ...randomRanges(random, 3, 1201 + more)];
    // In any order: each says by its sequence how new it is.
    const shuffled = newer
      .map((range) => ({ range, place: random.next() }))
      .sort((a, b) => a.place - b.place)
      .map(({ range }) => range);
    checkMap(random, map.assignAll(shuffled), [...ranges, ...newer]);
  }
});

test('a sweep has the boundaries at which the newest range changes, and no others', (t) => {
  const random = seededRandom(runSeed(t));
  for (let round = 0; round < ROUNDS; round++) {
    const ranges = randomRanges(random, random.below(60));
    const found = sweep(ranges).map((piece) => {
      assert.ok('key' in piece);
      return [Buffer.from(piece.key).toString('hex'), piece.sequence];
    });
    const bounds = ranges
      .flatMap(({ start, end }) => (end === undefined ? [start] : [start, end]))
      .sort(compareKeys);
    const expected: [string, number][] = [];
    let before = 0;
    for (const [i, key] of bounds.entries()) {
      if (i > 0 && compareKeys(key, bounds[i - 1]!) === 0) continue;
      const sequence = newestOver(ranges, key);
      if (sequence !== before) expected.push([Buffer.from(key).toString('hex'), sequence]);
      before = sequence;
    }
    assert.deepEqual(found, expected);
  }
});

/** As a table has them: of each stretch some of the sequences that cover it, newest first. */
function boundariesOf(ranges: readonly SweptRange[]): RangeBoundary[] {
  const keys = ranges.flatMap(({ start, end }) => [start, end!]).sort(compareKeys);
  const boundaries: RangeBoundary[] = [];
  for (const [i, key] of keys.entries()) {
    if (i > 0 && compareKeys(key, keys[i - 1]!) === 0) continue;
    const covering = ranges.filter(
      ({ start, end }) => compareKeys(start, key) <= 0 && compareKeys(key, end!) < 0,
    );
    boundaries.push({ key, sequences: covering.map(({ sequence }) => sequence).sort((a, b) => b - a) });
  }
  return boundaries;
}

test("a table's deleted ranges say at every moment what a list of all says, also behind their encoding", (t) => {
  const random = seededRandom(runSeed(t));
  for (let round = 0; round < ROUNDS; round++) {
    const ranges = [
      ...randomRanges(random, random.between(1, 40)),
      ...manyRanges(random, random.below(200), 41),
    ].filter(({ end }) => end !== undefined);
    if (ranges.length === 0) continue;
    const encoded = RangeDeletes.of(boundariesOf(ranges)).bytes;
    const deletes = RangeDeletes.decode(encoded)!;
    const keys = probes(random, ranges);
    for (const maxSequence of [NEWEST, random.below(240), 0]) {
      for (const key of keys)
        assert.equal(
          deletes.sequenceAt(key, 0, key.length, maxSequence),
          newestOver(ranges, key, maxSequence),
        );
      checkStretches(random, deletes, ranges, keys, maxSequence);
      checkRows(random, deletes, ranges, keys, maxSequence);
    }
    // Cut short, they are refused or say no more than there is.
    for (let i = 0; i < 20; i++) RangeDeletes.decode(encoded.subarray(0, random.below(encoded.length)));
  }
});
