/**
 * WorkerPool: laziness, priority, every way a worker can fail, and who keeps the process alive.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createRequire } from 'node:module';
import { extname } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Worker, type WorkerOptions } from 'node:worker_threads';
import { Piscina } from 'piscina';
import { isWorkerFault, WorkerPool } from '../../../src/main/jobs/worker-pool.ts';
import type { ForeignPool } from '../../../src/main/store/open-request.ts';
import { CorruptionError, StorageError } from '../../../src/shared/base/errors.ts';
import { fileNumber } from '../../../src/shared/base/ids.ts';
import { put, showEntry } from '../../helpers/array-iterator.ts';
import { fakeJob, Meeting } from '../../helpers/fake-job.ts';
import { JobStore } from '../../helpers/job-store.ts';

const helper = (name: string): URL =>
  new URL(`../../helpers/${name}${extname(import.meta.url)}`, import.meta.url);
/** The object through which piscina makes its threads. */
const workerThreads = createRequire(import.meta.url)('node:worker_threads') as { Worker: typeof Worker };
const FAULTY = helper('faulty-worker');
const ORDINARY = { urgent: false, keepAlive: true };
const URGENT = { urgent: true, keepAlive: true };

function poolOf(t: TestContext, threads: number, pool?: ForeignPool): WorkerPool {
  const workers = new WorkerPool({ threads, pool, workerUrl: FAULTY });
  t.after(() => workers.close());
  return workers;
}

/** The error that `promise` rejects with. */
async function errorOf(promise: Promise<unknown>): Promise<Error> {
  const error = await promise.then(
    () => assert.fail('the job succeeded'),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof Error, `rejected with ${String(error)}`);
  return error;
}

test('WorkerPool runs jobs and counts them', async (t) => {
  const pool = poolOf(t, 1);
  assert.deepEqual([pool.running, pool.queued], [0, 0]);
  const meeting = new Meeting(t);
  const jobs = [1, 2, 3].map(() => pool.run(meeting.job('wait'), ORDINARY));
  assert.deepEqual([pool.running, pool.queued], [1, 2]);
  meeting.open();
  for (const result of await Promise.all(jobs)) {
    assert.deepEqual(result, { blockCount: 1, entryCount: 2, rangeDeletes: 0, bytesRead: 3 });
  }
  assert.deepEqual([pool.running, pool.queued], [0, 0]);
});

test('WorkerPool hands no more than `threads` ordinary jobs out at once', async (t) => {
  const meeting = new Meeting(t);
  const pool = poolOf(t, 2);
  const jobs = Array.from({ length: 6 }, () => pool.run(meeting.job('wait'), ORDINARY));
  await meeting.untilBegun(2);
  assert.deepEqual([pool.running, pool.queued], [2, 4]);
  meeting.open();
  await Promise.all(jobs);
  assert.equal(meeting.begun, 6);
});

test('a job that waits behind jobs for a caller without end is next when one of them ends', async (t) => {
  const pool = new WorkerPool({ threads: 1, callerThreads: 2, workerUrl: FAULTY });
  t.after(() => pool.close());
  const bulk = { ...ORDINARY, forCaller: true };
  let isWanted = true;
  let ended = 0;
  // As many as there are threads, and a new one as soon as one ends, as ingestions have them.
  const bulkJobs = [0, 1].map(async () => {
    while (isWanted && ended < 200) {
      await pool.run(fakeJob('sleep:2'), bulk);
      ended++;
    }
  });
  await pool.run(fakeJob('ok'), ORDINARY);
  const endedBefore = ended;
  isWanted = false;
  await Promise.all(bulkJobs);
  assert.ok(endedBefore <= 4, `${endedBefore} jobs for a caller came before it`);
});

test('beside jobs for a caller no more than `threads` others run', async (t) => {
  const meeting = new Meeting(t);
  const pool = new WorkerPool({ threads: 1, callerThreads: 3, workerUrl: FAULTY });
  t.after(() => pool.close());
  const jobs = [pool.run(meeting.job('wait'), { ...ORDINARY, forCaller: true })];
  for (let i = 0; i < 3; i++) jobs.push(pool.run(meeting.job('wait'), ORDINARY));
  assert.deepEqual([pool.running, pool.queued], [2, 2]);
  meeting.open();
  await Promise.all(jobs);
});

test('an urgent job gets a thread of its own when all threads are in ordinary jobs', async (t) => {
  const meeting = new Meeting(t);
  const pool = poolOf(t, 1);
  const long = pool.run(meeting.job('wait'), ORDINARY);
  const queued = pool.run(meeting.job('ok'), ORDINARY);
  await meeting.untilBegun(1);
  await pool.run(meeting.job('ok'), URGENT);
  await pool.run(meeting.job('ok'), URGENT);
  assert.deepEqual([pool.running, pool.queued], [1, 1], 'the ordinary ones are where they were');
  meeting.open();
  await Promise.all([long, queued]);
});

test('one extra thread is all that urgent jobs get', async (t) => {
  const meeting = new Meeting(t);
  const pool = poolOf(t, 1);
  const jobs = [
    pool.run(meeting.job('wait'), ORDINARY),
    pool.run(meeting.job('wait'), URGENT),
    pool.run(meeting.job('wait'), URGENT),
  ];
  assert.deepEqual([pool.running, pool.queued], [2, 1]);
  meeting.open();
  await Promise.all(jobs);
});

test('urgent jobs overtake queued ones, with threads and inline', async (t) => {
  for (const threads of [1, 0]) {
    const pool = poolOf(t, threads);
    const finished: string[] = [];
    const run = (name: string, urgent: boolean): Promise<unknown> =>
      pool.run(fakeJob('sleep:5'), { urgent, keepAlive: true }).then(() => finished.push(name));
    // The first urgent job holds the only extra thread, so that the second has to queue like everybody else.
    const jobs = [run('first', threads === 1), run('a', false), run('b', false), run('urgent', true)];
    await Promise.all(jobs);
    assert.deepEqual(finished, ['first', 'urgent', 'a', 'b'], `${threads} threads`);
  }
});

const FAULTS: readonly (readonly [behaviour: string, says: RegExp])[] = [
  ['throw', /thrown in the worker/],
  ['throw-nothing', /not an error/],
  ['throw-later', /thrown outside the job/],
  ['exit:0', /exited with code: 0/],
  ['exit:1', /exited with code: 1/],
  ['answer-nothing', /did not answer with a reply/],
  ['answer:null', /did not answer with a reply/],
  ['answer:"ok"', /did not answer with a reply/],
  ['answer:{"ok":true}', /did not answer with a reply/],
  ['answer-function', /not an error/],
];

for (const [behaviour, says] of FAULTS) {
  test(`a worker that does '${behaviour}' fails its own job only`, async (t) => {
    const meeting = new Meeting(t);
    const pool = poolOf(t, 2);
    const other = pool.run(meeting.job('wait'), ORDINARY);
    const error = await errorOf(pool.run(meeting.job(behaviour), ORDINARY));
    assert.ok(isWorkerFault(error), error.stack);
    assert.ok(error instanceof StorageError && error.code === 'STRATA_IO');
    assert.match(error.message, says);
    meeting.open();
    await other;
    await pool.run(meeting.job('ok'), ORDINARY);
  });
}

test('a worker that does the same over and over fails each job, and the pool goes on', async (t) => {
  const pool = poolOf(t, 1);
  const jobs = Array.from({ length: 8 }, (_, i) =>
    pool.run(fakeJob(i % 2 === 0 ? 'exit:1' : 'ok'), ORDINARY),
  );
  const settled = await Promise.allSettled(jobs);
  assert.deepEqual(
    settled.map(({ status }) => status),
    Array.from({ length: 4 }, () => ['rejected', 'fulfilled']).flat(),
  );
});

test('a reply that does not fit its job is a fault, whatever it holds', async (t) => {
  const store = new JobStore(t);
  const flush = store.flushJob([put('a', 1)]);
  const table = { ...fakeJob('').table, number: 99 };
  const stats = { bytesWritten: 1 };
  const answers: unknown[] = [
    { ok: true },
    { ok: true, value: null },
    { ok: true, value: {} },
    { ok: true, value: { output: table, stats } },
    { ok: true, value: { outputs: [], stats } },
    { ok: false },
    { ok: false, error: 'no' },
    { ok: 'yes', value: { output: undefined, stats } },
  ];
  for (const answer of answers) {
    const pool = poolOf(t, 1, { run: () => Promise.resolve(answer) });
    const error = await errorOf(pool.run(flush, ORDINARY));
    assert.ok(isWorkerFault(error), JSON.stringify(answer));
  }
});

test('a worker that runs out of memory fails its own job only', async (t) => {
  const own = new Piscina({ maxThreads: 1, minThreads: 0, resourceLimits: { maxOldGenerationSizeMb: 32 } });
  t.after(() => own.destroy());
  const pool = poolOf(t, 1, own);
  const error = await errorOf(pool.run(fakeJob('out-of-memory'), ORDINARY));
  assert.ok(isWorkerFault(error));
  assert.match(error.message, /memory/);
  await pool.run(fakeJob('ok'), ORDINARY);
});

test('a worker that is terminated from outside fails its own job only', async (t) => {
  const own = new Piscina({ maxThreads: 1, minThreads: 0 });
  t.after(() => own.destroy());
  const meeting = new Meeting(t);
  const pool = poolOf(t, 1, own);
  const job = pool.run(meeting.job('wait'), ORDINARY);
  await meeting.untilBegun(1);
  await own.threads[0]!.terminate();
  assert.ok(isWorkerFault(await errorOf(job)));
  await pool.run(fakeJob('ok'), ORDINARY);
});

test('a worker module that is not there, or exports nothing, fails the job', async (t) => {
  for (const name of ['no-such-worker', 'rng']) {
    for (const threads of [0, 1]) {
      const pool = new WorkerPool({ threads, workerUrl: helper(name) });
      t.after(() => pool.close());
      assert.ok(isWorkerFault(await errorOf(pool.run(fakeJob('ok'), ORDINARY))), name);
    }
  }
});

test('workers that die while they start fail their jobs and leave none waiting for ever', async (t) => {
  const original = workerThreads.Worker;
  t.after(() => {
    workerThreads.Worker = original;
  });
  const pool = poolOf(t, 2);
  const stillborn = [
    class ExitsAtOnce extends Worker {
      constructor(file: string | URL, options?: WorkerOptions) {
        super(file, options);
        void this.terminate();
      }
    },
    class ThrowsAtOnce extends Worker {
      constructor(_file: string | URL, options?: WorkerOptions) {
        super('throw new Error("stillborn")', { ...options, eval: true });
      }
    },
  ];
  for (const Stillborn of stillborn) {
    workerThreads.Worker = Stillborn;
    const jobs = [1, 2, 3].map(() => errorOf(pool.run(fakeJob('ok'), ORDINARY)));
    for (const error of await Promise.all(jobs)) assert.ok(isWorkerFault(error), error.stack);
  }
  workerThreads.Worker = original;
  await pool.run(fakeJob('ok'), ORDINARY);
});

test('threads that can not be made fail the job, and the next job gets new ones', async (t) => {
  const original = workerThreads.Worker;
  workerThreads.Worker = class NoWorker extends Worker {
    constructor(file: string | URL) {
      if (file !== '') throw new Error('no more threads');
      super(file);
    }
  };
  t.after(() => {
    workerThreads.Worker = original;
  });
  const meeting = new Meeting(t);
  const pool = poolOf(t, 1);
  const error = await errorOf(pool.run(meeting.job('ok'), ORDINARY));
  assert.ok(isWorkerFault(error));
  assert.match(error.message, /no more threads/);
  workerThreads.Worker = original;
  await pool.run(meeting.job('ok'), ORDINARY);
  // The failed job must not run after all: its slot and file numbers may be another's by now.
  await pool.run(meeting.job('ok'), ORDINARY);
  assert.equal(meeting.begun, 2);
});

test('a job that can not be sent fails and hangs nothing', async (t) => {
  const pool = poolOf(t, 1);
  const job = { ...fakeJob('ok'), surprise: () => undefined };
  await errorOf(pool.run(job, ORDINARY));
  await pool.run(fakeJob('ok'), ORDINARY);
});

test('close() rejects queued jobs, waits for running ones and refuses new ones', async (t) => {
  const pool = new WorkerPool({ threads: 1, workerUrl: FAULTY });
  const meeting = new Meeting(t);
  const running = pool.run(meeting.job('wait'), ORDINARY);
  const queued = errorOf(pool.run(meeting.job('ok'), ORDINARY));
  await meeting.untilBegun(1);
  let isClosed = false;
  const closing = Promise.all([pool.close(), pool.close()]).then(() => {
    isClosed = true;
  });
  assert.equal((await queued).name, 'JobCancelledError');
  assert.equal(((await errorOf(pool.run(fakeJob('ok'), ORDINARY))) as StorageError).code, 'STRATA_CLOSED');
  assert.equal(isClosed, false);
  meeting.open();
  await running;
  await closing;
  assert.equal(meeting.begun, 1);
});

test("an application's own pool is used and not destroyed", async (t) => {
  const own = new Piscina({ filename: fileURLToPath(FAULTY), maxThreads: 2, minThreads: 1 });
  t.after(() => own.destroy());
  const pool = new WorkerPool({ threads: 2, pool: own, workerUrl: FAULTY });
  await Promise.all([1, 2, 3, 4].map(() => pool.run(fakeJob('ok'), ORDINARY)));
  await pool.close();
  assert.equal(own.completed, 4);
  assert.equal(own.threads.length > 0, true);
  await own.run(fakeJob('ok'));
});

test('WorkerPool flushes, compacts and verifies through the real worker, the same inline', async (t) => {
  const store = new JobStore(t);
  const shown: string[][] = [];
  for (const threads of [0, 1]) {
    const pool = new WorkerPool({ threads });
    t.after(() => pool.close());
    const base = threads * 100 + 1;
    const flushed = await pool.run(
      store.flushJob([put('a', 1), put('b', 2), put('a', 3)], { output: fileNumber(base) }),
      URGENT,
    );
    assert.ok(flushed.output);
    const compacted = await pool.run(store.compactJob([[flushed.output]]), ORDINARY);
    const verified = await pool.run(store.verifyJob(compacted.outputs[0]!), ORDINARY);
    assert.equal(verified.entryCount, 2);
    shown.push(store.readTable(compacted.outputs[0]!).map(showEntry));
  }
  assert.deepEqual(shown, [
    ['a@0', 'b@0'],
    ['a@0', 'b@0'],
  ]);
});

test("a job's own error comes back with its class and code, and is no worker fault", async (t) => {
  const store = new JobStore(t);
  const table = store.writeTable(1, [put('a', 1)]);
  for (const threads of [0, 1]) {
    const pool = new WorkerPool({ threads });
    t.after(() => pool.close());
    const damaged = await errorOf(pool.run(store.verifyJob({ ...table, checksum: 1 }), ORDINARY));
    assert.ok(damaged instanceof CorruptionError);
    assert.equal(damaged.code, 'STRATA_CORRUPTION');
    assert.ok(!isWorkerFault(damaged));
    store.control.cancel(0);
    assert.equal((await errorOf(pool.run(store.verifyJob(table), ORDINARY))).name, 'JobCancelledError');
    store.control.resetSlot(0);
    const missing = await errorOf(pool.run(store.verifyJob({ ...table, number: fileNumber(5) }), ORDINARY));
    assert.equal((missing as StorageError).code, 'STRATA_IO');
    assert.equal((missing.cause as NodeJS.ErrnoException).code, 'ENOENT');
  }
});

/** Runs pool-child; resolves with what it printed and how long it lived. */
function runChild(...args: string[]): Promise<{ readonly output: string; readonly elapsedMs: number }> {
  const started = performance.now();
  return new Promise((resolve, reject) => {
    execFile(
      process.execPath,
      [fileURLToPath(helper('pool-child')), ...args],
      { timeout: 20_000 },
      (error, output) => {
        if (error === null) resolve({ output, elapsedMs: performance.now() - started });
        else reject(error);
      },
    );
  });
}

test('a pool without jobs loads no piscina and is closed at once', async () => {
  const { output } = await runChild('2', 'false', 'no-job');
  assert.equal(output, 'piscina loaded: false\n');
});

test('the process exits although a background job runs', async () => {
  // The gate of 'wait' is never opened: without this the child lives until its timeout.
  const { output } = await runChild('1', 'false', 'wait');
  assert.equal(output, '');
});

test('the process stays for a job that somebody awaits, and exits with an idle pool', async () => {
  const { output, elapsedMs } = await runChild('1', 'true', 'sleep:300');
  assert.equal(output, 'done\n');
  // An idle thread lives for 10 s; the process does not wait for it.
  assert.ok(elapsedMs < 8000, `${elapsedMs} ms`);
});

test('the process stays for an inline job that somebody awaits', async () => {
  assert.equal((await runChild('0', 'true', 'ok')).output, 'done\n');
});
