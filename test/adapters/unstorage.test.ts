/** unstorage publishes no tests for drivers: what its own are about, in our words, and what is ours. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { createStorage, prefixStorage, type Storage } from 'unstorage';
import stratakvDriver, { type StrataDriverOptions } from '../../src/adapters/unstorage.ts';
import { StorageEngine } from '../../src/main/index.ts';
import { newPath, openAt } from '../helpers/engines.ts';

function storageAt(t: TestContext, options?: StrataDriverOptions): Storage {
  let storage: Storage | undefined;
  // Before the directory goes.
  t.after(() => storage?.dispose());
  storage = createStorage({ driver: stratakvDriver(options ?? { path: newPath(t) }) as never });
  return storage;
}

test('items: set, get, has, remove, of every kind that unstorage serializes', async (t) => {
  const storage = storageAt(t);
  assert.equal(await storage.hasItem('s1:a'), false);
  assert.equal(await storage.getItem('s1:a'), null);
  await storage.setItem('s1:a', 'test_data');
  await storage.setItem('s2:a', 'test_data');
  assert.equal(await storage.hasItem('s1:a'), true);
  assert.equal(await storage.getItem('s1:a'), 'test_data');
  const values = [true, 0, 12.5, null, { json: 'works', array: [1] }, '', 'ü', '9'.repeat(100_000)];
  for (const [i, value] of values.entries()) {
    await storage.setItem(`v:${i}`, value as string);
    assert.deepEqual(await storage.getItem(`v:${i}`), value === '' ? '' : value);
  }
  await storage.removeItem('s1:a');
  assert.equal(await storage.hasItem('s1:a'), false);
  await storage.removeItem('not:there');
  await storage.setItem('s2:a', undefined as never);
  assert.equal(await storage.getItem('s2:a'), null);
});

test('raw items are their bytes', async (t) => {
  const storage = storageAt(t);
  const value = new Uint8Array([1, 0, 255, 128]);
  await storage.setItemRaw('data/raw.bin', value);
  assert.deepEqual(Uint8Array.from((await storage.getItemRaw<Uint8Array>('data:raw.bin'))!), value);
  assert.equal(await storage.getItemRaw('not:there'), null);
  await storage.setItemRaw('view', new Uint16Array([1, 2]).subarray(1));
  assert.equal((await storage.getItemRaw<Uint8Array>('view'))!.length, 2);
  await storage.setItemRaw('buffer', new ArrayBuffer(3));
  assert.equal((await storage.getItemRaw<Uint8Array>('buffer'))!.length, 3);
  await assert.rejects(storage.setItemRaw('object', { a: 1 }), { code: 'STRATA_INVALID_ARGUMENT' });
});

test('several items at once, with and without options of their own', async (t) => {
  const storage = storageAt(t);
  await storage.setItems(
    [
      { key: 'a:1', value: 'x', options: { ttl: 600 } },
      { key: 'a:2', value: { y: 1 } as never },
    ],
    { ttl: 60 },
  );
  assert.deepEqual(await storage.getItems(['a:2', 'a:1', 'a:3']), [
    { key: 'a:2', value: { y: 1 } },
    { key: 'a:1', value: 'x' },
    { key: 'a:3', value: null },
  ]);
  const meta = await storage.getMeta('a:2');
  assert.ok(
    meta['size'] === 7 && (meta.ttl as number) > 50 && (meta.ttl as number) <= 60,
    JSON.stringify(meta),
  );
  assert.ok(((await storage.getMeta('a:1')).ttl as number) > 60);
  await storage.setItem('a:1', 'x', { ttl: 0.001 });
  await until(async () => (await storage.getItem('a:1')) === null);
});

test('keys by base and depth, mounts, and clear', async (t) => {
  const path = newPath(t);
  const storage = storageAt(t, { path, base: 'app' });
  storage.mount('other', stratakvDriver({ path, base: 'other:' }) as never);
  const keys = ['depth0', 'a:depth1', 'a:b:depth2', 'ab:c', 'other:x'];
  for (const key of keys) await storage.setItem(key, '1');
  assert.deepEqual((await storage.getKeys()).sort(), [...keys].sort());
  assert.deepEqual((await storage.getKeys('a')).sort(), ['a:b:depth2', 'a:depth1']);
  // A depth counts from where a driver is mounted.
  assert.deepEqual((await storage.getKeys(undefined, { maxDepth: 0 })).sort(), ['depth0', 'other:x']);
  assert.deepEqual((await storage.getKeys('a', { maxDepth: 1 })).sort(), ['a:depth1']);
  assert.deepEqual(await prefixStorage(storage, 'a').getKeys(), ['b:depth2', 'depth1']);
  // unstorage's own clear(base) looks only at mounts below the base.
  const driver = stratakvDriver({ path, base: 'app' });
  await driver.clear('a');
  await driver.dispose();
  assert.deepEqual((await storage.getKeys()).sort(), ['ab:c', 'depth0', 'other:x']);
  await storage.unmount('other');
  await storage.clear();
  assert.deepEqual(await storage.getKeys(), []);
  await storage.dispose();
  const engine = await openAt(t, path);
  // clear() of one base spares what does not begin with it.
  assert.deepEqual(
    [...engine.scan({ values: false })].map(([key]) => key.toString()),
    ['other:x'],
  );
});

test('meta: what the user gives, and the size', async (t) => {
  const storage = storageAt(t);
  await storage.setItem('s1:a', 'test');
  await storage.setMeta('s1:a', { mtime: new Date(7), note: 'x' });
  assert.deepEqual({ ...(await storage.getMeta('s1:a')) }, { size: 4, mtime: new Date(7), note: 'x' });
  assert.deepEqual({ ...(await storage.getMeta('not:there')) }, {});
});

test('watch hears of all writes to its base, whoever makes them, until it is ended', async (t) => {
  const engine = await openAt(t, newPath(t));
  const storage = storageAt(t, { engine, base: 'app' });
  const heard: string[] = [];
  const end = await storage.watch((event, key) => heard.push(`${event} ${key}`));
  await storage.setItem('a', '1');
  await engine.put('app:b', '2');
  await engine.put('other:c', '3');
  await storage.removeItem('a');
  await until(() => heard.length === 3);
  await storage.clear();
  await until(() => heard.length === 4);
  assert.deepEqual(heard, ['update a', 'update b', 'remove a', 'remove b']);
  await end();
  await storage.setItem('d', '4');
  await engine.flush();
  assert.equal(heard.length, 4);
  assert.equal(await storage.getItem('d'), 4);
  await storage.dispose();
  assert.equal(engine.status, 'open');
});

async function until(isDone: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await isDone())) await delay(2);
}

test('base alone is the directory; what cannot be a store is refused at once', async (t) => {
  const path = newPath(t);
  const storage = storageAt(t, { base: path });
  await storage.setItem('a', 'b');
  await storage.dispose();
  const engine = await StorageEngine.open(path, { createIfMissing: false });
  assert.equal(engine.getSync('a')?.toString(), 'b');
  await engine.close();
  const refused = [{}, undefined, { path: 7 }, { path, ttl: -1 }, { path, base: 7 }, { engine: 1 }];
  for (const options of refused)
    assert.throws(() => stratakvDriver(options as never), { code: 'STRATA_INVALID_ARGUMENT' });
});
