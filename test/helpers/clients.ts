/**
 * Clients for tests: in this thread, where a test can look at both sides, and in worker threads.
 *
 * Owns: clients are closed and workers terminated when the test ends.
 */
import { once } from 'node:events';
import type { TestContext } from 'node:test';
import { Worker } from 'node:worker_threads';
import { type AttachOptions, StorageClient } from '../../src/client/index.ts';
import type { StorageEngine } from '../../src/main/index.ts';

/** Words of the shared memory of a task. */
export const STOP = 0;
export const DONE = 1;
/** Of the owner's last acknowledged batch. */
export const ACKNOWLEDGED = 2;
/** From here on: the last number that thread i was acknowledged. */
export const COUNTERS = 3;
export const BATCH_KEYS = 40;

/** What the threads of a test transfer between, each so many times. */
export const ACCOUNTS = 6;
export const BALANCE = 1000;
export const TRANSFERS = 150;

export function accountKey(i: number): string {
  return `account-${i}`;
}

export function batchKey(i: number): string {
  return `batch-${String(i).padStart(4, '0')}`;
}

/** A client in this thread. */
export async function attachHere(
  t: TestContext,
  engine: StorageEngine,
  options: AttachOptions = {},
): Promise<StorageClient> {
  const client = await StorageClient.attach(engine.share(), options);
  t.after(() => client.close());
  return client;
}

/** What a worker is told. `shared` is for the test to say things that take no turn of the event loop. */
export interface WorkerTask {
  readonly behaviour: string;
  readonly shared?: SharedArrayBuffer;
  readonly index?: number;
  readonly seed?: number;
  readonly options?: AttachOptions;
  /** For ingest-worker.ts: the records of recordsOf(). */
  readonly load?: { readonly count: number; readonly value: string; readonly prefix: string };
}

/** A worker thread with a client, attached by the time this resolves. */
export async function startClient(
  t: TestContext,
  engine: StorageEngine,
  task: WorkerTask,
  script: 'client-worker' | 'ingest-worker' = 'client-worker',
): Promise<Worker> {
  const port = engine.share();
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  const worker = new Worker(new URL(`./${script}.${extension}`, import.meta.url), {
    workerData: { port, task },
    transferList: [port],
  });
  t.after(() => worker.terminate());
  const [greeting] = await once(worker, 'message');
  if (greeting !== 'attached') throw new Error(`the worker said ${String(greeting)}`);
  return worker;
}

/** The next thing that a worker says; rejects when it fails. */
export async function said<T>(worker: Worker): Promise<T> {
  const [message] = await once(worker, 'message');
  return message as T;
}
