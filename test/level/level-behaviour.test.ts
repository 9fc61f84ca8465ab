/**
 * What users of classic-level rely on beside abstract-level's own suite: options, destroy, repair, sizes, properties, closing
 * with calls under way, high-water marks, the event loop; and what StrataLevel has beyond that.
 */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { StrataLevel } from '../../src/level/index.ts';
import { StorageEngine } from '../../src/main/index.ts';
import { temporaryDirectory } from '../helpers/temp-directory.ts';

async function openIn(t: TestContext, options?: object): Promise<StrataLevel> {
  let db: StrataLevel | undefined;
  // Hooks run in the order in which they are made: the directory goes after this.
  t.after(() => db?.close());
  db = new StrataLevel(join(temporaryDirectory(t), 'db'), options);
  await db.open();
  return db;
}

async function fill(db: StrataLevel, count: number): Promise<void> {
  const width = String(count).length;
  await db.batch(
    Array.from({ length: count }, (_, i) => ({
      type: 'put',
      key: String(i).padStart(width, '0'),
      value: '',
    })),
  );
}

test('the location is a string that is not empty, and is there as it was given', async () => {
  for (const bad of [undefined, null, '', 5, {}]) {
    assert.throws(() => new StrataLevel(bad as string), {
      name: 'TypeError',
      message: "The first argument 'location' must be a non-empty string",
    });
    await assert.rejects(StrataLevel.destroy(bad as string), { name: 'TypeError' });
    await assert.rejects(StrataLevel.repair(bad as string), { name: 'TypeError' });
  }
});

test('options of LevelDB are brought into range, those of the engine are handed on, unknown ones are left alone', async (t) => {
  const db = await openIn(t, {
    cacheSize: -5,
    writeBufferSize: 1,
    blockSize: 1,
    maxOpenFiles: 1,
    blockRestartInterval: 1e6,
    maxFileSize: 0.5,
    compression: false,
    retainChanges: { bytes: 1024 },
    somethingElse: 'abc',
    multithreading: false,
  });
  await db.put('a', '1');
  assert.equal(db.stats().changes.keptLogs, 0);
  await assert.rejects(new StrataLevel(db.location, { threads: 'many' } as never).open(), (error: Error) => {
    assert.equal((error.cause as { code?: string }).code, 'LEVEL_INVALID_ARGUMENT');
    return true;
  });
});

test('compression: true takes less room than false', async (t) => {
  const sizes: number[] = [];
  for (const compression of [true, false]) {
    const db = await openIn(t, { compression });
    await db.batch(
      Array.from({ length: 200 }, (_, i) => ({ type: 'put', key: `k${i}`, value: 'a'.repeat(5000) })),
    );
    await db.compactRange('\0', '~');
    sizes.push(await db.approximateSize('\0', '~'));
  }
  assert.ok(sizes[0]! < sizes[1]! / 4, sizes.join(', '));
});

test('destroy() deletes the database, leaves what is not its own, and needs nothing to be there', async (t) => {
  const db = await openIn(t);
  await db.put('a', '1');
  await db.close();
  writeFileSync(join(db.location, 'foreign.txt'), 'stays');
  await StrataLevel.destroy(db.location);
  assert.deepEqual(readdirSync(db.location), ['foreign.txt']);
  const nowhere = join(db.location, 'a', 'b');
  await StrataLevel.destroy(nowhere);
  assert.equal(existsSync(nowhere), false);
  await StrataLevel.destroy(db.location);
  assert.equal(readFileSync(join(db.location, 'foreign.txt'), 'utf8'), 'stays');
});

test('repair() makes a database without its manifest open again; without a database it says so', async (t) => {
  const db = await openIn(t);
  await db.put('a', '1');
  await db.flush();
  await db.close();
  const [manifest] = readdirSync(db.location).filter((name) => name === 'manifest.json');
  writeFileSync(join(db.location, manifest!), 'damage');
  await assert.rejects(
    db.open(),
    (error: Error) => (error.cause as { code?: string }).code === 'LEVEL_CORRUPTION',
  );
  await StrataLevel.repair(db.location);
  await db.open();
  assert.equal(await db.get('a'), '1');
  await assert.rejects(StrataLevel.repair(join(db.location, 'no', 'where')), /does not exist/);
});

test('approximateSize() and compactRange() take two encoded bounds, wait for the open, and are refused when closed', async (t) => {
  const calls: string[] = [];
  const keyEncoding = {
    name: 'test',
    format: 'utf8',
    encode: (key: string) => {
      calls.push(key);
      return key;
    },
    decode: (key: string) => key,
  };
  const db = new StrataLevel(join(temporaryDirectory(t), 'db'), { keyEncoding } as never);
  const order: string[] = [];
  await Promise.all([
    db.open().then(() => order.push('open')),
    db.approximateSize('a', 'b').then(() => order.push('size')),
    db.compactRange('c', 'd').then(() => order.push('compact')),
  ]);
  assert.equal(order[0], 'open');
  assert.deepEqual(calls, ['a', 'b', 'c', 'd']);
  await db.approximateSize('e', 'f', { keyEncoding: 'utf8' });
  assert.deepEqual(calls.length, 4);
  for (const method of ['approximateSize', 'compactRange'] as const) {
    for (const given of [[], ['a']])
      await assert.rejects((db[method] as (...given: string[]) => Promise<unknown>)(...given), {
        name: 'TypeError',
        message: "The arguments 'start' and 'end' are required",
      });
  }
  await db.batch([{ type: 'put', key: 'k', value: 'x'.repeat(100_000) }]);
  assert.ok((await db.approximateSize('a', 'z')) > 1000);
  await db.del('k');
  await db.compactRange('a', 'z');
  assert.ok((await db.approximateSize('a', 'z')) < 1000);
  await db.close();
  await assert.rejects(db.approximateSize('a', 'b'), { code: 'LEVEL_DATABASE_NOT_OPEN' });
  await assert.rejects(db.compactRange('a', 'b'), { code: 'LEVEL_DATABASE_NOT_OPEN' });
});

test('getProperty() knows three properties, and an empty string for all others', async (t) => {
  const db = await openIn(t);
  for (const bad of [undefined, {}, 1])
    assert.throws(() => db.getProperty(bad as never), {
      name: 'TypeError',
      message: "The first argument 'property' must be a string",
    });
  assert.equal(db.getProperty('foo'), '');
  assert.equal(db.getProperty('leveldb.foo'), '');
  assert.equal(db.getProperty('leveldb.num-files-at-level99'), '');
  for (let level = 0; level < 7; level++)
    assert.equal(db.getProperty(`leveldb.num-files-at-level${level}`), '0');
  assert.ok(db.getProperty('leveldb.stats').split('\n').length > 3);
  const none = [0, 1, 2, 3, 4, 5, 6].map((level) => `--- level ${level} ---\n`).join('');
  assert.equal(db.getProperty('leveldb.sstables'), none);
  await db.batch().put('a', '1').put('b\n', '2').write();
  await db.flush();
  assert.equal(db.getProperty('leveldb.num-files-at-level0'), '1');
  assert.match(
    db.getProperty('leveldb.sstables'),
    /^--- level 0 ---\n \d+:\d+\['a' \.\. 'b\\x0a'\]\n--- level 1/,
  );
  await db.close();
  assert.throws(() => db.getProperty('leveldb.stats'), { code: 'LEVEL_DATABASE_NOT_OPEN' });
});

test('close() waits for every kind of call that was made before it, and each of them ends well', async (t) => {
  const db = await openIn(t);
  await fill(db, 1000);
  await db.flush();
  const iterators = Array.from({ length: 20 }, () => db.iterator({ highWaterMarkBytes: 0 }));
  const snapshot = db.snapshot();
  const pending = [
    db.put('new', '1'),
    db.get('0001'),
    db.getMany(['0001', 'absent']),
    db.has('0001'),
    db.hasMany(['0001', 'absent']),
    db.del('0002'),
    db.batch([{ type: 'put', key: 'new2', value: '2' }]),
    db.batch().put('new3', '3').write(),
    db.clear({ gte: '0100', lt: '0200' }),
    db.clear({ gte: '0300', limit: 5 }),
    db.approximateSize('0', '9'),
    db.compactRange('0', '9'),
    db.get('0001', { snapshot }),
    db.iterator({ snapshot }).next(),
    db.values().all(),
    db.transaction((tx) => tx.put('new4', '4')),
    ...iterators.map((iterator) => iterator.next()),
  ];
  const closing = db.close();
  const results = await Promise.allSettled(pending);
  await closing;
  assert.deepEqual(
    results.flatMap((result, i) => (result.status === 'rejected' ? [`${i}: ${result.reason}`] : [])),
    [],
  );
  await assert.rejects(iterators[0]!.next(), { code: 'LEVEL_ITERATOR_NOT_OPEN' });
  await db.open();
  assert.deepEqual(await db.getMany(['new', 'new2', 'new3', 'new4', '0002', '0150', '0300']), [
    '1',
    '2',
    '3',
    '4',
    undefined,
    undefined,
    undefined,
  ]);
});

test('close() comes through while somebody goes on reading', async (t) => {
  const db = await openIn(t);
  await fill(db, 3000);
  const iterator = db.iterator({ highWaterMarkBytes: 0 });
  const reading = (async () => {
    while ((await iterator.next()) !== undefined);
  })();
  const ended = assert.rejects(reading, { code: 'LEVEL_ITERATOR_NOT_OPEN' });
  await db.close();
  await ended;
});

test('highWaterMarkBytes bounds nextv() and what next() reads ahead, and not all()', async (t) => {
  const db = await openIn(t);
  await db.batch().put('a', '0').put('b', '1').put('c', '2').put('d', '3').write();
  const page = async (highWaterMarkBytes: number): Promise<number> => {
    const iterator = db.iterator({ highWaterMarkBytes });
    const entries = await iterator.nextv(1000);
    await iterator.close();
    return entries.length;
  };
  const cached = async (highWaterMarkBytes: number): Promise<number> => {
    const iterator = db.iterator({ highWaterMarkBytes }) as ReturnType<StrataLevel['iterator']> & {
      cached: number;
    };
    await iterator.next();
    await iterator.next();
    const count = 1 + iterator.cached;
    await iterator.close();
    return count;
  };
  // An entry has two bytes. Infinity counts as 0, as where classic-level hands it to C++.
  for (const [bytes, entries] of [
    [0, 1],
    [Number.POSITIVE_INFINITY, 1],
    [1, 1],
    [2, 2],
    [3, 2],
    [4, 3],
  ] as const) {
    assert.equal(await page(bytes), entries, `nextv, ${bytes} bytes`);
    assert.equal(await cached(bytes), entries, `next, ${bytes} bytes`);
  }
  assert.equal(await cached(9), 3);
  assert.equal((await db.iterator({ highWaterMarkBytes: 0 }).all()).length, 4);
});

test('a loop of next() lets the event loop turn at least once for every 1,000 entries', async (t) => {
  const db = await openIn(t);
  await fill(db, 10_000);
  for (const make of [
    () => db.iterator({ highWaterMarkBytes: 2 ** 30 }),
    () => db.keys({ highWaterMarkBytes: 2 ** 30 }),
    () => db.sublevel('x').parent!.values({ highWaterMarkBytes: 2 ** 30 }),
  ]) {
    const iterator = make();
    let entries = 0;
    let turns = 0;
    let isScheduled = false;
    while ((await iterator.next()) !== undefined) {
      entries++;
      if (isScheduled) continue;
      isScheduled = true;
      setImmediate(() => {
        turns++;
        isScheduled = false;
      });
    }
    await iterator.close();
    assert.equal(entries, 10_000);
    assert.ok(turns >= 10, `${turns} turns`);
  }
  let gets = 0;
  let isTurned = false;
  setImmediate(() => {
    isTurned = true;
  });
  while (!isTurned && gets < 1e6) {
    await db.get('00001');
    gets++;
  }
  assert.ok(isTurned, 'awaited gets kept the event loop for themselves');
});

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
  await fill(db, 1000);
  await db.clear({ gte: '0100', lt: '0900' });
  assert.equal(db.stats().memtables.rangeDeletes, 1);
  assert.equal((await db.keys().all()).length, 200);
  const snapshot = db.snapshot();
  await db.put('0000x', 'after');
  await db.clear({ snapshot });
  await snapshot.close();
  assert.deepEqual(await db.keys().all(), ['0000x']);
  await fill(db, 1000);
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
