/**
 * Measures one row on one store, as a child process does it: opens the store, reads for a while, closes it.
 *
 *   rehearse   the same on a small store that is thrown away, so that code is compiled and libraries are loaded
 *
 * Invariants: the event loop is watched from the first read to the last, without the opening, which has its own time.
 */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';
import { Dataset } from '../data/dataset.ts';
import { fill } from '../data/fill.ts';
import { Random } from '../data/random.ts';
import type { Latency } from '../measure/measurement.ts';
import { cpuSeconds, readBytes } from '../measure/usage.ts';
import { openBenchStore } from '../stores/open-store.ts';
import type { BenchStore } from '../stores/store.ts';
import { DEFAULT_SHAPE } from '../workloads/workload.ts';
import type { ColdRow } from './cold-rows.ts';
import type { ColdMeasurement, ColdTask, LoopDelay } from './cold-task.ts';
import { countReads } from './limits.ts';
import { LoopWatch } from './loop-watch.ts';
import { PacedWriter } from './paced-writer.ts';

const REHEARSAL_RECORDS = 5000;
const REHEARSAL_SECONDS = 0.4;
const NS_PER_US = 1000;
/** Of the row with a writer: small, so that flushes and compactions happen within seconds. */
const WRITES_BUFFER_BYTES: number = 8 * 1024 ** 2;
const BUFFER_BYTES: number = 64 * 1024 ** 2;

export async function rehearse(task: ColdTask, row: ColdRow): Promise<void> {
  const directory = join(task.scratch, 'rehearsal');
  const small = {
    ...task,
    directory,
    records: Math.min(task.records, REHEARSAL_RECORDS),
    seconds: Math.min(task.seconds, REHEARSAL_SECONDS),
    counter: undefined,
  };
  await mkdir(directory);
  try {
    const store = await open(small, row);
    await fill(store, { records: small.records, shape: shapeOf(small) });
    await store.flush?.();
    await store.close();
    await measure(small, row);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

function shapeOf({ valueBytes }: ColdTask): typeof DEFAULT_SHAPE {
  return { ...DEFAULT_SHAPE, valueBytes };
}

function open({ store, mode, directory, cacheBytes }: ColdTask, { writes }: ColdRow): Promise<BenchStore> {
  return openBenchStore(store, {
    directory,
    cacheBytes,
    writeBufferBytes: writes ? WRITES_BUFFER_BYTES : BUFFER_BYTES,
    ...(mode === 'mmap-off' ? { mmap: false } : {}),
  });
}

export async function measure(task: ColdTask, row: ColdRow): Promise<ColdMeasurement> {
  const beforeOpen = performance.now();
  const store = await open(task, row);
  try {
    const openMs = performance.now() - beforeOpen;
    return { ...(await perform(task, row, store)), openMs };
  } finally {
    await store.close();
  }
}

async function perform(
  task: ColdTask,
  row: ColdRow,
  store: BenchStore,
): Promise<Omit<ColdMeasurement, 'openMs'>> {
  const data = new Dataset(task.records, shapeOf(task));
  const random = new Random(task.seed);
  const latency = createHistogram();
  const loop = new LoopWatch();
  const writer = row.writes ? new PacedWriter(store, data, new Random(task.seed + 1)) : undefined;
  const before = sample(task);
  const untilMs = before.at + task.seconds * 1000;
  let operations: number;
  let delay: LoopDelay;
  let putsPerSecond: number | null;
  let after: Sample;
  writer?.begin();
  loop.begin();
  try {
    operations = await row.run({ store, data, random, latency, untilMs });
  } finally {
    delay = loop.end();
    after = sample(task);
    putsPerSecond = (await writer?.end()) ?? null;
  }
  const seconds = (after.at - before.at) / 1000;
  const perSecond = (a: number | undefined, b: number | undefined): number | null =>
    a === undefined || b === undefined ? null : (b - a) / seconds;
  return {
    operations,
    seconds,
    opsPerSecond: operations / seconds,
    latencyUs: latencies(latency),
    loop: delay,
    cpuSeconds: after.cpu - before.cpu,
    diskReadsPerSecond: perSecond(before.reads, after.reads),
    diskBytesPerSecond: perSecond(before.bytes, after.bytes),
    putsPerSecond,
  };
}

interface Sample {
  readonly at: number;
  readonly cpu: number;
  readonly reads: number | undefined;
  readonly bytes: number | undefined;
}

function sample({ counter }: ColdTask): Sample {
  return {
    at: performance.now(),
    cpu: cpuSeconds(),
    reads: counter === undefined ? undefined : countReads(counter),
    bytes: readBytes(),
  };
}

function latencies(latency: RecordableHistogram): Latency | null {
  if (latency.count === 0) return null;
  const us = (percentile: number): number => latency.percentile(percentile) / NS_PER_US;
  return { p50: us(50), p99: us(99), p999: us(99.9), max: latency.max / NS_PER_US };
}
