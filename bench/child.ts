/**
 * A child process: carries out one task on one store and answers through IPC.
 *
 *   load      write everything  ->  flush  ->  settle  ->  close  ->  open (which recovers a log into tables)  ->  settle
 *   measure   (writers: the same on a small store that is thrown away)  ->  open  ->  prepare  ->  [ the loop ]
 *             ->  settle  ->  [ what the workload checks ]  ->  close
 *
 * The small store warms the code up, as reads do on the real one: what is measured is a process that has been running.
 *
 * A process each, so that no store inherits another's heap, compiled code, threads or page-cache luck.
 */
import { mkdir, rm } from 'node:fs/promises';
import { Dataset } from './data/dataset.ts';
import { fill } from './data/fill.ts';
import { Random } from './data/random.ts';
import type { Measurement } from './measure/measurement.ts';
import { Meter } from './measure/meter.ts';
import { settle } from './measure/settle.ts';
import { diskBytes } from './measure/usage.ts';
import { openBenchStore } from './stores/open-store.ts';
import type { BenchStore, StoreOptions } from './stores/store.ts';
import type { LoadTask, MeasureTask, Reply, Task } from './task.ts';
import { CATALOG } from './workloads/catalog.ts';
import type { Workload } from './workloads/workload.ts';

const REHEARSAL_RECORDS = 100_000;
/** Where they have to be loaded first. */
const LOADED_REHEARSAL_RECORDS = 20_000;
const REHEARSAL_SECONDS = 0.4;

async function load(task: LoadTask): Promise<Reply> {
  const store = await openBenchStore(task.store, task);
  await fill(store, task);
  await store.flush?.();
  await settle(task);
  await store.close();
  const again = await openBenchStore(task.store, task);
  await again.flush?.();
  await settle(task);
  await again.close();
  return { kind: 'loaded' };
}

async function measure(task: MeasureTask): Promise<Reply> {
  const workload = CATALOG.find(({ name }) => name === task.workload);
  if (workload === undefined) throw new Error(`no workload ${task.workload}`);
  if (workload.writes) await rehearse(task, workload);
  const performance = await perform(task, workload, task.seconds * workload.timeFactor);
  return { kind: 'measured', measurement: await finish(task, performance, workload.writes) };
}

async function rehearse(task: MeasureTask, workload: Workload): Promise<void> {
  const directory = `${task.directory}-rehearsal`;
  const records = workload.base === 'loaded' ? LOADED_REHEARSAL_RECORDS : REHEARSAL_RECORDS;
  const small = { ...task, directory, records: Math.min(task.records, records) };
  await mkdir(directory);
  try {
    if (workload.base === 'loaded') {
      const store = await openBenchStore(task.store, small);
      await fill(store, small);
      await store.close();
    }
    const { store } = await perform(small, workload, REHEARSAL_SECONDS);
    await store.close();
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

interface Performance {
  readonly meter: Meter;
  /** The one that is open afterwards. */
  readonly store: BenchStore;
  /** What the workload has left for after the measurement. */
  readonly left: readonly (() => Promise<void>)[];
}

async function perform(task: MeasureTask, workload: Workload, seconds: number): Promise<Performance> {
  const { directory, writeBufferBytes, cacheBytes } = task;
  const storeOptions: StoreOptions = { directory, writeBufferBytes, cacheBytes, ...workload.open };
  const open = (): Promise<BenchStore> => openBenchStore(task.store, storeOptions);
  let store: BenchStore = await open();
  const meter = new Meter(seconds);
  const left: (() => Promise<void>)[] = [];
  const run = await workload.prepare({
    store,
    storeName: task.store,
    storeOptions,
    reopen: async () => {
      store = await open();
      return store;
    },
    afterwards: (act) => left.push(act),
    data: new Dataset(task.records, task.shape),
    meter,
    random: new Random(task.seed),
    limit: workload.limit(task.records),
  });
  meter.begin();
  await run();
  meter.end();
  return { meter, store, left };
}

async function finish(
  task: MeasureTask,
  { meter, store, left }: Performance,
  isChanged: boolean,
): Promise<Measurement> {
  const settled = isChanged ? await settle(task) : undefined;
  const usage = meter.report(settled?.sinceMs, settled?.isCalm ?? true);
  for (const act of left) await act();
  await store.close();
  // After closing, when what a store had set aside for growing is gone.
  return { ...usage, diskBytes: await diskBytes(task.directory) };
}

async function carryOut(task: Task): Promise<Reply> {
  try {
    return task.kind === 'load' ? await load(task) : await measure(task);
  } catch (error) {
    return { kind: 'failed', message: error instanceof Error ? error.message : String(error) };
  }
}

/** A parent that is gone will not clean up after us, and nobody waits for the result. */
process.on('disconnect', () => process.exit(1));
process.once('message', (task: Task) => {
  void carryOut(task).then((reply) => process.send!(reply, () => process.exit(0)));
});
