/**
 * An application in a process of its own that shares a store and has nothing left to do. Run by test/client/lifecycle.test.ts.
 *
 *   node client-child.js <path> <behaviour>
 */
import { once } from 'node:events';
import { writeSync } from 'node:fs';
import { isMainThread, MessageChannel, type MessagePort, Worker, workerData } from 'node:worker_threads';
import { StorageClient, StorageError } from '../../src/client/index.ts';
import { StorageEngine } from '../../src/main/index.ts';

interface Part {
  readonly part: string;
  readonly path: string;
  readonly port: MessagePort;
}

const [path = '', behaviour = ''] = process.argv.slice(2);

function startPart(part: string, port: MessagePort): Worker {
  return new Worker(new URL(import.meta.url), { workerData: { part, path, port }, transferList: [port] });
}

async function main(): Promise<void> {
  if (behaviour === 'owner-in-worker') {
    // The owner's thread is terminated without a close: the client must not hang.
    const { port1, port2 } = new MessageChannel();
    const worker = startPart('owner', port2);
    const [{ port }] = (await once(port1, 'message')) as [{ port: MessagePort }];
    const client = await StorageClient.attach(port);
    await client.put('k', 'v');
    const pending = client.compact().then(
      () => 'none',
      (error: unknown) => (error instanceof StorageError ? error.code : String(error)),
    );
    await worker.terminate();
    const code = await pending;
    if (code !== 'STRATA_CLOSED' && code !== 'none') throw new Error(code);
    port1.close();
    return;
  }
  const engine = await StorageEngine.open(path);
  const port = engine.share();
  if (behaviour === 'idle-client') {
    const client = await StorageClient.attach(port);
    await client.put('k', 'v');
    // Kept, as forgotten ones may be collected, with a warning.
    const scan = client.scan();
    scan.nextMany(1);
    const snapshot = client.snapshot();
    process.on('exit', () => [scan, snapshot]);
  }
  if (behaviour === 'pending-write') {
    // Nothing but this promise keeps the process alive.
    const client = await StorageClient.attach(port);
    await client.put('k', 'v', { sync: true });
    await client.compact();
  }
  if (behaviour === 'idle-worker') await once(startPart('client', port), 'exit');
}

async function part({ part: name, path: place, port }: Part): Promise<void> {
  if (name === 'client') {
    const client = await StorageClient.attach(port);
    await client.put('k', 'v');
    const scan = client.scan();
    scan.nextMany(1);
    process.on('exit', () => [scan]);
    return;
  }
  const engine = await StorageEngine.open(place, { threads: 0 });
  const shared = engine.share();
  port.postMessage({ port: shared }, [shared]);
  await new Promise((resolve) => setInterval(resolve, 60_000));
}

if (isMainThread) {
  await main();
  writeSync(1, 'ready\n');
} else await part(workerData as Part);
