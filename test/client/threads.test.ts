/**
 * Clients in worker threads beside an owner that writes, flushes, compacts and deletes files all the time: no half-seen
 * batch, no read older than what was acknowledged to anybody, and none that needs the owner's event loop.
 * STRATA_CLIENT_BATCHES batches.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Worker } from 'node:worker_threads';
import type { AttachOptions } from '../../src/client/index.ts';
import { type EngineOptions, WriteBatch } from '../../src/main/index.ts';
import { canMapFiles } from '../../src/shared/files/memory-map.ts';
import {
  ACKNOWLEDGED,
  BATCH_KEYS,
  batchKey,
  COUNTERS,
  DONE,
  STOP,
  said,
  startClient,
} from '../helpers/clients.ts';
import { fill, openTiny, TINY } from '../helpers/engines.ts';
import { seededRandom } from '../helpers/rng.ts';
import { runBudget, runSeed } from '../helpers/run-budget.ts';

const batches = runBudget('STRATA_CLIENT_BATCHES', 70);
const SETS: readonly (readonly [string, EngineOptions, AttachOptions])[] = [
  ['through pread', { ...TINY, mmap: false }, { mmap: false }],
  ['without a cache, 8 files open', { ...TINY, maxOpenFiles: 8 }, { cacheSize: 0 }],
  ['mapped', TINY, canMapFiles() ? { mmap: true } : {}],
];

for (const [name, options, attachOptions] of SETS) {
  test(`clients see each batch whole and never an old one: ${name}`, async (t) => {
    const seed = runSeed(t);
    const random = seededRandom(seed);
    const engine = await openTiny(t, options);
    const shared = new SharedArrayBuffer(64);
    const words = new Int32Array(shared);
    const batch = new WriteBatch();
    const write = async (number: number): Promise<void> => {
      batch.clear();
      // Over what it puts as well, so that the range must hide just what is older.
      if (random.chance(0.5)) batch.deleteRange({ prefix: 'batch-' });
      for (let i = 0; i < BATCH_KEYS; i++) batch.put(batchKey(i), `${number}`.padEnd(20 + random.below(40)));
      batch.deleteRange({ prefix: 'latest-' }).put(`latest-${number}`, '');
      await engine.write(batch);
      Atomics.store(words, ACKNOWLEDGED, number);
    };
    await write(1);
    const task = { behaviour: 'read-batches', shared, options: attachOptions };
    const workers = await Promise.all([1, 2].map((i) => startClient(t, engine, { ...task, seed: seed + i })));
    const reports = Promise.all(workers.map((worker) => said<{ reads: number }>(worker)));
    const writing = (async (): Promise<void> => {
      for (let number = 2; number <= batches; number++) {
        await write(number);
        if (random.chance(0.05)) await engine.flush();
        if (random.chance(0.01)) await engine.compact();
        if (random.chance(0.2)) await new Promise((resolve) => setImmediate(resolve));
      }
      Atomics.store(words, STOP, 1);
    })();
    // A reader that fails must not wait for a writer that goes on.
    await Promise.race([Promise.all([writing, reports]), ...workers.map((worker) => failure(worker))]);
    const { jobs } = engine.stats();
    assert.ok(jobs.flushes > 20 && jobs.compactions > 3, JSON.stringify(jobs));
    const reads = (await reports).reduce((sum, report) => sum + report.reads, 0);
    assert.ok(reads > 50, `${reads} reads`);
    t.diagnostic(
      `FIGURE client-reads=${reads} flushes=${jobs.flushes} compactions=${jobs.compactions} stale=0`,
    );
  });
}

function failure(worker: Worker): Promise<never> {
  return new Promise((_, reject) => worker.once('error', reject));
}

test('what any thread was acknowledged every other one sees', async (t) => {
  const engine = await openTiny(t);
  const shared = new SharedArrayBuffer(64);
  const words = new Int32Array(shared);
  const workers = await Promise.all(
    [0, 1].map((index) => startClient(t, engine, { behaviour: 'count', shared, index })),
  );
  const reports = Promise.all(workers.map((worker) => said<{ reads: number }>(worker)));
  const counting = (async (): Promise<void> => {
    for (let number = 1; number <= 600; number++) {
      await engine.put('counter-2', String(number));
      Atomics.store(words, COUNTERS + 2, number);
      for (let i = 0; i < 3; i++) {
        const before = Atomics.load(words, COUNTERS + i);
        const found = Number(engine.getSync(`counter-${i}`)?.toString() ?? 0);
        assert.ok(found >= before, `counter ${i}: the owner sees ${found}, acknowledged is ${before}`);
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
    Atomics.store(words, STOP, 1);
  })();
  await Promise.race([Promise.all([counting, reports]), ...workers.map((worker) => failure(worker))]);
  for (const { reads } of await reports) assert.ok(reads > 10);
});

test("a read needs no turn of the owner's event loop, nor of its own, even for a new view", async (t) => {
  const engine = await openTiny(t);
  await fill(engine, 300);
  await engine.flush();
  const shared = new SharedArrayBuffer(64);
  const words = new Int32Array(shared);
  const worker = await startClient(t, engine, { behaviour: 'read-on', shared });
  const failed = failure(worker);
  const report = said(worker);
  for (let round = 1; round <= 30; round++) {
    // In microtasks, so that no timer or message of this thread's has its turn: new memtables, perhaps new versions.
    for (let i = 0; i < 40; i++) await engine.put(`filler-${round}-${i}`, 'x'.repeat(60));
    await engine.put('number', String(round));
    Atomics.store(words, ACKNOWLEDGED, round);
    const wanted = Atomics.load(words, DONE) + 20;
    for (let done = 0; done < wanted; done = Atomics.load(words, DONE))
      assert.notEqual(Atomics.wait(words, DONE, done, 30_000), 'timed-out', 'the client waits for its owner');
    await Promise.race([failed, Promise.resolve()]);
  }
  Atomics.store(words, STOP, 1);
  await Promise.race([report, failed]);
});
