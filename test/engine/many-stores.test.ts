/**
 * Many stores in one process: their jobs take turns on a few threads, and none waits for ever.
 */
import assert from 'node:assert/strict';
import { availableParallelism } from 'node:os';
import { test } from 'node:test';
import { fill, newPath, openAt } from '../helpers/engines.ts';

const STORES = 40;
/** The threads of thread-turns.ts, the largest `threads` being 1. */
const MOST_JOBS = Math.max(2, availableParallelism()) + 1 + Math.floor(availableParallelism() / 4);

test('forty stores that flush and compact at once run few jobs at a time, and all get done', async (t) => {
  const engines = await Promise.all(Array.from({ length: STORES }, () => openAt(t, newPath(t))));
  await Promise.all(engines.map((engine) => fill(engine, 50)));
  let most = 0;
  let waiting = 0;
  const look = setInterval(() => {
    const jobs = engines.map((engine) => engine.stats().jobs);
    most = Math.max(
      most,
      jobs.reduce((sum, { running }) => sum + running, 0),
    );
    waiting = Math.max(
      waiting,
      jobs.reduce((sum, { queued }) => sum + queued, 0),
    );
  }, 1);
  try {
    await Promise.all(engines.map((engine) => engine.flush()));
    await Promise.all(engines.map((engine) => engine.compact()));
  } finally {
    clearInterval(look);
  }
  assert.ok(most <= MOST_JOBS, `${most} jobs at once`);
  assert.ok(waiting > 0, 'what waits for the jobs of others is counted');
  for (const engine of engines) {
    assert.equal(engine.stats().jobs.flushes, 1);
    assert.equal(engine.stats().levels[0]!.files, 0);
  }
});

test('a store is closed although its jobs wait for those of forty others', async (t) => {
  const engines = await Promise.all(Array.from({ length: STORES }, () => openAt(t, newPath(t))));
  await Promise.all(engines.map((engine) => fill(engine, 300)));
  const ends = engines.map((engine) =>
    engine.compact().then(
      () => 'done',
      (error: { code?: string }) => error.code,
    ),
  );
  await Promise.all(engines.map((engine) => engine.close()));
  for (const end of await Promise.all(ends)) assert.ok(end === 'done' || end === 'STRATA_CLOSED', end);
  const again = await openAt(t, engines[STORES - 1]!.path);
  assert.equal(Array.from(again.scan()).length, 300);
});
