/**
 * Wrong arguments to the public API: every one is refused at the call with STRATA_INVALID_ARGUMENT, and changes nothing.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runInNewContext } from 'node:vm';
import { type Bytes, StorageEngine, WriteBatch } from '../../src/main/index.ts';
import { failsWith, keysOf, newPath, openTiny } from '../helpers/engines.ts';

const INVALID = 'STRATA_INVALID_ARGUMENT';
const LARGEST_VALUE = 256 * 1024 * 1024;

/** Not keys, not values. */
const NOT_BYTES: readonly [string, unknown][] = [
  ['undefined', undefined],
  ['null', null],
  ['a number', 1],
  ['NaN', Number.NaN],
  ['a boolean', true],
  ['a bigint', 1n],
  ['a symbol', Symbol('s')],
  ['a function', () => 'k'],
  ['an object', { length: 1, 0: 1 }],
  ['an array', [1, 2]],
  ['an array buffer', new ArrayBuffer(3)],
  ['a data view', new DataView(new ArrayBuffer(3))],
  ['wider words', new Uint16Array(3)],
  ['signed bytes', new Int8Array(3)],
  ['clamped bytes', new Uint8ClampedArray(3)],
  ['a String object', new String('k')],
  ['something with the prototype of bytes', Object.create(Uint8Array.prototype)],
  ['a proxy of bytes', new Proxy(new Uint8Array(3), {})],
  ['an object with a trap', { toString: () => assert.fail('it was converted') }],
  ['a lone high surrogate', 'a\ud800b'],
  ['a lone low surrogate', '\udc00'],
  ['a long string with a lone surrogate', `${'x'.repeat(200)}\ud800`],
];

test('what is not bytes and not a well-formed string is refused as a key, everywhere', async (t) => {
  const engine = await openTiny(t);
  for (const [name, wrong] of NOT_BYTES) {
    const key = wrong as Bytes;
    const attempts: (() => unknown)[] = [
      () => engine.put(key, 'v'),
      () => engine.delete(key),
      () => engine.get(key),
      () => engine.getSync(key),
      () => engine.getMany([key]),
      () => engine.getMany(['a', key]),
      () => engine.has(key),
      () => engine.hasSync(key),
      () => new WriteBatch().put(key, 'v'),
      () => new WriteBatch().delete(key),
    ];
    // undefined is "no bound" there.
    if (wrong !== undefined) {
      for (const bound of ['gt', 'gte', 'lt', 'lte', 'prefix'])
        attempts.push(() => engine.scan({ [bound]: key }));
      attempts.push(
        () => engine.compact({ start: key }),
        () => engine.compact({ end: key }),
        () => engine.compact({ prefix: key }),
        () => engine.approximateSize({ gte: key }),
      );
    }
    for (const attempt of attempts) {
      const error = await failsWith(INVALID, attempt);
      assert.ok(error.message.length > 10, name);
    }
  }
  assert.deepEqual(keysOf(engine.scan()), []);
  assert.deepEqual([engine.stats().openScans, engine.stats().userBytes], [0, 0]);
});

test('what is not bytes and not a well-formed string is refused as a value', async (t) => {
  const engine = await openTiny(t);
  const batch = new WriteBatch();
  for (const [, wrong] of NOT_BYTES) {
    await failsWith(INVALID, engine.put('k', wrong as Bytes));
    await failsWith(INVALID, () => batch.put('k', wrong as Bytes));
  }
  assert.equal(batch.length, 0);
  assert.equal(engine.hasSync('k'), false);
});

test('bytes of another realm and views of shared memory are bytes', async (t) => {
  const engine = await openTiny(t);
  const foreign = runInNewContext('Uint8Array.of(107)') as Uint8Array;
  await engine.put(foreign, foreign);
  const shared = new Uint8Array(new SharedArrayBuffer(1)).fill(107);
  assert.equal((await engine.get(shared))?.toString(), 'k');
});

test('keys over 64 KiB and values over 256 MiB are refused at the call, the largest key is not', async (t) => {
  const engine = await openTiny(t);
  const longest = Buffer.alloc(65536, 'k');
  const tooLong = Buffer.alloc(65537, 'k');
  await engine.put(longest, '1');
  assert.equal(engine.getSync(longest.toString())?.toString(), '1');
  for (const key of [tooLong, tooLong.toString(), 'é'.repeat(32769)]) {
    await failsWith(INVALID, engine.put(key, 'v'));
    await failsWith(INVALID, engine.delete(key));
    await failsWith(INVALID, engine.get(key));
    await failsWith(INVALID, () => engine.scan({ gte: key }));
    await failsWith(INVALID, () => new WriteBatch().put(key, 'v'));
  }
  // Never touched, so it takes no memory.
  const tooLarge = new Uint8Array(LARGEST_VALUE + 1);
  await failsWith(INVALID, engine.put('k', tooLarge));
  await failsWith(INVALID, () => new WriteBatch().put('k', tooLarge));
  assert.equal(engine.hasSync('k'), false);
  assert.equal(keysOf(engine.scan()).length, 1);
  await engine.flush();
  assert.equal(engine.getSync(longest)?.toString(), '1');
});

const WRONG_OPTIONS: readonly unknown[] = [
  null,
  'options',
  7,
  [],
  () => ({}),
  { unknown: 1 },
  { writeBuffersize: 4096 },
  { cache_size: 0 },
  { createIfMissing: 'yes' },
  { createIfMissing: null },
  { errorIfExists: 1 },
  { readOnly: 'false' },
  { sync: 0 },
  { mmap: 'on' },
  { compression: 'zstd' },
  { compression: '' },
  { compression: true },
  { compression: 'toString' },
  { pool: {} },
  { pool: null },
  { pool: 'pool' },
  ...['writeBufferSize', 'cacheSize', 'blockSize', 'blockRestartInterval'].flatMap(wrongNumbers),
  ...['maxFileSize', 'bloomBitsPerKey', 'maxOpenFiles', 'threads'].flatMap(wrongNumbers),
  { writeBufferSize: 2 ** 40 },
  { blockSize: 2 ** 31 },
  { blockRestartInterval: 257 },
  { blockRestartInterval: 0 },
  { bloomBitsPerKey: 65 },
  { maxFileSize: 2 ** 40 },
  { threads: 1000 },
];

function wrongNumbers(name: string): unknown[] {
  const wrong = [Number.NaN, -1, 1.5, Number.POSITIVE_INFINITY, 2 ** 53, '1', 1n, null, true, {}];
  return wrong.map((value) => ({ [name]: value }));
}

test('wrong, unknown, negative and NaN options of open are refused before anything is made', async (t) => {
  const path = newPath(t);
  for (const options of WRONG_OPTIONS) await failsWith(INVALID, StorageEngine.open(path, options as never));
  await failsWith('STRATA_NO_DATABASE', StorageEngine.open(path, { createIfMissing: false }));
  for (const wrong of [undefined, null, 1, {}, '', 'a\0b', Buffer.from('db'), new URL('file:///tmp/db')]) {
    await failsWith(INVALID, StorageEngine.open(wrong as never));
    await failsWith(INVALID, StorageEngine.destroy(wrong as never));
  }
});

test('wrong and unknown options of calls are refused', async (t) => {
  const engine = await openTiny(t);
  await engine.put('k', 'v');
  const notObjects = [null, 1, 'sync', true, [], () => undefined];
  for (const wrong of [...notObjects, { Sync: true }, { sync: 1 }, { sync: null }] as never[]) {
    await failsWith(INVALID, engine.put('a', '1', wrong));
    await failsWith(INVALID, engine.delete('k', wrong));
    await failsWith(INVALID, engine.write(new WriteBatch().put('a', '1'), wrong));
    await failsWith(INVALID, engine.write(new WriteBatch(), wrong));
  }
  for (const wrong of [...notObjects, { snapshots: 1 }, { snapshot: 1 }] as never[]) {
    await failsWith(INVALID, engine.get('k', wrong));
    await failsWith(INVALID, () => engine.getSync('k', wrong));
    await failsWith(INVALID, engine.getMany(['k'], wrong));
    await failsWith(INVALID, engine.has('k', wrong));
  }
  for (const wrong of [
    ...notObjects,
    { start: 'a' },
    { reverse: 1 },
    { keys: 'no' },
    { values: null },
  ] as never[])
    await failsWith(INVALID, () => engine.scan(wrong));
  for (const limit of [Number.NaN, -2, 1.5, '3', null, {}, Number.NEGATIVE_INFINITY] as never[])
    await failsWith(INVALID, () => engine.scan({ limit }));
  for (const signal of [null, {}, 'abort', new EventTarget()] as never[])
    await failsWith(INVALID, () => engine.scan({ signal }));
  for (const wrong of [...notObjects, { progress: 1 }, { onProgress: true }] as never[])
    await failsWith(INVALID, engine.verify(wrong));
  assert.deepEqual(keysOf(engine.scan()), ['k']);
  assert.equal(engine.stats().openScans, 0);
});

test('what is not a batch, a list of keys or a count is refused', async (t) => {
  const engine = await openTiny(t);
  const wrongBatches = [undefined, null, [], {}, 'batch', [{ type: 'put', key: 'a', value: '1' }]];
  for (const wrong of [...wrongBatches, Object.create(WriteBatch.prototype)] as never[])
    await failsWith(INVALID, engine.write(wrong));
  for (const wrong of [undefined, null, 'abc', 7, {}, new Set(['a']), new Array(3)] as never[])
    await failsWith(INVALID, engine.getMany(wrong));
  const scan = engine.scan();
  for (const count of [undefined, 0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, '3', null] as never[])
    await failsWith(INVALID, () => scan.nextMany(count));
  scan.close();
});
