/**
 * Workers that die during an ingestion: their jobs run again, the load is whole, and what the dead left behind is deleted.
 */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { keyOf, textsOf, until } from '../helpers/engines.ts';
import { type Fault, FaultPlan, type Phase } from './fault-plan.ts';
import { attendWorkers, FaultyStore, templateStore } from './faulty-store.ts';

const CASES: readonly (readonly [kind: 'ingest-run' | 'ingest-merge', phase: Phase, fault: Fault])[] = [
  ['ingest-run', 'start', 'exit'],
  ['ingest-run', 'start', 'nonsense'],
  ['ingest-run', 'answer', 'terminate'],
  ['ingest-run', 'answer', 'nonsense'],
  ['ingest-merge', 'start', 'exit'],
  ['ingest-merge', 'first block', 'terminate'],
  ['ingest-merge', 'before fsync', 'exit'],
  ['ingest-merge', 'after fsync', 'exit'],
  ['ingest-merge', 'answer', 'terminate'],
  ['ingest-merge', 'answer', 'nonsense'],
];

test('a worker may die at any phase of an ingestion', async (t) => {
  const template = await templateStore(t);
  const plans = CASES.map(() => new FaultPlan());
  attendWorkers(t, plans);
  for (const [i, [kind, phase, fault]] of CASES.entries()) {
    const store = await FaultyStore.open(template, `load-${i}`, {}, plans[i]);
    const { engine, plan } = store;
    plan.arm(kind, phase, fault);
    const records = Array.from({ length: 3001 }, (_, n): [string, string] => [
      keyOf((n * 7919) % 3001),
      `${n}`,
    ]);
    const what = `${fault} at ${phase} of ${kind}`;
    const report = await engine.ingest(records);
    assert.equal(plan.happened, 1, what);
    assert.ok(engine.stats().jobs.retried >= 1, what);
    assert.equal(report.entries, 3001, what);
    assert.deepEqual(
      textsOf(engine.scan()),
      records.toSorted(([a], [b]) => (a < b ? -1 : 1)),
      what,
    );
    // What compactions leave is deleted in the background; nobody else would delete what a dead worker left.
    const live = (): number => engine.stats().levels.reduce((sum, { files }) => sum + files, 0);
    const files = (): string[] => readdirSync(store.path).filter((name) => /\.(?:sst|run)$/.test(name));
    await engine.compact();
    await until(() => files().length === live());
    await engine.close();
  }
});

test('a job whose worker always dies ends the load, not the store', async (t) => {
  const template = await templateStore(t);
  for (const kind of ['ingest-run', 'ingest-merge'] as const) {
    const store = await FaultyStore.open(template, `always-${kind}`);
    store.plan.arm(kind, 'answer', 'exit', 1000);
    await assert.rejects(store.engine.ingest(Array.from({ length: 3000 }, (_, n) => [`x${n}`, 'x'])), {
      code: 'STRATA_IO',
    });
    store.plan.disarm();
    store.checkContent();
    assert.equal(readdirSync(store.path).filter((name) => name.endsWith('.run')).length, 0);
    await store.engine.compact();
    await store.engine.close();
    await store.checkReopened();
  }
});
