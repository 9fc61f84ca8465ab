/**
 * A reader thread: opens the store as its package says for another thread, and reads like readrandom-sync or readseq, with
 * the very same loops.
 *
 *   1. open, draw keys from its own seed, warm up      3. read until the line says that it is over
 *   2. say ready, wait at the start line               4. say done, close
 *
 * Thread: a worker of a measuring child process.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { Dataset } from '../data/dataset.ts';
import { Random } from '../data/random.ts';
import { openReader } from '../stores/open-store.ts';
import { prepareReading } from '../workloads/thread-reads.ts';
import { ReaderTally } from './reader-tally.ts';
import type { ReaderMessage, ReaderTask } from './reader-task.ts';
import { StartLine } from './start-line.ts';

function say(message: ReaderMessage): void {
  parentPort!.postMessage(message);
}

async function read(task: ReaderTask): Promise<void> {
  const line = new StartLine(task.line);
  const meter = new ReaderTally(line, task.reader);
  const store = await openReader(task.store, task.options, task.port);
  const run = await prepareReading(task.reading, {
    store,
    data: new Dataset(task.records, task.shape),
    meter,
    random: new Random(task.seed),
    limit: Number.POSITIVE_INFINITY,
  });
  say({ kind: 'ready' });
  line.wait();
  await run();
  say({ kind: 'done', latency: meter.latency });
  await store.close();
}

await read(workerData as ReaderTask);
