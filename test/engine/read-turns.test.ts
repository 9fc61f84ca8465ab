/**
 * Loops of awaited reads leave the event loop to others, for engines and clients.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StorageClient } from '../../src/client/index.ts';
import { fill, keyOf, openTiny, reopen } from '../helpers/engines.ts';

interface Reads {
  get(key: string): Promise<Buffer | undefined>;
  has(key: string): Promise<boolean>;
  getMany(keys: string[]): Promise<(Buffer | undefined)[]>;
  scan(range: { limit: number }): AsyncIterable<[Buffer, Buffer]>;
}

/** How many turns the event loop takes while `read` is awaited `count` times. */
async function turnsWhile(count: number, read: () => Promise<unknown>): Promise<number> {
  let turns = 0;
  let isOver = false;
  const watch = (): void => {
    turns++;
    if (!isOver) setImmediate(watch);
  };
  setImmediate(watch);
  for (let i = 0; i < count; i++) await read();
  isOver = true;
  return turns;
}

async function check(store: Reads): Promise<void> {
  const turns = await turnsWhile(10_000, () => store.get(keyOf(1)));
  // One in 1,024 reads, and not every one.
  assert.ok(turns >= 8 && turns <= 16, `get: ${turns}`);
  assert.ok((await turnsWhile(10_000, () => store.has(keyOf(1)))) >= 8, 'has');
  const keys = Array.from({ length: 100 }, (_, i) => keyOf(i));
  assert.ok((await turnsWhile(100, () => store.getMany(keys))) >= 8, 'getMany');
  const scanTen = async (): Promise<void> => {
    let entries = 0;
    for await (const _ of store.scan({ limit: 10 })) entries++;
    assert.equal(entries, 10);
  };
  assert.ok((await turnsWhile(1000, scanTen)) >= 8, 'scan');
  const values = await Promise.all(Array.from({ length: 5000 }, (_, i) => store.get(keyOf(i % 150))));
  assert.equal(values.filter((value) => value !== undefined).length, 3350);
  assert.deepEqual([await store.has(keyOf(99)), await store.has(keyOf(100))], [true, false]);
}

test('a loop that awaits read after read lets the event loop turn', async (t) => {
  const engine = await openTiny(t);
  await fill(engine, 100);
  await check(engine);
  const client = await StorageClient.attach(engine.share());
  await check(client);
  await client.close();
});

test('reads that wait for a turn are done when close() is', async (t) => {
  const engine = await openTiny(t);
  await fill(engine, 100);
  for (const open of [
    () => StorageClient.attach(engine.share()),
    async () => {
      await engine.close();
      return await reopen(t, engine);
    },
  ]) {
    const reader = await open();
    let settled = 0;
    for (let i = 0; i < 3000; i++) void reader.get(keyOf(i % 150)).then(() => settled++);
    await reader.close();
    assert.equal(settled, 3000);
  }
});
