/** A client does what the engine does, with the same answers and the same errors. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { MessageChannel } from 'node:worker_threads';
import { type ClientSnapshot, StorageClient, StorageError, WriteBatch } from '../../src/client/index.ts';
import { type Bytes, type Snapshot, StorageEngine } from '../../src/main/index.ts';
import { attachHere } from '../helpers/clients.ts';
import { failsWith, fill, keyOf, openAt, openOn, openTiny, textsOf, valueFor } from '../helpers/engines.ts';
import { FailingDisk } from '../helpers/failing-disk.ts';

test('reads find what is in memtables and in tables', async (t) => {
  const engine = await openTiny(t);
  await fill(engine, 300);
  await engine.compact();
  await fill(engine, 100, 40, 1);
  const client = await attachHere(t, engine);
  await engine.put('late', 'after the attaching');
  for (const i of [0, 99, 100, 299]) {
    const wanted = valueFor(i, 40, i < 100 ? 1 : 0);
    assert.equal(client.getSync(keyOf(i))?.toString(), wanted);
    assert.equal((await client.get(keyOf(i)))?.toString(), wanted);
  }
  assert.equal(client.getSync('late')?.toString(), 'after the attaching');
  assert.equal(client.getSync('nothing'), undefined);
  assert.deepEqual([client.hasSync('late'), await client.has('nothing')], [true, false]);
  const many = await client.getMany([keyOf(5), 'nothing', 'late']);
  assert.deepEqual(
    many.map((value) => value?.toString()),
    [valueFor(5, 40, 1), undefined, 'after the attaching'],
  );
});

test('scans of all kinds are those of the engine', async (t) => {
  const engine = await openTiny(t);
  await fill(engine, 400);
  await engine.flush();
  for (let i = 0; i < 400; i += 3) await engine.delete(keyOf(i));
  const client = await attachHere(t, engine);
  const kinds = [
    {},
    { reverse: true },
    { gte: keyOf(10), lt: keyOf(50) },
    { gt: keyOf(10), lte: keyOf(50), reverse: true, limit: 7 },
    { gte: keyOf(50), lt: keyOf(10) },
    { limit: 0 },
  ];
  for (const kind of kinds) assert.deepEqual(textsOf(client.scan(kind)), textsOf(engine.scan(kind)));
  const keys = client.scan({ values: false, limit: 2 }).nextMany(5);
  assert.deepEqual(keys, engine.scan({ values: false, limit: 2 }).nextMany(5));
  const found: string[] = [];
  for await (const [key] of client.scan({ limit: 3 })) found.push(key.toString());
  assert.deepEqual(found, [keyOf(1), keyOf(2), keyOf(4)]);
});

test('writes arrive in their order, each for itself, and are there for everybody once acknowledged', async (t) => {
  const engine = await openTiny(t);
  const [client, other] = [await attachHere(t, engine), await attachHere(t, engine)];
  const scratch = Buffer.from('one');
  const first = client.put('a', scratch);
  scratch.write('xxx');
  await Promise.all([
    first,
    client.put('b', '1'),
    client.put('b', '2', { sync: true }),
    client.write(new WriteBatch().put('c', '1').delete('b').put('d', '')),
    client.delete('nothing'),
    client.put('', 'the empty key'),
    client.write(new WriteBatch()),
  ]);
  const wanted = [
    ['', 'the empty key'],
    ['a', 'one'],
    ['c', '1'],
    ['d', ''],
  ];
  for (const reader of [client, other, engine]) assert.deepEqual(textsOf(reader.scan()), wanted);
  assert.equal(engine.stats().userBytes > 0, true);
});

test('a turn of many and of large writes comes over whole', async (t) => {
  const engine = await openTiny(t, { writeBufferSize: 1 << 22 });
  const client = await attachHere(t, engine);
  const large = Buffer.alloc(9 << 20, 'l');
  await Promise.all([
    ...Array.from({ length: 2000 }, (_, i) => client.put(keyOf(i), valueFor(i))),
    client.put('large-1', large),
    client.put('large-2', large),
    client.write(new WriteBatch().put('large-3', large)),
  ]);
  for (const name of ['large-1', 'large-2', 'large-3']) assert.ok(client.getSync(name)?.equals(large));
  for (const i of [0, 1999]) assert.equal(client.getSync(keyOf(i))?.toString(), valueFor(i));
});

test('flush and compact come after what the client wrote before', async (t) => {
  const engine = await openTiny(t);
  const client = await attachHere(t, engine);
  const written = client.put('k', 'v');
  await client.flush();
  await written;
  assert.equal(engine.stats().memtables.entries, 0);
  assert.ok(engine.stats().tableBytes > 0);
  const deleted = client.delete('k');
  await client.compact({ start: 'a', end: 'z' });
  await deleted;
  assert.equal(
    engine.stats().levels.reduce((sum, level) => sum + level.entries, 0),
    0,
  );
  await client.compact();
});

test('a snapshot belongs to its client', async (t) => {
  const engine = await openTiny(t);
  await engine.put('k', 'old');
  const [client, other] = [await attachHere(t, engine), await attachHere(t, engine)];
  const snapshot = client.snapshot();
  await client.put('k', 'new');
  assert.equal(client.getSync('k', { snapshot })?.toString(), 'old');
  assert.equal((await client.getMany(['k'], { snapshot }))[0]?.toString(), 'old');
  assert.deepEqual(textsOf(client.scan({ snapshot })), [['k', 'old']]);
  assert.equal(client.getSync('k')?.toString(), 'new');
  assert.equal(client.stats().openSnapshots, 1);
  await failsWith('STRATA_INVALID_ARGUMENT', () => other.getSync('k', { snapshot }));
  await failsWith('STRATA_INVALID_ARGUMENT', () => engine.getSync('k', { snapshot: snapshot as never }));
  const foreign = engine.snapshot() as Snapshot as unknown as ClientSnapshot;
  await failsWith('STRATA_INVALID_ARGUMENT', () => client.getSync('k', { snapshot: foreign }));
  snapshot.close();
  snapshot.close();
  assert.equal(client.stats().openSnapshots, 0);
  await failsWith('STRATA_CLOSED', () => client.getSync('k', { snapshot }));
  await failsWith('STRATA_CLOSED', () => client.scan({ snapshot }));
});

test('wrong arguments are refused at the call, and nothing is sent', async (t) => {
  const engine = await openTiny(t);
  const client = await attachHere(t, engine);
  const bad = 5 as unknown as Bytes;
  const calls: readonly (() => unknown)[] = [
    () => client.getSync(bad),
    () => client.get('\ud800'),
    () => client.getMany('k' as never),
    () => client.hasSync('k', { wrong: 1 } as never),
    () => client.scan({ limit: -2 }),
    () => client.put(bad, 'v'),
    () => client.put('k', bad),
    () => client.put('k', 'v', { sync: 1 as never }),
    () => client.put('k'.repeat(65_537), 'v'),
    () => client.delete(bad),
    () => client.write({} as never),
    () => client.compact({ start: bad }),
  ];
  for (const call of calls) await failsWith('STRATA_INVALID_ARGUMENT', call);
  assert.equal(engine.stats().sequence, 0);
  for (const options of [{ cacheSize: -1 }, { maxOpenFiles: 1.5 }, { mmap: 1 }, { wrong: 1 }, null]) {
    const port = engine.share();
    await failsWith('STRATA_INVALID_ARGUMENT', StorageClient.attach(port, options as never));
    port.close();
  }
});

test('a store that is read-only is read by clients, and refuses their writes', async (t) => {
  const engine = await openTiny(t);
  await engine.put('k', 'v');
  await engine.close();
  const again = await openAt(t, engine.path, { readOnly: true });
  const client = await attachHere(t, again);
  assert.equal(client.getSync('k')?.toString(), 'v');
  const calls = [
    () => client.put('k', 'w'),
    () => client.delete('k'),
    () => client.flush(),
    () => client.compact(),
  ];
  for (const call of calls) await failsWith('STRATA_READ_ONLY', call);
  assert.equal(client.getSync('k')?.toString(), 'v');
});

test('errors come over with class, code and cause', async (t) => {
  const disk = new FailingDisk();
  const engine = await openOn(t, disk.spec);
  const client = await attachHere(t, engine);
  await client.put('before', '1');
  disk.fail('writeLog', 'EIO');
  const error = await failsWith('STRATA_IO', client.put('k', 'v'));
  assert.equal(error.name, 'StorageError');
  assert.equal((error.cause as { code?: string }).code, 'EIO');
  const later = await failsWith('STRATA_READ_ONLY', client.put('k', 'v'));
  assert.ok(later instanceof StorageError);
  assert.equal(client.getSync('before')?.toString(), '1');
  assert.equal(client.getSync('k'), undefined);
});

test('attach says what is wrong with a port, and never waits for ever', async (t) => {
  const engine = await openTiny(t);
  for (const wrong of [undefined, null, 'port', {}, 7, engine])
    await failsWith('STRATA_INVALID_ARGUMENT', StorageClient.attach(wrong));
  const { port1, port2 } = new MessageChannel();
  await failsWith('STRATA_INVALID_ARGUMENT', StorageClient.attach(port1));
  const port = engine.share();
  const client = await StorageClient.attach(port);
  await failsWith('STRATA_INVALID_ARGUMENT', StorageClient.attach(port));
  const moved = engine.share();
  port2.postMessage(moved, [moved]);
  await failsWith('STRATA_INVALID_ARGUMENT', StorageClient.attach(moved));
  const closed = engine.share();
  closed.close();
  await failsWith('STRATA_INVALID_ARGUMENT', StorageClient.attach(closed));
  const stranger = new MessageChannel();
  stranger.port1.postMessage({ stratakv: 'share', protocolVersion: 99 });
  await failsWith('STRATA_UNSUPPORTED', StorageClient.attach(stranger.port2));
  const late = engine.share();
  await client.close();
  await engine.close();
  await failsWith('STRATA_CLOSED', StorageClient.attach(late));
  await failsWith('STRATA_CLOSED', () => engine.share());
  for (const open of [port1, stranger.port1]) open.close();
});

test('console.log of anything public says what it is and how it stands, and no key or value', async (t) => {
  const engine = await openTiny(t);
  const client = await attachHere(t, engine);
  const batch = new WriteBatch().put('secret', 'secret').delete('secret');
  await engine.write(batch);
  const scan = engine.scan();
  const snapshot = engine.snapshot();
  const view = client.snapshot();
  const path = inspect(engine.path);
  const shown = inspect(
    { engine, client, batch, scan, snapshot, view },
    { breakLength: Number.POSITIVE_INFINITY },
  );
  assert.equal(inspect(engine, { breakLength: 999 }), `StorageEngine { path: ${path}, status: 'open' }`);
  assert.equal(inspect(batch), `WriteBatch { length: 2, byteLength: ${batch.byteLength} }`);
  assert.equal(inspect(scan), "Scan { status: 'new' }");
  assert.match(inspect(snapshot), /^Snapshot \{ sequence: \d+, isClosed: false \}$/);
  assert.match(shown, /client: StorageClient \{ directory: '.*', status: 'open' \}/);
  assert.match(shown, /view: ClientSnapshot \{ sequence: \d+, isClosed: false \}/);
  assert.equal(await engine.transaction((tx) => inspect(tx)), "Transaction { status: 'open' }");
  assert.doesNotMatch(shown, /secret|_events|shapeMode/);
  assert.match(inspect([[[[engine]]]]), /\[StorageEngine\]|\[Array\]/);
  for (const _ of scan);
  assert.equal(inspect(scan), "Scan { status: 'ended' }");
  snapshot.close();
  view.close();
  assert.match(inspect([snapshot, view]), /Snapshot \{ sequence: \d+, isClosed: true \}.*isClosed: true/s);
  await client.close();
  await engine.close();
  assert.match(inspect(engine), /status: 'closed'/);
  assert.match(inspect(client), /status: 'closed'/);
});

test('new StorageEngine() and new StorageClient() say how one is made', () => {
  const make = (made: unknown) => () => Reflect.construct(made as new () => unknown, ['./nowhere']);
  assert.throws(make(StorageEngine), /StorageEngine\.open/);
  assert.throws(make(StorageClient), /StorageClient\.attach/);
});
