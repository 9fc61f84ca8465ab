/**
 * The watch over jobs: ends those that give no sign of life, and never one that is only slow.
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { watchJob } from '../../src/main/job-watchdog.ts';
import { ControlBlock } from '../../src/shared/control-block.ts';
import { FaultPlan } from './fault-plan.ts';
import { attendWorkers, FaultyStore, templateStore } from './faulty-store.ts';

const LIMIT_MS = 1000;
/** What watchJob() divides the limit by. */
const LOOK_MS = LIMIT_MS / 10;

interface Watched {
  beats: number;
  stalls: number;
  stop(): void;
}

function watch(t: TestContext): Watched {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const watched: Watched = { beats: 0, stalls: 0, stop: () => undefined };
  watched.stop = watchJob(
    () => watched.beats,
    LIMIT_MS,
    () => watched.stalls++,
  );
  return watched;
}

test('a job without a sign of life is noticed after the limit, and again after each further one', (t) => {
  const watched = watch(t);
  t.mock.timers.tick(LIMIT_MS - 1);
  assert.equal(watched.stalls, 0);
  t.mock.timers.tick(1);
  assert.equal(watched.stalls, 1);
  t.mock.timers.tick(LIMIT_MS);
  assert.equal(watched.stalls, 2);
  watched.stop();
  t.mock.timers.tick(10 * LIMIT_MS);
  assert.equal(watched.stalls, 2);
});

test('a job that beats once within the limit may go on for ever', (t) => {
  const watched = watch(t);
  for (let round = 0; round < 500; round++) {
    t.mock.timers.tick(LIMIT_MS - LOOK_MS);
    watched.beats++;
    t.mock.timers.tick(LOOK_MS);
  }
  assert.equal(watched.stalls, 0);
});

test('a heartbeat may wrap around', (t) => {
  const watched = watch(t);
  watched.beats = 2 ** 31 - 1;
  t.mock.timers.tick(LIMIT_MS - LOOK_MS);
  watched.beats = -(2 ** 31);
  t.mock.timers.tick(LIMIT_MS - LOOK_MS);
  assert.equal(watched.stalls, 0);
});

test('every report of progress is a sign of life, even one of no progress', () => {
  const control = new ControlBlock();
  const seen = new Set([control.heartbeat(3)]);
  for (let i = 0; i < 5; i++) {
    control.setProgress(3, 100, 1000);
    seen.add(control.heartbeat(3));
  }
  assert.equal(seen.size, 6);
  assert.equal(control.heartbeat(2), 0);
  assert.equal(control.isCancelled(3), false);
});

test('only the thread that hangs is terminated, and its job runs again', async (t) => {
  const plan = new FaultPlan();
  attendWorkers(t, [plan]);
  t.after(() => plan.release());
  const store = await FaultyStore.open(
    await templateStore(t),
    'hang',
    { threads: 2, stallLimitMs: 4000 },
    plan,
  );
  const { engine } = store;
  plan.arm('verify', 'first block', 'hang');
  const verified = engine.verify();
  let isVerified = false;
  void verified.then(() => {
    isVerified = true;
  });
  // Other threads and their jobs go on meanwhile.
  while (!isVerified) {
    await engine.put('late', 'x');
    await engine.delete('late');
    await engine.flush();
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.ok((await verified).tables >= 2);
  assert.equal(plan.happened, 1);
  assert.equal(engine.stats().jobs.retried, 1);
  store.checkContent();
  await engine.close();
  await store.checkReopened();
});
