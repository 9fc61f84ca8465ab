/**
 * What the store tells: stats(), events on the engine and on diagnostics_channel.
 */
import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { type TestContext, test } from 'node:test';
import type { CompactionEvent, EngineStats, FlushEvent, StallEvent } from '../../src/main/index.ts';
import { fill, keyOf, newPath, openAt, openOn, openTiny, turn, until } from '../helpers/engines.ts';
import { FailingDisk } from '../helpers/failing-disk.ts';

/** Everything published on stratakv:* while the test runs. */
function listen(t: TestContext): [string, unknown][] {
  const heard: [string, unknown][] = [];
  for (const name of ['flush', 'compaction', 'stall', 'backgroundError']) {
    const note = (message: unknown): void => {
      heard.push([name, message]);
    };
    subscribe(`stratakv:${name}`, note);
    t.after(() => unsubscribe(`stratakv:${name}`, note));
  }
  return heard;
}

test('stats are plain data, the same after a trip through JSON', async (t) => {
  const engine = await openTiny(t);
  await fill(engine, 300);
  await engine.compact();
  await fill(engine, 50, 40, 1);
  const stats = engine.stats();
  assert.deepEqual(JSON.parse(JSON.stringify(stats)), stats);
  assert.deepEqual(structuredClone(stats), stats);
  const numbers = JSON.stringify(stats).match(/null/g) ?? [];
  assert.equal(
    numbers.length,
    2,
    'NaN and Infinity would be null; the stall reason and the background error are',
  );
});

test('stats count what was done', async (t) => {
  const engine = await openAt(t, newPath(t), { compression: 'none', cacheSize: 1 << 20 });
  const empty = engine.stats();
  assert.deepEqual([empty.userBytes, empty.tableBytes, empty.memtables.count, empty.sequence], [0, 0, 0, 0]);
  assert.equal(empty.levels.length, 8);
  await engine.put('abc', '12345');
  await engine.put('de', '');
  // For whom the flush keeps the delete, too.
  const snapshot = engine.snapshot();
  await engine.delete('de');
  let stats: EngineStats = engine.stats();
  assert.equal(stats.userBytes, 12);
  assert.equal(stats.sequence, 3);
  assert.deepEqual([stats.memtables.count, stats.memtables.entries], [1, 3]);
  assert.ok(stats.memtables.bytes > 10 && stats.bytesWritten.wal > 10);
  await engine.flush();
  stats = engine.stats();
  assert.deepEqual([stats.memtables.count, stats.memtables.entries, stats.memtables.bytes], [0, 0, 0]);
  assert.deepEqual(
    [stats.levels[0]?.files, stats.levels[0]?.entries, stats.levels[0]?.tombstones],
    [1, 3, 1],
  );
  assert.deepEqual([stats.jobs.flushes, stats.jobs.running, stats.jobs.queued], [1, 0, 0]);
  assert.equal(stats.bytesWritten.flush, stats.levels[0]?.bytes);
  assert.ok(stats.versionCounter > empty.versionCounter, 'a version was installed');
  engine.getSync('abc');
  engine.getSync('abc');
  stats = engine.stats();
  assert.ok(stats.cache.hits >= 1 && stats.cache.misses >= 1 && stats.cache.bytes > 0);
  assert.equal(stats.cache.capacityBytes, 1 << 20);
  const rejectedBefore = stats.bloom.rejections;
  for (let i = 0; i < 100; i++) engine.getSync(`b${i}`);
  stats = engine.stats();
  assert.ok(stats.bloom.checks >= 100 && stats.bloom.rejections > rejectedBefore + 80);
  snapshot.close();
  await engine.compact();
  stats = engine.stats();
  assert.ok(stats.bytesWritten.compaction > 0 && stats.jobs.compactions + stats.jobs.moves > 0);
  assert.equal(stats.status, 'open');
  assert.equal(stats.path, engine.path);
  assert.equal(stats.backgroundError, null);
});

test('flush and compaction are told on the engine and on diagnostics_channel', async (t) => {
  const heard = listen(t);
  const engine = await openTiny(t);
  const flushes: FlushEvent[] = [];
  const compactions: CompactionEvent[] = [];
  engine.on('flush', (event) => flushes.push(event));
  engine.on('compaction', (event) => compactions.push(event));
  await fill(engine, 50);
  await engine.flush();
  await fill(engine, 50, 40, 1);
  await engine.compact();
  await turn();
  assert.equal(flushes.length, engine.stats().jobs.flushes);
  assert.equal(
    flushes.reduce((sum, event) => sum + event.entries, 0),
    100,
  );
  assert.ok(compactions.length > 0);
  const merges = compactions.filter((event) => !event.isMove);
  assert.equal(merges.length, engine.stats().jobs.compactions);
  assert.equal(
    merges.reduce((sum, event) => sum + event.bytesWritten, 0),
    engine.stats().bytesWritten.compaction,
  );
  for (const event of compactions) assert.ok(event.outputLevel >= event.level && event.reason.length > 0);
  const told = (name: string): unknown[] => heard.filter(([n]) => n === name).map(([, message]) => message);
  assert.deepEqual(told('flush'), flushes);
  assert.deepEqual(told('compaction'), compactions);
});

test('a stall is told when it begins, with its reason, and when it ends', async (t) => {
  const heard = listen(t);
  const engine = await openTiny(t, { writeBufferSize: 4096 });
  const events: StallEvent[] = [];
  engine.on('stall', (event) => events.push(event));
  await Promise.all(Array.from({ length: 1500 }, (_, i) => engine.put(keyOf(i), 'v'.repeat(100))));
  await until(() => engine.stats().stalls.state === 'open');
  await turn();
  assert.ok(events.length >= 2);
  assert.equal(events[0]?.state, 'closed');
  assert.equal(events[0]?.reason, 'memtables');
  assert.equal(events[0]?.stalledMs, undefined);
  assert.equal(events.at(-1)?.state, 'open');
  assert.equal(events.at(-1)?.reason, undefined);
  assert.ok(events.at(-1)!.stalledMs! >= 0);
  const { stalls } = engine.stats();
  assert.ok(stalls.count >= 1 && stalls.stalledMs > 0);
  assert.deepEqual([stalls.state, stalls.reason, stalls.heldWrites], ['open', null, 0]);
  assert.deepEqual(
    heard.filter(([name]) => name === 'stall').map(([, message]) => message),
    events,
  );
});

test('a failure in the background is told and kept in stats; there is no error event to forget', async (t) => {
  const heard = listen(t);
  const disk = new FailingDisk();
  const engine = await openOn(t, disk.spec);
  await fill(engine, 30);
  disk.fail('createTable', 'ENOSPC');
  // Nobody listens on the engine: that must harm nothing.
  await assert.rejects(engine.flush(), { code: 'STRATA_IO' });
  assert.equal(engine.stats().backgroundError?.code, 'ENOSPC');
  assert.deepEqual(
    heard.map(([name, message]) => [name, (message as { operation: string; willRetry: boolean }).willRetry]),
    [['backgroundError', true]],
  );
  disk.recover();
  await engine.flush();
  assert.equal(engine.stats().backgroundError, null);
  assert.equal(engine.stats().levels[0]?.entries, 30);
});

test('a listener that throws does not break what it was told about', async (t) => {
  const engine = await openTiny(t);
  const thrown = new Error('from a listener');
  const caught: unknown[] = [];
  const listeners = process.listeners('uncaughtException');
  process.removeAllListeners('uncaughtException');
  process.once('uncaughtException', (error) => caught.push(error));
  t.after(() => {
    for (const listener of listeners) process.on('uncaughtException', listener);
  });
  engine.once('flush', () => {
    throw thrown;
  });
  await fill(engine, 30);
  await engine.flush();
  await until(() => caught.length > 0);
  assert.deepEqual(caught, [thrown]);
  assert.equal(engine.status, 'open');
  await engine.compact();
});
