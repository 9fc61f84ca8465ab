/**
 * close(): idempotent, waits for running work, settles every promise, and nothing works afterwards.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { StorageEngine, StorageError, WriteBatch } from '../../src/main/index.ts';
import {
  contentsOf,
  failsWith,
  fill,
  keyOf,
  keysOf,
  newPath,
  openAt,
  openOn,
  openTiny,
  TINY,
  until,
  valueFor,
} from '../helpers/engines.ts';
import { FailingDisk } from '../helpers/failing-disk.ts';

test('close can be called again and again, at once and later', async (t) => {
  const engine = await openTiny(t);
  await engine.put('a', '1');
  assert.equal(engine.status, 'open');
  const closing = [engine.close(), engine.close()];
  assert.equal(engine.status, 'closing');
  await Promise.all(closing);
  assert.equal(engine.status, 'closed');
  await engine.close();
  await engine[Symbol.asyncDispose]();
  assert.equal(engine.status, 'closed');
});

test('everything but close is refused with STRATA_CLOSED after close, and while closing', async (t) => {
  const engine = await openTiny(t);
  await fill(engine, 100);
  const snapshot = engine.snapshot();
  const closing = engine.close();
  for (const when of ['closing', 'closed']) {
    assert.equal(engine.status, when);
    const attempts: (() => unknown)[] = [
      () => engine.put('k', 'v'),
      () => engine.delete('k'),
      () => engine.write(new WriteBatch()),
      () => engine.write(new WriteBatch().put('k', 'v'), { sync: true }),
      () => engine.get('k'),
      () => engine.getSync('k'),
      () => engine.get('k', { snapshot }),
      () => engine.getMany(['k']),
      () => engine.getMany([]),
      () => engine.has('k'),
      () => engine.hasSync('k'),
      () => engine.scan(),
      () => engine.scan({ limit: 0 }),
      () => engine.snapshot(),
      () => engine.flush(),
      () => engine.compact(),
      () => engine.stats(),
      () => engine.verify(),
    ];
    for (const attempt of attempts) await failsWith('STRATA_CLOSED', attempt);
    await closing;
  }
  snapshot.close();
});

test('methods that return a promise reject and never throw', async (t) => {
  const engine = await openTiny(t);
  await engine.close();
  const bad = null as never;
  const promises = [
    engine.put(bad, bad),
    engine.delete(bad),
    engine.write(bad),
    engine.get(bad),
    engine.getMany(bad),
    engine.has(bad),
    engine.flush(),
    engine.compact(bad),
    engine.verify(bad),
    StorageEngine.open(bad),
    StorageEngine.destroy(bad),
  ];
  const outcomes = await Promise.allSettled(promises);
  for (const outcome of outcomes)
    assert.ok(outcome.status === 'rejected' && outcome.reason instanceof StorageError);
});

test('writes that were accepted before close are there afterwards, held ones as well', async (t) => {
  const engine = await openTiny(t, { writeBufferSize: 4096 });
  const writes = Array.from({ length: 1000 }, (_, i) =>
    engine.put(keyOf(i), valueFor(i, 60), { sync: i % 100 === 0 }),
  );
  assert.ok(engine.stats().stalls.heldWrites > 0);
  const closing = engine.close();
  await Promise.all(writes);
  await closing;
  const reopened = await openAt(t, engine.path);
  assert.equal(keysOf(reopened.scan()).length, 1000);
});

test('close during flush, compact, verify and scans: every promise settles', async (t) => {
  for (const threads of [0, 1, 2]) {
    const engine = await openTiny(t, { threads });
    await fill(engine, 600);
    const scan = engine.scan();
    scan.nextMany(3);
    const work: Promise<unknown>[] = [
      engine.put('late', '1'),
      engine.flush(),
      engine.compact(),
      engine.compact({ start: keyOf(10), end: keyOf(20) }),
      engine.verify(),
      engine.get('k'),
      engine.getMany(['k']),
      (async () => {
        for await (const _ of engine.scan());
      })(),
    ];
    const outcomes = Promise.allSettled(work);
    await engine.close();
    for (const outcome of await outcomes) {
      if (outcome.status === 'rejected')
        assert.equal((outcome.reason as StorageError).code, 'STRATA_CLOSED', String(outcome.reason));
    }
    await failsWith('STRATA_CLOSED', () => scan.nextMany(1));
    const reopened = await openAt(t, engine.path);
    assert.equal(keysOf(reopened.scan()).length, 601);
    await reopened.verify();
  }
});

test('close while compactions run by themselves leaves nothing half done', async (t) => {
  const path = newPath(t);
  for (let round = 0; round < 5; round++) {
    const engine = await openAt(t, path, { writeBufferSize: 4096 });
    await fill(engine, 300, 60, round);
    await engine.close();
  }
  const engine = await openAt(t, path);
  await engine.verify();
  for (let i = 0; i < 300; i++) assert.equal(engine.getSync(keyOf(i))?.toString(), valueFor(i, 60, 4));
  await engine.compact();
  await until(() => {
    const files = readdirSync(path).filter((name) => name.endsWith('.sst')).length;
    return files === engine.stats().levels.reduce((sum, level) => sum + level.files, 0);
  });
});

test('opening and closing a store without a change leaves its files as they were', async (t) => {
  const path = newPath(t);
  const engine = await openAt(t, path);
  await fill(engine, 30);
  await engine.close();
  const before = contentsOf(path);
  for (let i = 0; i < 3; i++) {
    const again = await openAt(t, path);
    assert.equal(again.getSync(keyOf(3))?.toString(), valueFor(3));
    assert.equal(keysOf(again.scan()).length, 30);
    await again.close();
  }
  assert.deepEqual(contentsOf(path), before);
});

test('close on a disk without room does not hang, tells held writers, and loses nothing', async (t) => {
  const disk = new FailingDisk();
  const path = newPath(t);
  const engine = await openOn(t, disk.spec, { writeBufferSize: 4096 }, path);
  disk.fail('createTable', 'ENOSPC');
  const acknowledged: number[] = [];
  const outcomes = Promise.allSettled(
    Array.from({ length: 300 }, (_, i) =>
      engine.put(keyOf(i), valueFor(i, 60)).then(() => acknowledged.push(i)),
    ),
  );
  await until(() => engine.stats().backgroundError !== null);
  assert.ok(engine.stats().stalls.heldWrites > 0);
  await engine.close();
  for (const outcome of await outcomes)
    assert.ok(outcome.status === 'fulfilled' || outcome.reason instanceof StorageError);
  disk.recover();
  const reopened = await openAt(t, path);
  const keys = keysOf(reopened.scan());
  assert.deepEqual(keys, acknowledged.map(keyOf));
});

test('a store can be opened again as soon as close has resolved, not before', async (t) => {
  const path = newPath(t);
  let engine = await openAt(t, path);
  for (let i = 0; i < 10; i++) {
    await fill(engine, 20, 40, i);
    const closing = engine.close();
    await failsWith('STRATA_LOCKED', StorageEngine.open(path, TINY));
    await closing;
    engine = await openAt(t, path);
    assert.equal(engine.getSync(keyOf(7))?.toString(), valueFor(7, 40, i));
  }
});

/** A write buffer that no write of these tests fills. */
const ROOMY = { writeBufferSize: 16 << 20 };

test('close takes what is in memory to tables, so that the next open replays nothing', async (t) => {
  const path = newPath(t);
  const engine = await openAt(t, path, ROOMY);
  await fill(engine, 20_000);
  assert.equal(engine.stats().memtables.count, 1);
  await engine.close();
  const names = readdirSync(path);
  assert.ok(names.some((name) => name.endsWith('.sst')) && !names.some((name) => name.endsWith('.log')));
  const again = await openAt(t, path);
  assert.equal(again.stats().memtables.count, 0);
  assert.equal(Array.from(again.scan({ values: false })).length, 20_000);
});

test('close leaves the little that a script has written in its log', async (t) => {
  const path = newPath(t);
  for (let run = 0; run < 3; run++) {
    const engine = await openAt(t, path);
    await engine.put(`run ${run}`, 'v');
    await engine.close();
  }
  const names = readdirSync(path);
  assert.ok(!names.some((name) => name.endsWith('.sst')), String(names));
  assert.equal(names.filter((name) => name.endsWith('.log')).length, 3);
});

for (const code of ['ENOSPC', 'EIO'] as const)
  test(`a flush that fails at close (${code}) is told, and the logs have what it was to write`, async (t) => {
    const path = newPath(t);
    const disk = new FailingDisk();
    const engine = await openOn(t, disk.spec, ROOMY, path);
    const told: unknown[] = [];
    engine.on('backgroundError', (event) => told.push(event));
    await fill(engine, 20_000);
    disk.fail('createTable', code);
    await engine.close();
    assert.deepEqual(
      told.map((event) => {
        const { operation, willRetry } = event as { operation: string; willRetry: boolean };
        return [operation, willRetry];
      }),
      [['flush', false]],
    );
    const [log = ''] = readdirSync(path).filter((name) => name.endsWith('.log'));
    const manifest = readFileSync(join(path, 'manifest.json'), 'utf8');
    assert.ok(
      manifest.includes(`${statSync(join(path, log)).size}`),
      'the log is measured, so damage to it is told from a crash',
    );
    const again = await openAt(t, path);
    assert.equal(Array.from(again.scan({ values: false })).length, 20_000);
  });
