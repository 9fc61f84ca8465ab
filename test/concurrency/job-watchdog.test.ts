/**
 * The watch over jobs: ends those that give no sign of life, and never one that is only slow.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lookForLife, watchJob } from '../../src/main/jobs/job-watchdog.ts';
import { ControlBlock } from '../../src/shared/threads/control-block.ts';
import { FaultPlan } from './fault-plan.ts';
import { attendWorkers, FaultyStore, templateStore } from './faulty-store.ts';

/** Looks in a row without a change that make a stall. */
const LOOKS = 10;

interface Watched {
  beats: number;
  stalls: number;
  look(times: number): void;
}

function watched(): Watched {
  const job = { beats: 0, stalls: 0 };
  const look = lookForLife(
    () => job.beats,
    () => job.stalls++,
  );
  return Object.assign(job, {
    look: (times: number): void => {
      for (let i = 0; i < times; i++) look();
    },
  });
}

test('a job without a sign of life is noticed after ten looks, and again after each further ten', () => {
  const job = watched();
  job.look(LOOKS - 1);
  assert.equal(job.stalls, 0);
  job.look(1);
  assert.equal(job.stalls, 1);
  job.look(LOOKS);
  assert.equal(job.stalls, 2);
});

test('a job that beats once within the limit may go on for ever', () => {
  const job = watched();
  for (let round = 0; round < 500; round++) {
    job.look(LOOKS - 1);
    job.beats++;
    job.look(1);
  }
  assert.equal(job.stalls, 0);
});

test('a heartbeat may wrap around', () => {
  const job = watched();
  job.beats = 2 ** 31 - 1;
  job.look(LOOKS - 1);
  job.beats = -(2 ** 31);
  job.look(LOOKS - 1);
  assert.equal(job.stalls, 0);
});

test('looks are made ten times per limit, until the watch ends', async () => {
  let looks = 0;
  const stallsAt: number[] = [];
  await new Promise<void>((resolve) => {
    const unwatch = watchJob(
      () => {
        looks++;
        return 0;
      },
      20,
      () => {
        stallsAt.push(looks);
        if (stallsAt.length < 2) return;
        unwatch();
        resolve();
      },
    );
    // The watch keeps nobody alive.
    const alive = setInterval(() => stallsAt.length === 2 && clearInterval(alive), 10);
  });
  await new Promise((resolve) => setTimeout(resolve, 50));
  // The first is made when the watch begins.
  assert.deepEqual(stallsAt, [LOOKS + 1, 2 * LOOKS + 1]);
  assert.equal(looks, 2 * LOOKS + 1);
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
