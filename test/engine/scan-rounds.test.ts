/**
 * How often an awaited scan waits for the disk, one time after the other: what its limit or bounds say that it needs is read at
 * once, of all sources, and not much more than that.
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { EngineOptions, ScanOptions } from '../../src/main/index.ts';
import { type ColdDisk, coldStore, READERS, type Reader } from '../helpers/cold-disk.ts';
import { keyOf, openAt, openOn } from '../helpers/engines.ts';

const COUNT = 6000;
const VALUE_BYTES = 1000;
const LARGE: EngineOptions = {
  blockSize: 4096,
  writeBufferSize: 32 << 20,
  maxFileSize: 32 << 20,
  compression: 'none',
};
/** Opening a table's file, and reading its end. */
const OPENING = 2;

/** The keys of a scan, in how many rounds it had them, and what was read of blocks. */
async function readCold(
  disk: ColdDisk,
  reader: Reader,
  options: ScanOptions,
): Promise<{ keys: string[]; rounds: number; bytes: number }> {
  disk.forget();
  const keys: string[] = [];
  const rounds = await disk.roundsOf(async () => {
    for await (const [key] of reader.scan({ ...options, fillCache: false } as object))
      keys.push(key.toString());
  });
  assert.equal(disk.inCall, 0, 'nothing waits in the call');
  return { keys, rounds, bytes: disk.blockReads.reduce((sum, { length }) => sum + length, 0) };
}

function keysFrom(first: number, count: number, step = 1): string[] {
  return Array.from({ length: count }, (_, i) => keyOf(first + i * step));
}

for (const kind of READERS) {
  test(`${kind}: a short scan waits once for the blocks that it needs, in both directions`, async (t) => {
    const { disk, reader } = await coldStore(t, kind, COUNT, LARGE, VALUE_BYTES);
    const first = await readCold(disk, reader, { gte: keyOf(500), limit: 100 });
    assert.deepEqual(first.keys, keysFrom(500, 100));
    assert.equal(first.rounds, OPENING + 1, 'of a table that has to be opened');
    for (const count of [1, 10, 100, 400]) {
      const { keys, rounds, bytes } = await readCold(disk, reader, { gte: keyOf(1000), limit: count });
      assert.deepEqual(keys, keysFrom(1000, count));
      assert.equal(rounds, 1, `${count} entries`);
      assert.ok(bytes < 1.4 * count * VALUE_BYTES + 3 * 4096, `${bytes} bytes for ${count} entries`);
      const back = await readCold(disk, reader, { lt: keyOf(1000), limit: count, reverse: true });
      assert.deepEqual(back.keys, keysFrom(1000 - count, count).reverse());
      assert.equal(back.rounds, 1, `${count} entries in reverse`);
      assert.ok(back.bytes < 1.4 * count * VALUE_BYTES + 3 * 4096, `${back.bytes} bytes in reverse`);
    }
  });

  test(`${kind}: a scan of a short range waits once, and reads nothing beyond the range`, async (t) => {
    const { disk, reader } = await coldStore(t, kind, COUNT, LARGE, VALUE_BYTES);
    await reader.get(keyOf(500));
    for (const reverse of [false, true])
      for (const count of [1, 10, 100]) {
        const range = { gte: keyOf(700), lt: keyOf(700 + count), reverse };
        const { keys, rounds, bytes } = await readCold(disk, reader, range);
        assert.deepEqual(reverse ? keys.reverse() : keys, keysFrom(700, count));
        assert.equal(rounds, 1, `${count} entries, reverse ${reverse}`);
        assert.ok(bytes < 1.1 * count * VALUE_BYTES + 4 * 4096, `${bytes} bytes for ${count} entries`);
      }
  });
}

/** Three runs: of every 10th, of every 3rd, and of all keys. */
async function storeOfRuns(t: TestContext): Promise<{ disk: ColdDisk; reader: Reader }> {
  const { engine, disk } = await coldStore(t, 'engine', COUNT, LARGE, VALUE_BYTES);
  const { path } = engine;
  await engine.close();
  const writer = await openAt(t, path, LARGE);
  for (const step of [3, 10]) {
    for (let i = 0; i < COUNT; i += step) void writer.put(keyOf(i), `${step}`.padEnd(VALUE_BYTES, 'y'));
    await writer.flush();
  }
  await writer.close();
  const reader = await openOn(t, disk.spec, LARGE, path);
  const runs = reader.stats().levels.filter(({ files }) => files > 0);
  assert.ok(runs.length > 1 && runs.reduce((sum, { files }) => sum + files, 0) >= 3, 'several runs');
  return { disk, reader };
}

test('a short scan waits for the blocks of all runs at once', async (t) => {
  const { disk, reader } = await storeOfRuns(t);
  const cold = await readCold(disk, reader, { gte: keyOf(600), limit: 100 });
  assert.deepEqual(cold.keys, keysFrom(600, 100));
  assert.equal(cold.rounds, OPENING + 1);
  for (const first of [900, 1100, 1300]) {
    const { keys, rounds, bytes } = await readCold(disk, reader, { gte: keyOf(first), limit: 100 });
    assert.deepEqual(keys, keysFrom(first, 100));
    assert.equal(rounds, 1);
    assert.ok(bytes < 2.2 * 100 * VALUE_BYTES, `${bytes} bytes`);
  }
});

test('a short scan over the end of a table has the next one opened while it waits for the first blocks', async (t) => {
  const { disk, engine, reader } = await coldStore(
    t,
    'engine',
    COUNT,
    { ...LARGE, maxFileSize: 1 << 20 },
    VALUE_BYTES,
  );
  assert.ok(engine.stats().levels.some(({ files }) => files > 4));
  let most = 0;
  for (let first = 0; first < COUNT; first += 100) {
    const { keys, rounds } = await readCold(disk, reader, { gte: keyOf(first), limit: 100 });
    assert.deepEqual(keys, keysFrom(first, 100));
    most = Math.max(most, rounds);
  }
  assert.equal(most, OPENING + 1);
});

test('a scan that goes on behind what memory has waits for all runs at once, too', async (t) => {
  const { disk, reader } = await storeOfRuns(t);
  await readCold(disk, reader, { gte: keyOf(600), limit: 100 });
  // Of each table the first part is in memory, which ends somewhere in the scan.
  let known: number[] = [];
  disk.isResident = ({ offset }) => {
    known.push(offset);
    return known.length < 30;
  };
  known = [];
  const { keys, rounds } = await readCold(disk, reader, { gte: keyOf(900), limit: 100 });
  assert.deepEqual(keys, keysFrom(900, 100));
  assert.ok(rounds <= 2, `${rounds} rounds`);
});

test('a scan that needs more than its limit let expect reads on, over deleted keys', async (t) => {
  const { engine, disk } = await coldStore(t, 'engine', COUNT, LARGE, VALUE_BYTES);
  for (let i = 1000; i < 1500; i++) void engine.delete(keyOf(i));
  await engine.flush();
  const { keys, rounds } = await readCold(disk, engine, { gte: keyOf(999), limit: 5 });
  assert.deepEqual(keys, [keyOf(999), ...keysFrom(1500, 4)]);
  assert.ok(rounds < 20, `${rounds} rounds`);
});
