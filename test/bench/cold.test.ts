/**
 * The cold benchmark, small and without control groups of the kernel: what it refuses, what it measures, how it reports
 * what failed, and that a loop that never turned is called so.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createHistogram } from 'node:perf_hooks';
import { after, before, describe, type TestContext, test } from 'node:test';
import { COLD_MARKS, coldSection, describeConditions } from '../../bench/cold/cold-docs.ts';
import { measure } from '../../bench/cold/cold-measure.ts';
import { type ColdOptions, parseColdOptions } from '../../bench/cold/cold-options.ts';
import type { ColdResult } from '../../bench/cold/cold-result.ts';
import { COLD_ROWS, chooseRows } from '../../bench/cold/cold-rows.ts';
import { ColdRunner } from '../../bench/cold/cold-runner.ts';
import type { ColdMeasurement, ColdOutcome, ColdTask } from '../../bench/cold/cold-task.ts';
import type { Limits } from '../../bench/cold/limits.ts';
import { LoopWatch } from '../../bench/cold/loop-watch.ts';
import { Dataset } from '../../bench/data/dataset.ts';
import { fill } from '../../bench/data/fill.ts';
import { Random } from '../../bench/data/random.ts';
import { ROOT } from '../../bench/packages.ts';
import { replaceResults } from '../../bench/report/docs.ts';
import { PAGE } from '../../bench/report/result-files.ts';
import { openBenchStore } from '../../bench/stores/open-store.ts';
import type { BenchStore, StoreOptions } from '../../bench/stores/store.ts';
import { DEFAULT_SHAPE } from '../../bench/workloads/workload.ts';
import { removeDirectory, temporaryDirectory } from '../helpers/temp-directory.ts';

const RECORDS = 2000;
const SMALL: readonly string[] = ['--records', String(RECORDS), '--seconds', '0.1', '--cache', '1'];

async function run(
  t: TestContext,
  argv: readonly string[],
  { home = temporaryDirectory(t), limits }: { readonly home?: string; readonly limits?: Limits } = {},
): Promise<ColdOutcome[]> {
  const options: ColdOptions = parseColdOptions([...SMALL, ...argv]);
  const folders = { home, scratch: temporaryDirectory(t) };
  const ignore = (): void => undefined;
  const events = { onFill: ignore, onOutcome: ignore, onWarm: ignore };
  return await new ColdRunner(options, options.contestants, folders, limits, events).run();
}

describe('parseColdOptions()', () => {
  test('has sizes of a full run, and smaller ones for --quick', () => {
    const full = parseColdOptions([]);
    assert.deepEqual(
      [full.records, full.valueBytes, full.readsPerSecond, full.memoryBytes],
      [1_000_000, 1000, 2000, 400 * 1024 ** 2],
    );
    assert.equal(full.rows.length, COLD_ROWS.length);
    assert.ok(parseColdOptions(['--quick']).records < full.records);
  });

  test('--only takes stores, of ours with all modes, and single modes of ours', () => {
    const names = (only: string): string[] =>
      parseColdOptions(['--only', only]).contestants.map(({ name }) => name);
    assert.deepEqual(names('stratakv'), ['stratakv', 'stratakv mmap-off', 'stratakv no-koffi']);
    assert.deepEqual(names('lmdb,mmap-off'), ['stratakv mmap-off', 'lmdb']);
    assert.equal(parseColdOptions([]).contestants.length, 6);
  });

  for (const argv of [
    ['--only', 'sqlite'],
    ['--rows', 'get65'],
    ['--reads', '0'],
    ['--memory', 'much'],
    ['get64'],
  ]) {
    test(`refuses ${argv.join(' ')}`, () => assert.throws(() => parseColdOptions(argv)));
  }
});

describe('LoopWatch', () => {
  const hold = (ms: number): void => {
    const until = performance.now() + ms;
    while (performance.now() < until);
  };

  test('has the whole time as the delay of a loop that never turned', () => {
    const watch = new LoopWatch();
    watch.begin();
    hold(30);
    const { turns, p50, max, heldShare } = watch.end();
    assert.equal(turns, 0);
    assert.ok(p50 >= 28 && max >= p50 && heldShare > 0.5);
  });

  test('counts turns, and what is due at the end', async () => {
    const watch = new LoopWatch();
    watch.begin();
    await new Promise((resolve) => setTimeout(resolve, 20));
    hold(40);
    const { turns, p50, max } = watch.end();
    assert.ok(turns > 0 && p50 < max && max >= 38);
  });
});

describe('measure()', () => {
  const taskOf = (directory: string, row: string): ColdTask => ({
    kind: 'cold',
    store: 'stratakv',
    mode: 'default',
    row,
    directory,
    scratch: directory,
    records: RECORDS,
    valueBytes: 100,
    cacheBytes: 1024 ** 2,
    seconds: 0.1,
    seed: 1,
    counter: undefined,
  });

  const storeOptions = (directory: string): StoreOptions => ({
    directory,
    writeBufferBytes: 1024 ** 2,
    cacheBytes: 1024 ** 2,
  });

  async function filledStore(t: TestContext): Promise<string> {
    const directory = temporaryDirectory(t);
    const store = await openBenchStore('stratakv', storeOptions(directory));
    await fill(store, { records: RECORDS, shape: DEFAULT_SHAPE });
    await store.flush?.();
    await store.close();
    return directory;
  }

  test('does every row', async (t) => {
    const directory = await filledStore(t);
    for (const row of COLD_ROWS) {
      const { operations, latencyUs, loop, openMs, putsPerSecond } = await measure(
        taskOf(directory, row.name),
        row,
      );
      assert.ok(operations > 0 && openMs > 0 && loop.max >= loop.p50, row.name);
      assert.equal(latencyUs === null, row.name === 'scanall', row.name);
      assert.equal(putsPerSecond === null, row.name !== 'writes', row.name);
    }
  });

  test('counts every call of those that are under way together', async (t) => {
    const [row] = chooseRows(['get64']);
    const data = new Dataset(RECORDS, DEFAULT_SHAPE);
    const store = await openBenchStore('stratakv', storeOptions(await filledStore(t)));
    let calls = 0;
    let most = 0;
    let underWay = 0;
    const counting = {
      get: async (key: Buffer) => {
        calls++;
        most = Math.max(most, ++underWay);
        await new Promise((resolve) => setImmediate(resolve));
        underWay--;
        return await store.get(key);
      },
    } as unknown as BenchStore;
    const operations = await row!.run({
      store: counting,
      data,
      random: new Random(1),
      latency: createHistogram(),
      untilMs: performance.now() + 50,
    });
    await store.close();
    assert.equal(operations, calls);
    assert.equal(most, 64);
  });

  test('fails when a row finds something else than was filled', async (t) => {
    const directory = await filledStore(t);
    const find = (name: string): Promise<ColdMeasurement> => {
      const [row] = chooseRows([name]);
      return measure({ ...taskOf(directory, name), records: RECORDS * 1000, seconds: 60 }, row!);
    };
    for (const name of ['get1', 'get64', 'many100', 'writes'])
      await assert.rejects(find(name), /record \d+ was not found/, name);
    await assert.rejects(find('scan100'), /a scan returned 0 entries of 100/);
    await assert.rejects(find('scanall'), /a scan returned 2000 entries of 2000000/);
  });
});

describe('ColdRunner', () => {
  const one: readonly string[] = ['--only', 'default', '--rows', 'get1'];
  /** Filled by the first run, and kept. */
  let home = '';
  before(() => {
    home = mkdtempSync(join(tmpdir(), 'stratakv-test-'));
  });
  after(() => removeDirectory(home));

  test('measures in processes of their own, our modes as well', async (t) => {
    const outcomes = await run(t, ['--only', 'stratakv', '--rows', 'get16'], { home });
    assert.deepEqual(
      outcomes.map(({ mode, error }) => [mode, error]),
      [
        ['default', undefined],
        ['mmap-off', undefined],
        ['no-koffi', undefined],
      ],
    );
    for (const { measurement } of outcomes) assert.ok(measurement!.operations > 0);
  });

  test('fills a store that is kept once', async (t) => {
    const [name] = readdirSync(home);
    writeFileSync(join(home, name!, 'MARK'), '');
    const [outcome] = await run(t, one, { home });
    assert.equal(outcome!.error, undefined);
    assert.ok(existsSync(join(home, name!, 'MARK')));
  });

  test('a process that ends, and one that the limits refuse or kill, are failures of their row', async (t) => {
    const [ended] = await run(t, [...one, '--node-option=--no-such-option'], { home });
    assert.match(ended!.error!, /exit code 9/);
    const limits = (admit: Limits['admit']): Limits => ({
      version: 1,
      counter: { file: '/nowhere', disk: '8:0' },
      admit,
      remove: () => undefined,
    });
    const refuse = (): never => {
      throw new Error('the group is full');
    };
    const [refused] = await run(t, one, { home, limits: limits(refuse) });
    assert.equal(refused!.error, 'the group is full');
    const kill = (processId: number): boolean => process.kill(processId, 'SIGKILL');
    const [killed] = await run(t, one, { home, limits: limits(kill) });
    assert.equal(killed!.error, 'SIGKILL, which is what the limit of memory does');
  });
});

test('without-koffi hides the package from the process and its threads', (t) => {
  const preload = new URL('../../bench/cold/without-koffi.js', import.meta.url).href;
  const script = join(temporaryDirectory(t), 'ask.mjs');
  writeFileSync(
    script,
    `import { createRequire } from 'node:module';
    import { isMainThread, Worker } from 'node:worker_threads';
    try {
      createRequire(${JSON.stringify(join(ROOT, 'package.json'))})('koffi');
      console.log('it is there');
    } catch (error) {
      console.log(error.message);
    }
    if (isMainThread) new Worker(new URL(import.meta.url));`,
  );
  const { stdout } = spawnSync(process.execPath, ['--import', preload, script], { encoding: 'utf8' });
  assert.equal(stdout, 'koffi is hidden from this process\n'.repeat(2));
});

describe('the report', () => {
  const measured: ColdMeasurement = {
    operations: 8000,
    seconds: 4,
    opsPerSecond: 2000,
    latencyUs: { p50: 9000, p99: 12_000, p999: 13_000, max: 14_000 },
    loop: { p50: 0.1, p99: 2.34, max: 5, heldShare: 0, turns: 3000 },
    openMs: 20,
    cpuSeconds: 1,
    diskReadsPerSecond: 1999,
    diskBytesPerSecond: 8_000_000,
    putsPerSecond: null,
  };
  const held = { ...measured, loop: { p50: 4000, p99: 4000, max: 4000, heldShare: 1, turns: 0 } };
  const result: ColdResult = {
    stamp: {
      at: '2026-01-01T00:00:00.000Z',
      cpu: 'a processor',
      cores: 2,
      memoryGib: 24,
      system: 'linux',
      node: 'v20',
      fileSystem: '0xef53',
      isMemoryDisk: false,
      commit: 'abc',
      versions: { stratakv: '0.1.0' },
      isQuick: false,
      rounds: 1,
      records: 1_000_000,
      seconds: 4,
      writeBufferMib: 64,
      cacheMib: 64,
    },
    conditions: {
      valueBytes: 1000,
      limits: { cgroupVersion: 1, readsPerSecond: 2000, memoryMib: 400 },
      readAheadKib: 128,
      notes: [],
    },
    outcomes: [
      { store: 'stratakv', mode: 'default', row: 'get64', measurement: measured, error: undefined },
      { store: 'lmdb', mode: 'default', row: 'get64', measurement: held, error: undefined },
      { store: 'rocksdb', mode: 'default', row: 'get64', measurement: undefined, error: 'it broke' },
    ],
  };

  test('shows speeds and delays side by side, loops that never turned and what failed', () => {
    const section = coldSection(result, ['cold'], 'pictures');
    assert.match(section, /\| {2,}\| stratakv \| +lmdb \| rocksdb \|/);
    assert.match(section, /\| get64 \| +2,000 \| +2,000 \| +failed \|/);
    assert.match(section, /\| get64 \| +2\.3 \| never turned \| +failed \|/);
    assert.match(section, /!\[cold\]\(pictures\/cold\.svg\)/);
    assert.match(section, /\*\*get64\*\*: a get, 64 under way\./);
    assert.match(section, /\| rocksdb +\| +failed: it broke \|/);
  });

  test('says what was limited, or that nothing was and why', () => {
    assert.match(
      describeConditions(result),
      /2,000 reads a second and 400 MiB of memory \(control groups, version 1\)/,
    );
    const conditions = { ...result.conditions, limits: null, notes: ['No limits here: no such group'] };
    const text = describeConditions({ ...result, conditions });
    assert.match(text, /not limited.*No limits here: no such group/s);
  });

  test('docs/benchmarks.md has a place for it', () => {
    assert.ok(replaceResults(readFileSync(PAGE, 'utf8'), 'new', COLD_MARKS).includes('new'));
  });
});
