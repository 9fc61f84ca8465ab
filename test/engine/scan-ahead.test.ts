/**
 * A loop over a scan reads a little ahead of itself. Nobody should be able to tell.
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { ScanOptions, StorageEngine } from '../../src/main/index.ts';
import { fill, keyOf, openTiny, valueFor } from '../helpers/engines.ts';
import { freshSeed, reportSeed, seededRandom } from '../helpers/rng.ts';

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
