/**
 * ingest(): whatever the order, number and kind of the records, they are in the store afterwards, the last of equal keys, over
 * whatever was there before; and the tables go as deep as they may.
 */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import type { IngestProgress, IngestRecord, StorageEngine } from '../../src/main/index.ts';
import {
  failsWith,
  fill,
  keyOf,
  newPath,
  openAt,
  openTiny,
  reopen,
  textsOf,
  valueFor,
} from '../helpers/engines.ts';
import { modelOf } from '../helpers/loads.ts';
import { seededRandom } from '../helpers/rng.ts';
import { freshSeed, reportSeed } from '../helpers/run-budget.ts';

/** Records in any order; some keys come again and again. */
function randomRecords(seed: number, count: number, keys: number = count): [string, string][] {
  const random = seededRandom(seed);
  return Array.from({ length: count }, (_, i) => [
    keyOf(Math.floor(random.next() * keys)),
    valueFor(i, 20 + (i % 50)),
  ]);
}

async function* asynchronously<T>(records: Iterable<T>): AsyncGenerator<T> {
  for (const record of records) yield record;
}

/** The store is sound, and every file in its directory is one it needs. */
async function isSoundAndTidy(
  t: TestContext,
  engine: StorageEngine,
  expected: readonly [string, string][],
): Promise<void> {
  assert.deepEqual(textsOf(engine.scan()), expected);
  assert.deepEqual(textsOf(engine.scan({ reverse: true })), expected.toReversed());
  for (const [key, value] of expected.slice(0, 50)) assert.equal(engine.getSync(key)?.toString(), value);
  await engine.verify();
  const reopened = await reopen(t, engine);
  assert.deepEqual(textsOf(reopened.scan()), expected);
  await reopened.compact();
  assert.deepEqual(textsOf(reopened.scan()), expected);
  const tables = reopened.stats().levels.reduce((sum, level) => sum + level.files, 0);
  await reopened.close();
  const names = readdirSync(reopened.path);
  assert.equal(names.filter((name) => name.endsWith('.sst')).length, tables);
  assert.deepEqual(
    names.filter((name) => name.endsWith('.run')),
    [],
  );
}

for (const threads of [0, 1, 2, 4]) {
  test(`records in any order, the last of equal keys counts (threads: ${threads})`, async (t) => {
    const seed = freshSeed();
    reportSeed(t, seed);
    const engine = await openTiny(t, { threads });
    const records = randomRecords(seed, 6000, 3000);
    const report = await engine.ingest(records);
    const expected = modelOf(records);
    assert.equal(report.records, records.length);
    assert.equal(report.entries, expected.length);
    assert.equal(
      report.bytes,
      records.reduce((sum, [key, value]) => sum + key.length + value.length, 0),
    );
    assert.ok(report.tables > 1);
    assert.equal(
      engine.stats().levels[7]?.entries,
      expected.length,
      'an empty store gets all in its bottom level',
    );
    assert.equal(engine.stats().levels[7]?.files, report.tables);
    assert.equal(engine.stats().bytesWritten.ingest, report.tableBytes);
    await isSoundAndTidy(t, engine, expected);
  });
}

test('sorted records, sync and async, as strings, buffers and views', async (t) => {
  const engine = await openTiny(t);
  const strings = Array.from({ length: 2000 }, (_, i): [string, string] => [keyOf(i), valueFor(i)]);
  await engine.ingest(asynchronously(strings));
  const buffers = strings.map(([key]): [Buffer, Uint8Array] => [
    Buffer.from(key),
    new Uint8Array([48, 49]).subarray(1),
  ]);
  await engine.ingest(buffers.values());
  await isSoundAndTidy(
    t,
    engine,
    strings.map(([key]) => [key, '1']),
  );
});

test('a Map, a generator, a source of one buffer that is used again and again', async (t) => {
  const engine = await openTiny(t);
  await engine.ingest(
    new Map([
      ['b', '2'],
      ['a', '1'],
    ]),
  );
  const scratch = Buffer.alloc(4);
  function* reusing(): Generator<[Buffer, Buffer]> {
    for (let i = 0; i < 3000; i++) {
      scratch.writeUInt32BE(i * 7919);
      yield [scratch, scratch];
    }
  }
  const report = await engine.ingest(reusing());
  assert.equal(report.entries, 3000);
  for (const i of [0, 1, 1500, 2999]) {
    const key = Buffer.alloc(4);
    key.writeUInt32BE(i * 7919);
    assert.deepEqual(engine.getSync(key), key);
  }
  assert.equal(engine.getSync('a')?.toString(), '1');
});

test('empty keys and values, and keys that end in zeros or begin alike', async (t) => {
  const engine = await openTiny(t);
  const keys = ['', '\0', '\0\0', 'a', 'a\0', `a${'\0'.repeat(30)}`, `a${'\0'.repeat(31)}`, 'b'];
  for (let i = 0; i < 600; i++)
    keys.push(`${'x'.repeat(40)}${i % 3}${'y'.repeat(20)}${i}`, `z${'\0'.repeat(i)}`);
  const seed = freshSeed();
  reportSeed(t, seed);
  const random = seededRandom(seed);
  const records = keys.map((key, i): [string, string] => [key, i % 2 === 0 ? '' : `${i}`]);
  records.sort(() => random.next() - 0.5);
  await engine.ingest(records);
  await isSoundAndTidy(t, engine, modelOf(records));
});

test('one key many times, and then once more', async (t) => {
  const engine = await openTiny(t);
  const records = Array.from({ length: 5000 }, (_, i): [string, string] => ['same', `${i}`]);
  const report = await engine.ingest(records);
  assert.equal(report.entries, 1);
  await isSoundAndTidy(t, engine, [['same', '4999']]);
});

test('values larger than a chunk, a block and a table', async (t) => {
  const engine = await openTiny(t);
  const large = Buffer.alloc(1_500_000, 'large');
  const report = await engine.ingest([
    ['m', large],
    ['a', 'small'],
    ['z', large.subarray(7)],
    ['b', 'small'],
  ]);
  assert.equal(report.entries, 4);
  assert.deepEqual(engine.getSync('m'), large);
  assert.deepEqual(engine.getSync('z'), large.subarray(7));
  await engine.verify();
  assert.deepEqual(
    Array.from(engine.scan(), ([key]) => key.toString()),
    ['a', 'b', 'm', 'z'],
  );
});

test('more runs than are merged at once', async (t) => {
  // Chunks of 4 KiB: about 60 records each.
  const engine = await openTiny(t, { maxFileSize: 65536, threads: 2 });
  const seed = freshSeed();
  reportSeed(t, seed);
  const records = randomRecords(seed, 12_000, 9000);
  const report = await engine.ingest(records);
  assert.equal(report.entries, modelOf(records).length);
  await isSoundAndTidy(t, engine, modelOf(records));
});

test('an empty source changes nothing', async (t) => {
  const engine = await openTiny(t);
  await engine.put('a', '1');
  const before = engine.stats();
  const report = await engine.ingest([]);
  assert.deepEqual(
    { ...report, elapsedMs: 0 },
    { records: 0, bytes: 0, entries: 0, tables: 0, tableBytes: 0, elapsedMs: 0 },
  );
  assert.equal(engine.stats().sequence, before.sequence);
  assert.equal(engine.stats().versionCounter, before.versionCounter);
});

test('over data in the memtable, in L0, between and at the bottom: newer than all of it', async (t) => {
  const engine = await openTiny(t, { threads: 2 });
  await fill(engine, 3000, 40, 1);
  await engine.compact();
  for (let round = 2; round < 6; round++) {
    for (let i = round; i < 3000; i += 97) await engine.put(keyOf(i), valueFor(i, 40, round));
    await engine.flush();
  }
  await engine.delete(keyOf(11));
  await engine.put(keyOf(12), 'in memory');
  const before = new Map(textsOf(engine.scan()));
  const seed = freshSeed();
  reportSeed(t, seed);
  const records = randomRecords(seed, 1500, 3500);
  await engine.ingest(records);
  for (const [key, value] of records) before.set(key, value);
  await isSoundAndTidy(t, engine, modelOf([...before]));
});

test('beside other data the tables go to the bottom, over it to the level above', async (t) => {
  const engine = await openTiny(t);
  await fill(engine, 1000);
  await engine.compact();
  assert.deepEqual(levelsInUse(engine), [7]);
  await engine.ingest([['zzz', '1']]);
  assert.deepEqual(levelsInUse(engine), [7]);
  await engine.ingest([
    [keyOf(500), 'over'],
    [keyOf(501), 'over'],
  ]);
  assert.equal(engine.getSync(keyOf(500))?.toString(), 'over');
  assert.equal(engine.getSync(keyOf(502))?.toString(), valueFor(502));
});

function levelsInUse(engine: StorageEngine): number[] {
  return engine
    .stats()
    .levels.filter(({ files }) => files > 0)
    .map(({ level }) => level);
}

test('many tables over L0 count as one run there: writes are not held for them', async (t) => {
  const engine = await openTiny(t, { maxFileSize: 4096 });
  await engine.put(keyOf(0), 'old');
  await engine.put(keyOf(5999), 'old');
  await engine.flush();
  const stalls: string[] = [];
  engine.on('stall', ({ reason }) => stalls.push(reason ?? 'open'));
  const records = Array.from({ length: 6000 }, (_, i): [string, string] => [keyOf(i), valueFor(i)]);
  const report = await engine.ingest(records);
  assert.ok(report.tables > 20, `${report.tables} tables`);
  assert.deepEqual(
    stalls.filter((reason) => reason !== 'ingest' && reason !== 'open'),
    [],
  );
  await isSoundAndTidy(t, engine, modelOf(records));
});

test('several loads at a time, and one after the other: the later commit wins', async (t) => {
  const engine = await openTiny(t, { threads: 2 });
  const first = Array.from({ length: 2000 }, (_, i): [string, string] => [keyOf(i), 'first']);
  const reports = await Promise.all(
    Array.from({ length: 6 }, (_, i) => engine.ingest(first.map(([key]) => [key, `load ${i}`]))),
  );
  assert.ok(reports.every(({ entries }) => entries === 2000));
  const values = new Set(textsOf(engine.scan()).map(([, value]) => value));
  assert.equal(values.size, 1, 'one of the loads came last, with all its records');
  await engine.ingest(first.map(([key]) => [key, 'third']));
  await isSoundAndTidy(
    t,
    engine,
    first.map(([key]) => [key, 'third']),
  );
});

test('writes after a load are newer, through a flush, a compaction and a restart', async (t) => {
  let engine = await openTiny(t);
  await engine.ingest(Array.from({ length: 500 }, (_, i): [string, string] => [keyOf(i), 'loaded']));
  await engine.put(keyOf(1), 'newer');
  await engine.delete(keyOf(2));
  const check = (): void => {
    assert.equal(engine.getSync(keyOf(1))?.toString(), 'newer');
    assert.equal(engine.getSync(keyOf(2)), undefined);
    assert.equal(engine.getSync(keyOf(3))?.toString(), 'loaded');
  };
  check();
  engine = await reopen(t, engine);
  check();
  await engine.flush();
  check();
  await engine.compact();
  check();
  engine = await reopen(t, engine);
  check();
});

test('progress: phases in order, counts that rise, the total once it is known', async (t) => {
  const engine = await openTiny(t);
  const seen: IngestProgress[] = [];
  const records = randomRecords(3, 4000);
  const report = await engine.ingest(records.values(), {
    onProgress: (progress) => seen.push(progress),
    estimatedRecords: 5000,
  });
  const phases = [...new Set(seen.map(({ phase }) => phase))];
  assert.deepEqual(
    phases.filter((phase) => phase !== 'merging'),
    ['sorting', 'installing'],
  );
  const sorting = seen.filter(({ phase }) => phase === 'sorting');
  assert.ok(sorting.every(({ estimatedTotal }) => estimatedTotal === 5000));
  for (let i = 1; i < sorting.length; i++) assert.ok(sorting[i]!.records >= sorting[i - 1]!.records);
  const last = seen.at(-1);
  assert.deepEqual(last, { phase: 'installing', records: 4000, bytes: report.bytes, estimatedTotal: 4000 });
});

test('an array and a Map tell how many records there will be', async (t) => {
  const engine = await openTiny(t);
  for (const source of [[['a', '1']] as const, new Map([['a', '1']])]) {
    const totals: unknown[] = [];
    await engine.ingest(source as Iterable<IngestRecord>, {
      onProgress: ({ phase, estimatedTotal }) => {
        if (phase === 'sorting') totals.push(estimatedTotal);
      },
    });
    assert.deepEqual(totals, [1]);
  }
});

test('arguments are checked', async (t) => {
  const engine = await openTiny(t);
  const bad = (source: unknown, options?: unknown): Promise<unknown> =>
    engine.ingest(source as Iterable<IngestRecord>, options as object);
  for (const source of [undefined, null, 7, 'ab', {}, () => 1])
    await failsWith('STRATA_INVALID_ARGUMENT', bad(source));
  for (const options of [
    null,
    [],
    { onProgres: 1 },
    { onProgress: 1 },
    { signal: {} },
    { estimatedRecords: -1 },
  ])
    await failsWith('STRATA_INVALID_ARGUMENT', bad([], options));
  const records = [
    ['a'],
    ['a', 'b', 'c'],
    'ab',
    null,
    { 0: 'a', 1: 'b' },
    [1, 'b'],
    ['a', null],
    ['\ud800', 'b'],
    ['a'.repeat(65537), ''],
  ];
  for (const record of records) {
    const error = await failsWith('STRATA_INVALID_ARGUMENT', bad([['ok', 'ok'], record]));
    assert.match(error.message, /record 2 /);
  }
  assert.equal(engine.getSync('ok'), undefined);
  assert.deepEqual(
    readdirSync(engine.path).filter((name) => /\.(?:sst|run)$/.test(name)),
    [],
  );
});

test('a read-only store and a closed one take no load', async (t) => {
  const path = newPath(t);
  const engine = await openAt(t, path);
  await engine.close();
  await failsWith('STRATA_CLOSED', engine.ingest([['a', '1']]));
  const reader = await openAt(t, path, { readOnly: true });
  await failsWith('STRATA_READ_ONLY', reader.ingest([['a', '1']]));
});
