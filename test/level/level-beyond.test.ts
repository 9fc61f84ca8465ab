/**
 * StrataLevel where it goes beyond classic-level, or differs: loops without promises, transactions, ttl; clear() by one record;
 * writes that wait for room; what the engine's errors become; directories of other engines.
 */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { StrataLevel } from '../../src/level/index.ts';
import { StorageEngine } from '../../src/main/index.ts';
import { fillLevel, openIn } from '../helpers/levels.ts';
import { temporaryDirectory } from '../helpers/temp-directory.ts';

test('iterators are loops without promises, too, and go on where next() stopped', async (t) => {
  const db = await openIn(t, { valueEncoding: 'json' });
  const put = (key: string, value: unknown): Promise<void> => db.put(key, value as string);
  for (let i = 0; i < 200; i++) await put(String(i).padStart(3, '0'), { i });
  const entries = [...db.iterator({ gte: '010', limit: 3 })];
  assert.deepEqual(entries, [
    ['010', { i: 10 }],
    ['011', { i: 11 }],
    ['012', { i: 12 }],
  ]);
  assert.deepEqual([...db.keys({ reverse: true, limit: 2 })], ['199', '198']);
  assert.deepEqual([...db.values({ lt: '002' })], [{ i: 0 }, { i: 1 }]);
  const iterator = db.keys({ limit: 150 });
  assert.equal(await iterator.next(), '000');
  const seen: string[] = [];
  for (const key of iterator) {
    seen.push(key);
    if (seen.length === 100) break;
  }
  assert.equal(seen[0], '001');
  assert.equal(iterator.count, 101);
  // Leaving the loop has closed it.
  await assert.rejects(iterator.next(), { code: 'LEVEL_ITERATOR_NOT_OPEN' });
  assert.throws(() => [...iterator], { code: 'LEVEL_ITERATOR_NOT_OPEN' });
  const busy = db.iterator();
  await db.put('zzz', 1 as never);
  assert.equal([...busy].length, 200, 'a moment of its own');
});

test('clear() of a range is one record; with a limit or a snapshot it deletes those keys', async (t) => {
  const db = await openIn(t);
  await fillLevel(db, 1000);
  await db.clear({ gte: '0100', lt: '0900' });
  assert.equal(db.stats().memtables.rangeDeletes, 1);
  assert.equal((await db.keys().all()).length, 200);
  const snapshot = db.snapshot();
  await db.put('0000x', 'after');
  await db.clear({ snapshot });
  await snapshot.close();
  assert.deepEqual(await db.keys().all(), ['0000x']);
  await fillLevel(db, 1000);
  await db.clear({ limit: 2, reverse: true });
  assert.equal((await db.keys({ reverse: true, limit: 1 }).all())[0], '0997');
  await db.sublevel('s').put('a', '1');
  await db.sublevel('s').clear();
  assert.equal((await db.keys({ lt: '0' }).all()).length, 0);
  await db.clear();
  assert.deepEqual(await db.keys().all(), []);
});

test('a lone surrogate is replaced, as where any other interface makes UTF-8 of a string', async (t) => {
  const db = await openIn(t);
  await db.put('a\ud800', '\udc00b');
  assert.deepEqual(await db.iterator().all(), [['a\ufffd', '\ufffdb']]);
  assert.equal(db.getSync('a\ud800'), '\ufffdb');
  assert.deepEqual(await db.getMany(['a\ud800']), ['\ufffdb']);
});

test('writes that nobody awaits are all stored, in their order, however many wait for room', async (t) => {
  const db = await openIn(t, { writeBufferSize: 65536, maxHeldBytes: 0, threads: 0 });
  const value = Buffer.alloc(1000, 'a');
  const puts: Promise<void>[] = [];
  for (let i = 0; i < 1000; i++) {
    value.write(String(i).padStart(4, '0'));
    puts.push(db.put(`k${i % 100}`, value as never, { valueEncoding: 'buffer' } as never));
    // What was handed over is the database's: the caller may go on with his buffer at once.
    value.fill('z', 0, 4);
  }
  puts.push(db.del('k0'), db.batch([{ type: 'put', key: 'last', value: 'x' }]));
  await Promise.all(puts);
  for (let i = 1; i < 100; i++)
    assert.equal((await db.get(`k${i}`))?.slice(0, 4), String(900 + i).padStart(4, '0'));
  assert.deepEqual(await db.getMany(['k0', 'last']), [undefined, 'x']);
});

test('what the engine has beyond LevelDB: transaction, ttl, checkpoint, verify, stats', async (t) => {
  const db = await openIn(t, { valueEncoding: 'json' });
  const json = db as unknown as StrataLevel<string, { n: number }>;
  const add = (): Promise<void> =>
    json.transaction(async (tx) => {
      const { n } = (await tx.get('counter')) ?? { n: 0 };
      await new Promise((resolve) => setImmediate(resolve));
      tx.put('counter', { n: n + 1 });
      assert.deepEqual(tx.getSync('counter'), { n: n + 1 });
    });
  await Promise.all([add(), add(), add()]);
  assert.deepEqual(await json.get('counter'), { n: 3 });
  await json.transaction((tx) => tx.clear({ gte: 'c', lt: 'd' }));
  assert.equal(await json.has('counter'), false);
  await assert.rejects(
    json.transaction(
      async (tx) => {
        await tx.get('x');
        await json.put('x', { n: 1 });
        tx.put('y', { n: 1 });
      },
      { retries: 0 },
    ),
    { code: 'LEVEL_CONFLICT' },
  );
  await json.put('short', { n: 1 }, { ttl: 1 });
  await json.batch().put('short2', { n: 1 }, { ttl: 1 }).write();
  await new Promise((resolve) => setTimeout(resolve, 10));
  assert.deepEqual(await json.getMany(['short', 'short2']), [undefined, undefined]);
  const copy = join(temporaryDirectory(t), 'copy');
  await db.checkpoint(copy);
  const other = await StorageEngine.open(copy);
  assert.equal(String(other.getSync('x')), '{"n":1}');
  await other.close();
  assert.ok((await db.verify()).tables >= 1);
  assert.equal(db.stats().status, 'open');
  await db.close();
  assert.throws(() => db.stats(), { code: 'LEVEL_DATABASE_NOT_OPEN' });
});

test('an error of the disk or of the store has its LEVEL_ code, and the error of the engine as its cause', async (t) => {
  const db = await openIn(t);
  await db.put('a', '1');
  await db.close();
  const readOnly = new StrataLevel(db.location, { readOnly: true });
  await readOnly.open();
  assert.equal(await readOnly.get('a'), '1');
  await assert.rejects(readOnly.put('b', '1'), (error: Error & { code?: string }) => {
    assert.equal(error.code, 'LEVEL_READONLY');
    assert.equal((error.cause as { code?: string }).code, 'STRATA_READ_ONLY');
    return true;
  });
  await readOnly.close();
  await assert.rejects(new StrataLevel(db.location, { errorIfExists: true }).open(), /exists/);
  await assert.rejects(
    new StrataLevel(join(db.location, 'x'), { createIfMissing: false }).open(),
    /does not exist/,
  );
});

test('a directory of another engine is refused, named, and left as it is', async (t) => {
  const home = temporaryDirectory(t);
  const sqlite = Buffer.concat([Buffer.from('SQLite format 3\0'), Buffer.alloc(84)]);
  const places: readonly (readonly [string, RegExp, Readonly<Record<string, string | Buffer>>])[] = [
    [
      'level',
      /LevelDB.*import-level/,
      { CURRENT: 'MANIFEST-000002\n', LOCK: '', '000003.log': '', LOG: 'x' },
    ],
    [
      'rocks',
      /RocksDB/,
      { CURRENT: 'MANIFEST-000005\n', IDENTITY: 'x', 'OPTIONS-000007': '', '000004.log': '' },
    ],
    ['lmdb', /lmdb/, { 'data.mdb': Buffer.alloc(100), 'lock.mdb': '' }],
    ['sqlite', /SQLite/, { 'app.sqlite3': sqlite }],
  ];
  for (const [name, says, files] of places) {
    const directory = join(home, name);
    mkdirSync(directory);
    for (const [file, content] of Object.entries(files)) writeFileSync(join(directory, file), content);
    await assert.rejects(StorageEngine.open(directory), (error: Error & { code?: string }) => {
      assert.equal(error.code, 'STRATA_UNSUPPORTED');
      assert.match(error.message, says);
      return true;
    });
    await assert.rejects(StorageEngine.open(directory, { readOnly: true }), says);
    await assert.rejects(new StrataLevel(directory).open(), (error: Error) => {
      assert.match(error.message, says);
      assert.equal((error.cause as { code?: string }).code, 'LEVEL_NOT_SUPPORTED');
      return true;
    });
    await StrataLevel.destroy(directory);
    assert.deepEqual(readdirSync(directory).sort(), Object.keys(files).sort());
    for (const [file, content] of Object.entries(files))
      assert.deepEqual(readFileSync(join(directory, file)), Buffer.from(content));
  }
  const file = join(home, 'file.db');
  writeFileSync(file, sqlite);
  await assert.rejects(StorageEngine.open(file), /SQLite/);
  // What merely lies beside: a store of ours is none of theirs, and a CURRENT of somebody else is no database.
  const ours = join(home, 'ours');
  await (await StorageEngine.open(ours)).close();
  writeFileSync(join(ours, 'data.mdb'), '');
  await (await StorageEngine.open(ours)).close();
  const other = join(home, 'other');
  mkdirSync(other);
  writeFileSync(join(other, 'CURRENT'), 'of no engine');
  writeFileSync(join(other, 'notes.db'), 'plain text');
  await (await StorageEngine.open(other)).close();
});
