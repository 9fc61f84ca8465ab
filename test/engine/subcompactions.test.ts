/**
 * Large compactions are shared by threads: the outcome is that of one job, in one edit; a part that fails takes the others
 * with it and leaves nothing.
 */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { Piscina } from 'piscina';
import { StorageEngine } from '../../src/main/index.ts';
import {
  failsWith,
  keyOf,
  newPath,
  openAt,
  openOn,
  TINY,
  textsOf,
  until,
  valueFor,
} from '../helpers/engines.ts';
import { FailingDisk } from '../helpers/failing-disk.ts';
import { FaultControl } from '../helpers/fault/fault-control.ts';
import { faultySpec } from '../helpers/fault/faulty-file-system.ts';
import { seededRandom } from '../helpers/rng.ts';
import { freshSeed, reportSeed } from '../helpers/run-budget.ts';

/** Large memtables: compactions start by themselves only where a test wants them. */
const OPTIONS = { ...TINY, writeBufferSize: 1024 * 1024, maxFileSize: 8192 };

/** L0 tables over each other, of several outputs' worth, with deletes; returns what must be found. */
async function layers(engine: StorageEngine, seed: number, tables = 3): Promise<[string, string][]> {
  const random = seededRandom(seed);
  const model = new Map<string, string>();
  for (let round = 0; round < tables; round++) {
    for (let i = 0; i < 2000; i++) {
      const key = keyOf(random.below(3000));
      if (random.chance(0.1)) {
        model.delete(key);
        void engine.delete(key);
      } else {
        model.set(key, valueFor(i, 40, round));
        void engine.put(key, valueFor(i, 40, round));
      }
    }
    await engine.flush();
  }
  return [...model].sort(([a], [b]) => (a < b ? -1 : 1));
}

function tableCount(engine: StorageEngine): number {
  return engine.stats().levels.reduce((sum, { files }) => sum + files, 0);
}

function tableFiles(path: string): number {
  return readdirSync(path).filter((name) => name.endsWith('.sst')).length;
}

/**
 * A pool that counts the jobs it has at once: as they are handed in and answered, since whoever looks at stats() from time to
 * time comes too late on a busy machine.
 */
class CountingPool {
  readonly #pool: Piscina;
  #now = 0;
  most = 0;

  constructor(threads: number) {
    this.#pool = new Piscina({ maxThreads: threads });
  }

  async run(task: unknown, options: { filename: string; name: string }): Promise<unknown> {
    this.most = Math.max(this.most, ++this.#now);
    try {
      return (await this.#pool.run(task, options)) as unknown;
    } finally {
      this.#now--;
    }
  }

  async close(): Promise<void> {
    await this.#pool.destroy();
  }
}

interface CountedStore {
  readonly engine: StorageEngine;
  /** The most jobs at once while `work` goes on. */
  mostJobs(work: () => Promise<unknown>): Promise<number>;
}

async function store(t: TestContext, threads: number): Promise<CountedStore> {
  const pool = new CountingPool(threads);
  const engine = await openAt(t, newPath(t), { ...OPTIONS, threads, pool });
  // After the engine, whose jobs it has.
  t.after(() => pool.close());
  const mostJobs = async (work: () => Promise<unknown>): Promise<number> => {
    pool.most = 0;
    await work();
    return pool.most;
  };
  return { engine, mostJobs };
}

for (const threads of [2, 4]) {
  test(`compact() is shared by ${threads} threads, and is one edit with the same outcome`, async (t) => {
    const seed = freshSeed();
    reportSeed(t, seed);
    const { engine, mostJobs } = await store(t, threads);
    const snapshotted = await layers(engine, seed, 2);
    const snapshot = engine.snapshot();
    await layers(engine, seed + 1, 1);
    const before = textsOf(engine.scan());
    const edits = engine.stats().versionCounter;
    const events: number[] = [];
    engine.on('compaction', ({ outputTables }) => events.push(outputTables));
    assert.equal(await mostJobs(() => engine.compact()), threads);
    assert.equal(engine.stats().versionCounter, edits + 1);
    assert.deepEqual(textsOf(engine.scan()), before);
    assert.deepEqual(textsOf(engine.scan({ snapshot })), snapshotted);
    await until(() => events.length === 1);
    assert.equal(events[0], engine.stats().levels[7]?.files);
    snapshot.close();
    await engine.compact();
    assert.deepEqual(textsOf(engine.scan()), before);
    const { levels } = engine.stats();
    assert.equal(levels[7]?.entries, before.length, 'nothing shadowed, no tombstone is left');
    await engine.verify();
    await until(() => tableFiles(engine.path) === tableCount(engine));
  });
}

test('a compaction that starts by itself gets the threads that have nothing to do', async (t) => {
  const { engine, mostJobs } = await store(t, 4);
  const before = await layers(engine, 11, 3);
  let fourth: [string, string][] = [];
  const most = await mostJobs(async () => {
    fourth = await layers(engine, 12, 1);
    await until(() => engine.stats().levels[0]?.files === 0);
  });
  assert.ok(most >= 3, `${most} jobs`);
  const found = new Map(textsOf(engine.scan()));
  for (const [key, value] of fourth) assert.equal(found.get(key), value);
  assert.ok(before.length > 0);
  await engine.verify();
});

test('a small compaction stays one job', async (t) => {
  const { engine, mostJobs } = await store(t, 4);
  await engine.put('a', '1');
  await engine.flush();
  await engine.put('a', '2');
  await engine.flush();
  assert.equal(await mostJobs(() => engine.compact()), 1);
});

test('one part fails: the others end, all their tables are deleted, nothing has changed', async (t) => {
  const control = new FaultControl();
  const fileSystem = faultySpec({ control: control.buffer });
  for (let at = 0; at < 12; at += 3) {
    const engine = await openOn(t, fileSystem, { ...OPTIONS, threads: 4 });
    const expected = await layers(engine, 100 + at);
    const tables = tableCount(engine);
    // The at-th table to be created is one of the first parts' or of the last ones'.
    control.arm({ fault: 'EIO', at, kinds: ['create'], types: ['table'] });
    await failsWith('STRATA_IO', engine.compact());
    control.disarm();
    assert.equal(tableCount(engine), tables);
    assert.equal(tableFiles(engine.path), tables, 'tables of the other parts are left');
    assert.deepEqual(textsOf(engine.scan()), expected);
    await engine.compact();
    assert.deepEqual(textsOf(engine.scan()), expected);
    await engine.close();
  }
});

test('an edit that fails deletes the tables of all parts', async (t) => {
  const disk = new FailingDisk();
  const engine = await openOn(t, disk.spec, { ...OPTIONS, threads: 2 });
  const expected = await layers(engine, 21);
  const tables = tableCount(engine);
  disk.fail('stageManifest', 'ENOSPC');
  await failsWith('STRATA_IO', engine.compact());
  disk.recover();
  assert.equal(tableFiles(engine.path), tables);
  await engine.compact();
  assert.deepEqual(textsOf(engine.scan()), expected);
});

test('close() cancels all parts', async (t) => {
  const engine = await openAt(t, newPath(t), { ...OPTIONS, threads: 4 });
  const before = await layers(engine, 31, 3);
  await layers(engine, 31, 1);
  const expected = textsOf(engine.scan());
  assert.ok(before.length > 0);
  await engine.close();
  const reopened = await StorageEngine.open(engine.path, { ...OPTIONS, threads: 2 });
  assert.deepEqual(textsOf(reopened.scan()), expected);
  assert.equal(tableFiles(reopened.path), tableCount(reopened));
  await reopened.close();
});
