/**
 * The life of a scan: what ends it, what it gives back, turns for the event loop, flat memory.
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { type Scan, type StorageEngine, WriteBatch } from '../../src/main/index.ts';
import {
  failsWith,
  fill,
  keyOf,
  keysOf,
  newPath,
  openAt,
  openTiny,
  tableFiles,
  until,
} from '../helpers/engines.ts';
import { garbageCollector } from '../helpers/garbage.ts';

async function filled(t: TestContext, count = 200): Promise<StorageEngine> {
  const engine = await openTiny(t);
  await fill(engine, count);
  await engine.flush();
  return engine;
}

test('leaving a loop early closes the scan, by break, return, throw and await', async (t) => {
  const engine = await filled(t);
  const open = (): number => engine.stats().openScans;
  for (const _ of engine.scan()) break;
  assert.equal(open(), 0, 'break');
  assert.throws(() => {
    for (const _ of engine.scan({ reverse: true })) throw new Error('from the loop');
  }, /from the loop/);
  assert.equal(open(), 0, 'throw');
  (() => {
    for (const entry of engine.scan()) return entry;
    return undefined;
  })();
  assert.equal(open(), 0, 'return');
  for await (const _ of engine.scan()) break;
  assert.equal(open(), 0, 'break of for await');
  const [first] = engine.scan();
  assert.equal(first?.[0].toString(), keyOf(0));
  assert.equal(open(), 0, 'destructuring');
});

test('a scan that reaches its end or its limit closes itself', async (t) => {
  const engine = await filled(t);
  const scan = engine.scan({ limit: 3 });
  assert.equal(engine.stats().openScans, 1);
  assert.equal(scan.nextMany(3).length, 3);
  assert.equal(engine.stats().openScans, 0);
  assert.deepEqual(scan.nextMany(3), []);
  Array.from(engine.scan());
  assert.equal(engine.stats().openScans, 0);
});

test('close() ends a scan, more than once does no harm', async (t) => {
  const engine = await filled(t);
  const scan = engine.scan();
  scan.nextMany(5);
  scan.close();
  scan.close();
  assert.equal(engine.stats().openScans, 0);
  assert.deepEqual(scan.nextMany(5), []);
  assert.deepEqual(keysOf(scan), []);
  const unused = engine.scan();
  unused.close();
  assert.deepEqual(keysOf(unused), []);
});

test('an open scan keeps the files it reads, and closing it lets them go', async (t) => {
  const engine = await filled(t, 500);
  const scan = engine.scan();
  scan.nextMany(1);
  const pinned = tableFiles(engine.path);
  await fill(engine, 500, 40, 1);
  await engine.compact();
  const during = tableFiles(engine.path);
  assert.ok(
    pinned.every((name) => during.includes(name)),
    'they are there while the scan is',
  );
  scan.close();
  const live = engine.stats().levels.reduce((sum, level) => sum + level.files, 0);
  await until(() => tableFiles(engine.path).length === live);
});

test('an aborted scan rejects with the reason of its signal, and closes', async (t) => {
  const engine = await filled(t);
  const controller = new AbortController();
  const scan = engine.scan({ signal: controller.signal });
  assert.equal(scan.nextMany(10).length, 10);
  const reason = new Error('enough');
  controller.abort(reason);
  assert.throws(
    () => scan.nextMany(10),
    (error) => error === reason,
  );
  assert.equal(engine.stats().openScans, 0);
  await assert.rejects(
    async () => {
      for await (const _ of engine.scan({ signal: AbortSignal.abort() }));
    },
    { name: 'AbortError' },
  );
  assert.equal(engine.stats().openScans, 0);
});

test('a signal that fires while the event loop has its turn ends the scan', async (t) => {
  const engine = await filled(t, 3000);
  const controller = new AbortController();
  let count = 0;
  setImmediate(() => controller.abort());
  await assert.rejects(
    async () => {
      for await (const _ of engine.scan({ signal: controller.signal })) count++;
    },
    { name: 'AbortError' },
  );
  assert.ok(count < 3000, `${count} entries came first`);
  assert.equal(engine.stats().openScans, 0);
});

test('closing the engine ends its scans with STRATA_CLOSED, not as if they were complete', async (t) => {
  const engine = await filled(t);
  const started = engine.scan();
  started.nextMany(5);
  const untouched = engine.scan({ reverse: true });
  const iterator = engine.scan()[Symbol.asyncIterator]();
  await iterator.next();
  await engine.close();
  await failsWith('STRATA_CLOSED', () => started.nextMany(5));
  await failsWith('STRATA_CLOSED', () => Array.from(untouched));
  await failsWith('STRATA_CLOSED', iterator.next());
  await failsWith('STRATA_CLOSED', async () => {
    for await (const _ of started);
  });
  started.close();
});

test('for await gives the event loop a turn at least every 1,000 entries', async (t) => {
  const engine = await filled(t, 5000);
  let sinceTurn = 0;
  let longest = 0;
  let turns = 0;
  let isOver = false;
  const tick = (): void => {
    turns++;
    sinceTurn = 0;
    if (!isOver) setImmediate(tick);
  };
  setImmediate(tick);
  for await (const _ of engine.scan()) longest = Math.max(longest, ++sinceTurn);
  isOver = true;
  assert.ok(longest <= 1000, `${longest} entries in one turn`);
  assert.ok(turns >= 4, `${turns} turns`);
});

test('next() calls that do not wait for each other get their entries in order', async (t) => {
  const engine = await filled(t, 2500);
  const iterator = engine.scan()[Symbol.asyncIterator]();
  const results = await Promise.all(Array.from({ length: 2500 }, () => iterator.next()));
  results.forEach(({ value }, i) => {
    assert.equal((value as [Buffer, Buffer])[0].toString(), keyOf(i));
  });
  assert.equal((await iterator.next()).done, true);
});

test('one scan can be read by loop, nextMany and again by loop, each going on where the last stopped', async (t) => {
  const engine = await filled(t, 30);
  const scan = engine.scan();
  const iterator = scan[Symbol.iterator]();
  assert.equal(iterator.next().value?.[0].toString(), keyOf(0));
  assert.deepEqual(
    scan.nextMany(2).map(([key]) => key.toString()),
    [keyOf(1), keyOf(2)],
  );
  assert.equal(keysOf(scan)[0], keyOf(3));
});

test('the memory of a scan is flat over 300,000 entries, both ways', async (t) => {
  const engine = await openAt(t, newPath(t), { writeBufferSize: 8 << 20, cacheSize: 1 << 20, threads: 1 });
  const value = Buffer.alloc(100, 'v');
  for (let i = 0; i < 300_000; i += 1000) {
    const batch = new WriteBatch();
    for (let j = i; j < i + 1000; j++) batch.put(keyOf(j), value);
    await engine.write(batch);
  }
  await engine.flush();
  const collectGarbage = garbageCollector();
  for (const reverse of [false, true]) {
    collectGarbage();
    const before = inUse();
    let count = 0;
    let peak = 0;
    const scan: Scan = engine.scan({ reverse });
    for (const _ of scan) {
      if (++count % 50_000 !== 0) continue;
      collectGarbage();
      peak = Math.max(peak, inUse() - before);
    }
    assert.equal(count, 300_000);
    // All entries are 33 MB; a block per source, a slab and the cache are about 2.
    assert.ok(peak < 12 << 20, `${peak} bytes more while scanning`);
  }
});

function inUse(): number {
  const { heapUsed, external, arrayBuffers } = process.memoryUsage();
  return heapUsed + Math.max(external, arrayBuffers);
}
