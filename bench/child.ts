/**
 * A child process: carries out one task on one store and answers through IPC.
 *
 *   load      write everything  ->  flush  ->  settle  ->  close  ->  open (which recovers a log into tables)  ->  settle
 *   measure   open  ->  prepare, warm up  ->  [ the loop ]  ->  settle  ->  close
 *
 * A process each, so that no store inherits another's heap, compiled code, threads or page-cache luck.
 */
import { Dataset } from './data/dataset.ts';
import { Random } from './data/random.ts';
import type { Measurement } from './measure/measurement.ts';
import { Meter } from './measure/meter.ts';
import { settle } from './measure/settle.ts';
import { diskBytes } from './measure/usage.ts';
import { openBenchStore } from './stores/open-store.ts';
import type { BenchStore } from './stores/store.ts';
import type { LoadTask, MeasureTask, Reply, Task } from './task.ts';
import { CATALOG } from './workloads/catalog.ts';

const LOAD_SEED = 7;
const RECORDS_PER_BATCH = 1000;
/** Batches hold no more than this, however large the values. */
const BATCH_BYTES: number = 1024 * 1024;

async function load(task: LoadTask): Promise<Reply> {
  const data = new Dataset(task.records, task.shape);
  const order = new Random(LOAD_SEED).permutation(task.records);
  const perBatch = Math.max(1, Math.min(RECORDS_PER_BATCH, Math.floor(BATCH_BYTES / data.recordBytes)));
  const store = await openBenchStore(task.store, task);
  for (let begin = 0; begin < order.length; begin += perBatch) {
    const records = [...order.subarray(begin, begin + perBatch)];
    await store.write(
      records.map((record) => data.key(record)),
      records.map((record) => data.value(record)),
    );
  }
  await store.flush?.();
  await settle(task.settleLimitMs);
  await store.close();
  const again = await openBenchStore(task.store, task);
  await again.flush?.();
  await settle(task.settleLimitMs);
  await again.close();
  return { kind: 'loaded' };
}

async function measure(task: MeasureTask): Promise<Reply> {
  const workload = CATALOG.find(({ name }) => name === task.workload);
  if (workload === undefined) throw new Error(`no workload ${task.workload}`);
  let store: BenchStore = await openBenchStore(task.store, task);
  const meter = new Meter(task.seconds * workload.timeFactor);
  const run = await workload.prepare({
    store,
    reopen: async () => {
      store = await openBenchStore(task.store, task);
      return store;
    },
    data: new Dataset(task.records, task.shape),
    meter,
    random: new Random(task.seed),
    limit: workload.limit(task.records),
    seconds: task.seconds,
  });
  meter.begin();
  await run();
  meter.end();
  return { kind: 'measured', measurement: await finish(task, meter, store, workload.writes) };
}

async function finish(
  task: MeasureTask,
  meter: Meter,
  store: BenchStore,
  isChanged: boolean,
): Promise<Measurement> {
  const settled = isChanged ? await settle(task.settleLimitMs) : undefined;
  const measurement = meter.report({
    settledAtMs: settled?.sinceMs,
    isCalm: settled?.isCalm ?? true,
    diskBytes: await diskBytes(task.directory),
  });
  await store.close();
  return measurement;
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
