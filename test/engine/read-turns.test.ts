/**
 * Loops of awaited reads leave the event loop to others, for engines and clients, and reads that wait for that are answered by
 * close(). How often, and of what it depends: test/shared/read/read-turns.test.ts.
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

/** Every read takes longer than none, and no machine makes twenty thousand of them in three milliseconds. */
const READS = 20_000;

async function check(store: Reads): Promise<void> {
  assert.ok((await turnsWhile(READS, () => store.get(keyOf(1)))) >= 3, 'get');
  assert.ok((await turnsWhile(READS, () => store.has(keyOf(1)))) >= 3, 'has');
  const keys = Array.from({ length: 100 }, (_, i) => keyOf(i));
  assert.ok((await turnsWhile(READS / 100, () => store.getMany(keys))) >= 3, 'getMany');
  const scanTen = async (): Promise<void> => {
    let entries = 0;
    for await (const _ of store.scan({ limit: 10 })) entries++;
    assert.equal(entries, 10);
  };
  assert.ok((await turnsWhile(1000, scanTen)) >= 3, 'scan');
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

test('reads that wait for a turn are answered by close()', async (t) => {
  const engine = await openTiny(t);
  await fill(engine, 100);
  await engine.flush();
  for (const open of [
    () => StorageClient.attach(engine.share()),
    async () => {
      await engine.close();
      return await reopen(t, engine);
    },
  ]) {
    const reader = await open();
    // Into the cache: what waits for the disk is not answered (dead-disk.test.ts).
    for (let i = 0; i < 150; i++) reader.getSync(keyOf(i));
    await reader.getMany(Array.from({ length: 150 }, (_, i) => keyOf(i)));
    let answered = 0;
    let isWaiting = false;
    let reads = 0;
    while (!isWaiting) {
      let isAnswered = false;
      const key = keyOf(reads++ % 150);
      void reader.get(key).then((value) => {
        answered++;
        isAnswered = true;
        assert.equal(value !== undefined, key < keyOf(100));
      });
      // An answer that need not wait is there some microtasks later.
      for (let i = 0; i < 20; i++) await undefined;
      isWaiting = !isAnswered;
    }
    for (let i = 0; i < 3000; i++) void reader.get(keyOf(i % 100)).then(() => answered++);
    await reader.close();
    assert.equal(answered, reads + 3000);
  }
});
