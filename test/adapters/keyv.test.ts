/** Both versions of Keyv over StrataKeyv: the suite that Keyv publishes, and what is ours. */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import keyvTestSuite, { keyvIteratorTests } from '@keyv/test-suite';
import { Keyv as Keyv5 } from 'keyv';
import { Keyv as Keyv6 } from 'keyv6';
import { StrataKeyv } from '../../src/adapters/keyv.ts';
import stratakvDriver from '../../src/adapters/unstorage.ts';
import { StorageClient } from '../../src/client/index.ts';
import { StorageEngine } from '../../src/main/index.ts';
import { failsWith, newPath, openAt } from '../helpers/engines.ts';
import { SuitePart } from './keyv-suite.ts';

const VERSIONS = [
  { version: 5, Keyv: Keyv5 as unknown as KeyvClass },
  { version: 6, Keyv: Keyv6 as unknown as KeyvClass },
];
/** Of the published suite: API, values, namespaces; iterator. */
const SUITE_TESTS = 38;
const ITERATOR_TESTS = 4;
/** The suite is published for Keyv 5 only. Keyv 6 answers of each key, with its own Map, too: an array, which is truthy. */
const NOT_IN_6 = '.deleteMany([keys]) with nonexistent keys resolves to false';

interface AnyKeyv {
  namespace: string | undefined;
  on(event: string, listener: (error: Error) => void): unknown;
  get(key: string): Promise<unknown>;
  getMany(keys: string[]): Promise<unknown[]>;
  set(key: string, value: unknown, ttl?: number): Promise<boolean>;
  setMany(entries: { key: string; value: unknown; ttl?: number }[]): Promise<boolean[]>;
  has(key: string): Promise<boolean>;
  hasMany(keys: string[]): Promise<boolean[]>;
  delete(key: string | string[]): Promise<boolean | boolean[]>;
  deleteMany(keys: string[]): Promise<boolean | boolean[]>;
  clear(): Promise<void>;
  disconnect(): Promise<void>;
  iterator(namespace?: string): AsyncIterable<[string, unknown]>;
}
type KeyvClass = new (options: Record<string, unknown>) => AnyKeyv;

async function collect(iterable: AsyncIterable<[string, unknown]>): Promise<[string, unknown][]> {
  const entries: [string, unknown][] = [];
  for await (const entry of iterable) entries.push(entry);
  return entries;
}

/** Of one store at a new path; disconnected after the test. */
function storesOf(t: TestContext): () => StrataKeyv {
  const stores: StrataKeyv[] = [];
  t.after(() => Promise.all(stores.map((store) => store.disconnect())));
  const path = newPath(t);
  return () => {
    stores.push(new StrataKeyv(path));
    return stores.at(-1)!;
  };
}

for (const { version, Keyv } of VERSIONS) {
  test(`the published suite of Keyv, version ${version}`, async (t) => {
    const part = new SuitePart();
    keyvTestSuite(part.vitest as never, Keyv as never, storesOf(t) as never);
    assert.equal(part.tests.length, SUITE_TESTS);
    if (version === 6) {
      part.leaveOut(NOT_IN_6);
      for (const store of [new Map(), storesOf(t)()])
        assert.deepEqual(await new Keyv({ store }).deleteMany(['foo', 'foo1']), [false, false]);
    }
    for (const { name, run } of part.all()) await t.test(name, run);
  });

  test(`the published iterator tests of Keyv, version ${version}`, async (t) => {
    const part = new SuitePart();
    keyvIteratorTests(part.vitest as never, Keyv as never, storesOf(t) as never);
    assert.equal(part.tests.length, ITERATOR_TESTS);
    for (const { name, run } of part.all()) await t.test(name, run);
  });
}

for (const { version, Keyv } of VERSIONS) {
  test(`Keyv ${version}: entries outlive the process's store, and expire by themselves`, async (t) => {
    const path = newPath(t);
    const first = new Keyv({ store: new StrataKeyv(path), namespace: 'a' });
    await first.set('stays', { n: 1 }, 60_000);
    await first.set('goes', 1, 30);
    await first.setMany([
      { key: 'many:1', value: 'x' },
      { key: 'many:2', value: 'y', ttl: 30 },
    ]);
    await first.disconnect();
    await delay(40);
    const engine = await StorageEngine.open(path);
    assert.deepEqual(
      [...engine.scan()].map(([key]) => key.toString()),
      ['a:many:1', 'a:stays'],
    );
    const left = (await engine.expiresAt('a:stays'))! - Date.now();
    assert.ok(left > 50_000 && left <= 60_000, `${left} ms left`);
    const second = new Keyv({ store: new StrataKeyv(engine), namespace: 'a' });
    assert.deepEqual(await second.getMany(['stays', 'goes', 'many:1', 'many:2']), [
      { n: 1 },
      undefined,
      'x',
      undefined,
    ]);
    await second.disconnect();
    assert.equal(engine.status, 'open');
    await engine.close();
  });

  test(`Keyv ${version}: namespaces of one store see nothing of each other, whatever their names`, async (t) => {
    const store = storesOf(t);
    const names = ['a', 'b', 'ab', 'ü', '%'];
    const caches = names.map((namespace) => new Keyv({ store: store(), namespace }));
    for (const [i, cache] of caches.entries()) await cache.set('key', i);
    for (const [i, cache] of caches.entries()) {
      assert.deepEqual(await collect(cache.iterator(names[i])), [['key', i]]);
      assert.equal(await cache.has('key'), true);
    }
    await caches[0]!.clear();
    assert.deepEqual(await Promise.all(caches.map((cache) => cache.get('key'))), [undefined, 1, 2, 3, 4]);
    assert.deepEqual(await caches[1]!.hasMany(['key', 'other']), [true, false]);
  });
}

for (const { version, Keyv } of VERSIONS)
  test(`Keyv ${version}: a store that cannot be opened is an error, not a miss`, async (t) => {
    const path = newPath(t);
    const engine = await StorageEngine.open(path);
    const errors: Error[] = [];
    // The lock is the engine's of this test; the adapter has a copy of the path, not of the engine.
    const cache = new Keyv({ store: new StrataKeyv({ path, createIfMissing: false }) });
    cache.on('error', (error) => errors.push(error));
    await cache.get('a').catch(() => undefined);
    assert.equal(await cache.set('a', 1).catch(() => false), false);
    assert.ok(errors.length >= 2, `${errors.length} errors`);
    assert.ok(
      errors.every((error) => (error as { code?: string }).code === 'STRATA_LOCKED'),
      String(errors),
    );
    await engine.close();
    // Tried again at the next use.
    assert.equal(await cache.set('a', 1), true);
    assert.equal(await cache.get('a'), 1);
    await cache.disconnect();
  });

test('a cache of Keyv 5 is one of Keyv 6', async (t) => {
  const store = storesOf(t);
  const old = new VERSIONS[0]!.Keyv({ store: store(), namespace: 'sessions' });
  await old.set('a', { user: 1 }, 60_000);
  const cache = new VERSIONS[1]!.Keyv({ store: store(), namespace: 'sessions' });
  assert.deepEqual(await cache.get('a'), { user: 1 });
  assert.deepEqual(await collect(cache.iterator()), [['a', { user: 1 }]]);
  await cache.clear();
  assert.equal(await old.get('a'), undefined);
});

test('in Keyv 6, clearing a namespace spares one whose name goes on behind a colon', async (t) => {
  const store = storesOf(t);
  const [outer, inner] = ['a', 'a:b'].map(
    (namespace) => new VERSIONS[1]!.Keyv({ store: store(), namespace }),
  );
  await outer!.set('b:key', 1);
  await inner!.set('key', 2);
  assert.equal(await outer!.get('b:key'), 1);
  await outer!.clear();
  assert.equal(await inner!.get('key'), 2);
});

test('the adapter without Keyv: values of any kind, and times in either form', async (t) => {
  const store = storesOf(t)();
  const values = ['', 'text', '\ud800', 7, null, { a: [1n] }, Buffer.from([0xff, 0]), new Map([[1, 2]])];
  for (const [i, value] of values.entries()) await store.set(`key${i}`, value);
  const read = await store.getMany(values.map((_, i) => `key${i}`));
  for (const [i, value] of values.entries())
    if (Buffer.isBuffer(value)) assert.deepEqual(Buffer.from(read[i] as Uint8Array), value);
    else assert.deepEqual(read[i], value);
  await failsWith(
    'STRATA_INVALID_ARGUMENT',
    store.set('f', () => 1),
  );
  const inAMinute = Date.now() + 60_000;
  await store.set('relative', 'x', 60_000);
  await store.set('moment', 'x', inAMinute);
  await store.set('for ever', 'x', Number.MAX_SAFE_INTEGER);
  await store.setMany([{ key: 'past', value: 'x', expires: Date.now() - 1 }]);
  await store.set('none', 'x', 0);
  assert.deepEqual(await store.hasMany(['relative', 'moment', 'for ever', 'past', 'none']), [
    true,
    true,
    true,
    false,
    false,
  ]);
  assert.equal(await store.deleteMany(['none', 'past']), false);
  assert.equal(await store.deleteMany(['none', 'relative']), true);
});

test('the adapters work over a client of a store, as in a thread of the application', async (t) => {
  const engine = await openAt(t, newPath(t));
  const client = await StorageClient.attach(engine.share());
  t.after(() => client.close());
  const cache = new VERSIONS[1]!.Keyv({ store: new StrataKeyv(client), namespace: 'a' });
  await cache.set('key', { n: 1 }, 60_000);
  assert.deepEqual(await collect(cache.iterator()), [['key', { n: 1 }]]);
  const driver = stratakvDriver({ engine: client, base: 'b' });
  await driver.setItem('key', 'x', { ttl: 60 });
  assert.deepEqual([await driver.getItem('key'), await driver.getKeys()], ['x', ['key']]);
  await driver.clear();
  assert.deepEqual([await driver.getItem('key'), await cache.get('key')], [null, { n: 1 }]);
  await driver.dispose();
  await cache.disconnect();
  assert.ok(engine.getSync('a:key') !== undefined);
  assert.equal(await client.has('a:key'), true);
});

test('adapters of one path share its store, which the last one closes', async (t) => {
  const path = newPath(t);
  const [a, b] = [new StrataKeyv(path), new StrataKeyv(path)];
  await Promise.all([a.set('a', '1'), b.set('b', '2')]);
  assert.equal(await a.get('b'), '2');
  await failsWith('STRATA_INVALID_ARGUMENT', new StrataKeyv(path, { cacheSize: 1 << 20 }).get('a'));
  await a.disconnect();
  await failsWith('STRATA_CLOSED', a.get('a'));
  assert.equal(await b.get('a'), '1');
  const [, c] = [b.disconnect(), new StrataKeyv(path, { sync: true })];
  // While the other closes it, this one waits, and opens it with its own options.
  assert.equal(await c.get('b'), '2');
  await c.disconnect();
  await a.disconnect();
  const engine = await StorageEngine.open(path);
  await engine.close();
});

test('an adapter refuses what it cannot store in', () => {
  const refused: unknown[] = [undefined, 7, {}, { path: '' }, { engine: {} }, { path: 'a', engine: {} }];
  for (const target of refused)
    assert.throws(() => new StrataKeyv(target as string), { code: 'STRATA_INVALID_ARGUMENT' });
});

test('the adapters need no package of their partners', () => {
  const require = createRequire(import.meta.url);
  const { dependencies, peerDependencies } = require('../../../package.json') as Record<string, object>;
  for (const name of ['keyv', 'unstorage'])
    assert.ok(!(name in dependencies!) && !(name in peerDependencies!), name);
});
