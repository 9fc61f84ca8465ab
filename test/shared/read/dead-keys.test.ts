/**
 * Scans behind deleted keys: forward and backward, at every moment, against a plain map; and that they pass them in leaps.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EntryKind } from '../../../src/shared/base/entry.ts';
import type { KeyRange } from '../../../src/shared/base/iterator.ts';
import { MemtableArena } from '../../../src/shared/memtable/arena.ts';
import { Memtable } from '../../../src/shared/memtable/memtable.ts';
import { MemtableIterator } from '../../../src/shared/memtable/memtable-iterator.ts';
import { MergingIterator } from '../../../src/shared/merge/merging-iterator.ts';
import { UserIterator } from '../../../src/shared/read/user-iterator.ts';
import { bytesOf } from '../../helpers/array-iterator.ts';
import { seededRandom } from '../../helpers/rng.ts';
import { freshSeed, reportSeed } from '../../helpers/run-budget.ts';

const NOTHING = new Uint8Array(0);
const keyOf = (i: number): string => `key:${String(i).padStart(5, '0')}`;

function write(memtable: Memtable, key: string, value: string | undefined): void {
  const bytes = bytesOf(key);
  const content = value === undefined ? NOTHING : bytesOf(value);
  const kind = value === undefined ? EntryKind.Delete : EntryKind.Put;
  memtable.append(kind, bytes, 0, bytes.length, content, 0, content.length);
}

function read(
  memtables: readonly Memtable[],
  sequence: number,
  range: KeyRange,
  reverse: boolean,
  limit = Number.POSITIVE_INFINITY,
): string[] {
  const children = memtables.map((memtable) => new MemtableIterator(memtable, sequence));
  const iterator = new UserIterator(new MergingIterator(children.toReversed()), range, sequence, reverse);
  const found: string[] = [];
  while (found.length < limit && iterator.next()) {
    const { keyBytes, keyStart, keyEnd, valueBytes, valueStart, valueEnd } = iterator.entry;
    const text = (bytes: Uint8Array, start: number, end: number) =>
      Buffer.from(bytes.slice(start, end)).toString();
    found.push(`${text(keyBytes, keyStart, keyEnd)}=${text(valueBytes, valueStart, valueEnd)}`);
  }
  iterator.close();
  return found;
}

function expected(model: ReadonlyMap<string, string>, range: KeyRange, reverse: boolean): string[] {
  const isInside = (key: string) =>
    (range.start === undefined || Buffer.compare(bytesOf(key), range.start) >= 0) &&
    (range.end === undefined || Buffer.compare(bytesOf(key), range.end) < 0);
  const keys = [...model.keys()].filter(isInside).sort();
  return (reverse ? keys.reverse() : keys).map((key) => `${key}=${model.get(key)}`);
}

test('scans behind many deleted keys see what a map sees, at every moment, in both directions', (t) => {
  const seed = freshSeed();
  reportSeed(t, seed);
  const random = seededRandom(seed);
  for (let round = 0; round < 12; round++) {
    const model = new Map<string, string>();
    const moments: { sequence: number; model: Map<string, string> }[] = [];
    const memtables: Memtable[] = [];
    const keys = 200 + random.below(1500);
    let next = 1;
    for (let i = 0; i < 1 + random.below(3); i++) {
      const memtable = new Memtable(MemtableArena.create(1 << 20, next));
      memtables.push(memtable);
      for (let step = 0; step < 12; step++) {
        // A stretch of deletes or of puts, or single ones anywhere.
        const start = random.below(keys);
        const length = random.below(3) === 0 ? 1 : random.below(600);
        const isDelete = random.below(4) !== 0 || step === 11;
        for (let k = start; k < Math.min(keys, start + length); k++) {
          const value = isDelete ? undefined : `${next}`;
          write(memtable, keyOf(k), value);
          if (value === undefined) model.delete(keyOf(k));
          else model.set(keyOf(k), value);
          next++;
        }
        moments.push({ sequence: next - 1, model: new Map(model) });
        // Of the present first, which leaves marks, and then of the past, for which they are not good.
        for (const moment of [moments.at(-1)!, moments[random.below(moments.length)]!]) {
          const a = bytesOf(keyOf(random.below(keys)));
          const b = bytesOf(keyOf(random.below(keys)));
          const [low, high] = Buffer.compare(a, b) < 0 ? [a, b] : [b, a];
          for (const range of [{}, { start: low }, { end: high }, { start: low, end: high }])
            for (const reverse of [false, true])
              assert.deepEqual(
                read(memtables, moment.sequence, range, reverse),
                expected(moment.model, range, reverse),
              );
        }
      }
    }
  }
});

test('an iterator that is open while others mark leaves and writes go on keeps its moment', () => {
  const memtable = new Memtable(MemtableArena.create(1 << 20, 1));
  for (let i = 0; i < 2000; i++) write(memtable, keyOf(i), 'old');
  const before = new UserIterator(
    new MergingIterator([new MemtableIterator(memtable, 2000)]),
    {},
    2000,
    false,
  );
  assert.ok(before.next());
  for (let i = 0; i < 1990; i++) write(memtable, keyOf(i), undefined);
  assert.equal(read([memtable], 3990, {}, false).length, 10);
  write(memtable, keyOf(1000), 'new');
  assert.deepEqual(read([memtable], 3991, {}, false, 1), [`${keyOf(1000)}=new`]);
  assert.deepEqual(read([memtable], 3991, { end: bytesOf(keyOf(1990)) }, true, 1), [`${keyOf(1000)}=new`]);
  let count = 1;
  while (before.next()) count++;
  assert.equal(count, 2000);
});

test('the head of a queue is found in leaps: a second look decodes next to nothing of what was deleted', () => {
  const memtable = new Memtable(MemtableArena.create(8 << 20, 1));
  for (let i = 0; i < 20000; i++) write(memtable, keyOf(i), 'x');
  for (let i = 0; i < 19990; i++) write(memtable, keyOf(i), undefined);
  class Counting extends MemtableIterator {
    steps = 0;
    override next(): boolean {
      this.steps++;
      return super.next();
    }
    override prev(): boolean {
      this.steps++;
      return super.prev();
    }
  }
  for (const reverse of [false, true]) {
    const child = new Counting(memtable, 39990);
    const range = reverse ? { end: bytesOf(keyOf(19990)) } : {};
    const iterator = new UserIterator(new MergingIterator([child]), range, 39990, reverse);
    assert.equal(iterator.next(), !reverse);
    assert.ok(child.steps < 200, `${child.steps} steps`);
    iterator.close();
  }
});
