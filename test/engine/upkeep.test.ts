/**
 * What deletes and closed snapshots leave goes by itself, also when nothing is full; and a store at rest comes to rest.
 */
import assert from 'node:assert/strict';
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { openEngine } from '../../src/main/engine.ts';
import type { EngineOptions, StorageEngine } from '../../src/main/index.ts';
import { newPath } from '../helpers/engines.ts';
import { SettableClock } from '../helpers/settable-clock.ts';

const REST_MS = 50;
const PATIENCE_MS = 30_000;

/** What each test opened: closed before its directory is removed, as hooks run in the order in which they were given. */
const opened = new WeakMap<TestContext, StorageEngine[]>();

function home(t: TestContext): string {
  const engines: StorageEngine[] = [];
  opened.set(t, engines);
  t.after(() => Promise.allSettled(engines.map((engine) => engine.close())));
  return newPath(t);
}

async function open(
  t: TestContext,
  options: EngineOptions = {},
  path = home(t),
  clock?: SettableClock,
): Promise<StorageEngine> {
  const engine = await openEngine(path, { threads: 0, ...options }, { restMs: REST_MS, clock });
  opened.get(t)!.push(engine);
  return engine;
}

async function until(holds: () => boolean, what: string): Promise<void> {
  for (const start = Date.now(); !holds(); await delay(20))
    assert.ok(Date.now() - start < PATIENCE_MS, `${what} in ${PATIENCE_MS} ms`);
}

function entriesOf(engine: StorageEngine): number {
  const { levels, memtables } = engine.stats();
  return levels.reduce((sum, level) => sum + level.entries, 0) + memtables.entries;
}

async function fill(engine: StorageEngine, count: number, value: string | undefined): Promise<void> {
  const writes: Promise<void>[] = [];
  for (let i = 0; i < count; i++)
    writes.push(value === undefined ? engine.delete(`k${i}`) : engine.put(`k${i}`, value));
  await Promise.all(writes);
}

/** Nothing starts any more, however long one waits. */
async function checkAtRest(engine: StorageEngine): Promise<void> {
  const done = () => {
    const { jobs, versionCounter } = engine.stats();
    return JSON.stringify([jobs.flushes, jobs.compactions, versionCounter]);
  };
  await until(() => engine.stats().jobs.running === 0, 'no job runs');
  await delay(4 * REST_MS);
  const before = done();
  await delay(10 * REST_MS);
  assert.equal(done(), before, 'a store at rest goes on working');
}

test('a few deletes in memory take what they delete from the disk once nobody writes', async (t) => {
  const engine = await open(t);
  await fill(engine, 1000, 'x'.repeat(200));
  await engine.compact();
  assert.equal(entriesOf(engine), 1000);
  await fill(engine, 900, undefined);
  await until(() => entriesOf(engine) === 100, 'what was deleted is gone');
  await checkAtRest(engine);
});

test('one delete of what is nearly all of the store does, too', async (t) => {
  const engine = await open(t, { compression: 'none' });
  await engine.put('large', 'x'.repeat(1 << 20));
  await engine.put('small', 'x');
  await engine.compact();
  await engine.delete('large');
  await until(() => engine.stats().tableBytes < 10_000, 'the value is gone');
  await checkAtRest(engine);
});

test('a few deletes of little stay in memory, and writes without deletes as well', async (t) => {
  const engine = await open(t);
  await fill(engine, 1000, 'x');
  await engine.compact();
  const { flushes } = engine.stats().jobs;
  await engine.put('one', 'more');
  await engine.delete('k1');
  await checkAtRest(engine);
  assert.equal(engine.stats().jobs.flushes, flushes);
});

test('what snapshots kept goes when they are closed, except what an open one needs', async (t) => {
  const engine = await open(t, { writeBufferSize: 65536, maxFileSize: 65536 });
  await fill(engine, 500, 'first');
  const oldest = engine.snapshot();
  const others = [];
  for (const value of ['second', undefined, 'third', undefined, 'fourth']) {
    await fill(engine, 500, value);
    others.push(engine.snapshot());
  }
  await fill(engine, 500, 'last');
  await engine.compact();
  const before = entriesOf(engine);
  assert.ok(before >= 7 * 500);
  for (const snapshot of others) snapshot.close();
  assert.equal(engine.getSync('k1', { snapshot: oldest })?.toString(), 'first');
  oldest.close();
  await until(() => entriesOf(engine) === 500, 'only what is alive is left');
  assert.equal(engine.getSync('k1')?.toString(), 'last');
  await checkAtRest(engine);
});

test('what an earlier run left in its logs and tables is cleared away, too; not by a reader', async (t) => {
  const path = home(t);
  const first = await openEngine(path, { threads: 0 }, { restMs: 3_600_000 });
  await fill(first, 1000, 'x'.repeat(200));
  await first.compact();
  await fill(first, 900, undefined);
  await first.close();
  const reader = await open(t, { readOnly: true }, path);
  await delay(5 * REST_MS);
  assert.equal(entriesOf(reader), 1900);
  await reader.close();
  const engine = await open(t, {}, path);
  await until(() => entriesOf(engine) === 100, 'what was deleted is gone');
  await checkAtRest(engine);
});

test('tables made of much better compressed ones are no larger than twice maxFileSize', async (t) => {
  const path = home(t);
  const value = JSON.stringify({ a: 'some field', b: 0 }).repeat(60);
  const first = await open(t, { blockSize: 65536 }, path);
  await fill(first, 5000, value);
  await first.compact();
  await first.close();
  const maxFileSize = 1 << 18;
  const engine = await open(t, { compression: 'none', maxFileSize }, path);
  await engine.put('k0', 'x');
  await engine.put('k999', 'x');
  await engine.compact();
  const sizes = readdirSync(path)
    .filter((name) => name.endsWith('.sst'))
    .map((name) => statSync(join(path, name)).size);
  assert.ok(sizes.length > 10);
  assert.ok(Math.max(...sizes) <= 2 * maxFileSize, `${Math.max(...sizes)}`);
});

test('a flush that is larger than tables should be is cut on its way down', async (t) => {
  const engine = await open(t, { compression: 'none', maxFileSize: 65536 });
  await fill(engine, 5000, 'x'.repeat(200));
  await engine.compact();
  const { files, bytes } = engine.stats().levels[7]!;
  assert.ok(files > 10 && bytes / files <= 2 * 65536, `${files} tables`);
});

const TTL_MS = 100;

async function fillExpiring(engine: StorageEngine, count: number, stays: number): Promise<void> {
  const writes: Promise<void>[] = [];
  for (let i = 0; i < count; i++) writes.push(engine.put(`k${i}`, 'x'.repeat(100), { ttl: TTL_MS }));
  for (let i = 0; i < stays; i++) writes.push(engine.put(`stays${i}`, 'x'));
  await Promise.all(writes);
}

const LEAVES: Readonly<Record<string, (engine: StorageEngine) => Promise<unknown>>> = {
  'the memtable': async () => undefined,
  'level 0': (engine) => engine.flush(),
  'the bottom': (engine) => engine.compact(),
  'a table above others': async (engine) => {
    await fill(engine, 100, 'old');
    await engine.compact();
    await fillExpiring(engine, 200, 3);
    await engine.flush();
  },
};

async function checkLeaves(t: TestContext, place: string, count: number): Promise<void> {
  const clock = new SettableClock();
  const engine = await open(t, {}, newPath(t), clock);
  await fillExpiring(engine, count, 3);
  await LEAVES[place]!(engine);
  await delay(2 * REST_MS);
  const snapshot = engine.snapshot();
  const before = entriesOf(engine);
  clock.pass(TTL_MS - 1);
  await delay(4 * REST_MS);
  assert.equal(entriesOf(engine), before, `${place}: nothing leaves before its moment`);
  clock.pass(1);
  await delay(4 * REST_MS);
  // It takes no work that would change nothing, again and again, until the snapshot is closed.
  await checkAtRest(engine);
  const seen = [...engine.scan({ snapshot })].length;
  assert.equal(seen, Math.min(before, 203), `${place}: a snapshot keeps it`);
  snapshot.close();
  await until(() => entriesOf(engine) === 3, `${place}: what has expired is gone`);
  const { levels } = engine.stats();
  assert.equal(
    levels.reduce((sum, level) => sum + level.expired, 0),
    0,
  );
  await checkAtRest(engine);
}

test('deleted ranges that hide next to nothing stay in memory at rest, up to 1,024 of them', async (t) => {
  const engine = await open(t);
  await fill(engine, 100, 'x');
  await engine.flush();
  const deleteSome = async (from: number, to: number): Promise<void> => {
    const deletes: Promise<void>[] = [];
    for (let i = from; i < to; i++) deletes.push(engine.deleteRange({ gte: `z${i}`, lt: `z${i}~` }));
    await Promise.all(deletes);
  };
  await deleteSome(0, 1024);
  await checkAtRest(engine);
  assert.equal(engine.stats().jobs.flushes, 1, 'they stay');
  await deleteSome(1024, 1025);
  await until(() => engine.stats().memtables.entries === 0, 'one more, and they leave');
  await checkAtRest(engine);
});

test('what has expired leaves a store that nobody writes to, wherever it lies', async (t) => {
  home(t);
  const cases = Object.keys(LEAVES).flatMap((place) => [1, 200].map((count) => checkLeaves(t, place, count)));
  await Promise.all(cases);
});

test('a little in a small table leaves as well, once the last of it has expired', async (t) => {
  const clock = new SettableClock();
  const engine = await open(t, {}, home(t), clock);
  await fillExpiring(engine, 20, 1000);
  await engine.put('last', 'x', { ttl: 2 * TTL_MS });
  await engine.compact();
  clock.pass(TTL_MS);
  await delay(6 * REST_MS);
  assert.equal(entriesOf(engine), 1021, 'one compaction does for all');
  clock.pass(TTL_MS);
  await until(() => entriesOf(engine) === 1000, 'what has expired is gone');
  assert.equal(engine.stats().jobs.compactions, 1);
  await checkAtRest(engine);
});

test('what has expired leaves a store that was opened and not used', async (t) => {
  const path = home(t);
  const clock = new SettableClock();
  const engine = await open(t, {}, path, clock);
  await fillExpiring(engine, 100, 0);
  await engine.close();
  const reopened = await open(t, {}, path, clock);
  assert.equal(reopened.stats().memtables.entries, 100, 'little is left in the log');
  clock.pass(TTL_MS);
  await until(() => entriesOf(reopened) === 0, 'what has expired is gone');
  const bytes = readdirSync(path).reduce((sum, name) => sum + statSync(join(path, name)).size, 0);
  assert.ok(bytes < 4096, `${bytes} bytes are left`);
  await checkAtRest(reopened);
});

test('a memtable of which little has expired stays, and goes when more has', async (t) => {
  const clock = new SettableClock();
  const engine = await open(t, {}, home(t), clock);
  await fillExpiring(engine, 400, 800);
  for (let i = 0; i < 100; i++) await engine.put(`first${i}`, 'x', { ttl: 10 });
  await delay(2 * REST_MS);
  clock.pass(10);
  await delay(4 * REST_MS);
  assert.equal(engine.stats().jobs.flushes, 0);
  clock.pass(TTL_MS - 10);
  await until(() => entriesOf(engine) === 800, 'what has expired is gone');
  await checkAtRest(engine);
});

test('a store that is written to now and then sheds what has expired, too', async (t) => {
  const clock = new SettableClock();
  const engine = await open(t, {}, home(t), clock);
  await fillExpiring(engine, 200, 0);
  clock.pass(TTL_MS);
  const writer = setInterval(() => void engine.put('again', 'x').catch(() => undefined), REST_MS / 4);
  t.after(() => clearInterval(writer));
  await until(() => engine.stats().jobs.flushes > 0, 'a flush for what has expired');
  await until(() => entriesOf(engine) < 100, 'what has expired is gone');
  clearInterval(writer);
});
