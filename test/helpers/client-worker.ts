/**
 * An application's thread with a client, doing what its task says. Run by test/client through clients.ts.
 */
import assert from 'node:assert/strict';
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { type StorageClient as Client, StorageClient, StorageError } from '../../src/client/index.ts';
import {
  ACCOUNTS,
  ACKNOWLEDGED,
  accountKey,
  BALANCE,
  BATCH_KEYS,
  batchKey,
  COUNTERS,
  DONE,
  STOP,
  TRANSFERS,
  type WorkerTask,
} from './clients.ts';
import { seededRandom } from './rng.ts';

const { port, task } = workerData as { port: MessagePort; task: WorkerTask };

/** Every read shows one batch, whole, and none older than what was acknowledged before it. */
async function readBatches(client: Client, words: Int32Array): Promise<unknown> {
  const random = seededRandom(task.seed ?? 1);
  const range = { gte: 'batch-', lt: 'batch.' };
  const numberOf = (value: Buffer | undefined): number => Number.parseInt(value?.toString() ?? '-1', 10);
  let newest = 0;
  let reads = 0;
  const checkWhole = (values: readonly (Buffer | undefined)[], before: number): number => {
    assert.equal(values.length, BATCH_KEYS);
    const numbers = new Set(values.map(numberOf));
    assert.equal(numbers.size, 1, `half a batch: ${[...numbers].join(', ')}`);
    const [number] = numbers as Set<number>;
    assert.ok(number! >= before, `${number} is older than ${before}, which was acknowledged`);
    return number!;
  };
  while (Atomics.load(words, STOP) === 0) {
    const before = Math.max(newest, Atomics.load(words, ACKNOWLEDGED));
    const kind = random.below(6);
    if (kind === 5) {
      // Each batch deletes the range and puts one key of its own there.
      const keys = Array.from(client.scan({ prefix: 'latest-' }), ([key]) => key.toString());
      assert.equal(keys.length, 1, `deleted, and seen: ${keys.join(', ')}`);
      newest = Number(keys[0]!.slice('latest-'.length));
      assert.ok(newest >= before, `${newest} is older than ${before}`);
      if (newest > 1) assert.equal(client.getSync(`latest-${newest - 1}`), undefined, 'deleted, and seen');
    } else if (kind === 0)
      newest = checkWhole(
        Array.from(client.scan(range), ([, value]) => value),
        before,
      );
    else if (kind === 1)
      newest = checkWhole(
        client
          .scan({ ...range, reverse: true })
          .nextMany(1000)
          .map(([, value]) => value),
        before,
      );
    else if (kind === 2)
      newest = checkWhole(
        await client.getMany(Array.from({ length: BATCH_KEYS }, (_, i) => batchKey(i))),
        before,
      );
    else if (kind === 3) {
      const number = numberOf(client.getSync(batchKey(random.below(BATCH_KEYS))));
      assert.ok(number >= before, `${number} is older than ${before}`);
      newest = number;
    } else {
      const snapshot = client.snapshot();
      const values = Array.from(client.scan({ ...range, snapshot }), ([, value]) => value);
      newest = checkWhole(values, before);
      if (random.chance(0.5)) await new Promise((resolve) => setTimeout(resolve, random.below(20)));
      for (let i = 0; i < 5; i++) {
        const key = batchKey(random.below(BATCH_KEYS));
        assert.equal(numberOf(client.getSync(key, { snapshot })), newest, 'the snapshot moved');
      }
      snapshot.close();
    }
    reads++;
    if (random.chance(0.02)) await new Promise((resolve) => setImmediate(resolve));
  }
  return { reads };
}

/** Counts up under its own key, and never finds another thread's count behind what that was acknowledged. */
async function count(client: Client, words: Int32Array): Promise<unknown> {
  const own = task.index ?? 0;
  let reads = 0;
  for (let number = 1; Atomics.load(words, STOP) === 0; number++) {
    await client.put(`counter-${own}`, String(number));
    Atomics.store(words, COUNTERS + own, number);
    for (let i = 0; i < 3; i++) {
      const before = Atomics.load(words, COUNTERS + i);
      const found = Number(client.getSync(`counter-${i}`)?.toString() ?? 0);
      assert.ok(found >= before, `counter ${i}: ${found} is older than ${before}, which was acknowledged`);
      reads++;
    }
  }
  return { reads };
}

/** Reads in one go, without a turn of its event loop, until it is told to stop. */
function readOn(client: Client, words: Int32Array): unknown {
  let found = 0;
  while (Atomics.load(words, STOP) === 0) {
    const wanted = Atomics.load(words, ACKNOWLEDGED);
    const value = Number(client.getSync('number')?.toString() ?? 0);
    assert.ok(value >= wanted, `${value} is older than ${wanted}`);
    for (const [key] of client.scan({ limit: 3 })) found += key.length;
    Atomics.add(words, DONE, 1);
    Atomics.notify(words, DONE);
  }
  return { found };
}

/** Moves amounts between accounts, and looks at all of them now and then, which come to the same sum always. */
async function transfer(client: Client): Promise<unknown> {
  const random = seededRandom(task.seed ?? 1);
  let reads = 0;
  for (let i = 0; i < TRANSFERS; i++) {
    const [from, to] = [accountKey(random.below(ACCOUNTS)), accountKey(random.below(ACCOUNTS))];
    const amount = random.below(10);
    await client.transaction(
      async (tx) => {
        const before = Number(tx.getSync(from));
        if (random.chance(0.2)) await new Promise((resolve) => setImmediate(resolve));
        tx.put(from, String(before - amount));
        tx.put(to, String(Number(await tx.get(to)) + amount));
      },
      { retries: 1000 },
    );
    if (!random.chance(0.1)) continue;
    const sum = await client.transaction((tx) => {
      const values = tx.scan({ prefix: 'account-' }).nextMany(ACCOUNTS + 1);
      return values.reduce((total, [, value]) => total + Number(value), 0);
    });
    assert.equal(sum, ACCOUNTS * BALANCE);
    reads++;
  }
  return { reads };
}

/** One cycle after another on ports that come by message. */
async function cycle(): Promise<unknown> {
  for await (const [next] of messages()) {
    const client = await StorageClient.attach(next);
    client.getSync('key-000001');
    client.scan().nextMany(2);
    client.snapshot();
    await client.close();
    parentPort!.postMessage('cycled');
  }
  return {};
}

async function* messages(): AsyncGenerator<[MessagePort | undefined]> {
  const waiting: ((port: MessagePort | undefined) => void)[] = [];
  parentPort!.on('message', (next?: MessagePort) => waiting.shift()?.(next));
  for (;;) {
    const next = await new Promise<MessagePort | undefined>((resolve) => waiting.push(resolve));
    if (next === undefined) return;
    yield [next];
  }
}

/** Leaves a scan half read and a snapshot open, and waits to be terminated. */
async function hold(client: Client): Promise<unknown> {
  client.scan().nextMany(2);
  const snapshot = client.snapshot();
  parentPort!.postMessage('holding');
  await new Promise((resolve) => setInterval(resolve, 60_000));
  return { isClosed: snapshot.isClosed };
}

/** Waits for the owner to close: what then comes of everything. */
async function outlive(client: Client, words: Int32Array): Promise<unknown> {
  const scan = client.scan();
  scan.nextMany(1);
  const codeOf = async (run: () => unknown): Promise<string> => {
    try {
      await run();
      return 'none';
    } catch (error) {
      return error instanceof StorageError ? error.code : String(error);
    }
  };
  parentPort!.postMessage('ready');
  // The loop has no turn between the closing and the first reads.
  while (Atomics.load(words, STOP) === 0) Atomics.wait(words, STOP, 0, 1000);
  return [
    await codeOf(() => client.getSync('key-000001')),
    await codeOf(() => scan.nextMany(1)),
    await codeOf(() => client.put('a', 'b')),
    await codeOf(() => client.flush()),
    await codeOf(() => client.scan()),
    await codeOf(() => client.close()),
    await codeOf(() => client.get('a')),
  ];
}

async function run(client: Client): Promise<unknown> {
  const words = new Int32Array(task.shared ?? new SharedArrayBuffer(64));
  switch (task.behaviour) {
    case 'read-batches':
      return await readBatches(client, words);
    case 'count':
      return await count(client, words);
    case 'read-on':
      return readOn(client, words);
    case 'cycle':
      return await cycle();
    case 'transfer':
      return transfer(client);
    case 'hold':
      return await hold(client);
    case 'outlive':
      return await outlive(client, words);
    case 'idle':
      return {};
    default:
      throw new Error(`no such behaviour: ${task.behaviour}`);
  }
}

if (parentPort !== null) {
  const client = await StorageClient.attach(port, task.options);
  parentPort.postMessage('attached');
  parentPort.postMessage(await run(client));
}
