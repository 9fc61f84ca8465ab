/**
 * Sequences of entries that do not hold them: right whatever the sizes of entries, wherever they begin, however they came
 * into the memtable, and whoever reads them.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Entry } from '../../../src/shared/base/entry.ts';
import { EntryBatch } from '../../../src/shared/base/entry-batch.ts';
import type { InternalIterator } from '../../../src/shared/base/iterator.ts';
import { RECORD_HEADER_BYTES } from '../../../src/shared/log/log-format.ts';
import { WriteBatch } from '../../../src/shared/log/write-batch.ts';
import { relativeSequence } from '../../../src/shared/memtable/arena.ts';
import { ConcurrentMemtable } from '../../../src/shared/memtable/concurrent-memtable.ts';
import { MemtableIterator, memtableIterator } from '../../../src/shared/memtable/memtable-iterator.ts';
import {
  assertIterates,
  assertSameWrites,
  inOrder,
  MemtableModel,
  toWrite,
  type Write,
} from '../../helpers/memtable-model.ts';
import { type Random, seededRandom } from '../../helpers/rng.ts';
import { runSeed } from '../../helpers/run-budget.ts';
import { toBytes } from '../../helpers/sorted-model.ts';

const COUNT = 3000;
const FIRST_SEQUENCE = 5_000_000_000;

type NextWrite = readonly [key: string, value: string | undefined];

const SHAPES: readonly { readonly name: string; readonly next: (random: Random) => NextWrite }[] = [
  { name: 'nothing', next: (random) => ['', random.pick(['', undefined])] },
  { name: 'tiny', next: (random) => [letter(random, 2), random.pick([undefined, '', 'v'])] },
  { name: 'half a bucket', next: (random) => [letter(random, 9), 'v'.repeat(random.between(490, 530))] },
  { name: 'a bucket', next: (random) => [letter(random, 9), 'v'.repeat(random.between(1000, 1024))] },
  { name: 'many buckets', next: (random) => [letter(random, 9), 'v'.repeat(random.below(9000))] },
  {
    name: 'mixed',
    next: (random) => [letter(random, 5), random.pick([undefined, '', 'v', 'v'.repeat(random.below(3000))])],
  },
];

function letter(random: Random, lengthBelow: number): string {
  return 'abc'[random.below(3)]!.repeat(random.below(lengthBelow));
}

/** Bytes in the arena, of the entries of one group. */
type Group = readonly [start: number, end: number];

/** Groups as commits make them: a record's header, then single writes and batches. */
function fill(model: MemtableModel, next: () => NextWrite, random: Random): Group[] {
  const { memtable, writes } = model;
  const groups: Group[] = [];
  while (writes.length < COUNT) {
    const start = memtable.arena.reserve(RECORD_HEADER_BYTES) + RECORD_HEADER_BYTES;
    for (let n = random.between(1, 4); n > 0; n--) {
      if (random.chance(0.5)) model.append(...next());
      else {
        const batch = new WriteBatch();
        for (let m = random.below(random.pick([2, 100])); m > 0; m--) {
          const [key, value] = next();
          writes.push({ key, value, sequence: memtable.nextSequence + batch.length });
          if (value === undefined) batch.delete(toBytes(key));
          else batch.put(toBytes(key), toBytes(value));
        }
        memtable.appendEncoded(WriteBatch.encoded(batch), 0, batch.byteLength);
      }
    }
    groups.push([start, memtable.arena.dataEnd]);
  }
  return groups;
}

/** All that the iterator walks over, taken in batches, each of them left at a row of its own. */
function walkedInBatches(iterator: InternalIterator, random: Random, refs: number[]): Write[] {
  const found: Write[] = [];
  const batch = new EntryBatch();
  const entry = new Entry();
  for (let stands = iterator.seekToFirst(); stands; stands = iterator.next()) {
    iterator.readBatch!(batch, random.between(1, 70));
    const rows = random.between(1, batch.count);
    for (let row = 0; row < rows; row++) {
      batch.readRow(row, entry);
      found.push(toWrite(entry));
      refs.push(batch.refs[row]!);
    }
    iterator.moveTo!(batch, rows - 1);
    assert.deepEqual(toWrite(iterator.entry), found.at(-1));
  }
  return found;
}

function assertSequences(model: MemtableModel, random: Random): void {
  const { memtable, writes } = model;
  const shared = new ConcurrentMemtable(memtable.arena.buffer);
  assertIterates(memtableIterator(memtable.arena.buffer), model.sorted());
  for (let i = 0; i < 4; i++) {
    const moment = FIRST_SEQUENCE - 1 + random.below(writes.length + 1);
    const expected = model.sorted(moment);
    for (const make of [() => new MemtableIterator(memtable, moment), () => shared.iterator(moment)]) {
      assertIterates(make(), expected);
      assertSameWrites(walkedInBatches(make(), random, []), expected, 'in batches');
    }
  }
  const entry = new Entry();
  for (let i = 0; i < 500; i++) {
    const { key } = random.pick(writes);
    const moment = FIRST_SEQUENCE - 1 + random.below(writes.length + 1);
    const expected = writes.findLast((write) => write.key === key && write.sequence <= moment);
    for (const reader of [memtable, shared]) {
      const isFound = reader.lookup(toBytes(key), moment, entry);
      assert.deepEqual(isFound ? toWrite(entry) : undefined, expected);
    }
  }
}

/** The first byte of each entry says how many before it start in the same 1024 bytes of the log. */
function assertOrdinals({ memtable, writes }: MemtableModel, random: Random): void {
  const { bytes, buffer, dataStart } = memtable.arena;
  const refs: number[] = [];
  walkedInBatches(memtableIterator(buffer), random, refs);
  assert.equal(refs.length, writes.length);
  refs.sort((a, b) => a - b);
  const counts = new Map<number, number>();
  for (const [i, ref] of refs.entries()) {
    const bucket = Math.floor((ref - dataStart) / 1024);
    const ordinal = counts.get(bucket) ?? 0;
    counts.set(bucket, ordinal + 1);
    assert.equal(bytes[ref], ordinal * 2 + (writes[i]!.value === undefined ? 0 : 1), `entry ${i} at ${ref}`);
  }
}

for (const { name, next } of SHAPES) {
  test(`entries of ${name}: every reader finds the sequences that were given`, (t) => {
    const random = seededRandom(runSeed(t));
    const model = new MemtableModel(32 << 20, FIRST_SEQUENCE);
    fill(model, () => next(random), random);
    assertSequences(model, random);
    assertOrdinals(model, random);
  });

  test(`entries of ${name}: in another memtable, as recovery puts them, they are numbered by their place there`, (t) => {
    const random = seededRandom(runSeed(t));
    const logs = [1, 2].map(() => {
      const model = new MemtableModel(32 << 20, 7);
      return { model, groups: fill(model, () => next(random), random) };
    });
    const copy = new MemtableModel(64 << 20, FIRST_SEQUENCE);
    copy.memtable.arena.reserve(random.below(1024));
    for (const { model, groups } of logs) {
      for (const { key, value } of model.writes)
        copy.writes.push({ key, value, sequence: FIRST_SEQUENCE + copy.writes.length });
      for (const [start, end] of groups) copy.memtable.appendEncoded(model.memtable.arena.bytes, start, end);
    }
    assert.equal(copy.memtable.nextSequence, FIRST_SEQUENCE + copy.writes.length);
    assertSequences(copy, random);
    assertOrdinals(copy, random);
  });
}

test('as many entries as a bucket can hold are told apart', () => {
  const model = new MemtableModel(65536, FIRST_SEQUENCE);
  for (let i = 0; i < 300; i++) model.append('', i % 2 === 0 ? '' : undefined);
  assertIterates(memtableIterator(model.memtable.arena.buffer), model.writes.slice().sort(inOrder));
  const { bytes, dataStart } = model.memtable.arena;
  // 128 entries of 8 bytes, the least there are, start in the first 1024.
  assert.equal(model.memtable.arena.dataEnd - dataStart, 300 * 8);
  assert.deepEqual(
    [127, 128, 255, 256].map((i) => bytes[dataStart + 8 * i]! >>> 1),
    [127, 0, 127, 0],
  );
});

test('an entry has its sequence before it is in the index, where other threads find it', () => {
  const random = seededRandom(7);
  const model = new MemtableModel(32 << 20, FIRST_SEQUENCE);
  const { arena, tree } = model.memtable;
  const insert = tree.insert.bind(tree);
  let count = 0;
  tree.insert = (ref, keyStart, keyEnd) => {
    assert.equal(relativeSequence(arena.words, arena.bytes, ref), count++);
    insert(ref, keyStart, keyEnd);
  };
  fill(model, () => random.pick(SHAPES).next(random), random);
  assert.equal(count, model.writes.length);
});
