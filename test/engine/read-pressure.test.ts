/**
 * A store that was filled and is now read gets into shape: scans that keep seeking in several L0 tables bring about a
 * compaction that their number alone would not.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { StorageEngine } from '../../src/main/index.ts';
import { temporaryDirectory } from '../helpers/temp-directory.ts';

/** Two L0 tables: below the trigger of four. */
async function fill(directory: string): Promise<void> {
  const engine = await StorageEngine.open(directory, { threads: 1 });
  for (const round of ['a', 'b']) {
    for (let i = 0; i < 500; i++) await engine.put(`key${i}`, round);
    await engine.flush();
  }
  assert.equal(engine.stats().levels[0]?.files, 2);
  await engine.close();
}

function scanOften(engine: StorageEngine): void {
  for (let i = 0; i < 1000; i++)
    assert.equal(engine.scan({ gte: `key${i % 500}`, limit: 1 }).nextMany(1).length, 1);
}

test('scans over several L0 tables bring about a compaction', async (t) => {
  const directory = temporaryDirectory(t);
  await fill(directory);
  const engine = await StorageEngine.open(directory, { threads: 1 });
  // Background work keeps no process alive, and nothing else here does.
  const alive = setInterval(() => undefined, 1000);
  const compacted = once(engine, 'compaction');
  scanOften(engine);
  await compacted;
  clearInterval(alive);
  assert.equal(engine.stats().levels[0]?.files, 0);
  assert.equal(engine.getSync('key7')?.toString(), 'b');
  await engine.close();
});

test('so do point reads, if there are many of them', async (t) => {
  const directory = temporaryDirectory(t);
  const get = async (engine: StorageEngine): Promise<unknown> => engine.getSync('key7');
  const getMany = (engine: StorageEngine): Promise<unknown> =>
    engine.getMany(Array.from({ length: 300 }, (_, i) => `key${i}`));
  for (const [read, times] of [
    [get, 20_000],
    [getMany, 70],
  ] as const) {
    await fill(directory);
    const engine = await StorageEngine.open(directory, { threads: 1 });
    const alive = setInterval(() => undefined, 1000);
    const compacted = once(engine, 'compaction');
    for (let i = 0; i < times; i++) await read(engine);
    await compacted;
    clearInterval(alive);
    assert.equal(engine.stats().levels[0]?.files, 0);
    assert.equal(engine.getSync('key7')?.toString(), 'b');
    await engine.close();
  }
});

test('a few point reads do not, nor do many that a memtable answers, nor scans of a read-only store', async (t) => {
  const directory = temporaryDirectory(t);
  await fill(directory);
  const engine = await StorageEngine.open(directory, { threads: 1 });
  for (let i = 0; i < 2000; i++) engine.getSync(`key${i % 500}`);
  await engine.put('key7', 'c');
  for (let i = 0; i < 30_000; i++) engine.getSync('key7');
  // What one call looks up in tables is not the next one's.
  await engine.getMany(Array.from({ length: 100 }, (_, i) => `key${i + 100}`));
  for (let i = 0; i < 300; i++) await engine.getMany(Array(100).fill('key7'));
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(engine.stats().levels[0]?.files, 2);
  await engine.close();
  const reader = await StorageEngine.open(directory, { readOnly: true });
  scanOften(reader);
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(reader.stats().levels[0]?.files, 2);
  await reader.close();
});
