/**
 * What a scan yields: bounds, directions, limits, slots, and one moment however long it takes.
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { Scan, ScanOptions, StorageEngine } from '../../src/main/index.ts';
import { keyOf, keysOf, openTiny, reopen, textsOf, valueFor } from '../helpers/engines.ts';
import { type Random, seededRandom } from '../helpers/rng.ts';
import { freshSeed, reportSeed } from '../helpers/run-budget.ts';

/** A store with data in the bottom level, in L0 and in the memtable, newer over older, tombstones over both. */
async function layered(t: TestContext): Promise<{ engine: StorageEngine; model: Map<string, string> }> {
  const engine = await openTiny(t);
  const model = new Map<string, string>();
  for (let layer = 0; layer < 4; layer++) {
    for (let i = layer; i < 200; i += layer + 1) {
      if ((i + layer) % 5 === 0) {
        await engine.delete(keyOf(i));
        model.delete(keyOf(i));
      } else {
        await engine.put(keyOf(i), valueFor(i, 40, layer));
        model.set(keyOf(i), valueFor(i, 40, layer));
      }
    }
    if (layer === 0) await engine.compact();
    if (layer === 1 || layer === 2) await engine.flush();
  }
  return { engine, model };
}

function expectedOf(model: ReadonlyMap<string, string>, range: ScanOptions): [string, string][] {
  const { gt, gte, lt, lte, limit } = range as {
    gt?: string;
    gte?: string;
    lt?: string;
    lte?: string;
    limit?: number;
  };
  const inside = [...model]
    .filter(
      ([key]) =>
        (gt === undefined || key > gt) &&
        (gte === undefined || key >= gte) &&
        (lt === undefined || key < lt) &&
        (lte === undefined || key <= lte),
    )
    .sort(([a], [b]) => (a < b ? -1 : 1));
  if (range.reverse === true) inside.reverse();
  return limit === undefined || limit === -1 ? inside : inside.slice(0, limit);
}

function randomRange(random: Random): ScanOptions {
  // Between the keys, before and after all of them, and on them.
  const bound = (): string =>
    random.pick([keyOf(random.below(200)), `${keyOf(random.below(200))}\0`, '', 'a', 'z', keyOf(199)]);
  const range: Record<string, unknown> = {};
  for (const name of ['gt', 'gte', 'lt', 'lte']) if (random.chance(0.35)) range[name] = bound();
  if (random.chance(0.5)) range['reverse'] = true;
  if (random.chance(0.3)) range['limit'] = random.pick([0, 1, 2, 10, 1000, -1]);
  return range;
}

test('every combination of bounds, direction and limit gives what a sorted map gives', async (t) => {
  const seed = freshSeed();
  reportSeed(t, seed);
  const random = seededRandom(seed);
  const { engine, model } = await layered(t);
  for (let i = 0; i < 600; i++) {
    const range = randomRange(random);
    const expected = expectedOf(model, range);
    const message = `${JSON.stringify(range)}, seed ${seed}`;
    assert.deepEqual(textsOf(engine.scan(range)), expected, message);
    if (i % 10 !== 0) continue;
    const awaited: [string, string][] = [];
    for await (const [key, value] of engine.scan(range)) awaited.push([key.toString(), value.toString()]);
    assert.deepEqual(awaited, expected, `for await: ${message}`);
    const batched: [string, string][] = [];
    const scan = engine.scan(range);
    for (let part = scan.nextMany(7); part.length > 0; part = scan.nextMany(7)) {
      assert.ok(part.length <= 7);
      for (const [key, value] of part) batched.push([key.toString(), value.toString()]);
    }
    assert.deepEqual(batched, expected, `nextMany: ${message}`);
  }
  assert.equal(engine.stats().openScans, 0);
});

test('empty ranges are empty', async (t) => {
  const { engine } = await layered(t);
  const k = keyOf(7);
  const ranges: ScanOptions[] = [
    { gte: 'b', lt: 'a' },
    { gt: k, lt: k },
    { gte: k, lt: k },
    { gt: k, lte: k },
    { gt: 'z' },
    { lt: '' },
    { limit: 0 },
  ];
  for (const range of ranges) {
    for (const reverse of [false, true]) {
      assert.deepEqual(keysOf(engine.scan({ ...range, reverse })), [], JSON.stringify(range));
      assert.deepEqual(engine.scan({ ...range, reverse }).nextMany(5), []);
    }
  }
  assert.equal(engine.stats().openScans, 0);
});

test('bounds are bytes: strings, buffers, zero bytes and 0xff', async (t) => {
  const engine = await openTiny(t);
  const keys = [[], [0], [0, 0], [0, 255], [1], [254], [255], [255, 0], [255, 255]].map((k) =>
    Buffer.from(k),
  );
  for (const key of keys) await engine.put(key, 'v');
  const scanned = (range: ScanOptions): Buffer[] => Array.from(engine.scan(range), ([key]) => key);
  for (let i = 0; i < keys.length; i++) {
    const bound = keys[i]!;
    assert.deepEqual(scanned({ gte: bound }), keys.slice(i));
    assert.deepEqual(scanned({ gt: bound }), keys.slice(i + 1));
    assert.deepEqual(scanned({ lt: bound }), keys.slice(0, i));
    assert.deepEqual(scanned({ lte: bound }), keys.slice(0, i + 1));
    assert.deepEqual(scanned({ lte: bound, reverse: true }), keys.slice(0, i + 1).reverse());
  }
});

test('keys: false and values: false leave their slot undefined', async (t) => {
  const { engine, model } = await layered(t);
  const sorted = expectedOf(model, {});
  for (const reverse of [false, true]) {
    const expected = reverse ? sorted.toReversed() : sorted;
    const keysOnly = Array.from(engine.scan({ values: false, reverse }), ([k, v]) => [k.toString(), v]);
    assert.deepEqual(
      keysOnly,
      expected.map(([key]) => [key, undefined]),
    );
    const valuesOnly = Array.from(engine.scan({ keys: false, reverse }), ([k, v]) => [k, v.toString()]);
    assert.deepEqual(
      valuesOnly,
      expected.map(([, value]) => [undefined, value]),
    );
    const neither = engine.scan({ keys: false, values: false, reverse });
    assert.equal(Array.from(neither).length, expected.length);
  }
});

test('a scan sees the moment of the call, whatever is written, flushed and compacted while it runs', async (t) => {
  for (const reverse of [false, true]) {
    const { engine, model } = await layered(t);
    const expected = expectedOf(model, { reverse });
    const scan = engine.scan({ reverse });
    // The first entry is asked for only after the store has changed.
    await engine.put('a new first', 'x');
    await engine.put('zz new last', 'x');
    const seen: [string, string][] = [];
    let step = 0;
    for (let part = scan.nextMany(20); part.length > 0; part = scan.nextMany(20)) {
      for (const [key, value] of part) seen.push([key.toString(), value.toString()]);
      for (let i = 0; i < 200; i += 2) await engine.put(keyOf(i), `rewritten ${step}`);
      for (let i = 1; i < 200; i += 2) await engine.delete(keyOf(i));
      if (step % 3 === 0) await engine.flush();
      if (step % 3 === 1) await engine.compact();
      step++;
    }
    assert.deepEqual(seen, expected, reverse ? 'backwards' : 'forwards');
    assert.ok(step > 4);
    assert.equal(keysOf(engine.scan()).length, 102);
    await engine.close();
  }
});

test('a scan does not see writes that were not acknowledged at its call', async (t) => {
  const engine = await openTiny(t);
  await engine.put('a', '1');
  const pending = engine.put('b', '2');
  const scan = engine.scan();
  await pending;
  assert.deepEqual(keysOf(scan), ['a']);
  assert.deepEqual(keysOf(engine.scan()), ['a', 'b']);
});

test('many scans at once do not disturb each other', async (t) => {
  const { engine, model } = await layered(t);
  const expected = expectedOf(model, {});
  const scans = Array.from({ length: 30 }, (_, i) => engine.scan({ reverse: i % 2 === 1 }));
  assert.equal(engine.stats().openScans, 30);
  const seen = scans.map((): string[] => []);
  for (let i = 0; i < expected.length; i++) {
    scans.forEach((scan, which) => {
      const [entry] = scan.nextMany(1);
      seen[which]!.push(entry![0].toString());
    });
    if (i % 40 === 0) await engine.put(keyOf(i), 'changed');
    if (i === 60) await engine.compact();
  }
  const keys = expected.map(([key]) => key);
  seen.forEach((list, which) => {
    assert.deepEqual(list, which % 2 === 1 ? keys.toReversed() : keys);
  });
  for (const scan of scans) assert.deepEqual(scan.nextMany(1), []);
  assert.equal(engine.stats().openScans, 0);
});

test('a scan steps over a hundred thousand tombstones', async (t) => {
  const engine = await openTiny(t, { writeBufferSize: 1 << 20, maxFileSize: 1 << 20 });
  const deletes: Promise<void>[] = [];
  for (let i = 0; i < 100_000; i++) deletes.push(engine.delete(keyOf(i)));
  await Promise.all(deletes);
  await engine.put('a', '1');
  await engine.put('z', '2');
  assert.deepEqual(keysOf(engine.scan()), ['a', 'z']);
  assert.deepEqual(keysOf(engine.scan({ reverse: true })), ['z', 'a']);
});

test('a scan opens no table that has no key in its range', async (t) => {
  let engine = await openTiny(t, { writeBufferSize: 65536 });
  for (let table = 0; table < 3; table++) {
    for (let i = 0; i < 20; i++) await engine.put(keyOf(table * 100 + i), 'v');
    await engine.flush();
  }
  engine = await reopen(t, engine, { readOnly: true });
  const opened = (): number => engine.stats().openTables;
  const before = opened();
  const ranges: ScanOptions[] = [
    { gt: keyOf(219) },
    { lt: keyOf(0) },
    { gt: keyOf(19), lt: keyOf(100) },
    { gte: keyOf(20), lte: keyOf(99), reverse: true },
  ];
  for (const range of ranges) assert.deepEqual(keysOf(engine.scan(range)), [], JSON.stringify(range));
  assert.equal(opened(), before);
  assert.deepEqual(keysOf(engine.scan({ gte: keyOf(119), lte: keyOf(199) })), [keyOf(119)]);
  assert.deepEqual(keysOf(engine.scan({ gt: keyOf(99), lte: keyOf(100), reverse: true })), [keyOf(100)]);
  assert.ok(opened() <= before + 1);
});

test('a second loop over a scan throws, rather than being empty, whatever ended the first one', async (t) => {
  const engine = await openTiny(t);
  for (let i = 0; i < 10; i++) await engine.put(keyOf(i), 'v');
  const isRefused = { code: 'STRATA_INVALID_ARGUMENT', message: /gone through once/ };
  const later = async (scan: Scan): Promise<void> => {
    for await (const _ of scan);
  };
  const now = (scan: Scan): void => {
    for (const _ of scan);
  };
  for (const first of [later, now]) {
    const scan = engine.scan();
    await first(scan);
    await assert.rejects(later(scan), isRefused);
    assert.throws(() => now(scan), isRefused);
  }
  const left = engine.scan();
  for (const _ of left) break;
  assert.throws(() => now(left), isRefused);
  await engine.transaction((tx) => {
    const own = tx.scan();
    now(own);
    assert.throws(() => now(own), isRefused);
  });
  // An iterator is a loop's own, and what nextMany leaves is.
  const scan = engine.scan();
  assert.equal(scan.nextMany(4).length, 4);
  const iterator = scan[Symbol.iterator]();
  iterator.next();
  assert.deepEqual([...iterator].length, 5);
  assert.deepEqual(scan.nextMany(3), []);
});
