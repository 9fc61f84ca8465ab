/**
 * Ranges of keys as callers give them: prefixes, what is no range, which tables compact() takes.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KeyRange } from '../../src/main/index.ts';
import { resolveDeleteRange, resolveKeyRange } from '../../src/shared/base/key-range.ts';
import { MAX_KEY_BYTES } from '../../src/shared/base/limits.ts';
import { attachHere } from '../helpers/clients.ts';
import { failsWith, keyOf, openTiny, valueFor } from '../helpers/engines.ts';
import { KeyGenerator, MIXED_KEYS } from '../helpers/key-generator.ts';
import { seededRandom } from '../helpers/rng.ts';
import { runBudget, runSeed } from '../helpers/run-budget.ts';

const INVALID = 'STRATA_INVALID_ARGUMENT';
const NOT_RANGES: readonly unknown[] = [
  null,
  'a',
  7,
  [],
  { gt: 1 },
  { gte: null },
  { lt: {} },
  { lte: '\ud800' },
  { prefix: 5 },
  { prefix: 'k'.repeat(MAX_KEY_BYTES + 1) },
  { prefix: 'a', gt: 'a' },
  { prefix: 'a', gte: '' },
  { prefix: '', lt: 'b' },
  { prefix: 'a', lte: 'b' },
  { from: 'a' },
  { gte: 'a', end: 'b' },
  { Prefix: 'a' },
];

function bytes(key: string): Buffer {
  return Buffer.from(key, 'latin1');
}

test('a scan by prefix gives the keys that begin so, on the engine and on a client', async (t) => {
  const random = seededRandom(runSeed(t));
  const engine = await openTiny(t);
  const client = await attachHere(t, engine);
  const keys = new KeyGenerator(random, MIXED_KEYS);
  const model = new Set<string>();
  for (let i = 0; i < 300; i++) {
    const key = keys.next();
    model.add(key);
    await engine.put(bytes(key), 'v');
    if (i === 200) await engine.flush();
  }
  const moments = { engine: engine.snapshot(), client: client.snapshot() };
  const sorted = [...model].sort();
  await engine.put('later', 'v');
  for (let round = runBudget('STRATA_PREFIX_ROUNDS', 300); round > 0; round--) {
    const near = keys.nearby();
    const prefix = random.pick(['', '\xff', '\xff\xff', '\xff\xff\xff', 'user:', near, near.slice(0, 2)]);
    const [reverse, limit] = [random.chance(0.5), random.pick([undefined, 0, 1, 7, -1])];
    const expected = sorted.filter((key) => key.startsWith(prefix));
    if (reverse) expected.reverse();
    if (limit !== undefined && limit >= 0) expected.length = Math.min(limit, expected.length);
    const options = { prefix: bytes(prefix), reverse, limit, gt: undefined, lte: undefined };
    const scan = random.chance(0.5)
      ? engine.scan({ ...options, snapshot: moments.engine })
      : client.scan({ ...options, snapshot: moments.client });
    const found = Array.from(scan, ([key]) => key.toString('latin1'));
    assert.deepEqual(found, expected, JSON.stringify({ prefix, reverse, limit }));
  }
  moments.engine.close();
  moments.client.close();
});

test('what is no range is refused by all that takes one', async (t) => {
  const engine = await openTiny(t);
  const client = await attachHere(t, engine);
  for (const wrong of NOT_RANGES as never[]) {
    const takers: (() => unknown)[] = [
      () => engine.scan(wrong),
      () => client.scan(wrong),
      () => engine.compact(wrong),
      () => client.compact(wrong),
      () => resolveDeleteRange(wrong),
    ];
    for (const take of takers) await failsWith(INVALID, take);
  }
  const mixed = [
    { start: 'a', prefix: 'b' },
    { end: 'b', gte: 'a' },
    { start: 'a', lt: 'b' },
    { start: 7 },
    { all: true },
  ] as never[];
  for (const range of mixed) {
    await failsWith(INVALID, engine.compact(range));
    await failsWith(INVALID, client.compact(range));
  }
});

test('a range for deletion says what it means: no bound that is defined is no range', () => {
  const end = (range: KeyRange): string =>
    Buffer.from(resolveDeleteRange(range)?.end ?? []).toString('latin1');
  for (const wrong of [
    {},
    { prefix: undefined },
    { gt: undefined, gte: undefined, lt: undefined, lte: undefined },
    { all: false },
    { all: 1 },
    { all: 'true' },
    { all: null },
    { all: undefined },
    { all: true, prefix: '' },
    { all: true, lt: 'b' },
    { ALL: true },
  ])
    assert.throws(() => resolveDeleteRange(wrong as never), { code: INVALID }, JSON.stringify(wrong));
  const everything = { start: new Uint8Array(0), end: undefined };
  assert.deepEqual(resolveDeleteRange({ all: true }), everything);
  assert.deepEqual(resolveDeleteRange({ all: true, prefix: undefined } as never), everything);
  assert.deepEqual(resolveDeleteRange({ prefix: '' }), everything);
  assert.deepEqual(resolveDeleteRange({ gte: '' }), everything);
  assert.equal(end({ prefix: 'ab' }), 'ac');
  assert.equal(end({ prefix: bytes('a\xff\xff') }), 'b');
  assert.equal(end({ lt: 'b', prefix: undefined }), 'b');
  assert.equal(end({ gt: 'a', lte: 'b', lt: 'z' }), 'b\0');
  for (const empty of [{ gte: 'b', lt: 'a' }, { gt: 'a', lt: 'a' }, { lt: '' }])
    assert.equal(resolveDeleteRange(empty), undefined, JSON.stringify(empty));
});

test('bounds at the greatest length of a key stay keys, and mean the same', () => {
  const longest = Buffer.alloc(MAX_KEY_BYTES, 'k');
  const after = Buffer.from(longest);
  after[MAX_KEY_BYTES - 1]!++;
  assert.deepEqual(resolveKeyRange({ gt: longest }), { start: new Uint8Array(after), end: undefined });
  assert.deepEqual(resolveKeyRange({ lte: longest }), { start: undefined, end: new Uint8Array(after) });
  const last = Buffer.alloc(MAX_KEY_BYTES, 0xff);
  assert.deepEqual(resolveKeyRange({ lte: last }), { start: undefined, end: undefined });
  // No key lies behind the last one there can be.
  assert.equal(resolveDeleteRange({ gt: last }), undefined);
});

test('compact() of a prefix clears that range and no other, for clients as well', async (t) => {
  const engine = await openTiny(t);
  const client = await attachHere(t, engine);
  // Three tables in level 0: with a fourth they would be compacted without being asked for.
  const groups = ['a', 'b', 'c'];
  for (const group of groups) for (let i = 0; i < 100; i++) await engine.put(group + keyOf(i), valueFor(i));
  await engine.compact();
  for (const group of groups) {
    for (let i = 0; i < 100; i += 10) await engine.delete(group + keyOf(i));
    await engine.flush();
    await engine.compact({ gt: 'x' });
  }
  const tombstones = (): number => engine.stats().levels.reduce((sum, level) => sum + level.tombstones, 0);
  assert.equal(tombstones(), 30, 'nothing was to be done yet');
  await engine.compact({ lt: 'a' });
  await engine.compact({ start: 'c', end: 'a' });
  await client.compact({ gte: 'c', lt: 'b' });
  assert.equal(tombstones(), 30);
  await engine.compact({ prefix: 'b' });
  assert.equal(tombstones(), 20);
  await client.compact({ gte: `c${keyOf(0)}`, lte: `c${keyOf(99)}`, lt: undefined });
  assert.equal(tombstones(), 10);
  await client.compact({ prefix: '' });
  assert.equal(tombstones(), 0);
});
