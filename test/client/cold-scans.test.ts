/**
 * `for await` over a client's scan, of which nothing is in memory: it holds no thread, reads ahead, and is of its moment whatever
 * the owner does; signals, close() and the end of the store end it, though the disk does not answer.
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { StorageClient } from '../../src/client/index.ts';
import type { Scan, ScanEntry, StorageEngine } from '../../src/main/index.ts';
import { type ColdDisk, coldStore } from '../helpers/cold-disk.ts';
import { failsWith, fill, keyOf, tableFiles, turn, until, valueFor } from '../helpers/engines.ts';

const COUNT = 600;

interface Cold {
  readonly disk: ColdDisk;
  readonly engine: StorageEngine;
  readonly client: StorageClient;
}

async function coldClient(t: TestContext): Promise<Cold> {
  const { disk, engine, reader } = await coldStore(t, 'client', COUNT);
  return { disk, engine, client: reader as StorageClient };
}

async function keysLater(scan: Scan): Promise<string[]> {
  const keys: string[] = [];
  for await (const [key] of scan) keys.push(key.toString());
  return keys;
}

function numbers(from: number, to: number): string[] {
  return Array.from({ length: to - from }, (_, i) => keyOf(from + i));
}

/** A next() that waits for reads of blocks, which are held. */
async function waiting(
  { disk }: Cold,
  scan: Scan,
): Promise<{ iterator: AsyncIterator<ScanEntry>; next: Promise<IteratorResult<ScanEntry>> }> {
  const release = disk.hold('read');
  const iterator = scan[Symbol.asyncIterator]();
  const next = iterator.next();
  // Whoever ends it looks at it later.
  next.catch(() => undefined);
  await until(() => disk.heldCount > 0);
  // Tables are opened, and their first blocks are on their way.
  release();
  disk.hold('read');
  await until(() => disk.heldCount > 0);
  return { iterator, next };
}

test('a loop over a cold store waits for no read in the call, in both directions, beside what is in memory', async (t) => {
  const { disk, engine, client } = await coldClient(t);
  await engine.put(keyOf(COUNT), 'new');
  await engine.delete(keyOf(0));
  const expected = numbers(1, COUNT + 1);
  assert.deepEqual(await keysLater(client.scan()), expected);
  assert.deepEqual(await keysLater(client.scan({ reverse: true })), expected.toReversed());
  assert.deepEqual(await keysLater(client.scan({ gte: keyOf(100), limit: 7 })), numbers(100, 107));
  assert.equal(disk.inCall, 0);
  assert.equal(client.stats().diskReads.aheadBytes, 0);
  assert.equal(client.stats().openScans, 0);
});

test('a scan that waits is of its moment, whatever the owner writes, and so is one through a snapshot', async (t) => {
  const cold = await coldClient(t);
  const { disk, engine, client } = cold;
  const snapshot = client.snapshot();
  const before = tableFiles(engine.path);
  const { iterator, next } = await waiting(cold, client.scan());
  await fill(engine, COUNT, 40, 1);
  for (let i = 0; i < COUNT; i += 2) await engine.delete(keyOf(i));
  await engine.flush();
  await engine.compact();
  const kept = new Set(tableFiles(engine.path));
  assert.ok(
    before.every((file) => kept.has(file)),
    'what it reads is kept',
  );
  disk.calm();
  let place = 0;
  for (let value = (await next).value; value !== undefined; value = (await iterator.next()).value) {
    assert.deepEqual([value[0].toString(), value[1].toString()], [keyOf(place), valueFor(place)]);
    place++;
  }
  assert.equal(place, COUNT);
  assert.deepEqual(await keysLater(client.scan({ snapshot })), numbers(0, COUNT));
  snapshot.close();
  assert.equal((await keysLater(client.scan())).length, COUNT / 2);
  await until(() => !before.some((file) => tableFiles(engine.path).includes(file)));
  assert.equal(disk.inCall, 0);
});

for (const how of ['abort', 'close', 'return', 'client', 'store'] as const)
  test(`a next() that waits for a disk that hangs is ended at once, and nothing is left: ${how}`, async (t) => {
    const cold = await coldClient(t);
    const { disk, engine, client } = cold;
    const controller = new AbortController();
    const scan = client.scan({ signal: controller.signal });
    const { iterator, next } = await waiting(cold, scan);
    const reason = new Error('enough');
    if (how === 'abort') controller.abort(reason);
    else if (how === 'close') scan.close();
    else if (how === 'return') await iterator.return?.();
    else if (how === 'client') await client.close();
    else await engine.close();
    if (how === 'abort') await assert.rejects(next, (error) => error === reason);
    else if (how === 'close' || how === 'return') assert.equal((await next).done, true);
    else await failsWith('STRATA_CLOSED', next);
    assert.ok(disk.heldCount > 0, 'the disk has not answered yet');
    if (how !== 'client' && how !== 'store') {
      const { openScans, diskReads } = client.stats();
      assert.deepEqual([openScans, diskReads.aheadBytes, diskReads.waiting], [0, 0, 0]);
    }
    await client.close();
    await engine.close();
    disk.calm();
    await until(() => disk.underWay === 0 && disk.openFiles === 0);
  });

test('an error of the disk is told once, by the next() that comes to it; another scan works', async (t) => {
  const { disk, client } = await coldClient(t);
  disk.failWith = ({ kind, isEnd }) => (kind === 'read' && !isEnd ? 'EIO' : undefined);
  const iterator = client.scan()[Symbol.asyncIterator]();
  await failsWith('STRATA_IO', iterator.next());
  assert.equal((await iterator.next()).done, true);
  assert.equal(client.stats().openScans, 0);
  disk.calm();
  await turn();
  assert.deepEqual(await keysLater(client.scan()), numbers(0, COUNT));
  assert.equal(client.stats().diskReads.aheadBytes, 0);
});
