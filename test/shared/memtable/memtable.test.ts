/**
 * The memtable against a sorted list of the same writes: order, versions, lookups, iterators both ways while inserting.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Entry } from '../../../src/shared/base/entry.ts';
import { MemtableIterator, memtableIterator } from '../../../src/shared/memtable/memtable-iterator.ts';
import { KeyGenerator } from '../../helpers/key-generator.ts';
import { SHAPES } from '../../helpers/key-shapes.ts';
import { assertIterates, MemtableModel, toWrite, type Write } from '../../helpers/memtable-model.ts';
import { type Random, seededRandom } from '../../helpers/rng.ts';
import { runSeed } from '../../helpers/run-budget.ts';
import { toBytes } from '../../helpers/sorted-model.ts';

const MIB = 1048576;
const COUNT = 6000;

for (const { name, keys } of SHAPES) {
  test(`keys: ${name}: the memtable holds what a sorted list holds`, (t) => {
    const random = seededRandom(runSeed(t));
    const next = keys(random);
    const model = new MemtableModel(8 * MIB, 1_000_000_000_000);
    for (let i = 0; i < COUNT; i++) model.append(next(i), random.chance(0.2) ? undefined : `v${i}`);
    const all = model.sorted();
    assertIterates(memtableIterator(model.memtable.arena.buffer), all);
    assertLookups(model, random);
    assertSeeks(model, all, random);
  });
}

function assertLookups(model: MemtableModel, random: Random): void {
  const entry = new Entry();
  const { firstSequence } = model.memtable.arena;
  for (let i = 0; i < 300; i++) {
    const { key } = random.pick(model.writes);
    const probe = random.chance(0.2) ? `${key}\x00` : key;
    const upTo = firstSequence - 5 + random.below(COUNT + 10);
    const expected = model.writes.findLast((write) => write.key === probe && write.sequence <= upTo);
    const found = model.memtable.lookup(toBytes(probe), upTo, entry);
    assert.deepEqual(found ? toWrite(entry) : undefined, expected);
  }
}

function assertSeeks(model: MemtableModel, all: readonly Write[], random: Random): void {
  const iterator = new MemtableIterator(model.memtable, Number.MAX_SAFE_INTEGER);
  for (let i = 0; i < 200; i++) {
    const { key } = random.pick(model.writes);
    const probe = random.pick([key, `${key}\x00`, key.slice(0, -1), key.slice(0, 3), '', 'a', '\xff\xff']);
    const at = all.findIndex((write) => write.key >= probe);
    const isFound = iterator.seek(toBytes(probe));
    assert.deepEqual(isFound ? toWrite(iterator.entry) : undefined, at < 0 ? undefined : all[at]);
    const before = at < 0 ? all.at(-1) : all[at - 1];
    const isBefore = iterator.seekBefore(toBytes(probe));
    assert.deepEqual(isBefore ? toWrite(iterator.entry) : undefined, before);
  }
}

test('iterators stay on their moment, both ways, while writes go on', (t) => {
  const random = seededRandom(runSeed(t));
  const model = new MemtableModel(8 * MIB);
  const generator = new KeyGenerator(random, { reuse: 0.4, remembered: 300 });
  const write = (): void =>
    model.append(generator.next(), random.chance(0.3) ? undefined : `${random.next()}`);
  for (let i = 0; i < 200; i++) write();
  for (let round = 0; round < 60; round++) {
    const moment = model.memtable.nextSequence - 1;
    const expected = model.sorted(moment);
    const iterator = new MemtableIterator(model.memtable, moment);
    let at = random.below(expected.length);
    assert.ok(iterator.seek(toBytes(expected[at]!.key)));
    at = expected.findIndex(({ key }) => key === expected[at]!.key);
    for (let step = 0; step < 80; step++) {
      for (let n = random.below(4); n > 0; n--) write();
      assert.deepEqual(toWrite(iterator.entry), expected[at]);
      const isForward = random.chance(0.5);
      at += isForward ? 1 : -1;
      const isThere = isForward ? iterator.next() : iterator.prev();
      assert.equal(isThere, at >= 0 && at < expected.length);
      if (!isThere) break;
    }
  }
});

test('a lookup in an empty memtable, or of a moment before it, finds nothing', () => {
  const model = new MemtableModel(65536, 100);
  const entry = new Entry();
  assert.equal(model.memtable.lookup(toBytes('k'), 200, entry), false);
  model.append('k', 'v');
  assert.equal(model.memtable.lookup(toBytes('k'), 99, entry), false);
  assert.equal(model.memtable.lookup(toBytes('k'), 100, entry), true);
  const empty = new MemtableIterator(new MemtableModel(65536).memtable, 1);
  assert.equal(empty.seekToFirst() || empty.seekToLast() || empty.seek(toBytes('')), false);
});

test('keys and values of every length around the varint limits come back', () => {
  const model = new MemtableModel(32 * MIB);
  const lengths = [0, 1, 47, 48, 49, 127, 128, 129, 16383, 16384, 16385, 65535, 65536];
  for (const keyLength of lengths)
    for (const valueLength of [0, 1, 127, 128, 16383, 16384, 200_000])
      model.append('k'.repeat(keyLength), String.fromCharCode(33 + (keyLength % 90)).repeat(valueLength));
  assertIterates(memtableIterator(model.memtable.arena.buffer), model.sorted());
});
