/**
 * `for await` over a store of which nothing is in memory: it holds no thread, and gives what it would give from memory, whatever
 * happens to the store, the scan or the disk while it waits.
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { EngineOptions, Scan, ScanEntry, StorageEngine } from '../../src/main/index.ts';
import { attachHere } from '../helpers/clients.ts';
import { ColdDisk } from '../helpers/cold-disk.ts';
import {
  failsWith,
  fill,
  keyOf,
  keysOf,
  newPath,
  openOn,
  tableFiles,
  turn,
  until,
} from '../helpers/engines.ts';

const COUNT = 600;

interface ColdStore {
  readonly disk: ColdDisk;
  readonly engine: StorageEngine;
}

/** A store of `COUNT` keys on one level, opened anew, so that no table is open and no block in memory. */
async function coldStore(t: TestContext, options: EngineOptions = {}): Promise<ColdStore> {
  const path = newPath(t);
  const disk = new ColdDisk(t);
  const writer = await openOn(t, disk.spec, options, path);
  await fill(writer, COUNT);
  await writer.compact();
  await writer.close();
  const engine = await openOn(t, disk.spec, options, path);
  disk.forget();
  return { disk, engine };
}

async function laterKeys(scan: Scan): Promise<string[]> {
  const keys: string[] = [];
  for await (const [key] of scan) keys.push(key.toString());
  return keys;
}

function numbers(from: number, to: number): string[] {
  return Array.from({ length: to - from }, (_, i) => keyOf(from + i));
}

function live(engine: StorageEngine): number {
  return engine.stats().levels.reduce((sum, { files }) => sum + files, 0);
}

/** A next() that waits for a read of a block which is held. */
async function waiting(
  { disk, engine }: ColdStore,
  scan = engine.scan(),
): Promise<{ scan: Scan; iterator: AsyncIterator<ScanEntry>; next: Promise<IteratorResult<ScanEntry>> }> {
  const iterator = scan[Symbol.asyncIterator]();
  assert.equal((await iterator.next()).value[0].toString(), keyOf(0));
  scan.nextMany(10);
  disk.hold('read');
  for (;;) {
    const next = iterator.next();
    // Whoever closes the store looks at it later.
    next.catch(() => undefined);
    let isThere = false;
    const note = (): boolean => (isThere = true);
    next.then(note, note);
    for (let i = 0; i < 10 && !isThere; i++) await turn();
    if (!isThere) return { scan, iterator, next };
  }
}

test('a loop over a cold store waits for no read in the call, and the synchronous forms for all', async (t) => {
  const { disk, engine } = await coldStore(t);
  assert.deepEqual(await laterKeys(engine.scan()), numbers(0, COUNT));
  assert.deepEqual(await laterKeys(engine.scan({ reverse: true })), numbers(0, COUNT).reverse());
  const client = await attachHere(t, engine, { cacheSize: 0 });
  assert.deepEqual(await laterKeys(client.scan()), numbers(0, COUNT));
  assert.equal(disk.inCall, 0);
  for (const reader of [engine, client]) {
    assert.deepEqual(keysOf(reader.scan()), numbers(0, COUNT));
    assert.ok(disk.inCall > 0);
    disk.inCall = 0;
  }
});

test('what is asked for as soon as an answer comes is behind what waits since earlier', async (t) => {
  const { engine } = await coldStore(t, { cacheSize: 0 });
  const iterator = engine.scan()[Symbol.asyncIterator]();
  const calls: Promise<IteratorResult<ScanEntry>>[] = [];
  const again = async (): Promise<void> => {
    while (!(await calls.at(calls.push(iterator.next()) - 1)!).done);
  };
  await Promise.all([again(), again(), again()]);
  const keys = (await Promise.all(calls)).filter(({ done }) => !done).map(({ value }) => value[0].toString());
  assert.deepEqual(keys, numbers(0, COUNT));
});

test('regression: an attempt that ended its scan at its limit was made again out of itself', async (t) => {
  const { engine } = await coldStore(t);
  for (const limit of [1, 2, 3, 7, 64])
    assert.deepEqual(await laterKeys(engine.scan({ gte: keyOf(limit), limit })), numbers(limit, 2 * limit));
});

test('a scan has more tables open than may be: those that it stands in stay open while it waits', async (t) => {
  const path = newPath(t);
  const disk = new ColdDisk(t);
  const engine = await openOn(t, disk.spec, { maxOpenFiles: 8, cacheSize: 0 }, path);
  await fill(engine, COUNT);
  await engine.compact();
  const scans = Array.from({ length: 12 }, (_, i) => engine.scan({ gte: keyOf(i * 40) }));
  const read = await Promise.all(scans.map(laterKeys));
  for (const [i, keys] of read.entries()) assert.deepEqual(keys, numbers(i * 40, COUNT));
  await until(() => disk.openFiles <= 8);
});

test('a scan that waits is of its moment, whatever is written, and its files stay until it ends', async (t) => {
  const store = await coldStore(t);
  const { disk, engine } = store;
  const { iterator, next } = await waiting(store);
  const compacting = (async (): Promise<void> => {
    await fill(engine, COUNT, 40, 1);
    for (let i = 0; i < COUNT; i += 2) await engine.delete(keyOf(i));
    await engine.flush();
    await engine.compact();
  })();
  // Reads for the compaction are those of a job, in another thread: nothing of this is held.
  await compacting;
  assert.ok(
    tableFiles(engine.path).length > live(engine),
    'the scan holds files that the store has no use for',
  );
  disk.calm();
  const entry = (await next).value;
  let place = Number(entry[0].toString().slice(4));
  for (let value = entry; value !== undefined; value = (await iterator.next()).value) {
    assert.equal(value[0].toString(), keyOf(place));
    assert.ok(value[1].toString().startsWith(`${place}/0:`));
    place++;
  }
  assert.equal(place, COUNT);
  await until(() => tableFiles(engine.path).length === live(engine));
});

test('a scan that is closed, or whose loop is left, while next() waits ends it, and gives its files back', async (t) => {
  for (const how of ['close', 'return', 'nextMany'] as const) {
    const store = await coldStore(t);
    const { scan, iterator, next } = await waiting(store);
    if (how === 'close') scan.close();
    else if (how === 'return') await iterator.return?.();
    else assert.ok(scan.nextMany(COUNT).length > 0, 'the form that waits comes first');
    assert.equal((await next).done, true, how);
    assert.equal(store.engine.stats().openScans, 0);
    assert.equal((await iterator.next()).done, true);
    await store.engine.close();
    store.disk.calm();
    await until(() => store.disk.openFiles === 0);
  }
});

test('an abort while next() waits for a disk that hangs rejects it with the reason, in the same turn', async (t) => {
  const store = await coldStore(t);
  const controller = new AbortController();
  const { iterator, next } = await waiting(store, store.engine.scan({ signal: controller.signal }));
  const behind = iterator.next();
  const reason = new Error('enough');
  controller.abort(reason);
  assert.equal(store.engine.stats().openScans, 0);
  let settled = 0;
  for (const promise of [next, behind]) promise.catch(() => settled++);
  await turn();
  assert.equal(settled, 2);
  await assert.rejects(next, (error) => error === reason);
  await assert.rejects(behind, (error) => error === reason);
  await store.engine.close();
});

test('closing the engine, or the client, while next() waits is STRATA_CLOSED, though the disk hangs', async (t) => {
  const store = await coldStore(t);
  const { disk, engine } = store;
  const { iterator, next } = await waiting(store);
  await engine.close();
  await failsWith('STRATA_CLOSED', next);
  await failsWith('STRATA_CLOSED', iterator.next());
  assert.ok(disk.heldCount > 0);
  disk.calm();
  await until(() => disk.openFiles === 0);
  const other = await coldStore(t);
  const client = await attachHere(t, other.engine);
  const ofClient = await waiting(other, client.scan());
  await client.close();
  await failsWith('STRATA_CLOSED', ofClient.next);
  await failsWith('STRATA_CLOSED', ofClient.iterator.next());
  assert.equal(other.engine.stats().openScans, 0);
});

test('an error of what was read ahead is told by the next() that comes to it, once, and of what is not reached never', async (t) => {
  const { disk, engine } = await coldStore(t, {
    cacheSize: 0,
    maxFileSize: 1 << 20,
    writeBufferSize: 1 << 20,
  });
  await engine.get(keyOf(300));
  const from = disk.blockReads.at(-1)!.offset;
  disk.failWith = ({ kind, offset, length }) =>
    kind === 'read' && offset + length > from ? 'EIO' : undefined;
  assert.deepEqual(await laterKeys(engine.scan({ limit: 20 })), numbers(0, 20));
  const left = engine.scan()[Symbol.asyncIterator]();
  for (let i = 0; i < 20; i++) await left.next();
  await left.return?.();
  const scan = engine.scan();
  const iterator = scan[Symbol.asyncIterator]();
  let seen = 0;
  await failsWith('STRATA_IO', async () => {
    while (!(await iterator.next()).done) seen++;
  });
  assert.ok(seen > 200 && seen <= 300, `${seen} entries came before the error`);
  assert.equal(engine.stats().openScans, 0);
  assert.equal((await iterator.next()).done, true);
  disk.failWith = () => undefined;
  assert.deepEqual(await laterKeys(engine.scan()), numbers(0, COUNT));
  assert.equal(disk.inCall, 0);
});
