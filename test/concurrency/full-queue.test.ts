/**
 * One thread, and more jobs than it can do: writers must not wait for them, and closing must end all of them.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StorageError } from '../../src/main/index.ts';
import { until } from '../helpers/engines.ts';
import { FaultPlan } from './fault-plan.ts';
import { attendWorkers, FaultyStore, templateStore } from './faulty-store.ts';

/** A store whose only thread is in a verify job that does not end, and `count` verify() that wait behind it. */
async function blockedStore(
  template: string,
  plan: FaultPlan,
  count: number,
  stallLimitMs?: number,
): Promise<{ readonly store: FaultyStore; readonly waiting: Promise<PromiseSettledResult<unknown>[]> }> {
  const limit = stallLimitMs === undefined ? {} : { stallLimitMs };
  const store = await FaultyStore.open(template, `blocked-${count}`, { threads: 1, ...limit }, plan);
  plan.arm('verify', 'first block', 'hang');
  const waiting = Promise.allSettled(Array.from({ length: count }, () => store.engine.verify()));
  await until(() => plan.happened === 1);
  return { store, waiting };
}

// Beyond 64 there are more jobs than slots in the control block.
for (const count of [50, 200]) {
  test(`a flush overtakes ${count} jobs that wait for the only thread`, async (t) => {
    const plan = new FaultPlan();
    t.after(() => plan.release());
    const { store, waiting } = await blockedStore(await templateStore(t), plan, count);
    const { engine } = store;
    assert.equal(engine.stats().jobs.running, 1);
    assert.ok(engine.stats().jobs.queued >= Math.min(count, 60) - 1);
    for (let round = 0; round < 3; round++) {
      await engine.put('late', String(round));
      await engine.flush();
    }
    assert.equal(engine.stats().memtables.entries, 0);
    assert.equal(engine.stats().jobs.flushes, 3);
    assert.equal(plan.happened, 1);
    assert.equal(engine.stats().jobs.running, 1, 'the thread is still where it was');
    await engine.delete('late');
    plan.release();
    for (const { status } of await waiting) assert.equal(status, 'fulfilled');
    store.checkContent();
    await engine.close();
    await store.checkReopened();
  });
}

test('writers held for a flush go on while the only thread is in a long job', async (t) => {
  const plan = new FaultPlan();
  t.after(() => plan.release());
  const { store, waiting } = await blockedStore(await templateStore(t), plan, 50);
  const { engine } = store;
  // Four memtables' worth, of which three fit: the rest is held until a flush has made room.
  const writes = Array.from({ length: 256 }, (_, i) => engine.put(`big-${i}`, 'v'.repeat(1024)));
  assert.ok(engine.stats().stalls.heldWrites > 0);
  await Promise.all(writes);
  assert.equal(engine.getSync('big-255')?.length, 1024);
  plan.release();
  await waiting;
  await engine.close();
});

test('close with a full queue and a worker that hangs: all settle once it goes on', async (t) => {
  const plan = new FaultPlan();
  t.after(() => plan.release());
  const { store, waiting } = await blockedStore(await templateStore(t), plan, 100);
  const closing = store.engine.close();
  let isClosed = false;
  void closing.then(() => {
    isClosed = true;
  });
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(isClosed, false, 'a running job still reads the files');
  plan.release();
  await closing;
  for (const outcome of await waiting)
    if (outcome.status === 'rejected') assert.ok(outcome.reason instanceof StorageError);
  await store.checkReopened();
});

test('close with a worker that hangs for ever: it is terminated, and all settle', async (t) => {
  const plan = new FaultPlan();
  const { store, waiting } = await blockedStore(await templateStore(t), plan, 5, 4000);
  attendWorkers(t, [plan]);
  t.after(() => plan.release());
  await store.engine.close();
  for (const outcome of await waiting)
    if (outcome.status === 'rejected') assert.ok(outcome.reason instanceof StorageError);
  await store.checkReopened();
});
