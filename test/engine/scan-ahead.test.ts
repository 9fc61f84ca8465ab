/**
 * A loop over a scan reads a little ahead of itself. Nobody should be able to tell.
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { ScanOptions, StorageEngine } from '../../src/main/index.ts';
import { fill, keyOf, openTiny, valueFor } from '../helpers/engines.ts';
import { seededRandom } from '../helpers/rng.ts';
import { freshSeed, reportSeed } from '../helpers/run-budget.ts';

const COUNT = 1000;

async function compacted(t: TestContext): Promise<StorageEngine> {
  const engine = await openTiny(t);
  await fill(engine, COUNT, 30);
  await engine.compact();
  return engine;
}

test('a scan gives every entry once and in order, however loops and nextMany take turns', async (t) => {
  const random = seededRandom(freshSeed());
  reportSeed(t, random.seed);
  const engine = await compacted(t);
  for (let round = 0; round < 60; round++) {
    const limit = random.chance(0.5) ? random.below(COUNT + 50) : undefined;
    const range: ScanOptions = { reverse: random.chance(0.3), ...(limit === undefined ? {} : { limit }) };
    const scan = engine.scan(range);
    const iterator = scan[Symbol.iterator]();
    const asyncIterator = scan[Symbol.asyncIterator]();
    const seen: string[] = [];
    for (;;) {
      const before = seen.length;
      const turn = random.below(3);
      const times = 1 + random.below(100);
      if (turn === 0) for (const [key] of scan.nextMany(times)) seen.push(key.toString());
      else
        for (let i = 0; i < times; i++) {
          const result = turn === 1 ? iterator.next() : await asyncIterator.next();
          if (result.done) break;
          seen.push(result.value[0].toString());
          assert.equal(result.value[1].toString(), valueFor(Number(seen.at(-1)!.replace(/\D/g, '')), 30));
        }
      if (seen.length === before) break;
    }
    const all = Array.from({ length: COUNT }, (_, i) => keyOf(i));
    const expected = (range.reverse ? all.reverse() : all).slice(0, limit);
    assert.deepEqual(seen, expected);
  }
});

test('a scan that was closed, or whose signal was aborted, gives nothing that it had read ahead', async (t) => {
  const engine = await compacted(t);
  for (const taken of [1, 2, 5, 70]) {
    const closed = engine.scan();
    const iterator = closed[Symbol.iterator]();
    for (let i = 0; i < taken; i++) assert.equal(iterator.next().done, false);
    closed.close();
    assert.equal(iterator.next().done, true);
    assert.deepEqual(closed.nextMany(10), []);

    const controller = new AbortController();
    const aborted = engine.scan({ signal: controller.signal })[Symbol.iterator]();
    for (let i = 0; i < taken; i++) assert.equal(aborted.next().done, false);
    controller.abort(new Error('enough'));
    assert.throws(() => aborted.next(), /enough/);
  }
});

test('a scan of an engine that was closed throws at the next entry, though it had read it ahead', async (t) => {
  const engine = await compacted(t);
  const scans = [1, 2, 5, 70].map((taken) => {
    const scan = engine.scan();
    const iterator = scan[Symbol.iterator]();
    for (let i = 0; i < taken; i++) assert.equal(iterator.next().done, false);
    return { scan, iterator };
  });
  await engine.close();
  for (const { scan, iterator } of scans) {
    assert.throws(() => iterator.next(), { code: 'STRATA_CLOSED' });
    assert.throws(() => scan.nextMany(5), { code: 'STRATA_CLOSED' });
  }
});

test('a loop with a small limit has read all of it at its first entry, and holds nothing from then on', async (t) => {
  const engine = await openTiny(t, { writeBufferSize: 1 << 20 });
  await fill(engine, COUNT, 30);
  for (const limit of [1, 2, 10, 40]) {
    let held = 0;
    // Where a leaf begins, as the keys came in order: what is read at once ends with it, and with the slab.
    for (let start = 0; start + limit <= COUNT; start += 64) {
      const scan = engine.scan({ gte: keyOf(start), limit });
      const iterator = start % 128 === 0 ? scan[Symbol.asyncIterator]() : scan[Symbol.iterator]();
      const seen = [(await iterator.next()).value];
      held += engine.stats().openScans;
      for (let i = 1; i < limit; i++) seen.push((await iterator.next()).value);
      const expected = Array.from({ length: limit }, (_, i) => keyOf(start + i));
      assert.deepEqual(
        seen.map(([key]) => key.toString()),
        expected,
      );
      assert.equal((await iterator.next()).done, true);
      assert.equal(engine.stats().openScans, 0);
    }
    assert.ok(held <= 5, `${held} of 16 scans with limit ${limit} were open behind their first entry`);
  }
});

test('what a loop has read ahead is of the moment of its scan, whatever is written before it comes to it', async (t) => {
  const engine = await openTiny(t, { writeBufferSize: 1 << 20 });
  await fill(engine, COUNT, 30);
  for (const limit of [10, 200]) {
    const iterator = engine.scan({ limit })[Symbol.asyncIterator]();
    for (let i = 0; i < limit; i++) {
      const { value } = await iterator.next();
      assert.equal(value[0].toString(), keyOf(i));
      assert.equal(value[1].toString(), valueFor(i, 30));
      const ahead = Math.min(i + 1, limit - 1);
      await engine.delete(keyOf(ahead));
      await engine.put(`${keyOf(ahead)}x`, 'later');
    }
    assert.equal((await iterator.next()).done, true);
    for (let i = 0; i < limit; i++) {
      await engine.put(keyOf(i), valueFor(i, 30));
      await engine.delete(`${keyOf(i)}x`);
    }
  }
});

test('a loop with a large limit reads ahead no further than one without, and a break lets it go', async (t) => {
  const engine = await openTiny(t, { writeBufferSize: 1 << 20 });
  await fill(engine, COUNT, 30);
  for (const limit of [200, 1_000_000]) {
    const iterator = engine.scan({ limit })[Symbol.iterator]();
    for (let i = 0; i < 100; i++) assert.equal(iterator.next().done, false);
    assert.equal(engine.stats().openScans, 1);
    iterator.return?.();
    assert.equal(engine.stats().openScans, 0);
    assert.equal(iterator.next().done, true);
  }
});

test('scans that take turns, end and begin keep what they remember apart', async (t) => {
  const random = seededRandom(freshSeed());
  reportSeed(t, random.seed);
  const engine = await openTiny(t);
  // Several versions of each key, in memory and in tables: a scan has to know which key it has decided on.
  await fill(engine, COUNT, 30);
  const snapshot = engine.snapshot();
  await fill(engine, COUNT, 30);
  const walks: { readonly iterator: Iterator<[Buffer, Buffer]>; at: number; readonly step: number }[] = [];
  for (let step = 0; step < 3000; step++) {
    if (walks.length < 2 || (walks.length < 8 && random.chance(0.1))) {
      const at = random.below(COUNT);
      const reverse = random.chance(0.3);
      const bound = reverse ? { lte: keyOf(at), reverse } : { gte: keyOf(at) };
      const limit = random.chance(0.5) ? { limit: 1 + random.below(90) } : {};
      const moment = random.chance(0.5) ? { snapshot } : {};
      const iterator = engine.scan({ ...bound, ...limit, ...moment })[Symbol.iterator]();
      walks.push({ iterator, at, step: reverse ? -1 : 1 });
    }
    const walk = random.pick(walks);
    for (let i = random.below(12); i >= 0; i--) {
      const result = walk.iterator.next();
      if (!result.done) {
        assert.equal(result.value[0].toString(), keyOf(walk.at));
        walk.at += walk.step;
        if (i > 0 || random.chance(0.9)) continue;
        walk.iterator.return?.();
      }
      walks.splice(walks.indexOf(walk), 1);
      break;
    }
  }
  for (const walk of walks) walk.iterator.return?.();
  assert.equal(engine.stats().openScans, 0);
  snapshot.close();
});

test('next() of an asynchronous loop never throws: what fails is its promise', async (t) => {
  const engine = await compacted(t);
  const controller = new AbortController();
  const signal = { signal: controller.signal };
  const started = engine.scan(signal)[Symbol.asyncIterator]();
  await started.next();
  const unused = engine.scan(signal)[Symbol.asyncIterator]();
  controller.abort(new Error('enough'));
  for (const iterator of [started, unused]) {
    let promise: Promise<unknown> | undefined;
    assert.doesNotThrow(() => {
      promise = iterator.next();
    });
    assert.ok(promise instanceof Promise);
    await assert.rejects(promise, /enough/);
    assert.deepEqual(await iterator.return?.(), { done: true, value: undefined });
  }
});
