/**
 * Group commit on a watched disk: what is written and synced, in which order, when writers hear of it, and what a failure
 * of the log does.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { openEngine } from '../../../src/main/engine.ts';
import { type EngineOptions, StorageEngine, WriteBatch } from '../../../src/main/index.ts';
import { copyOpenStore } from '../../helpers/copy-store.ts';
import { groupCounts } from '../../helpers/log-files.ts';
import { Recorder } from '../../helpers/recording-file-system.ts';
import { SettableClock } from '../../helpers/settable-clock.ts';
import { temporaryDirectory } from '../../helpers/temp-directory.ts';

const KIB = 1024;
/** More than is written in place in a turn of the event loop. */
const LARGE_BYTES: number = 300 * KIB;
/** Small enough to be written in place however slow the disk was lately ... */
const SMALL_BYTES: number = 30 * KIB;
/** ... and so many of them in a turn, no more. */
const SMALL_PER_TURN = 8;

interface Opened {
  readonly engine: StorageEngine;
  readonly recorder: Recorder;
  readonly directory: string;
}

async function open(t: TestContext, options: EngineOptions = {}, at?: string): Promise<Opened> {
  const directory = at ?? join(temporaryDirectory(t), 'store');
  const recorder = new Recorder();
  const engine = await openEngine(
    directory,
    { threads: 0, ...options },
    { fileSystem: recorder.spec, clock: new SettableClock() },
  );
  t.after(() => {
    recorder.calm();
    return engine.close().catch(() => undefined);
  });
  return { engine, recorder, directory };
}

/** What a crash at this moment would leave, as a map. */
async function contentAfterCrash(directory: string): Promise<Map<string, string>> {
  const copy = `${directory}-crashed`;
  copyOpenStore(directory, copy);
  return await contentOf(copy);
}

async function contentOf(directory: string): Promise<Map<string, string>> {
  const engine = await StorageEngine.open(directory, { threads: 0 });
  try {
    return new Map([...engine.scan()].map(([key, value]) => [key.toString(), value.toString()]));
  } finally {
    await engine.close();
  }
}

async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  const note = (): void => {
    settled = true;
  };
  promise.then(note, note);
  for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve));
  return settled;
}

/** From the beginning of a turn of the event loop: writes all that one turn may write in place, and returns the keys. */
async function spendTheTurn(engine: StorageEngine): Promise<string[]> {
  await new Promise((resolve) => setImmediate(resolve));
  const keys = Array.from({ length: SMALL_PER_TURN }, (_, i) => `first${i}`);
  for (const key of keys) await engine.put(key, 'v'.repeat(SMALL_BYTES));
  return keys;
}

function logGroups(directory: string, number: number): number[] {
  const path = join(directory, `${String(number).padStart(6, '0')}.log`);
  return groupCounts(readFileSync(path), number);
}

function failOn(recorder: Recorder, kind: string, file: RegExp, code: string, nth = 1): void {
  let seen = 0;
  recorder.failWith = (operation) =>
    operation.kind === kind && file.test(operation.file) && ++seen >= nth ? code : undefined;
}

describe('group commit', () => {
  test('the writes of one turn are one write of the log, each batch a record of its own', async (t) => {
    const { engine, recorder, directory } = await open(t);
    const batch = new WriteBatch().put('b1', '1').put('b2', '2').delete('b1');
    const writes = Array.from({ length: 50 }, (_, i) => engine.put(`k${i}`, 'v'));
    await Promise.all([...writes, engine.write(batch), engine.delete('k3')]);
    assert.deepEqual(logGroups(directory, 1), [50, 3, 1]);
    assert.equal(recorder.find(/^write 000001\.log/).length, 1);
    await engine.put('next', 'turn');
    assert.deepEqual(logGroups(directory, 1), [50, 3, 1, 1]);
  });

  test('all that sync in one turn share one sync, and all that come during it the next', async (t) => {
    const { engine, recorder } = await open(t, { sync: true });
    await Promise.all(Array.from({ length: 64 }, (_, i) => engine.put(`k${i}`, 'v')));
    assert.equal(recorder.find(/^datasync 000001\.log/).length, 1);
    const release = recorder.hold('datasync');
    const first = engine.put('a', '1');
    await isSettled(first);
    const later: Promise<void>[] = [];
    for (let turn = 0; turn < 5; turn++) {
      for (let i = 0; i < 10; i++) later.push(engine.put(`${turn}.${i}`, 'v'));
      await new Promise((resolve) => setImmediate(resolve));
    }
    release();
    await Promise.all([first, ...later]);
    assert.equal(recorder.find(/^datasync 000001\.log/).length, 3);
  });

  test('a sync writer waits for the sync, a plain one only for the write; reads see both before', async (t) => {
    const { engine, recorder } = await open(t);
    const release = recorder.hold('datasync');
    const synced = engine.put('synced', '1', { sync: true });
    const plain = engine.put('plain', '2');
    await plain;
    assert.equal(await isSettled(synced), false);
    assert.equal(engine.getSync('synced')?.toString(), '1');
    release();
    await synced;
    assert.deepEqual(recorder.find(/^(?:write|datasync|syncDirectory) (?:0|\.)/).slice(-3), [
      'write 000001.log',
      'datasync 000001.log',
      'syncDirectory .',
    ]);
  });

  test('what a turn has no room for is written in the next one, with what joined it, and visible only then', async (t) => {
    const { engine, recorder, directory } = await open(t);
    // What goes through the pool would wait.
    const release = recorder.hold('write');
    t.after(release);
    const first = await spendTheTurn(engine);
    const second = engine.put('second', 'v'.repeat(SMALL_BYTES));
    await Promise.resolve();
    const joined = engine.put('joined', '1');
    const synced = engine.put('synced', '1', { sync: true });
    await Promise.resolve();
    for (const key of ['second', 'joined', 'synced']) assert.equal(engine.getSync(key), undefined);
    assert.deepEqual([...(await contentAfterCrash(directory)).keys()], first);
    await Promise.all([second, joined, synced]);
    const groups = logGroups(directory, 1);
    assert.deepEqual(groups.slice(first.length), [1, 2]);
    assert.equal(recorder.find(/^write 000001\.log/).length, first.length + 1, 'one write for both');
    assert.equal(engine.getSync('second')?.length, SMALL_BYTES);
  });

  test('a write that waits for the next turn is in the log when flush() or close() resolves', async (t) => {
    for (const end of ['flush', 'close'] as const) {
      const { engine, directory } = await open(t);
      const first = await spendTheTurn(engine);
      const second = engine.put('second', 'v'.repeat(SMALL_BYTES));
      await Promise.resolve();
      await engine[end]();
      await second;
      await engine.close();
      assert.deepEqual([...(await contentOf(directory)).keys()], [...first, 'second']);
    }
  });

  test('a write that fails in the next turn is rejected, and so is what joined it', async (t) => {
    const { engine, recorder } = await open(t);
    await spendTheTurn(engine);
    failOn(recorder, 'write', /log/, 'EIO');
    const second = engine.put('second', 'v'.repeat(SMALL_BYTES));
    await Promise.resolve();
    const joined = engine.put('joined', '1');
    await assert.rejects(second, { code: 'STRATA_IO' });
    await assert.rejects(joined, { code: 'STRATA_IO' });
    await assert.rejects(engine.put('later', '1'), { code: 'STRATA_READ_ONLY' });
    assert.equal(engine.getSync('second'), undefined);
  });

  test('a large write is acknowledged and visible only once the log has it, and so is what follows it', async (t) => {
    const { engine, recorder, directory } = await open(t);
    await engine.put('before', '0');
    const release = recorder.hold('write');
    const large = engine.put('large', 'v'.repeat(LARGE_BYTES));
    const small = engine.put('small', '1');
    await new Promise((resolve) => setImmediate(resolve));
    const after = engine.put('after', '2');
    for (const write of [large, small, after]) assert.equal(await isSettled(write), false);
    for (const key of ['large', 'small', 'after']) assert.equal(engine.getSync(key), undefined);
    assert.deepEqual([...(await contentAfterCrash(directory)).keys()], ['before']);
    release();
    await Promise.all([large, small, after]);
    assert.equal(engine.getSync('large')?.length, LARGE_BYTES);
    assert.equal(engine.getSync('after')?.toString(), '2');
  });

  test('what is acknowledged is in the file, whole, without a sync and without a close', async (t) => {
    const { engine, recorder, directory } = await open(t);
    recorder.longestWrite = 7;
    const expected = new Map<string, string>();
    for (let i = 0; i < 60; i++) {
      const value = `${i}`.repeat(i % 9 === 0 ? 20_000 : 5);
      await engine.put(`k${i}`, value);
      expected.set(`k${i}`, value);
      recorder.longestWrite = i % 9 === 8 ? 5000 : 7;
    }
    const found = await contentAfterCrash(directory);
    assert.deepEqual([...found].sort(), [...expected].sort());
  });
});

describe('the order of syncs', () => {
  test('a sync reaches the older logs and the directory entry before it is reported', async (t) => {
    const { engine, recorder } = await open(t, { writeBufferSize: 16 * KIB });
    // Without a table to go to, full memtables stay, and their logs with them.
    recorder.failWith = ({ kind, file }) =>
      kind === 'create' && file.endsWith('.sst.new') ? 'ENOSPC' : undefined;
    engine.on('backgroundError', () => {});
    for (let i = 0; recorder.find(/^create \d+\.log/).length < 3; i++)
      await engine.put(`k${i}`, 'v'.repeat(2000));
    const logs = recorder.find(/^create \d+\.log/).map((note) => note.slice('create '.length));
    const from = recorder.notes.length;
    await engine.put('synced', '1', { sync: true });
    recorder.mark('acknowledged');
    const notes = recorder.notes
      .slice(from)
      .filter((note) => /^(?:datasync|syncDirectory|acknowledged)/.test(note));
    for (const log of logs) {
      const syncedAt = notes.indexOf(`datasync ${log}`);
      assert.ok(syncedAt >= 0, `${log} was not synced`);
      assert.ok(notes.indexOf('syncDirectory .', syncedAt) > syncedAt, `the entry of ${log} was not synced`);
    }
    assert.deepEqual(
      notes.filter((note) => note.startsWith('datasync')),
      logs.map((log) => `datasync ${log}`),
    );
    assert.equal(notes.at(-1), 'acknowledged');
    recorder.failWith = () => undefined;
  });

  test('after a crash, the first sync reaches the logs of the previous run', async (t) => {
    const before = await open(t);
    await before.engine.put('old', '1');
    const copy = `${before.directory}-copy`;
    copyOpenStore(before.directory, copy);
    const { engine, recorder } = await open(t, {}, copy);
    await engine.put('new', '2', { sync: true });
    const syncs = recorder.find(/^(?:begin datasync|datasync|syncDirectory)/);
    const [old, next] = ['datasync 000001.log', 'datasync 000002.log'].map((note) => syncs.indexOf(note));
    assert.ok(old! >= 0 && old! < syncs.indexOf('begin datasync 000002.log'), syncs.join(', '));
    assert.ok(syncs.indexOf('syncDirectory .', next) > next!);
  });

  test('a table is synced, and its entry, before the manifest names it, and its log goes last', async (t) => {
    const { engine, recorder } = await open(t);
    await engine.put('k', 'v');
    await engine.flush();
    await engine.close();
    const order = [
      'datasync 000002.sst.new',
      'syncDirectory .',
      'write manifest.json.tmp',
      'datasync manifest.json.tmp',
    ];
    order.push('rename manifest.json', 'syncDirectory .', 'begin unlink 000001.log');
    let at = recorder.notes.indexOf('create 000002.sst.new');
    for (const step of order) {
      at = recorder.notes.indexOf(step, at + 1);
      assert.ok(at >= 0, `${step} is missing, or out of order: ${recorder.notes.join(', ')}`);
    }
  });
});

const FAILURES: readonly { readonly name: string; readonly kind: string; readonly valueBytes: number }[] = [
  { name: 'a write in place', kind: 'write', valueBytes: 10 },
  { name: 'a write through the thread pool', kind: 'write', valueBytes: LARGE_BYTES },
  { name: 'the sync', kind: 'datasync', valueBytes: 10 },
  { name: 'the sync behind a large write', kind: 'datasync', valueBytes: LARGE_BYTES },
];

describe('a failing log', () => {
  for (const { name, kind, valueBytes } of FAILURES)
    for (const code of ['EIO', 'ENOSPC'])
      test(`${code} at ${name}: this and later writes fail, reads go on, nothing acknowledged is lost`, async (t) => {
        const { engine, recorder, directory } = await open(t);
        const value = 'v'.repeat(valueBytes);
        const events: unknown[] = [];
        engine.on('backgroundError', (event) => events.push(event));
        for (let i = 0; i < 5; i++) await engine.put(`before${i}`, value, { sync: true });
        failOn(recorder, kind, /\.log$/, code);
        await assertFailsFromNowOn(engine, value);
        recorder.failWith = () => undefined;
        await assert.rejects(engine.put('later', value), { code: 'STRATA_READ_ONLY' });
        assert.equal(engine.status, 'read-only');
        assert.equal(events.length, 1);
        for (let i = 0; i < 5; i++) assert.equal(engine.getSync(`before${i}`)?.length, valueBytes);
        await engine.close();
        const found = await contentOf(directory);
        for (let i = 0; i < 5; i++) assert.equal(found.get(`before${i}`)?.length, valueBytes);
        assert.equal(found.has('later'), false);
      });

  test('the log that cannot be created fails its first writers, and all others unless room may return', async (t) => {
    const { engine, recorder, directory } = await open(t);
    failOn(recorder, 'create', /\.log$/, 'EIO');
    const writes = await Promise.allSettled([engine.put('a', '1'), engine.put('b', '2', { sync: true })]);
    for (const write of writes) assert.equal(write.status, 'rejected');
    assert.equal(engine.status, 'read-only');
    await engine.close();
    assert.equal((await contentOf(directory)).size, 0);
  });

  test('failing at the n-th write of many, what is there afterwards is a prefix with all that was acknowledged', async (t) => {
    for (let nth = 1; nth < 30; nth += 4) {
      const { engine, recorder, directory } = await open(t);
      failOn(recorder, 'write', /\.log$/, 'EIO', nth);
      let acknowledged = 0;
      let submitted = 0;
      for (; submitted < 40 && engine.status === 'open'; submitted++)
        await engine.put(`k${String(submitted).padStart(2, '0')}`, 'v').then(
          () => acknowledged++,
          () => undefined,
        );
      assert.equal(acknowledged, nth - 1);
      recorder.failWith = () => undefined;
      await engine.close();
      const found = (await contentOf(directory)).size;
      assert.ok(found >= acknowledged && found <= submitted, `${found} of ${acknowledged} to ${submitted}`);
    }
  });
});

/** The write under way, the ones behind it in the queue, and the ones that come next. */
async function assertFailsFromNowOn(engine: StorageEngine, value: string): Promise<void> {
  const first = engine.put('during', value, { sync: true });
  const settled = await Promise.allSettled([first, new Promise((resolve) => setTimeout(resolve, 20))]);
  const reason = settled[0].status === 'rejected' ? (settled[0].reason as { code?: unknown }) : undefined;
  assert.ok(reason !== undefined, 'the failing write was acknowledged');
  assert.ok(reason.code === 'STRATA_IO' || reason.code === 'STRATA_READ_ONLY', String(reason.code));
  await assert.rejects(engine.put('next', value), { code: 'STRATA_READ_ONLY' });
  await assert.rejects(engine.write(new WriteBatch().put('x', value), { sync: true }), {
    code: 'STRATA_READ_ONLY',
  });
}

describe('writes that must wait', () => {
  test('while no memtable can be flushed they are held, copied, and enter in order once there is room', async (t) => {
    const { engine, recorder } = await open(t, { writeBufferSize: 8 * KIB });
    engine.on('backgroundError', () => {});
    recorder.failWith = ({ kind, file }) =>
      kind === 'create' && file.endsWith('.sst.new') ? 'ENOSPC' : undefined;
    const value = Buffer.alloc(1000, 'v');
    const order: number[] = [];
    const writes: Promise<unknown>[] = [];
    for (let i = 0; i < 60; i++) {
      const key = Buffer.from('the key');
      value.fill(i);
      writes.push(engine.put(key, value).then(() => order.push(i)));
      key.fill(0);
      if (i % 7 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    value.fill(0);
    await isSettled(writes[0]!);
    assert.ok(engine.stats().stalls.heldWrites > 0);
    assert.equal(engine.stats().stalls.state, 'closed');
    assert.ok(order.length < 60);
    recorder.failWith = () => undefined;
    await engine.flush();
    await Promise.all(writes);
    assert.deepEqual(
      order,
      order.toSorted((a, b) => a - b),
    );
    assert.deepEqual(engine.getSync('the key'), Buffer.alloc(1000, 59));
    assert.equal(engine.stats().stalls.heldWrites, 0);
  });
});
