/**
 * Copies: what the caller handed in may change after the call, what was handed out may be changed at will.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type StorageEngine, WriteBatch } from '../../src/main/index.ts';
import { fill, keyOf, openTiny, textsOf, valueFor } from '../helpers/engines.ts';

/** Small, at the limits of the copy loops and of a slab, and large. */
const SIZES = [0, 1, 15, 48, 49, 96, 97, 1000, 2047, 2048, 9000, 100_000];

test('put, delete and write copy what they are given before they return', async (t) => {
  const engine = await openTiny(t);
  await engine.put('victim', '1');
  for (const size of SIZES) {
    const key = Buffer.from(`key of ${size}`);
    const value = Buffer.alloc(size, 'v');
    const pending = [engine.put(key, value)];
    key.fill('X');
    value.fill('X');
    const batchKey = Buffer.from(`batch of ${size}`);
    const batchValue = Buffer.alloc(size, 'b');
    const batch = new WriteBatch().put(batchKey, batchValue);
    batchKey.fill('Y');
    batchValue.fill('Y');
    pending.push(engine.write(batch));
    batch.clear().put('never written', 'Z');
    await Promise.all(pending);
    assert.ok(engine.getSync(`key of ${size}`)?.equals(Buffer.alloc(size, 'v')), `put of ${size}`);
    assert.ok(engine.getSync(`batch of ${size}`)?.equals(Buffer.alloc(size, 'b')), `write of ${size}`);
  }
  const doomed = Buffer.from('victim');
  const deleted = engine.delete(doomed);
  doomed.fill('X');
  await deleted;
  assert.equal(engine.hasSync('victim'), false);
  assert.equal(engine.hasSync('never written'), false);
});

test('writes that are held back hold copies, too', async (t) => {
  const engine = await openTiny(t, { writeBufferSize: 4096 });
  const key = Buffer.alloc(10);
  const value = Buffer.alloc(100);
  const batch = new WriteBatch();
  const pending = [];
  for (let i = 0; i < 1000; i++) {
    key.write(keyOf(i));
    value.fill(i % 251);
    if (i % 2 === 0) pending.push(engine.put(key, value));
    else pending.push(engine.write(batch.clear().put(key, value)));
  }
  assert.ok(engine.stats().stalls.heldWrites > 0, 'some are held');
  key.fill(0);
  value.fill(0);
  await Promise.all(pending);
  for (let i = 0; i < 1000; i++)
    assert.ok(engine.getSync(keyOf(i))?.equals(Buffer.alloc(100, i % 251)), `value ${i}`);
});

test('a view into a larger buffer is taken for its own bytes only', async (t) => {
  const engine = await openTiny(t);
  const large = new Uint8Array(new SharedArrayBuffer(64)).fill(7, 8, 16);
  await engine.put(large.subarray(8, 12), large.subarray(12, 20));
  assert.deepEqual(engine.getSync(Uint8Array.of(7, 7, 7, 7)), Buffer.from([7, 7, 7, 7, 0, 0, 0, 0]));
});

async function spoilEverything(engine: StorageEngine): Promise<void> {
  const keys = SIZES.map((_, i) => keyOf(i));
  const spoil = (buffers: Iterable<Buffer | undefined>): void => {
    for (const buffer of buffers) buffer?.fill(0xee);
  };
  for (const key of keys) spoil([await engine.get(key), engine.getSync(key)]);
  spoil(await engine.getMany(keys));
  for (const entry of engine.scan()) spoil(entry);
  for await (const entry of engine.scan()) spoil(entry);
  for (const entry of engine.scan({ reverse: true })) spoil(entry);
  const scan = engine.scan();
  for (let entries = scan.nextMany(3); entries.length > 0; entries = scan.nextMany(3)) spoil(entries.flat());
}

test('whatever is done to returned buffers, the store and other results are not touched', async (t) => {
  const engine = await openTiny(t);
  const expected: [string, string][] = SIZES.map((size, i) => [keyOf(i), 'v'.repeat(size)]);
  for (const [key, value] of expected) await engine.put(key, value);
  for (const place of ['in the memtable', 'in level 0, cached', 'at the bottom, cached']) {
    if (place.startsWith('in level')) await engine.flush();
    if (place.startsWith('at')) await engine.compact();
    await spoilEverything(engine);
    assert.deepEqual(textsOf(engine.scan()), expected, place);
    for (const [key, value] of expected) assert.equal(engine.getSync(key)?.toString(), value, place);
  }
  await engine.verify();
});

test('buffers of one scan share no bytes', async (t) => {
  const engine = await openTiny(t);
  await fill(engine, 100);
  const entries = Array.from(engine.scan());
  entries.forEach(([key, value], i) => {
    key.fill(i);
    value.fill(i);
  });
  entries.forEach(([key, value], i) => {
    assert.ok(key.every((byte) => byte === i) && value.every((byte) => byte === i), `entry ${i}`);
  });
});

test('a loop may spoil the key it was given and go on, in both directions', async (t) => {
  const engine = await openTiny(t);
  await fill(engine, 300);
  await engine.flush();
  await fill(engine, 150, 40, 1);
  for (const reverse of [false, true]) {
    const keys: string[] = [];
    for (const [key, value] of engine.scan({ reverse })) {
      const i = Number(key.toString().slice(4));
      assert.equal(value.toString(), valueFor(i, 40, i < 150 ? 1 : 0));
      keys.push(key.toString());
      key.fill(reverse ? 0 : 0xff);
      value.fill(0);
    }
    const expected = Array.from({ length: 300 }, (_, i) => keyOf(i));
    assert.deepEqual(keys, reverse ? expected.toReversed() : expected);
  }
});

test('the bounds of a scan may be changed once it is made', async (t) => {
  const engine = await openTiny(t);
  await fill(engine, 20);
  const gte = Buffer.from(keyOf(5));
  const lt = Buffer.from(keyOf(8));
  const scan = engine.scan({ gte, lt });
  gte.fill(0);
  lt.fill(0xff);
  assert.deepEqual(
    textsOf(scan).map(([key]) => key),
    [keyOf(5), keyOf(6), keyOf(7)],
  );
});
