/**
 * An application's thread that loads records through a client, or watches while others do. Run by test/client through clients.ts.
 */
import assert from 'node:assert/strict';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { type StorageClient as Client, StorageClient, StorageError } from '../../src/client/index.ts';
import { DONE, STOP, type WorkerTask } from './clients.ts';
import { recordsOf } from './loads.ts';

const { port, task } = workerData as { port: MessagePort; task: WorkerTask };
const load = task.load ?? { count: 1, value: '', prefix: '' };
const records = (): Iterable<[string, string]> => recordsOf(load.count, load.value, load.prefix);

/** The report, or the code of the error. */
async function outcomeOf(run: () => Promise<unknown>): Promise<unknown> {
  try {
    return await run();
  } catch (error) {
    return error instanceof StorageError ? error.code : String(error);
  }
}

/** Has put everything, and waits to be terminated. */
async function half(client: Client): Promise<unknown> {
  const writer = await client.ingestWriter();
  for (const [key, value] of records()) writer.put(key, value);
  parentPort!.postMessage('half');
  await new Promise((resolve) => setInterval(resolve, 60_000));
  return writer.recordCount;
}

/** Never ends by itself, and seldom gives its event loop a turn. */
async function endless(client: Client): Promise<unknown> {
  return await outcomeOf(async () => {
    const writer = await client.ingestWriter();
    for (let round = 0; ; round++) {
      for (const [key, value] of records()) writer.put(key, `${value}${round}`);
      if (round === 0) parentPort!.postMessage('writing');
      await nextTurn();
    }
  });
}

async function finish(client: Client): Promise<unknown> {
  return await outcomeOf(async () => {
    const writer = await client.ingestWriter();
    for (const [key, value] of records()) writer.put(key, value);
    parentPort!.postMessage('finishing');
    return await writer.finish();
  });
}

/** Sees nothing of a load or all of it, and its values are all of one load. */
async function watch(client: Client, words: Int32Array): Promise<unknown> {
  const seen = new Set<string>();
  const range = { gte: load.prefix, lt: `${load.prefix}\uffff` };
  while (Atomics.load(words, STOP) === 0) {
    const values = Array.from(client.scan(range), ([, value]) => value.toString());
    assert.ok(values.length === 0 || values.length === load.count, `${values.length} of ${load.count}`);
    const kinds = new Set(values);
    assert.ok(kinds.size <= 1, `half of a load: ${[...kinds].join(', ')}`);
    for (const kind of kinds) seen.add(kind);
    Atomics.add(words, DONE, 1);
    await nextTurn();
  }
  return [...seen];
}

async function run(client: Client): Promise<unknown> {
  const words = new Int32Array(task.shared ?? new SharedArrayBuffer(64));
  switch (task.behaviour) {
    case 'load':
      return await outcomeOf(() => client.ingest(records()));
    case 'half':
      return await half(client);
    case 'endless':
      return await endless(client);
    case 'finish':
      return await finish(client);
    case 'watch':
      return await watch(client, words);
    default:
      throw new Error(`no such behaviour: ${task.behaviour}`);
  }
}

if (parentPort !== null) {
  const client = await StorageClient.attach(port, task.options);
  parentPort.postMessage('attached');
  parentPort.postMessage(await run(client));
}
