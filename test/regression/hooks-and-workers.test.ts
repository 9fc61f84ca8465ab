/**
 * Symptoms: aborting an ingestion took as long as the compaction that ran or was queued before it; with fake timers a load never
 * ended, and neither did close() with a client attached; close() waited for ever for a job that a pool had lost; an error of a
 * thread that did not start said nothing of why.
 */
import assert from 'node:assert/strict';
import { readdirSync, writeFileSync } from 'node:fs';
import { createRequire, syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { type EngineOptions, StorageError } from '../../src/main/index.ts';
import { WorkerPool } from '../../src/main/jobs/worker-pool.ts';
import type { ForeignPool } from '../../src/main/store/open-request.ts';
import { attachHere } from '../helpers/clients.ts';
import { failsWith, fill, openTiny, reopen } from '../helpers/engines.ts';
import { fakeJob } from '../helpers/fake-job.ts';
import { temporaryDirectory } from '../helpers/temp-directory.ts';

type Run = (job: { kind: string }) => Promise<unknown>;

/** A pool of the application's, through which the test sees and holds jobs. */
function poolThat(run: (job: { kind: string }, carryOut: Run) => unknown): ForeignPool {
  return {
    run: (async (job: { kind: string }, { filename }: { filename: string }) => {
      const worker = (await import(filename)) as { default: Run };
      return await run(job, worker.default);
    }) as ForeignPool['run'],
  };
}

/** Jobs of one kind are held, from the call of `hold` to that of `release`. */
function holdJobs(
  t: TestContext,
  kind: 'compact' | 'flush',
  threads: number,
): {
  readonly options: EngineOptions;
  hold: () => void;
  begun: () => number;
  release: () => void;
} {
  let release: () => void = () => undefined;
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  let isHolding = false;
  let begun = 0;
  const pool = poolThat(async (job, carryOut) => {
    if (isHolding && job.kind === kind) {
      begun++;
      await held;
    }
    return await carryOut(job);
  });
  t.after(() => release());
  return {
    options: { pool, threads },
    hold: () => {
      isHolding = true;
    },
    begun: () => begun,
    release: () => release(),
  };
}

const records = Array.from({ length: 3000 }, (_, i) => [`in-${i}`, 'x'.repeat(20)] as const);

// To be installed a load waits for the flush of what was written before it, and for no compaction at all.
for (const [moment, kind] of [
  ['at once', 'compact'],
  ['when it waits to be installed', 'flush'],
  ['by closing', 'compact'],
] as const)
  test(`a load that is ended ${moment} waits for no ${kind === 'flush' ? 'flush' : 'compaction'}`, {
    timeout: 60_000,
  }, async (t) => {
    const { options, hold, begun, release } = holdJobs(t, kind, kind === 'flush' ? 4 : 1);
    const engine = await openTiny(t, options);
    hold();
    // Two tables that overlap: those that overlap nothing would only be moved, without a job.
    for (const round of kind === 'compact' ? [0, 1] : []) {
      await fill(engine, 100, 40, round);
      await engine.flush();
    }
    if (kind === 'flush') await engine.put('a', 'b');
    const running = kind === 'flush' ? engine.flush() : engine.compact();
    let isOver = false;
    const note = (): void => {
      isOver = true;
    };
    running.then(note, note);
    while (begun() === 0) await new Promise((resolve) => setTimeout(resolve, 2));
    let isInstalling = false;
    const controller = new AbortController();
    const reason = { why: 'no reason of ours' };
    const load = engine.ingest(records, {
      signal: controller.signal,
      onProgress: ({ phase }) => {
        if (phase !== 'installing') return;
        isInstalling = true;
        if (moment === 'when it waits to be installed') setTimeout(() => controller.abort(reason), 20);
      },
    });
    load.catch(() => undefined);
    let closing: Promise<void> | undefined;
    if (moment === 'at once') setTimeout(() => controller.abort(reason), 50);
    else if (moment === 'by closing') setTimeout(() => (closing = engine.close()), 50);
    if (moment === 'by closing') await failsWith('STRATA_CLOSED', load);
    else await assert.rejects(load, (error) => error === reason);
    assert.equal(isInstalling, moment === 'when it waits to be installed');
    assert.equal(isOver, false, `the ${kind} is held`);
    assert.deepEqual(
      readdirSync(engine.path).filter((name) => name.endsWith('.run')),
      [],
    );
    release();
    await Promise.allSettled([running, closing]);
    const opened = await reopen(t, engine);
    assert.equal([...opened.scan({ gte: 'in-', lt: 'in.' })].length, 0);
  });

const timers = createRequire(import.meta.url)('node:timers') as Record<string, unknown>;

/** As fake timers of a test framework: global functions and those of the module do nothing. */
async function withFakeTimers(work: () => Promise<unknown>): Promise<void> {
  const names = ['setTimeout', 'setInterval', 'setImmediate', 'queueMicrotask'] as const;
  const real = names.map((name) => [name, globalThis[name], timers[name]] as const);
  const handle = { ref: () => handle, unref: () => handle };
  for (const name of names) {
    Object.assign(globalThis, { [name]: () => handle });
    if (name in timers) timers[name] = () => handle;
  }
  syncBuiltinESMExports();
  const now = performance.now;
  performance.now = () => 0;
  try {
    await work();
  } finally {
    performance.now = now;
    for (const [name, global, own] of real) {
      Object.assign(globalThis, { [name]: global });
      if (name in timers) timers[name] = own;
    }
    syncBuiltinESMExports();
  }
}

for (const threads of [0, 1])
  test(`with fake timers loads, events and close() with a client go on: ${threads} threads`, {
    timeout: 60_000,
  }, async (t) => {
    const engine = await openTiny(t, { threads });
    const client = await attachHere(t, engine);
    await withFakeTimers(async () => {
      let flushes = 0;
      engine.on('flush', () => flushes++);
      await engine.ingest(records);
      await client.ingest(records);
      await client.put('a', 'b');
      await fill(engine, 300);
      await engine.flush();
      await engine.compact();
      await engine.verify();
      for (let i = 0; i < 200; i++) await engine.get('a');
      assert.ok(flushes > 0);
      await engine.close();
    });
  });

test('close() does not wait for a job that a pool has lost, and what it held is in the log', {
  timeout: 60_000,
}, async (t) => {
  const engine = await openTiny(t, { pool: poolThat(() => new Promise(() => undefined)), threads: 1 });
  for (let i = 0; i < 20; i++) await engine.put(`k${i}`, 'x');
  const flush = engine.flush();
  const lost = failsWith('STRATA_IO', flush);
  await engine.close();
  await lost;
  const opened = await reopen(t, engine, {});
  assert.equal([...opened.scan()].length, 20);
});

for (const [what, run] of [
  [
    'throws',
    () => {
      throw new Error('no pool today');
    },
  ],
  ['gives no promise', () => 5],
  [
    'gives a thenable that throws',
    () =>
      Object.defineProperty({}, 'then', {
        get: () => {
          throw new Error('no then today');
        },
      }),
  ],
  [
    'settles twice',
    () =>
      new Promise((resolve, reject) => {
        reject(new Error('no result today'));
        resolve(5);
      }),
  ],
] as const)
  test(`a pool that ${what} fails its jobs, and close() ends`, { timeout: 60_000 }, async (t) => {
    const engine = await openTiny(t, { pool: { run: run as unknown as ForeignPool['run'] }, threads: 1 });
    await engine.put('a', 'b');
    const error = await engine.flush().catch((reason: unknown) => reason);
    assert.ok(error instanceof StorageError, String(error));
    assert.equal(engine.getSync('a')?.toString(), 'b');
    await engine.close();
    const opened = await reopen(t, engine, {});
    assert.equal(opened.getSync('a')?.toString(), 'b');
  });

const UNLOADABLE: readonly (readonly [name: string, text: string, says: RegExp])[] = [
  ['missing-module', "import './nowhere.mjs';\nexport default () => 1;", /nowhere\.mjs/],
  ['missing-package', "import 'no-such-package';\nexport default () => 1;", /no-such-package/],
  ['syntax', 'export default function ( {', /syntax\.mjs or what it imports/],
  ['throws', "throw new Error('not today');", /not today/],
  ['exits', 'process.exit(3);', /exited with code: 3/],
  ['absent', '', /absent\.mjs/],
];

for (const [name, text, says] of UNLOADABLE)
  for (const threads of [0, 1])
    test(`a worker that can't be loaded says why: ${name}, ${threads} threads`, {
      timeout: 60_000,
    }, async (t) => {
      if (threads === 0 && name === 'exits') return;
      const path = join(temporaryDirectory(t), `${name}.mjs`);
      if (text !== '') writeFileSync(path, text);
      const pool = new WorkerPool({ threads, workerUrl: pathToFileURL(path) });
      t.after(() => pool.close());
      const error = await failsWith('STRATA_IO', pool.run(fakeJob('ok'), { urgent: false, keepAlive: true }));
      assert.match(error.message, says);
      assert.ok(error.cause instanceof Error);
    });

test('a thread that does not start says why', { timeout: 60_000 }, async (t) => {
  const threads = createRequire(import.meta.url)('node:worker_threads') as {
    Worker: new (file: string | URL, options: object) => object;
  };
  const { Worker } = threads;
  const broken = pathToFileURL(join(temporaryDirectory(t), 'broken.mjs'));
  writeFileSync(broken, "import './piece-that-is-missing.mjs';");
  threads.Worker = class extends Worker {
    constructor(_file: string | URL, options: object) {
      super(broken, options);
    }
  };
  t.after(() => {
    threads.Worker = Worker;
  });
  const pool = new WorkerPool({ threads: 1, workerUrl: broken });
  t.after(() => pool.close());
  const error = await failsWith('STRATA_IO', pool.run(fakeJob('ok'), { urgent: false, keepAlive: true }));
  assert.match(error.message, /did not start: .*piece-that-is-missing/);
});
