/**
 * Ranges of keys as callers give them: prefixes, what is no range, which tables compact() takes, about how large a range is.
 */
import assert from 'node:assert/strict';
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { KeyRange, StorageEngine } from '../../src/main/index.ts';
import { resolveDeleteRange, resolveKeyRange } from '../../src/shared/base/key-range.ts';
import { MAX_KEY_BYTES } from '../../src/shared/base/limits.ts';
import { attachHere } from '../helpers/clients.ts';
import { coldStore } from '../helpers/cold-disk.ts';
import { failsWith, fill, keyOf, openTiny, reopen, valueFor } from '../helpers/engines.ts';
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
      () => engine.approximateSize(wrong),
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
  // By the promise, never by the call.
  assert.ok(
    (await Promise.allSettled([engine.approximateSize(undefined as never)]))[0]?.status === 'rejected',
  );
  await engine.close();
  await failsWith('STRATA_CLOSED', engine.approximateSize({}));
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
  // The wrong way round within a table.
  await client.compact({ gte: `b${keyOf(60)}`, lt: `b${keyOf(20)}` });
  assert.equal(tombstones(), 30);
  await engine.compact({ prefix: 'b' });
  assert.equal(tombstones(), 20);
  await client.compact({ gte: `c${keyOf(0)}`, lte: `c${keyOf(99)}`, lt: undefined });
  assert.equal(tombstones(), 10);
  await client.compact({ prefix: '' });
  assert.equal(tombstones(), 0);
});

/** The sizes of the ranges between `cuts`, which make up the store. */
async function partsOf(engine: StorageEngine, cuts: readonly string[]): Promise<number[]> {
  const sizes: number[] = [];
  for (let i = 0; i <= cuts.length; i++)
    sizes.push(await engine.approximateSize({ gte: cuts[i - 1], lt: cuts[i] }));
  return sizes;
}

function sumOf(sizes: readonly number[]): number {
  return sizes.reduce((sum, size) => sum + size, 0);
}

test('approximateSize() of parts adds up to that of the store, and is in proportion to what they hold', async (t) => {
  const random = seededRandom(runSeed(t));
  const count = 3000;
  // One table, and some fifty that fill their files differently. Keys and values are all of one length.
  const layouts = [
    { options: { maxFileSize: 1048576, writeBufferSize: 1048576 }, tolerance: 0.005 },
    { options: {}, tolerance: 0.06 },
  ];
  for (const { options, tolerance } of layouts) {
    const opened = await openTiny(t, { ...options, compression: 'none' });
    await fill(opened, count);
    await opened.compact();
    const engine = await reopen(t, opened, options);
    const { tableBytes } = engine.stats();
    assert.equal(await engine.approximateSize({}), tableBytes);
    assert.equal(engine.stats().openTables, 0, 'whole tables are not opened');
    for (let round = 0; round < 20; round++) {
      const cuts = Array.from({ length: random.between(1, 5) }, () => random.below(count)).sort(
        (a, b) => a - b,
      );
      const sizes = await partsOf(engine, cuts.map(keyOf));
      assert.ok(Math.abs(sumOf(sizes) - tableBytes) <= sizes.length, `${sizes} of ${tableBytes}`);
      for (const [i, size] of sizes.entries()) {
        const share = ((cuts[i] ?? count) - (cuts[i - 1] ?? 0)) / count;
        const wrong = Math.abs(size - share * tableBytes);
        assert.ok(wrong < 300 + tolerance * tableBytes, `part ${i} of ${cuts}: wrong by ${wrong}`);
      }
    }
    const one = await engine.approximateSize({ prefix: keyOf(7) });
    assert.ok(one > 0 && one < 300, `a key takes ${one}`);
    for (const nothing of [{ prefix: 'z' }, { lt: 'a' }, { gte: keyOf(9), lt: keyOf(3) }])
      assert.equal(await engine.approximateSize(nothing), 0, JSON.stringify(nothing));
  }
});

test('approximateSize() counts the logs of what is in no table yet', async (t) => {
  const random = seededRandom(runSeed(t));
  const engine = await openTiny(t, { writeBufferSize: 4 * 1024 * 1024 });
  assert.equal(await engine.approximateSize({}), 0);
  await engine.put(keyOf(0), 'v');
  await engine.put(keyOf(3), 'v');
  const [low, high] = await partsOf(engine, [keyOf(2)]);
  assert.equal(low, high, 'exact where one leaf has all');
  const count = 10_000;
  for (let i = 0; i < count; i++) await engine.put(keyOf(random.below(count)), valueFor(i));
  const logs = readdirSync(engine.path).filter((name) => name.endsWith('.log'));
  const logBytes = sumOf(logs.map((name) => statSync(join(engine.path, name)).size));
  assert.equal(await engine.approximateSize({}), logBytes);
  for (let i = 0; i < 20; i++) {
    const cut = random.below(count);
    const sizes = await partsOf(engine, [keyOf(cut)]);
    assert.ok(Math.abs(sumOf(sizes) - logBytes) <= 2);
    const wrong = Math.abs(sizes[0]! / logBytes - cut / count);
    assert.ok(wrong < 0.08, `${cut}: wrong by ${wrong}`);
  }
  assert.equal(await engine.approximateSize({ gt: 'z' }), 0);
});

test('approximateSize() waits for no disk in the call', async (t) => {
  const { disk, engine } = await coldStore(t, 'engine', 1000);
  const release = disk.hold('open');
  const asked = engine.approximateSize({ lt: keyOf(501) });
  const rest = engine.approximateSize({ gte: keyOf(501) });
  release();
  const { tableBytes } = engine.stats();
  assert.ok(Math.abs((await asked) + (await rest) - tableBytes) <= 2);
  assert.equal(disk.inCall, 0);
  assert.equal(disk.blockReads.length, 0, 'the index tells');
});
