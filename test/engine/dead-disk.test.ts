/**
 * Awaited reads of a disk that does not answer: signals and close() end them, what memory has is served, writes go on, and
 * nothing is left when the disk answers again.
 */
import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { test } from 'node:test';
import type { StorageError } from '../../src/main/index.ts';
import { coldStore, READERS } from '../helpers/cold-disk.ts';
import { failsWith, fill, keyOf, tableFiles, until, valueFor } from '../helpers/engines.ts';

const COUNT = 2000;
const PAST = { fillCache: false };

async function codesOf(reads: Promise<unknown>[]): Promise<string[]> {
  const outcomes = await Promise.allSettled(reads);
  const codes = outcomes.map((outcome) =>
    outcome.status === 'fulfilled'
      ? 'fulfilled'
      : ((outcome.reason as StorageError).code ?? outcome.reason.message),
  );
  return [...new Set(codes)].sort();
}

for (const kind of READERS) {
  for (const held of ['open', 'read'] as const)
    test(`${kind}: reads of a disk that never answers end with their signal, the others when it does: ${held}`, async (t) => {
      const { disk, reader } = await coldStore(t, kind, COUNT);
      if (held === 'read')
        await reader.getMany(
          Array.from({ length: 50 }, (_, i) => keyOf(i * 40)),
          PAST,
        );
      const release = disk.hold(held);
      const controller = new AbortController();
      const { signal } = controller;
      const others: Promise<unknown>[] = [];
      const reads: Promise<unknown>[] = [];
      for (let i = 0; i < 300; i++) {
        const key = keyOf(i * 6 + 3);
        reads.push(reader.get(key, { signal }), reader.has(key, { signal }));
        if (i % 50 === 0) others.push(reader.get(key), reader.getMany([key]));
      }
      reads.push(
        reader.getMany(
          Array.from({ length: COUNT }, (_, i) => keyOf(i)),
          { signal },
        ),
      );
      await until(() => reader.stats().diskReads.waiting > 600);
      assert.equal(getEventListeners(signal, 'abort').length, 1);
      controller.abort(new Error('enough'));
      assert.deepEqual(await codesOf(reads), ['enough']);
      assert.equal(getEventListeners(signal, 'abort').length, 0);
      assert.equal(reader.stats().diskReads.waiting, others.length);
      await assert.rejects(reader.get(keyOf(9), { signal }), /enough/);
      release();
      assert.deepEqual(await codesOf(others), ['fulfilled']);
      assert.equal(reader.stats().diskReads.queued, 0);
      const later = new AbortController();
      assert.equal(String(await reader.get(keyOf(1999), { signal: later.signal })), valueFor(1999));
      assert.equal(getEventListeners(later.signal, 'abort').length, 0, 'a signal that was not needed');
    });

  test(`${kind}: what an aborted read held is given up at once: versions, files, memtables, queued reads`, async (t) => {
    const { disk, engine, reader } = await coldStore(t, kind, COUNT);
    await engine.put('new', '1');
    const before = tableFiles(engine.path);
    const release = disk.hold('read');
    const controller = new AbortController();
    const { signal } = controller;
    const reads = [
      ...Array.from({ length: 200 }, (_, i) => reader.get(keyOf(i * 10), { signal })),
      reader.getMany([keyOf(3), 'new'], { signal }),
    ];
    await until(() => disk.underWay > 5);
    await fill(engine, COUNT, 40, 1);
    await engine.compact();
    assert.ok(
      before.some((file) => tableFiles(engine.path).includes(file)),
      'they are read',
    );
    assert.ok(engine.stats().files.pinnedVersions > 0);
    controller.abort();
    await codesOf(reads);
    await until(() => engine.stats().files.pinnedVersions === 0);
    await until(() => !before.some((file) => tableFiles(engine.path).includes(file)));
    const { scanBytes, clientBytes } = engine.stats().arenas;
    assert.equal(scanBytes, 0);
    assert.ok(kind === 'client' || clientBytes === 0);
    assert.equal(reader.stats().diskReads.queued, 0);
    release();
    await until(() => disk.underWay === 0);
    assert.equal(String(await reader.get(keyOf(10))), valueFor(10, 40, 1));
    // What was opened for a version that is gone is closed as well.
    const live = new Set(tableFiles(engine.path));
    assert.ok(reader.stats().openTables <= live.size, `${reader.stats().openTables} of ${live.size}`);
  });

  for (const held of ['open', 'read'] as const)
    test(`${kind}: close() with a thousand reads that wait settles them all, and leaves nothing: ${held}`, async (t) => {
      const { disk, engine, reader } = await coldStore(t, kind, COUNT);
      if (held === 'read')
        await reader.getMany(
          Array.from({ length: 50 }, (_, i) => keyOf(i * 40)),
          PAST,
        );
      const release = disk.hold(held);
      const reads: Promise<unknown>[] = Array.from({ length: 1000 }, (_, i) => reader.get(keyOf(i * 2 + 1)));
      reads.push(reader.getMany(Array.from({ length: COUNT }, (_, i) => keyOf(i))), reader.has(keyOf(1)));
      await until(() => disk.underWay > 1);
      const written = engine.put('late', '1');
      const closing = reader.close();
      const codes = await codesOf(reads);
      assert.ok(
        codes.includes('STRATA_CLOSED') && codes.every((code) => /CLOSED|fulfilled/.test(code)),
        codes.join(),
      );
      await closing;
      await written;
      await failsWith('STRATA_CLOSED', reader.get(keyOf(1)));
      if (kind === 'client') await engine.close();
      assert.equal(engine.status, 'closed');
      release();
      await until(() => disk.underWay === 0 && disk.openFiles === 0);
      const begun = disk.steps.length;
      await new Promise((resolve) => setTimeout(resolve, 20));
      assert.equal(disk.steps.length, begun, 'nothing is begun any more');
    });

  test(`${kind}: memory is served and writes go on while the disk does not answer`, async (t) => {
    const { disk, engine, reader } = await coldStore(t, kind, COUNT);
    await reader.getMany([keyOf(903), keyOf(1003)]);
    const release = disk.hold('read');
    const waiting = Array.from({ length: 500 }, (_, i) => reader.get(keyOf(i * 4 + 1)));
    for (let round = 0; round < 3; round++) {
      await engine.put(`!new-${round}`, `${round}`, { sync: true });
      assert.equal(String(await reader.get(`!new-${round}`)), `${round}`);
      assert.deepEqual((await reader.getMany([keyOf(903), keyOf(1003)])).map(String), [
        valueFor(903),
        valueFor(1003),
      ]);
      assert.equal(await reader.has(keyOf(903)), true);
      // Keys in front of those that are read, and few: a filter may be wrong about a new table, and a compaction of several
      // would write anew what is read here; memory has nothing of either.
      await fill(engine, 40, 40, round);
      if (round === 1) await engine.flush();
    }
    release();
    assert.deepEqual(await codesOf(waiting), ['fulfilled']);
    assert.equal(reader.stats().diskReads.waiting, 0);
  });
}

test('client: the end of the store ends its reads that wait', async (t) => {
  const { disk, engine, reader } = await coldStore(t, 'client', COUNT);
  const release = disk.hold('read');
  const reads: Promise<unknown>[] = Array.from({ length: 500 }, (_, i) => reader.get(keyOf(i * 4)));
  reads.push(reader.getMany([keyOf(3), keyOf(7)]));
  await until(() => disk.underWay > 1);
  const codes = codesOf(reads);
  await engine.close();
  assert.deepEqual(await codes, ['STRATA_CLOSED']);
  release();
  await until(() => disk.underWay === 0 && disk.openFiles === 0);
});
