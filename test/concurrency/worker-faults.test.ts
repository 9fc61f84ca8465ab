/**
 * Every way a worker can fail, at every phase of every job: the job runs again under new file numbers or the engine says why
 * not, nothing is lost, nothing is left over, and nobody waits for ever.
 */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { extname } from 'node:path';
import { type TestContext, test } from 'node:test';
import { StorageError } from '../../src/main/index.ts';
import { failsWith, keyOf } from '../helpers/engines.ts';
import { seededRandom } from '../helpers/rng.ts';
import { runSeed } from '../helpers/run-budget.ts';
import { type Fault, FaultPlan, type FaultyKind, type Phase } from './fault-plan.ts';
import { attendWorkers, FaultyStore, templateStore } from './faulty-store.ts';

const LANES = 4;
/** Far more than a living job of these stores needs for a block, however busy the machine. */
const STALL_LIMIT_MS = 4000;

const TO_THREAD: readonly Fault[] = ['exit', 'terminate', 'memory'];
/** Code that is not running can't throw, and what never comes to an answer can't send a wrong one. */
const BEFORE_ANSWER: readonly Fault[] = ['throw', ...TO_THREAD, 'hang', 'nonsense'];
const WITHIN: readonly Fault[] = ['throw', ...TO_THREAD, 'hang'];

function faultsAt(kind: FaultyKind, phase: Phase): readonly Fault[] {
  if (phase === 'start' || phase === 'answer') return BEFORE_ANSWER;
  if (phase === 'after answer') return ['throw', ...TO_THREAD];
  if (kind === 'verify' && phase !== 'first block') return [];
  return WITHIN;
}

const PHASES: readonly Phase[] = [
  'start',
  'first block',
  'before fsync',
  'after fsync',
  'answer',
  'after answer',
];

function run({ engine }: FaultyStore, kind: FaultyKind): Promise<unknown> {
  return engine[kind]();
}

/** The job's own code failed, and not its worker: running it again by itself would do the same again. */
function isJobsOwn(phase: Phase, fault: Fault): boolean {
  return (
    fault === 'throw' && (phase === 'first block' || phase === 'before fsync' || phase === 'after fsync')
  );
}

async function checkCase(store: FaultyStore, kind: FaultyKind, phase: Phase, fault: Fault): Promise<void> {
  const { engine, plan } = store;
  if (kind !== 'flush') await engine.flush();
  plan.arm(kind, phase, fault);
  if (isJobsOwn(phase, fault)) {
    await failsWith('STRATA_IO', run(store, kind));
    assert.equal(engine.status, 'open');
    store.checkContent();
  }
  await run(store, kind);
  assert.equal(plan.happened, 1, 'the fault did not happen');
  store.checkContent();
  // The next job is none the worse for what happened to the thread.
  await engine.compact();
  await engine.verify();
  store.checkContent();
  const { jobs } = engine.stats();
  if (!isJobsOwn(phase, fault) && phase !== 'after answer') assert.ok(jobs.retried >= 1, 'no job ran again');
  assert.deepEqual([jobs.running, jobs.queued, engine.stats().backgroundError], [0, 0, null]);
  const { outputs } = plan;
  if (kind !== 'verify') assert.ok(outputs.length > 0, 'no file was made');
  assert.equal(new Set(outputs).size, outputs.length, `file numbers used again: ${outputs.join(', ')}`);
  const leftovers = readdirSync(store.path).filter((name) => name.endsWith('.new'));
  assert.deepEqual(leftovers, [], 'a dead worker left tables');
  await engine.close();
  await store.checkReopened();
}

/** `npm run prove` has all; else a seventh of them, others from run to run. */
const IS_FULL = process.env['STRATA_SWEEP'] === 'full';

const ALL_CASES: readonly { readonly kind: FaultyKind; readonly phase: Phase; readonly fault: Fault }[] = (
  ['flush', 'compact', 'verify'] as const
)
  .flatMap((kind) =>
    PHASES.flatMap((phase) => faultsAt(kind, phase).map((fault) => ({ kind, phase, fault }))),
  )
  // Those that hang only wait: they come first, all at once.
  .sort((a, b) => Number(b.fault === 'hang') - Number(a.fault === 'hang'));

test('a worker may fail in any way at any phase of any job', async (t) => {
  const random = seededRandom(runSeed(t));
  const CASES = ALL_CASES.filter(() => IS_FULL || random.chance(0.14));
  const template = await templateStore(t);
  const plans = CASES.map(() => new FaultPlan());
  attendWorkers(t, plans);
  const hanging = CASES.filter(({ fault }) => fault === 'hang').length;
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < CASES.length) {
      const index = next++;
      const { kind, phase, fault } = CASES[index]!;
      const limit = fault === 'hang' ? { stallLimitMs: STALL_LIMIT_MS } : {};
      const store = await FaultyStore.open(template, `case-${index}`, limit, plans[index]);
      try {
        await checkCase(store, kind, phase, fault);
      } catch (error) {
        plans[index]!.release();
        await store.engine.close();
        throw new Error(`${fault} at ${phase} of ${kind}`, { cause: error });
      }
    }
  };
  await Promise.all(Array.from({ length: LANES + hanging }, lane));
  t.diagnostic(`FIGURE worker-faults=${CASES.length} hangs=0 lost=0`);
});

async function checkReadOnly(store: FaultyStore): Promise<void> {
  const { engine } = store;
  await failsWith('STRATA_IO', engine.flush());
  assert.notEqual(engine.stats().backgroundError, null);
  store.checkContent();
  // Twice is enough for anything but a full disk: a memtable that can't be flushed must not grow for ever.
  await failsWith('STRATA_IO', engine.flush());
  assert.equal(engine.status, 'read-only');
  assert.ok(store.backgroundErrors.length >= 2);
  await failsWith('STRATA_READ_ONLY', engine.put('late', '1'));
  store.checkContent();
  await engine.close();
  await store.checkReopened();
}

const ALWAYS: readonly (readonly [Phase, Fault])[] = [
  ['start', 'exit'],
  ['before fsync', 'terminate'],
  ['answer', 'nonsense'],
  ['first block', 'throw'],
];

test('a flush whose workers always fail ends in a read-only store that has lost nothing', async (t) => {
  const template = await templateStore(t);
  const plans = ALWAYS.map(() => new FaultPlan());
  attendWorkers(t, plans);
  await Promise.all(
    ALWAYS.map(async ([phase, fault], i) => {
      const store = await FaultyStore.open(template, `always-${i}`, {}, plans[i]);
      store.plan.arm('flush', phase, fault, 1000);
      await checkReadOnly(store);
    }),
  );
});

test('a compaction whose workers always fail is told of, and the store stays open', async (t) => {
  const template = await templateStore(t);
  const plans = ALWAYS.map(() => new FaultPlan());
  attendWorkers(t, plans);
  await Promise.all(
    ALWAYS.map(async ([phase, fault], i) => {
      const store = await FaultyStore.open(template, `always-${i}`, {}, plans[i]);
      store.plan.arm('compact', phase, fault, 1000);
      await failsWith('STRATA_IO', store.engine.compact());
      assert.equal(store.engine.status, 'open');
      store.checkContent();
      await store.engine.put(keyOf(1), 'changed');
      store.plan.disarm();
      await store.engine.put(keyOf(1), store.engine.getSync(keyOf(1))!.toString());
      await store.engine.compact();
      assert.equal(store.engine.stats().levels[0]!.files, 0);
      await store.engine.close();
    }),
  );
});

const module = (name: string): URL => new URL(`./${name}${extname(import.meta.url)}`, import.meta.url);

for (const name of ['no-such-module', 'unloadable-worker', 'fault-plan']) {
  test(`a worker module that fails to load is told of: ${name}`, async (t) => {
    const template = await templateStore(t);
    for (const threads of [0, 1]) {
      const options = { threads, workerUrl: module(name) };
      await checkReadOnly(await FaultyStore.open(template, `threads-${threads}`, options));
    }
  });
}

/** The engine's answer to every fault is a StorageError, also where only one caller hears of it. */
test('verify() whose workers always fail rejects, and harms nothing', async (t: TestContext) => {
  const template = await templateStore(t);
  const plan = new FaultPlan();
  attendWorkers(t, [plan]);
  const store = await FaultyStore.open(template, 'verify', {}, plan);
  for (const fault of ['exit', 'throw', 'nonsense'] as const) {
    plan.arm('verify', 'start', fault, 1000);
    const error = await failsWith('STRATA_IO', store.engine.verify());
    assert.ok(error instanceof StorageError);
  }
  assert.deepEqual([store.engine.status, store.engine.stats().backgroundError], ['open', null]);
  plan.disarm();
  await store.engine.verify();
  await store.engine.close();
  await store.checkReopened();
});
