/**
 * How a client's ingestions end that do not end well: nothing of them is visible, in memory or on the disk, once the promise has
 * rejected; or, where the client's thread is gone, soon after.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises';
import { type IngestPhase, type IngestRecord, StorageClient } from '../../src/client/index.ts';
import { attachHere, said, startClient } from '../helpers/clients.ts';
import { failsWith, fill, openOn, openTiny, reopen, textsOf, until } from '../helpers/engines.ts';
import { FailingDisk } from '../helpers/failing-disk.ts';
import { FaultControl } from '../helpers/fault/fault-control.ts';
import { faultySpec } from '../helpers/fault/faulty-file-system.ts';
import { BadSource, isUntouched, recordsOf, runFiles, slowly } from '../helpers/loads.ts';

const COUNT = 3001;

/** A store with a little in it, on a disk that can be slowed down. */
async function openSlow(t: TestContext) {
  const control = new FaultControl();
  const engine = await openOn(t, faultySpec({ control: control.buffer }), { threads: 2 });
  await fill(engine, 50);
  return { control, engine, before: textsOf(engine.scan()) };
}

for (const when of ['before', 'sorting', 'merging', 'installing'] as const) {
  test(`aborted by its signal (${when}): rejects with the reason, and nothing is left`, async (t) => {
    const { control, engine, before } = await openSlow(t);
    // So that the word of a phase arrives before the next one: tables are merged, and what is in memory is flushed.
    control.setLatency({ ms: 150, kinds: ['datasync'], types: ['table'] });
    const client = await attachHere(t, engine);
    const controller = new AbortController();
    const reason = new RangeError('enough');
    if (when === 'before') controller.abort(reason);
    let hasEnded = when === 'before';
    async function* source(): AsyncGenerator<IngestRecord> {
      try {
        yield* slowly(recordsOf(COUNT, 'loaded'));
      } finally {
        hasEnded = true;
      }
    }
    const onProgress = ({ phase }: { phase: IngestPhase }): void => {
      if (phase === when) controller.abort(reason);
    };
    await assert.rejects(client.ingest(source(), { signal: controller.signal, onProgress }), reason);
    await until(() => hasEnded);
    assert.deepEqual(runFiles(engine), []);
    control.setLatency(undefined);
    await isUntouched(t, engine, before);
  });
}

test('aborted while the source keeps it waiting: rejects at once', async (t) => {
  const engine = await openTiny(t);
  const client = await attachHere(t, engine);
  const controller = new AbortController();
  let wasAsked = false;
  let wasTold = false;
  const source: AsyncIterable<IngestRecord> = {
    [Symbol.asyncIterator]: () => ({
      next: () => {
        wasAsked = true;
        return new Promise(() => undefined);
      },
      return: async () => {
        wasTold = true;
        return { done: true, value: undefined };
      },
    }),
  };
  const loading = client.ingest(source, { signal: controller.signal });
  await until(() => wasAsked);
  controller.abort();
  await assert.rejects(loading, { name: 'AbortError' });
  await until(() => wasTold);
  await isUntouched(t, engine, []);
});

test('a source that throws, at once or midway; a bad record; a callback that throws', async (t) => {
  const { control, engine, before } = await openSlow(t);
  control.setLatency({ ms: 50, kinds: ['datasync'], types: ['table'] });
  const client = await attachHere(t, engine);
  const problem = new SyntaxError('line 7');
  function* failing(after: number): Generator<IngestRecord> {
    yield* [...recordsOf(COUNT, 'x')].slice(0, after);
    throw problem;
  }
  const thrower = (wanted: IngestPhase) => ({
    onProgress: ({ phase }: { phase: IngestPhase }): void => {
      if (phase === wanted) throw problem;
    },
  });
  const isGone = (): void => assert.deepEqual(runFiles(engine), []);
  for (const after of [0, 3000]) await assert.rejects(client.ingest(failing(after)), problem).then(isGone);
  await assert.rejects(client.ingest(slowly(failing(3000))), problem).then(isGone);
  for (const phase of ['sorting', 'merging'] as const)
    await assert.rejects(client.ingest(recordsOf(COUNT, 'x'), thrower(phase)), problem).then(isGone);
  const bad = new BadSource();
  const refusal = await failsWith('STRATA_INVALID_ARGUMENT', client.ingest(bad.records()));
  assert.match(refusal.message, /record 2001/);
  assert.ok(bad.hasEnded);
  isGone();
  control.setLatency(undefined);
  await isUntouched(t, engine, before);
});

test('a writer that is aborted, before anything, half way and while it is finished', async (t) => {
  const { control, engine, before } = await openSlow(t);
  control.setLatency({ ms: 50, kinds: ['datasync'], types: ['table'] });
  const client = await attachHere(t, engine);
  for (const records of [0, 10, COUNT]) {
    const writer = await client.ingestWriter();
    for (const [key, value] of [...recordsOf(COUNT, 'x')].slice(0, records)) writer.put(key, value);
    assert.equal(runFiles(engine).length > 0, records === COUNT);
    await writer.abort();
    assert.deepEqual(runFiles(engine), []);
    await failsWith('STRATA_CLOSED', () => writer.put('a', 'b'));
    await failsWith('STRATA_CLOSED', writer.finish());
    await writer.abort();
  }
  const writer = await client.ingestWriter();
  for (const [key, value] of recordsOf(COUNT, 'x')) writer.put(key, value);
  const finished = failsWith('STRATA_CLOSED', writer.finish());
  await failsWith('STRATA_CLOSED', () => writer.put('a', 'b'));
  await writer[Symbol.asyncDispose]();
  await finished;
  control.setLatency(undefined);
  await isUntouched(t, engine, before);
});

test('a client that is closed: its loads end with STRATA_CLOSED, those of others go on', async (t) => {
  const engine = await openTiny(t, { threads: 2 });
  const [client, other] = [await attachHere(t, engine), await attachHere(t, engine)];
  const mine = await client.ingestWriter();
  const theirs = await other.ingestWriter();
  for (const [key, value] of recordsOf(COUNT, 'x')) {
    mine.put(key, value);
    theirs.put(key, value);
  }
  const waiting = failsWith('STRATA_CLOSED', client.ingest(slowly(recordsOf(COUNT, 'y'), 1)));
  await nextTurn();
  const files = runFiles(engine).length;
  await client.close();
  await waiting;
  await failsWith('STRATA_CLOSED', () => mine.put('a', 'b'));
  await failsWith('STRATA_CLOSED', mine.finish());
  await mine.abort();
  await until(() => runFiles(engine).length <= files / 2);
  assert.equal((await theirs.finish()).entries, COUNT);
  assert.deepEqual(runFiles(engine), []);
  assert.equal(textsOf(engine.scan()).length, COUNT);
});

test('a client that is closed while a load begins: STRATA_CLOSED', async (t) => {
  const engine = await openTiny(t);
  const client = await attachHere(t, engine);
  const begun = [
    failsWith('STRATA_CLOSED', client.ingestWriter()),
    failsWith('STRATA_CLOSED', client.ingest([['a', '1']])),
  ];
  await client.close();
  await Promise.all(begun);
  await until(() => engine.stats().clients === 0);
  await isUntouched(t, engine, []);
});

test('a client that is closed while a load is merged waits for it', async (t) => {
  const engine = await openTiny(t, { threads: 2 });
  const client = await StorageClient.attach(engine.share());
  const writer = await client.ingestWriter();
  for (const [key, value] of recordsOf(COUNT, 'x')) writer.put(key, value);
  const finished = writer.finish();
  await client.close();
  assert.equal((await finished).entries, COUNT);
  assert.equal(textsOf(engine.scan()).length, COUNT);
});

for (const behaviour of ['half', 'endless', 'finish'] as const) {
  test(`a thread that is terminated (${behaviour}): nothing is visible, and its files are deleted`, async (t) => {
    const { control, engine, before } = await openSlow(t);
    const load = { prefix: '', value: 'loaded', count: COUNT };
    for (let round = 0; round < (behaviour === 'endless' ? 4 : 2); round++) {
      // The merge takes longer than it takes to terminate a thread; so does writing a file, now and then.
      control.setLatency({
        ms: 20,
        kinds: ['create', 'datasync'],
        types: round % 2 === 0 ? ['table'] : ['table', 'run'],
      });
      const worker = await startClient(t, engine, { behaviour, load }, 'ingest-worker');
      await said(worker);
      assert.ok(runFiles(engine).length > 0);
      if (behaviour === 'endless') await delay(round * 6);
      await worker.terminate();
      await until(() => engine.stats().clients === 0);
      await until(() => runFiles(engine).length === 0);
    }
    control.setLatency(undefined);
    await isUntouched(t, engine, before);
  });
}

for (const phase of ['waiting', 'sorting', 'merging'] as const) {
  test(`the owner is closed while a load is ${phase}: STRATA_CLOSED, and nothing is left`, async (t) => {
    const { control, engine, before } = await openSlow(t);
    control.setLatency({ ms: 100, kinds: ['datasync'], types: ['table'] });
    const client = await attachHere(t, engine);
    let closing: Promise<void> | undefined;
    const close = (): void => {
      closing ??= engine.close();
    };
    async function* source(): AsyncGenerator<IngestRecord> {
      yield* slowly(recordsOf(COUNT, 'loaded'));
      // A source that waits for ever must not make close() wait for it.
      if (phase === 'waiting') await new Promise(close);
    }
    const onProgress = (progress: { phase: IngestPhase }): void => {
      if (progress.phase === phase) close();
    };
    await failsWith('STRATA_CLOSED', client.ingest(source(), { onProgress }));
    await closing;
    assert.deepEqual(runFiles(engine), []);
    control.setLatency(undefined);
    const reopened = await reopen(t, engine);
    assert.deepEqual(textsOf(reopened.scan()), before);
    await isUntouched(t, reopened, before);
  });
}

test('the owner is closed while another thread writes: not one file comes after the lock is given up', async (t) => {
  const { control, engine, before } = await openSlow(t);
  const load = { prefix: '', value: 'loaded', count: COUNT };
  const workers = await Promise.all(
    [0, 1].map(() => startClient(t, engine, { behaviour: 'endless', load }, 'ingest-worker')),
  );
  await Promise.all(workers.map((worker) => once(worker, 'message')));
  const outcomes = workers.map((worker) => said<string>(worker));
  // A thread is now most of the time about to make a file.
  control.setLatency({ ms: 40, kinds: ['create'], types: ['run'] });
  await delay(60);
  await engine.close();
  const left = readdirSync(engine.path).filter((name) => name.endsWith('.run'));
  await delay(100);
  assert.deepEqual([left, runFiles(engine)], [[], []]);
  assert.deepEqual(await Promise.all(outcomes), ['STRATA_CLOSED', 'STRATA_CLOSED']);
  control.setLatency(undefined);
  await isUntouched(t, await reopen(t, engine), before);
});

test('a full disk: the put that meets it fails and ends the writer, the store goes on', async (t) => {
  const disk = new FailingDisk();
  const engine = await openOn(t, disk.spec, { threads: 2 });
  const client = await attachHere(t, engine);
  const writer = await client.ingestWriter();
  const records = [...recordsOf(COUNT, 'loaded')];
  for (const [key, value] of records) writer.put(key, value);
  disk.fail('createRun', 'ENOSPC');
  const putAll = (): void => {
    for (const [key, value] of records) writer.put(key, value);
  };
  const error = await failsWith('STRATA_IO', putAll);
  assert.match(error.message, /ENOSPC/);
  assert.equal(await failsWith('STRATA_IO', () => writer.put('a', 'b')), error);
  assert.equal(await failsWith('STRATA_IO', writer.finish()), error);
  await writer.abort();
  assert.deepEqual(runFiles(engine), []);
  await failsWith('STRATA_IO', client.ingest(records));
  disk.recover();
  disk.fail('createTable', 'ENOSPC');
  await failsWith('STRATA_IO', client.ingest(records));
  disk.recover();
  assert.deepEqual(runFiles(engine), []);
  await isUntouched(t, engine, []);
});
