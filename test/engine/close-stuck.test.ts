/**
 * close() on a disk that does not answer: it ends with STRATA_IO, every promise settles, and the directory stays locked until
 * what is under way has really ended. And: close() does not wait for what it can cancel.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { openEngine } from '../../src/main/engine.ts';
import { type EngineOptions, StorageEngine, StorageError } from '../../src/main/index.ts';
import { failsWith, fill, keysOf, until } from '../helpers/engines.ts';
import { FaultControl } from '../helpers/fault/fault-control.ts';
import { faultySpec } from '../helpers/fault/faulty-file-system.ts';
import { type RecordedKind, Recorder } from '../helpers/recording-file-system.ts';
import { temporaryDirectory } from '../helpers/temp-directory.ts';

/** Nothing here makes progress that slowly. */
const CLOSE_LIMIT_MS = 300;
/** Ten operations fit into it, and closing takes several times as many. */
const SLOW_LIMIT_MS = 1500;
/** Of any wait; far above what one takes. */
const HANG_MS = 60_000;
const LARGE = 'v'.repeat(300 * 1024);

async function open(t: TestContext, recorder: Recorder, options: EngineOptions = {}): Promise<StorageEngine> {
  t.after(() => recorder.calm());
  const directory = join(temporaryDirectory(t), 'store');
  const internals = { fileSystem: recorder.spec, closeLimitMs: CLOSE_LIMIT_MS };
  return await openEngine(directory, { threads: 0, ...options }, internals);
}

/** The outcome, or a failure of the test when there is none. */
async function outcomeOf(promise: Promise<unknown>): Promise<string> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new assert.AssertionError({ message: 'it never settles' })), HANG_MS);
  });
  const told = promise.then(
    () => 'resolved',
    (error: unknown) => (error instanceof StorageError ? error.code : String(error)),
  );
  return await Promise.race([told, late]).finally(() => clearTimeout(timer));
}

async function openAgain(path: string): Promise<StorageEngine> {
  for (;;) {
    const engine = await StorageEngine.open(path, { threads: 0 }).catch((error: StorageError) => {
      assert.equal(error.code, 'STRATA_LOCKED');
      return undefined;
    });
    if (engine !== undefined) return engine;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

interface Stuck {
  readonly name: string;
  readonly kind: RecordedKind;
  readonly start: (engine: StorageEngine) => Promise<unknown>[];
}

const STUCK: readonly Stuck[] = [
  { name: 'a log write', kind: 'write', start: (engine) => [engine.put('b', LARGE), engine.put('c', '1')] },
  {
    name: 'a sync of the log',
    kind: 'datasync',
    start: (engine) => [engine.put('b', '1', { sync: true }), engine.put('c', '1', { sync: true })],
  },
  { name: 'the manifest of a flush', kind: 'rename', start: (engine) => [engine.flush(), engine.compact()] },
  {
    name: 'the manifest of an ingestion',
    kind: 'rename',
    start: (engine) => [engine.ingest([['b', '1']]), engine.flush()],
  },
];

for (const { name, kind, start } of STUCK)
  test(`${name} that does not end: close() gives up, all is told, the lock stays until it ends`, async (t) => {
    const recorder = new Recorder();
    const engine = await open(t, recorder);
    await engine.put('a', '1');
    const release = recorder.hold(kind);
    const pending = start(engine).map(outcomeOf);
    await new Promise((resolve) => setTimeout(resolve, 20));
    const closing = engine.close();
    assert.equal(await outcomeOf(closing), 'STRATA_IO');
    assert.equal(await outcomeOf(engine.close()), 'STRATA_IO', 'the same, however often');
    for (const outcome of await Promise.all(pending))
      assert.ok(['resolved', 'STRATA_IO', 'STRATA_CLOSED'].includes(outcome), outcome);
    assert.equal(engine.status, 'closed');
    await failsWith('STRATA_CLOSED', () => engine.getSync('a'));
    await failsWith('STRATA_LOCKED', StorageEngine.open(engine.path));
    const written = recorder.find(/^write /).length;
    release();
    const again = await openAgain(engine.path);
    assert.ok(keysOf(again.scan()).includes('a'));
    await again.verify();
    await again.close();
    assert.ok(recorder.find(/^write /).length <= written + 1, 'nothing new was begun');
  });

test('a job that does not end on its thread: close() gives up, and the lock is kept until the job has ended', async (t) => {
  const control = new FaultControl();
  const directory = join(temporaryDirectory(t), 'store');
  const internals = { fileSystem: faultySpec({ control: control.buffer }), closeLimitMs: CLOSE_LIMIT_MS };
  const engine = await openEngine(directory, { threads: 1, writeBufferSize: 8192 }, internals);
  await engine.put('a', '1', { sync: true });
  control.setLatency({ ms: 4000, kinds: ['create'], types: ['table'] });
  const flushed = outcomeOf(engine.flush());
  await until(() => engine.stats().jobs.running > 0);
  assert.equal(await outcomeOf(engine.close()), 'STRATA_IO');
  assert.equal(await flushed, 'STRATA_IO');
  await failsWith('STRATA_LOCKED', StorageEngine.open(directory));
  control.setLatency(undefined);
  const again = await openAgain(directory);
  assert.deepEqual(keysOf(again.scan()), ['a']);
  assert.deepEqual(control.openHandles(), {}, 'the earlier job has ended');
  await again.close();
});

test('a slow disk that gets on is waited for, longer than the limit', async (t) => {
  const control = new FaultControl();
  const directory = join(temporaryDirectory(t), 'store');
  const internals = { fileSystem: faultySpec({ control: control.buffer }), closeLimitMs: SLOW_LIMIT_MS };
  const engine = await openEngine(directory, { threads: 1, writeBufferSize: 4096 }, internals);
  // A thread that has yet to start is no disk that gets on, and takes a busy machine a second.
  await engine.put('first', '1');
  await engine.flush();
  control.setLatency({ ms: SLOW_LIMIT_MS / 10, kinds: ['create', 'datasync', 'rename'] });
  const writes = Array.from({ length: 60 }, (_, i) => engine.put(`k${i}`, 'v'.repeat(500)));
  assert.ok(engine.stats().stalls.heldWrites > 0);
  const begin = performance.now();
  await engine.close();
  await Promise.all(writes);
  assert.ok(performance.now() - begin > SLOW_LIMIT_MS, 'it took no longer than the limit');
  const again = await openAgain(directory);
  assert.equal(keysOf(again.scan()).length, 61);
  await again.close();
});

test('close() cancels compact(), verify() and ingestions that are under way, and compactions of its own', async (t) => {
  const control = new FaultControl();
  const directory = join(temporaryDirectory(t), 'store');
  const fileSystem = faultySpec({ control: control.buffer });
  const options = { threads: 2, writeBufferSize: 65_536, blockSize: 256, maxFileSize: 8192 };
  const engine = await openEngine(directory, options, { fileSystem });
  for (let round = 0; round < 3; round++) {
    await fill(engine, 600, 100, round);
    await engine.flush();
  }
  // Each of them would take a minute.
  control.setLatency({ ms: 200, kinds: ['create', 'read'], types: ['table'] });
  const compacted = outcomeOf(engine.compact());
  const verified = outcomeOf(engine.verify());
  const endless = async function* (): AsyncGenerator<[string, string]> {
    for (let i = 0; ; i++)
      yield await new Promise((resolve) => setImmediate(resolve, [`x${i}`, 'v'] as const));
  };
  const loaded = outcomeOf(engine.ingest(endless()));
  const own = outcomeOf(engine.put('late', '1'));
  await until(() => engine.stats().jobs.running > 0);
  await engine.close();
  assert.deepEqual(
    [await compacted, await verified, await loaded, await own],
    ['STRATA_CLOSED', 'STRATA_CLOSED', 'STRATA_CLOSED', 'resolved'],
  );
  assert.deepEqual(control.openHandles(), {});
  control.setLatency(undefined);
  const again = await openAgain(directory);
  assert.equal(keysOf(again.scan()).length, 601);
  await again.verify();
  await again.close();
});
