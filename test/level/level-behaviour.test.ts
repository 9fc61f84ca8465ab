/**
 * What users of classic-level rely on beside abstract-level's own suite: options, destroy, repair, sizes, properties, closing
 * with calls under way, high-water marks, the event loop.
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { StrataLevel } from '../../src/level/index.ts';
import { fillLevel, openIn } from '../helpers/levels.ts';
import { temporaryDirectory } from '../helpers/temp-directory.ts';

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
  await fillLevel(db, 1000);
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
  await fillLevel(db, 3000);
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
  await fillLevel(db, 10_000);
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
