/**
 * A client's ingestions are the engine's: the same records come out, the last of equal keys, all at once and newer than what was
 * there, whichever threads they come from, and however many at a time.
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { IngestProgress } from '../../src/client/index.ts';
import type { StorageEngine } from '../../src/main/index.ts';
import { attachHere, DONE, STOP, said, startClient } from '../helpers/clients.ts';
import {
  failsWith,
  fill,
  keyOf,
  openAt,
  openTiny,
  reopen,
  textsOf,
  until,
  valueFor,
} from '../helpers/engines.ts';
import { dataFiles, liveTables, modelOf, recordsOf, runFiles, slowly } from '../helpers/loads.ts';
import { seededRandom } from '../helpers/rng.ts';
import { freshSeed, reportSeed } from '../helpers/run-budget.ts';

/** In any order; each key about twice. */
function randomRecords(t: TestContext, count: number): [string, string][] {
  const seed = freshSeed();
  reportSeed(t, seed);
  const random = seededRandom(seed);
  return Array.from({ length: count }, (_, i) => [
    keyOf(random.below(Math.ceil(count / 2))),
    valueFor(i, 20 + (i % 50)),
  ]);
}

/** Everybody sees these entries, now and after reopening; the store is sound, and no file is there that it doesn't need. */
async function isSound(
  t: TestContext,
  engine: StorageEngine,
  expected: readonly [string, string][],
): Promise<void> {
  const other = await attachHere(t, engine);
  for (const reader of [engine, other]) assert.deepEqual(textsOf(reader.scan()), expected);
  await engine.verify();
  assert.deepEqual(runFiles(engine), []);
  const reopened = await reopen(t, engine);
  assert.deepEqual(textsOf(reopened.scan()), expected);
  await until(() => dataFiles(reopened).length === liveTables(reopened));
}

for (const threads of [0, 2]) {
  test(`records in any order, the last of equal keys counts (threads: ${threads})`, async (t) => {
    const engine = await openTiny(t, { threads });
    const client = await attachHere(t, engine);
    const records = randomRecords(t, 6000);
    const report = await client.ingest(records);
    const expected = modelOf(records);
    const { tables, tableBytes, elapsedMs, ...counted } = report;
    assert.deepEqual(counted, {
      records: records.length,
      bytes: records.reduce((sum, [key, value]) => sum + key.length + value.length, 0),
      entries: expected.length,
    });
    assert.ok(tables > 1 && tableBytes > 0 && elapsedMs > 0);
    assert.equal(engine.stats().levels[7]?.files, tables, 'the bottom level of an empty store');
    assert.equal(engine.stats().jobs.ingests, 1);
    assert.deepEqual(textsOf(client.scan()), expected, 'seen as soon as the promise has resolved');
    await isSound(t, engine, expected);
  });
}

test('sorted records, sync and async; a Map; one buffer that is used again and again', async (t) => {
  const engine = await openTiny(t);
  const client = await attachHere(t, engine);
  const sorted = Array.from({ length: 3000 }, (_, i): [string, string] => [keyOf(i), 'first']);
  assert.equal((await client.ingest(slowly(sorted))).entries, 3000);
  await client.ingest(new Map(sorted.slice(0, 1000).map(([key]) => [key, 'second'])));
  const scratch = Buffer.alloc(10);
  function* reusing(): Generator<[Buffer, Buffer]> {
    for (let i = 0; i < 500; i++) {
      scratch.write(keyOf(i));
      yield [scratch, scratch.subarray(0, 3)];
    }
  }
  await client.ingest(reusing());
  const expected = sorted.map(([key], i): [string, string] => [
    key,
    i < 500 ? 'key' : i < 1000 ? 'second' : 'first',
  ]);
  await isSound(t, engine, expected);
});

test('an empty source, and a record larger than a chunk', async (t) => {
  const engine = await openTiny(t);
  const client = await attachHere(t, engine);
  const { elapsedMs: _, ...report } = await client.ingest([]);
  assert.deepEqual(report, { records: 0, bytes: 0, entries: 0, tables: 0, tableBytes: 0 });
  assert.equal(engine.stats().jobs.ingests, 0);
  const large = 'x'.repeat(100_000);
  await client.ingest([
    ['b', large],
    ['a', ''],
    ['', large],
  ]);
  await isSound(t, engine, [
    ['', large],
    ['a', ''],
    ['b', large],
  ]);
});

test('a writer: record by record, then finished; what is refused at the call is not in the load', async (t) => {
  const engine = await openTiny(t);
  const client = await attachHere(t, engine);
  const writer = await client.ingestWriter();
  const records = [...recordsOf(3001, 'loaded')];
  for (const [i, [key, value]] of records.entries()) {
    writer.put(key, value);
    if (i !== 1500) continue;
    const error = await failsWith('STRATA_INVALID_ARGUMENT', () => writer.put(7 as never, 'x'));
    assert.match(error.message, /record 1502/);
    await failsWith('STRATA_INVALID_ARGUMENT', () => writer.put('x'.repeat(65_537), 'x'));
    await failsWith('STRATA_INVALID_ARGUMENT', () => writer.put('x', null as never));
  }
  assert.equal(writer.recordCount, 3001);
  assert.equal(engine.getSync(keyOf(1)), undefined, 'nothing before finish()');
  const report = await writer.finish();
  assert.deepEqual([report.records, report.entries, report.bytes], [3001, 3001, writer.byteCount]);
  for (const call of [() => writer.put('a', 'b'), () => writer.finish()])
    await failsWith('STRATA_CLOSED', call);
  await writer.abort();
  await isSound(t, engine, modelOf(records));
});

test('many writers of a client: each its own load, the one that finishes last is the newest', async (t) => {
  const engine = await openTiny(t, { threads: 2 });
  const client = await attachHere(t, engine);
  await client.put('before', 'written');
  const writers = await Promise.all(Array.from({ length: 4 }, () => client.ingestWriter()));
  for (let i = 0; i < 501; i++)
    for (const [n, writer] of writers.entries()) writer.put(keyOf((i * 7919) % 501), `writer ${n}`);
  await writers[1]!.abort();
  const reports = await Promise.all([3, 0, 2].map((n) => writers[n]!.finish()));
  assert.deepEqual(
    reports.map(({ entries }) => entries),
    [501, 501, 501],
  );
  assert.deepEqual(
    new Set(textsOf(client.scan({ gte: 'key' })).map(([, value]) => value)),
    new Set(['writer 2']),
  );
  assert.equal(textsOf(client.scan()).length, 502);
  await isSound(t, engine, textsOf(engine.scan()));
});

test('more runs than there are numbers at first, also in one go; numbers that are left over are used again', async (t) => {
  const engine = await openTiny(t, { threads: 2 });
  const client = await attachHere(t, engine);
  const value = 'v'.repeat(1000);
  const writer = await client.ingestWriter();
  // Three records make a run: 700 runs, without a turn of the event loop.
  for (const [key] of recordsOf(2101, '')) writer.put(key, value);
  assert.equal((await writer.finish()).entries, 2101);
  const report = await client.ingest(recordsOf(2103, value));
  assert.equal(report.entries, 2103);
  const highest = (): number => Math.max(...dataFiles(engine).map((name) => Number.parseInt(name, 10)));
  const before = highest();
  for (let i = 0; i < 20; i++) await client.ingest([[`small-${i}`, '1']]);
  assert.ok(highest() - before < 20 * 40, `${highest() - before} numbers for 20 small loads`);
  await isSound(t, engine, modelOf([...recordsOf(2103, value)], textsOf(engine.scan({ gte: 'small' }))));
});

test('progress is told, phase by phase, with what the source knows of its size', async (t) => {
  const engine = await openTiny(t, { threads: 2 });
  const client = await attachHere(t, engine);
  const told: IngestProgress[] = [];
  const records = [...recordsOf(4001, 'x')];
  const report = await client.ingest(records, { onProgress: (progress) => told.push(progress) });
  const sorting = told.filter(({ phase }) => phase === 'sorting');
  assert.deepEqual(sorting.at(-1), {
    phase: 'sorting',
    records: 4001,
    bytes: report.bytes,
    estimatedTotal: 4001,
  });
  assert.deepEqual(told.at(-1), {
    phase: 'installing',
    records: 4001,
    bytes: report.bytes,
    estimatedTotal: 4001,
  });
  assert.ok(
    told.every(
      ({ records: count }, i) =>
        i === 0 || told[i - 1]!.phase !== told[i]!.phase || count >= told[i - 1]!.records,
    ),
  );
});

test('two threads at once, with keys of their own and with the same ones, never seen by half', async (t) => {
  const engine = await openTiny(t, { threads: 2 });
  const count = 3001;
  // Of each watcher its own: what one has read says nothing of the others.
  const shared = Array.from({ length: 3 }, () => new SharedArrayBuffer(64));
  const words = shared.map((buffer) => new Int32Array(buffer));
  const reads = () => words.map((own) => Atomics.load(own, DONE));
  const load = (prefix: string, value: string) =>
    startClient(t, engine, { behaviour: 'load', load: { prefix, value, count } }, 'ingest-worker');
  const watcher = async (prefix: string, index: number) =>
    await startClient(
      t,
      engine,
      { behaviour: 'watch', shared: shared[index]!, load: { prefix, value: '', count } },
      'ingest-worker',
    );
  const watchers = await Promise.all(['one-', 'two-', 'both-'].map(watcher));
  const seen = watchers.map((worker) => said<string[]>(worker));
  await until(() => reads().every((done) => done > 1));
  const starts = [load('one-', 'A'), load('two-', 'B'), load('both-', 'A'), load('both-', 'B')];
  const reports = await Promise.all(
    starts.map(async (worker) => await said<{ entries: number }>(await worker)),
  );
  assert.deepEqual(
    reports.map(({ entries }) => entries),
    [count, count, count, count],
  );
  // The read after the one under way began when everything was there.
  const before = reads();
  await until(() => reads().every((done, index) => done > before[index]! + 1));
  for (const own of words) Atomics.store(own, STOP, 1);
  const [ofA, ofB, ofBoth] = await Promise.all(seen);
  assert.deepEqual([ofA, ofB], [['A'], ['B']]);
  const entries = textsOf(engine.scan());
  assert.equal(entries.length, 3 * count);
  const last = new Set(entries.filter(([key]) => key.startsWith('both-')).map(([, value]) => value));
  assert.deepEqual([...last], [ofBoth!.at(-1)], 'all of the later one');
  await isSound(t, engine, entries);
});

test('snapshots and scans that a client made before never see a load, by the engine or by a client', async (t) => {
  const engine = await openTiny(t, { threads: 2 });
  await fill(engine, 300);
  const before = textsOf(engine.scan());
  const [client, loader] = [await attachHere(t, engine), await attachHere(t, engine)];
  const snapshots = [client.snapshot()];
  const scans = [client.scan()];
  const onProgress = (): void => {
    snapshots.push(client.snapshot());
    scans.push(client.scan());
  };
  await engine.ingest(slowly(recordsOf(2003, 'by the engine')), { onProgress });
  const between = textsOf(client.scan());
  const [middle, middleScan] = [client.snapshot(), client.scan({ reverse: true })];
  await loader.ingest(slowly(recordsOf(2003, 'by a client')));
  await engine.compact();
  assert.ok(snapshots.length >= 3);
  for (const snapshot of snapshots) {
    assert.deepEqual(textsOf(client.scan({ snapshot })), before);
    assert.equal(client.getSync(keyOf(1000), { snapshot }), undefined);
  }
  for (const scan of scans) assert.deepEqual(textsOf(scan), before);
  assert.deepEqual(textsOf(client.scan({ snapshot: middle })), between);
  assert.deepEqual(textsOf(middleScan).reverse(), between);
  assert.equal(client.getSync(keyOf(7), { snapshot: middle })?.toString(), 'by the engine');
  assert.equal(client.getSync(keyOf(7))?.toString(), 'by a client');
});

test('what was acknowledged before is older, what is written after is newer', async (t) => {
  const engine = await openTiny(t);
  const [client, other] = [await attachHere(t, engine), await attachHere(t, engine)];
  const writer = await client.ingestWriter();
  writer.put('a', 'loaded');
  await other.put('a', 'meanwhile');
  await writer.finish();
  for (const reader of [engine, client, other]) assert.equal(reader.getSync('a')?.toString(), 'loaded');
  await other.put('a', 'after');
  for (const reader of [engine, client, other]) assert.equal(reader.getSync('a')?.toString(), 'after');
});

test('a store that is read-only takes no load', async (t) => {
  const engine = await openTiny(t);
  await fill(engine, 10);
  await engine.close();
  const readOnly = await openAt(t, engine.path, { readOnly: true });
  const client = await attachHere(t, readOnly);
  await failsWith('STRATA_READ_ONLY', client.ingest([['a', '1']]));
  await failsWith('STRATA_READ_ONLY', client.ingestWriter());
});

test('wrong arguments are refused at the call', async (t) => {
  const engine = await openTiny(t);
  const client = await attachHere(t, engine);
  const wrong: readonly (() => Promise<unknown>)[] = [
    () => client.ingest(7 as never),
    () => client.ingest('ab' as never),
    () => client.ingest([], { onProgress: 7 as never }),
    () => client.ingest([], { sync: true } as never),
    () => client.ingest([7 as never]),
    () => client.ingest([['a', 'b', 'c'] as never]),
  ];
  for (const call of wrong) await failsWith('STRATA_INVALID_ARGUMENT', call);
  const writer = await client.ingestWriter();
  await failsWith('STRATA_INVALID_ARGUMENT', writer.finish({ signal: 7 as never }));
  writer.put('a', '1');
  await writer.finish();
  assert.deepEqual(textsOf(engine.scan()), [['a', '1']]);
});
