/**
 * ingest() beside everything else: reads and writes meanwhile, all at once at the end; and when it fails, is aborted or closed,
 * nothing of it is left, in the store or on the disk.
 */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { openEngine } from '../../src/main/engine.ts';
import { type IngestPhase, type IngestRecord, StorageError } from '../../src/main/index.ts';
import {
  failsWith,
  fill,
  keyOf,
  newPath,
  openOn,
  openTiny,
  reopen,
  TINY,
  textsOf,
  until,
  valueFor,
} from '../helpers/engines.ts';
import { FailingDisk } from '../helpers/failing-disk.ts';
import { FaultControl } from '../helpers/fault/fault-control.ts';
import { faultySpec } from '../helpers/fault/faulty-file-system.ts';
import { BadSource, dataFiles, isUntouched, liveTables, recordsOf, slowly } from '../helpers/loads.ts';
import { seededRandom } from '../helpers/rng.ts';
import { freshSeed, reportSeed } from '../helpers/run-budget.ts';

test('a reader sees nothing of a load or all of it', async (t) => {
  const engine = await openTiny(t, { threads: 2 });
  const count = 3001;
  let isDone = false;
  const seen = new Set<number>();
  const reader = async (): Promise<void> => {
    while (!isDone) {
      const values = textsOf(engine.scan());
      seen.add(values.length);
      assert.ok(values.length === 0 || values.length === count, `${values.length} of ${count}`);
      const [first, last] = [engine.getSync(keyOf(0)), engine.getSync(keyOf(count - 1))];
      assert.equal(first === undefined, last === undefined);
      await nextTurn();
    }
  };
  const reading = reader();
  await engine.ingest(slowly(recordsOf(count, 'loaded')));
  assert.equal(textsOf(engine.scan()).length, count, 'all of it as soon as the promise has resolved');
  isDone = true;
  await reading;
  assert.ok(seen.has(0));
});

test('snapshots and scans opened before an ingestion do not see it, whenever they were made', async (t) => {
  const engine = await openTiny(t);
  await fill(engine, 300);
  const before = textsOf(engine.scan());
  const snapshots = [engine.snapshot()];
  const scans = [engine.scan()];
  const phases = new Set<IngestPhase>();
  await engine.ingest(recordsOf(2003, 'loaded'), {
    onProgress: ({ phase }) => {
      if (phases.has(phase)) return;
      phases.add(phase);
      snapshots.push(engine.snapshot());
      scans.push(engine.scan());
    },
  });
  assert.ok(snapshots.length >= 3);
  await engine.put(keyOf(1), 'later');
  await engine.compact();
  for (const snapshot of snapshots) {
    assert.deepEqual(textsOf(engine.scan({ snapshot })), before);
    assert.equal(engine.getSync(keyOf(7), { snapshot })?.toString(), valueFor(7));
    assert.equal(engine.getSync(keyOf(1000), { snapshot }), undefined);
    snapshot.close();
  }
  for (const scan of scans) assert.deepEqual(textsOf(scan), before);
  assert.equal(textsOf(engine.scan()).length, 2003);
});

test('writes made during a load: older than it if they were in the log before, newer otherwise, and none is lost', async (t) => {
  const seed = freshSeed();
  reportSeed(t, seed);
  const random = seededRandom(seed);
  const engine = await openTiny(t, { threads: 2 });
  const count = 1009;
  let isDone = false;
  const lastWritten = new Map<string, string>();
  const writer = async (): Promise<void> => {
    for (let round = 0; !isDone; round++) {
      const writes: Promise<void>[] = [];
      for (let i = 0; i < 20; i++) {
        const [shared, own] = [keyOf(random.below(count)), `own-${random.below(500)}`];
        writes.push(engine.put(shared, `written ${round}`), engine.put(own, `${round}`));
        lastWritten.set(own, `${round}`);
      }
      await Promise.all(writes);
      await nextTurn();
    }
  };
  const writing = writer();
  await engine.ingest(slowly(recordsOf(count, 'loaded'), 20));
  const after = new Map(textsOf(engine.scan({ lt: 'own' })));
  isDone = true;
  await writing;
  assert.equal(after.size, count);
  // What was written since the commit may be over it already; what came before is not to be seen.
  const loaded = [...after.values()].filter((value) => value === 'loaded').length;
  assert.ok(loaded > count / 2, `${loaded} of ${count}`);
  await engine.put(keyOf(0), 'the last word');
  const expected = new Map(textsOf(engine.scan()));
  for (const [key, value] of lastWritten) assert.equal(expected.get(key), value);
  const reopened = await reopen(t, engine);
  assert.deepEqual(new Map(textsOf(reopened.scan())), expected);
  await reopened.compact();
  assert.deepEqual(new Map(textsOf(reopened.scan())), expected);
  await reopened.verify();
});

test('a write acknowledged before the call is older than the load, one after it newer', async (t) => {
  const engine = await openTiny(t);
  await engine.put('a', 'before');
  const loading = engine.ingest([['a', 'loaded']]);
  await loading;
  assert.equal(engine.getSync('a')?.toString(), 'loaded');
  await engine.put('a', 'after');
  assert.equal(engine.getSync('a')?.toString(), 'after');
});

test('more writes during a load than it had left room for: it is merged again', async (t) => {
  const engine = await openEngine(newPath(t), { ...TINY }, { ingestHeadroom: 1 });
  t.after(() => engine.close());
  let merges = 0;
  const writes: Promise<void>[] = [];
  const report = await engine.ingest(recordsOf(500, 'loaded'), {
    onProgress: ({ phase }) => {
      if (phase !== 'installing') return;
      merges++;
      if (merges < 4) for (let i = 0; i < 3 + merges * 2; i++) writes.push(engine.put(keyOf(i), 'meanwhile'));
    },
  });
  await Promise.all(writes);
  assert.ok(merges > 1, 'the room was enough');
  assert.equal(report.entries, 500);
  assert.deepEqual([...new Set(textsOf(engine.scan()).map(([, value]) => value))], ['loaded']);
  await until(() => dataFiles(engine).length === liveTables(engine));
  await engine.verify();
});

for (const when of ['before', 'sorting', 'installing'] as const) {
  test(`aborted by its signal (${when}): rejects with the reason, and nothing is left`, async (t) => {
    const engine = await openTiny(t, { threads: 2 });
    await fill(engine, 50);
    const before = textsOf(engine.scan());
    const controller = new AbortController();
    const reason = new RangeError('enough');
    if (when === 'before') controller.abort(reason);
    let hasEnded = false;
    async function* source(): AsyncGenerator<IngestRecord> {
      try {
        yield* slowly(recordsOf(3001, 'loaded'));
      } finally {
        hasEnded = true;
      }
    }
    const onProgress = ({ phase }: { phase: IngestPhase }): void => {
      if (phase === when) controller.abort(reason);
    };
    await assert.rejects(engine.ingest(source(), { signal: controller.signal, onProgress }), reason);
    if (when !== 'before') await until(() => hasEnded);
    await isUntouched(t, engine, before);
  });
}

test('aborted while the source keeps it waiting: rejects at once', async (t) => {
  const engine = await openTiny(t);
  const controller = new AbortController();
  let wasTold = false;
  const source: AsyncIterable<IngestRecord> = {
    [Symbol.asyncIterator]: () => ({
      next: () => new Promise(() => undefined),
      return: async () => {
        wasTold = true;
        return { done: true, value: undefined };
      },
    }),
  };
  const loading = engine.ingest(source, { signal: controller.signal });
  await nextTurn();
  controller.abort();
  await assert.rejects(loading, { name: 'AbortError' });
  assert.ok(wasTold);
});

test('a source that throws, at once or midway; a bad record; a callback that throws', async (t) => {
  const engine = await openTiny(t);
  await fill(engine, 50);
  const before = textsOf(engine.scan());
  const problem = new SyntaxError('line 7');
  function* failing(after: number): Generator<IngestRecord> {
    yield* [...recordsOf(3001, 'x')].slice(0, after);
    throw problem;
  }
  await assert.rejects(engine.ingest(failing(0)), problem);
  await assert.rejects(engine.ingest(failing(3000)), problem);
  await assert.rejects(engine.ingest(slowly(failing(3000))), problem);
  const bad = new BadSource();
  const refusal = await failsWith('STRATA_INVALID_ARGUMENT', engine.ingest(bad.records()));
  assert.match(refusal.message, /record 2001/);
  assert.ok(bad.hasEnded);
  const thrower = (wanted: IngestPhase) => ({
    onProgress: ({ phase }: { phase: IngestPhase }): void => {
      if (phase === wanted) throw problem;
    },
  });
  await assert.rejects(engine.ingest(recordsOf(2003, 'x'), thrower('sorting')), problem);
  await assert.rejects(engine.ingest(recordsOf(2003, 'x'), thrower('installing')), problem);
  await isUntouched(t, engine, before);
});

for (const phase of ['waiting', 'sorting', 'installing'] as const) {
  test(`close() while a load is ${phase}: STRATA_CLOSED, and nothing is left`, async (t) => {
    const engine = await openTiny(t, { threads: 2 });
    await fill(engine, 50);
    const before = textsOf(engine.scan());
    let closing: Promise<void> | undefined;
    const close = (): void => {
      closing ??= engine.close();
    };
    async function* source(): AsyncGenerator<IngestRecord> {
      yield* slowly(recordsOf(2003, 'loaded'));
      // A source that waits for ever must not make close() wait for it.
      if (phase === 'waiting') await new Promise(close);
    }
    const onProgress = (progress: { phase: IngestPhase }): void => {
      if (progress.phase === phase) close();
    };
    await failsWith('STRATA_CLOSED', engine.ingest(source(), { onProgress }));
    await closing;
    assert.deepEqual(
      dataFiles(engine).filter((name) => name.endsWith('.run')),
      [],
    );
    const reopened = await reopen(t, engine);
    assert.deepEqual(textsOf(reopened.scan()), before);
    assert.equal(dataFiles(reopened).length, liveTables(reopened));
  });
}

for (const operation of ['createRun', 'createTable', 'stageManifest'] as const) {
  test(`a full disk (${operation}): STRATA_IO, nothing is left, the store goes on`, async (t) => {
    const disk = new FailingDisk();
    const engine = await openOn(t, disk.spec, { threads: 2 });
    await fill(engine, 50);
    await engine.flush();
    const before = textsOf(engine.scan());
    disk.fail(operation, 'ENOSPC');
    const error = await failsWith('STRATA_IO', engine.ingest(recordsOf(2003, 'loaded')));
    assert.match(String((error.cause as Error | undefined)?.message ?? error.message), /ENOSPC/);
    disk.recover();
    assert.equal(engine.status, 'open');
    assert.deepEqual(textsOf(engine.scan()), before);
    await until(() => dataFiles(engine).length === liveTables(engine));
    await engine.ingest(recordsOf(2003, 'loaded'));
    assert.equal(textsOf(engine.scan()).length, 2003);
  });
}

test('a manifest in doubt: the store is read-only, and holds all of the load or nothing', async (t) => {
  const disk = new FailingDisk();
  const engine = await openOn(t, disk.spec);
  disk.fail('renameManifest', 'EIO');
  await failsWith('STRATA_IO', engine.ingest(recordsOf(503, 'loaded')));
  assert.equal(engine.status, 'read-only');
  await failsWith('STRATA_READ_ONLY', engine.ingest([['a', '1']]));
  disk.recover();
  await engine.close();
  const reopened = await openOn(t, disk.spec, {}, engine.path);
  const count = textsOf(reopened.scan()).length;
  assert.ok(count === 0 || count === 503, `${count}`);
});

test('a load goes into a gap that a compaction under way is about to close', async (t) => {
  const control = new FaultControl();
  const engine = await openOn(t, faultySpec({ control: control.buffer }), {
    threads: 2,
    maxFileSize: 4096,
    writeBufferSize: 1024 * 1024,
  });
  for (const half of [0, 1]) {
    for (const beginning of ['a', 'z'])
      for (let i = half; i < 300; i += 2) void engine.put(`${beginning}${keyOf(i)}`, valueFor(i));
    await engine.flush();
  }
  // The compaction writes many tables, one of them with keys of both sides; the load writes one, between them.
  control.setLatency({ ms: 5, kinds: ['datasync'], types: ['table'] });
  const compacting = engine.compact();
  await until(() => engine.stats().jobs.running > 0);
  await engine.ingest([['m', 'loaded']]);
  await compacting;
  control.setLatency(undefined);
  assert.equal(textsOf(engine.scan()).length, 601);
  assert.equal(engine.getSync('m')?.toString(), 'loaded');
  await engine.verify();
});

test('compact(), flush() and verify() during a load', async (t) => {
  const engine = await openTiny(t, { threads: 2 });
  await fill(engine, 600);
  let isDone = false;
  const keepGoing = async (): Promise<void> => {
    for (let i = 0; !isDone; i++) {
      await engine.put(`own-${i}`, `${i}`);
      await [() => engine.compact(), () => engine.flush(), () => engine.verify()][i % 3]!();
    }
  };
  const going = keepGoing();
  for (let round = 0; round < 4; round++) await engine.ingest(recordsOf(1501, `load ${round}`));
  isDone = true;
  await going;
  const loaded = textsOf(engine.scan({ lt: 'own' }));
  assert.deepEqual([...new Set(loaded.map(([, value]) => value))], ['load 3']);
  assert.equal(loaded.length, 1501);
  assert.ok(!(engine.stats().backgroundError instanceof StorageError));
});

test('runs and tables that a crash left behind are deleted by the next open', async (t) => {
  const engine = await openTiny(t);
  await fill(engine, 20);
  await engine.close();
  const { writeFileSync } = await import('node:fs');
  for (const name of ['009001.run', '009002.sst.new', 'notes.run'])
    writeFileSync(`${engine.path}/${name}`, 'left behind');
  const reopened = await reopen(t, engine);
  assert.deepEqual(
    dataFiles(reopened).filter((name) => name.startsWith('0090')),
    [],
  );
  assert.ok(readdirSync(engine.path).includes('notes.run'), 'not ours');
  await reopened.ingest([['zz', '1']]);
  assert.equal(textsOf(reopened.scan()).length, 21);
});
