/**
 * put, get, getMany, has, delete and batches through the public API: values, key order, atomicity.
 *
 * Each place a key can be in is visited: the memtable, L0, the bottom, a reopened store.
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { type StorageEngine, WriteBatch } from '../../src/main/index.ts';
import { failsWith, fill, keyOf, keysOf, openTiny, reopen, textsOf, valueFor } from '../helpers/engines.ts';
import { seededRandom } from '../helpers/rng.ts';
import { freshSeed, reportSeed } from '../helpers/run-budget.ts';

/** Calls `check` with the data in each place it can be in. */
async function everywhere(
  t: TestContext,
  write: (engine: StorageEngine) => Promise<void>,
  check: (engine: StorageEngine, place: string) => Promise<void> | void,
): Promise<void> {
  let engine = await openTiny(t);
  await write(engine);
  await check(engine, 'in the memtable');
  engine = await reopen(t, engine);
  await check(engine, 'recovered from the log');
  await engine.flush();
  await check(engine, 'in level 0');
  await engine.compact();
  await check(engine, 'at the bottom');
  engine = await reopen(t, engine);
  await check(engine, 'reopened');
}

test('a value comes back as it was, wherever it is', async (t) => {
  const cases: [string, string | Uint8Array, string | Uint8Array][] = [
    ['text', 'user:1', 'Alice'],
    ['unicode', 'schlüssel-\u{1f511}', 'wert-\u{10ffff}-é'],
    ['bytes', Uint8Array.of(1, 2, 3), Uint8Array.of(0, 255, 128)],
    ['empty value', 'no value', ''],
    ['empty key', '', 'of the empty key'],
    ['zero byte', Uint8Array.of(0), 'zero'],
    ['two zero bytes', Uint8Array.of(0, 0), 'zeros'],
    ['0xff', Uint8Array.of(255), 'ff'],
    ['0xff twice', Uint8Array.of(255, 255), 'ffff'],
    ['the longest key', Buffer.alloc(65536, 'k'), 'long'],
    ['a name that objects have', '__proto__', 'constructor'],
  ];
  await everywhere(
    t,
    async (engine) => {
      for (const [, key, value] of cases) await engine.put(key, value);
    },
    async (engine, place) => {
      for (const [name, key, value] of cases) {
        const expected = Buffer.from(value as Uint8Array);
        assert.deepEqual(await engine.get(key), expected, `get of ${name}, ${place}`);
        assert.deepEqual(engine.getSync(key), expected, `getSync of ${name}, ${place}`);
        assert.equal(await engine.has(key), true, `has of ${name}, ${place}`);
        assert.equal(engine.hasSync(key), true, `hasSync of ${name}, ${place}`);
      }
      const values = await engine.getMany(cases.map(([, key]) => key));
      assert.deepEqual(
        values,
        cases.map(([, , value]) => Buffer.from(value as Uint8Array)),
        place,
      );
      assert.equal(Array.from(engine.scan()).length, cases.length, place);
    },
  );
});

test('a string and its utf-8 bytes are one key', async (t) => {
  const engine = await openTiny(t);
  await engine.put('käse', Buffer.from('von strings'));
  assert.equal((await engine.get(new TextEncoder().encode('käse')))?.toString(), 'von strings');
  await engine.put(Buffer.from('käse'), 'von bytes');
  assert.deepEqual(textsOf(engine.scan()), [['käse', 'von bytes']]);
});

test('keys are in the order of their bytes, a prefix first', async (t) => {
  // In UTF-16, which JavaScript compares, U+10002 comes before U+FF61; in UTF-8 it comes after.
  const inOrder = [
    '',
    '\0',
    '\0\0',
    '\x01',
    'A',
    'a',
    'a\0',
    'a\0b',
    'aa',
    'ab',
    'b',
    '\x7f',
    '\x80',
    '｡',
    '\u{10002}',
  ];
  await everywhere(
    t,
    async (engine) => {
      for (const key of [...inOrder].reverse()) await engine.put(key, key);
    },
    (engine, place) => {
      assert.deepEqual(keysOf(engine.scan()), inOrder, place);
      assert.deepEqual(keysOf(engine.scan({ reverse: true })), [...inOrder].reverse(), place);
    },
  );
});

test('what is missing is undefined, and has says no', async (t) => {
  await everywhere(
    t,
    async (engine) => {
      await engine.put('b', '1');
      await engine.put('gone', '1');
      await engine.delete('gone');
      await engine.delete('never there');
    },
    async (engine, place) => {
      for (const key of ['', 'a', 'b\0', 'c', 'gone', 'never there']) {
        assert.equal(await engine.get(key), undefined, place);
        assert.equal(engine.getSync(key), undefined, place);
        assert.equal(await engine.has(key), false, place);
      }
      assert.deepEqual(await engine.getMany(['a', 'b', 'gone', 'b']), [
        undefined,
        Buffer.from('1'),
        undefined,
        Buffer.from('1'),
      ]);
      assert.deepEqual(await engine.getMany([]), []);
    },
  );
});

test('the last of many writes to one key wins', async (t) => {
  await everywhere(
    t,
    async (engine) => {
      const writes = [];
      for (let i = 0; i < 500; i++) writes.push(engine.put('k', `value ${i}`));
      await Promise.all(writes);
    },
    async (engine, place) => {
      assert.equal((await engine.get('k'))?.toString(), 'value 499', place);
      assert.deepEqual(textsOf(engine.scan()), [['k', 'value 499']], place);
    },
  );
});

test('a read sees every write acknowledged before it, over many flushes and compactions', async (t) => {
  const seed = freshSeed();
  reportSeed(t, seed);
  const random = seededRandom(seed);
  const engine = await openTiny(t);
  const latest = new Map<string, string | undefined>();
  for (let i = 0; i < 2000; i++) {
    const key = keyOf(random.below(200));
    if (random.chance(0.2)) {
      await engine.delete(key);
      latest.set(key, undefined);
    } else {
      await engine.put(key, valueFor(i));
      latest.set(key, valueFor(i));
    }
    const asked = keyOf(random.below(200));
    assert.equal(engine.getSync(asked)?.toString(), latest.get(asked), `write ${i}, ${asked}, seed ${seed}`);
    assert.equal(engine.getSync(key)?.toString(), latest.get(key), `write ${i}, ${key}, seed ${seed}`);
  }
  const { jobs } = engine.stats();
  assert.ok(jobs.flushes > 3 && jobs.compactions > 0, `flushed and compacted: ${JSON.stringify(jobs)}`);
});

test('a batch is applied in order, the last operation on a key wins', async (t) => {
  await everywhere(
    t,
    async (engine) => {
      await engine.put('old', '1');
      await engine.write(
        new WriteBatch()
          .put('a', 'first')
          .delete('a')
          .put('b', 'first')
          .put('b', 'second')
          .delete('old')
          .put('c', '')
          .delete('c')
          .put('c', 'back'),
      );
    },
    (engine, place) => {
      assert.deepEqual(
        textsOf(engine.scan()),
        [
          ['b', 'second'],
          ['c', 'back'],
        ],
        place,
      );
    },
  );
});

test('a batch can be counted, cleared, written twice and changed after write()', async (t) => {
  const engine = await openTiny(t);
  const batch = new WriteBatch();
  assert.deepEqual([batch.length, batch.byteLength], [0, 0]);
  await engine.write(batch);
  batch.put('a', '1').delete('b');
  assert.equal(batch.length, 2);
  assert.ok(batch.byteLength > 0);
  const first = engine.write(batch);
  batch.clear().put('c', '3');
  await first;
  assert.deepEqual(textsOf(engine.scan()), [['a', '1']]);
  await engine.write(batch);
  await engine.delete('c');
  await engine.write(batch);
  assert.equal(batch.length, 1);
  assert.deepEqual(keysOf(engine.scan()), ['a', 'c']);
  assert.deepEqual([batch.clear().length, batch.byteLength], [0, 0]);
});

test('a refused operation leaves a batch as it was', async (t) => {
  const engine = await openTiny(t);
  const batch = new WriteBatch().put('a', '1');
  const before = batch.byteLength;
  await failsWith('STRATA_INVALID_ARGUMENT', () => batch.put('b', 5 as never));
  await failsWith('STRATA_INVALID_ARGUMENT', () => batch.put('\ud800', 'x'));
  await failsWith('STRATA_INVALID_ARGUMENT', () => batch.delete(Buffer.alloc(65537)));
  assert.deepEqual([batch.length, batch.byteLength], [1, before]);
  await engine.write(batch);
  assert.deepEqual(keysOf(engine.scan()), ['a']);
});

test('no reader ever sees half a batch', async (t) => {
  const engine = await openTiny(t);
  const keys = Array.from({ length: 20 }, (_, i) => keyOf(i));
  const rounds = 100;
  let done = false;
  const writer = (async () => {
    for (let round = 0; round < rounds; round++) {
      const batch = new WriteBatch();
      for (const key of keys) batch.put(key, `${round}`);
      await engine.write(batch);
    }
    done = true;
  })();
  let looks = 0;
  while (!done) {
    const values = await engine.getMany(keys);
    assert.equal(new Set(values.map(String)).size, 1, 'getMany sees one round');
    const scanned = new Set(textsOf(engine.scan()).map(([, value]) => value));
    assert.ok(scanned.size <= 1, `a scan sees one round, not ${[...scanned]}`);
    looks++;
    await new Promise((resolve) => setImmediate(resolve));
  }
  await writer;
  assert.ok(looks > 0);
});

test('a batch larger than the write buffer is written whole', async (t) => {
  let engine = await openTiny(t, { writeBufferSize: 4096 });
  const batch = new WriteBatch();
  for (let i = 0; i < 2000; i++) batch.put(keyOf(i), valueFor(i, 100));
  await engine.write(batch);
  engine = await reopen(t, engine);
  const entries = textsOf(engine.scan());
  assert.equal(entries.length, 2000);
  const expected = Array.from({ length: 2000 }, (_, i) => [keyOf(i), valueFor(i, 100)]);
  assert.deepEqual(entries, expected);
});

test('a value of 20 MB goes through a write buffer of 64 KiB', async (t) => {
  let engine = await openTiny(t, { writeBufferSize: 65536 });
  const value = Buffer.alloc(20_000_000);
  for (let i = 0; i < value.length; i += 4) value.writeUInt32LE(Math.imul(i, 0x9e3779b1) >>> 0, i);
  await engine.put('before', '1');
  await engine.put('large', value);
  await engine.put('after', '2');
  for (const step of ['written', 'flushed', 'compacted', 'reopened']) {
    if (step === 'flushed') await engine.flush();
    if (step === 'compacted') await engine.compact();
    if (step === 'reopened') engine = await reopen(t, engine);
    assert.ok(engine.getSync('large')?.equals(value), step);
    assert.deepEqual(keysOf(engine.scan({ values: false })), ['after', 'before', 'large'], step);
  }
});

test('writes with sync: true are there, alone, in groups and as the default', async (t) => {
  let engine = await openTiny(t, { sync: true });
  await engine.put('a', '1');
  await Promise.all(Array.from({ length: 100 }, (_, i) => engine.put(keyOf(i), 'x', { sync: i % 2 === 0 })));
  await engine.write(new WriteBatch().put('b', '2'), { sync: true });
  await engine.delete('a', { sync: true });
  engine = await reopen(t, engine, { sync: false });
  assert.equal(keysOf(engine.scan()).length, 101);
});

test('writes in flight over many memtables are all there, in order', async (t) => {
  let engine = await openTiny(t);
  await fill(engine, 300);
  const settled: number[] = [];
  const writes = Array.from({ length: 1500 }, (_, i) =>
    engine.put(keyOf(i % 300), valueFor(i)).then(() => settled.push(i)),
  );
  await Promise.all(writes);
  assert.deepEqual(
    settled,
    settled.toSorted((a, b) => a - b),
    'acknowledged in the order of the calls',
  );
  engine = await reopen(t, engine);
  for (let i = 1200; i < 1500; i++) assert.equal(engine.getSync(keyOf(i % 300))?.toString(), valueFor(i));
});
