/**
 * Threads that several pools share: they outlive each of them, serve all, and end when nobody is left.
 */
import assert from 'node:assert/strict';
import { availableParallelism } from 'node:os';
import { extname } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { WorkerPool } from '../../../src/main/jobs/worker-pool.ts';
import { fakeJob, Meeting } from '../../helpers/fake-job.ts';

const ORDINARY = { urgent: false, keepAlive: true };
const workerUrl = new URL(`../../helpers/faulty-worker${extname(import.meta.url)}`, import.meta.url);

function sharing(t: TestContext, threads = 1): WorkerPool {
  const pool = new WorkerPool({ threads, ofProcess: true, workerUrl });
  t.after(() => pool.close());
  return pool;
}

/** On which thread a job of the pool runs. */
async function threadOf(pool: WorkerPool): Promise<number> {
  return (await pool.run(fakeJob('thread'), ORDINARY)).blockCount;
}

test('a pool works on the thread that the one before it has left', async (t) => {
  const first = sharing(t);
  const thread = await threadOf(first);
  await first.close();
  await first.close();
  const second = sharing(t);
  const third = sharing(t);
  assert.equal(await threadOf(second), thread);
  assert.equal(await threadOf(third), thread);
  const own = new WorkerPool({ threads: 1, workerUrl });
  t.after(() => own.close());
  assert.notEqual(await threadOf(own), thread);
});

test('no thread takes an ES module with require(), in which Node aborts when the process ends', async (t) => {
  assert.equal((await sharing(t).run(fakeJob('may-require'), ORDINARY)).blockCount, 0);
});

test('pools that share run as many jobs at once as there are processors, each no more than it may', async (t) => {
  const limit = Math.max(2, availableParallelism());
  const meeting = new Meeting(t);
  const pools = Array.from({ length: 2 * limit }, () => sharing(t, 1));
  const jobs = pools.flatMap((pool) => [1, 2, 3].map(() => pool.run(meeting.job('wait'), ORDINARY)));
  await meeting.untilBegun(limit);
  assert.deepEqual(
    pools.map((pool) => [pool.running, pool.queued]),
    pools.map((_, i) => (i < limit ? [1, 2] : [0, 3])),
  );
  assert.equal(meeting.begun, limit);
  meeting.open();
  await Promise.all(jobs);
});

test('a pool with more threads than there are processors has them', async (t) => {
  const threads = availableParallelism() + 2;
  const meeting = new Meeting(t);
  const pool = sharing(t, threads);
  const jobs = Array.from({ length: threads + 1 }, () => pool.run(meeting.job('wait'), ORDINARY));
  await meeting.untilBegun(threads);
  assert.deepEqual([pool.running, pool.queued], [threads, 1]);
  meeting.open();
  await Promise.all(jobs);
});

test('sixty pools with urgent jobs have few threads', async (t) => {
  const pools = Array.from({ length: 60 }, () => sharing(t, 1));
  const results = await Promise.all(
    pools.flatMap((pool) => [1, 2].map(() => pool.run(fakeJob('thread'), { ...ORDINARY, urgent: true }))),
  );
  const threads = new Set(results.map((result) => result.blockCount));
  assert.ok(threads.size <= 2 * availableParallelism() + 2, `${threads.size} threads`);
});

test('a pool whose jobs wait for those of others is closed at once, and an urgent job does not wait', async (t) => {
  const meeting = new Meeting(t);
  const busy = sharing(t, availableParallelism() + 1);
  const long = Array.from({ length: busy.mostThreads }, () => busy.run(meeting.job('wait'), ORDINARY));
  await meeting.untilBegun(busy.mostThreads);
  const other = sharing(t, 1);
  const waiting = other.run(meeting.job('ok'), ORDINARY);
  const ended = assert.rejects(waiting, { name: 'JobCancelledError' });
  assert.deepEqual([other.running, other.queued], [0, 1]);
  await other.run(fakeJob('ok'), { ...ORDINARY, urgent: true });
  await other.close();
  await ended;
  meeting.open();
  await Promise.all(long);
  assert.equal(meeting.begun, long.length, 'what was dropped never ran');
});

test('a pool that is closed, or whose worker dies, leaves the jobs of others alone', async (t) => {
  const meeting = new Meeting(t);
  const [first, second] = [sharing(t), sharing(t)];
  const running = first.run(meeting.job('wait'), ORDINARY);
  await meeting.untilBegun(1);
  await assert.rejects(second.run(fakeJob('exit:3'), ORDINARY));
  await threadOf(second);
  await second.close();
  meeting.open();
  assert.equal((await running).entryCount, 2);
});

test('threads end some time after the last pool is closed, and no sooner than the next one is there', async (t) => {
  const first = sharing(t);
  const thread = await threadOf(first);
  await first.close();
  const second = sharing(t);
  await sleep(2500);
  assert.equal(await threadOf(second), thread, 'somebody was left');
  await second.close();
  await sleep(2500);
  assert.notEqual(await threadOf(sharing(t)), thread, 'nobody was left');
});

test('a job that gives no sign of life is ended on its thread alone', async (t) => {
  const meeting = new Meeting(t);
  const hung = new WorkerPool({ threads: 1, ofProcess: true, workerUrl, stallLimitMs: 300 });
  t.after(() => hung.close());
  const other = sharing(t);
  const running = other.run(meeting.job('wait'), ORDINARY);
  await meeting.untilBegun(1);
  const hanging = hung.run(fakeJob('wait'), { ...ORDINARY, heartbeat: () => 0 });
  await assert.rejects(hanging, /no sign of life/);
  meeting.open();
  assert.equal((await running).entryCount, 2);
  await threadOf(hung);
});

test('jobs that give no sign of life keep no thread from other pools', async (t) => {
  const meeting = new Meeting(t);
  const hung = sharing(t, Math.max(2, availableParallelism()));
  const hanging = Array.from({ length: hung.mostThreads }, () =>
    hung.run(meeting.job('wait'), { ...ORDINARY, heartbeat: () => 0 }),
  );
  await meeting.untilBegun(hung.mostThreads);
  const other = sharing(t);
  const waiting = other.run(fakeJob('ok'), ORDINARY);
  assert.deepEqual([other.running, other.queued], [0, 1]);
  await waiting;
  assert.equal(hung.running, hung.mostThreads, 'they hang on');
  meeting.open();
  await Promise.all(hanging);
});

test('what waits for the last pool to be closed keeps no process alive and leaves no listener', async (t) => {
  // While somebody is there, nothing waits.
  const first = sharing(t);
  const listeners = process.listenerCount('beforeExit');
  const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
  const before = timers();
  await first.close();
  for (let i = 0; i < 5; i++) {
    const pool = sharing(t);
    await threadOf(pool);
    assert.equal(process.listenerCount('beforeExit'), listeners);
    await pool.close();
    assert.ok(process.listenerCount('beforeExit') <= listeners + 1);
    assert.ok(timers() <= before);
  }
});
