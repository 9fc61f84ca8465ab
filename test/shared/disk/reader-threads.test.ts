/**
 * How many reader threads there are, and when they end.
 */
import assert from 'node:assert/strict';
import { closeSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { MAX_THREADS, ReaderThreads, THREAD_GONE } from '../../../src/shared/disk/reader-threads.ts';
import { temporaryDirectory } from '../../helpers/temp-directory.ts';

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

function threadsOf(t: TestContext, idleMs?: number): ReaderThreads {
  const threads = new ReaderThreads(() => undefined, undefined, idleMs);
  t.after(() => threads.close());
  return threads;
}

test('they are started one at a time, however often it is asked, and no more than there may be', async (t) => {
  const threads = threadsOf(t);
  for (let count = 1; count <= MAX_THREADS; count++) {
    for (let i = 0; i < 10; i++) threads.start();
    assert.equal(threads.count, count);
    await until(() => threads.idleCount === count);
  }
  threads.start();
  assert.equal(threads.count, MAX_THREADS);
});

test('an idle one ends, and is not read with any more; another can be started then', async (t) => {
  const threads = threadsOf(t, 50);
  for (let round = 0; round < 2; round++) {
    threads.start();
    assert.equal(threads.count, 1);
    await until(() => threads.idleCount === 1);
    await until(() => threads.idleCount === 0);
    await assert.rejects(
      threads.read({ descriptor: 0, position: 0, byteLength: 1 }),
      (e) => e === THREAD_GONE,
    );
    await until(() => threads.count === 0);
  }
});

test('close() ends the idle ones, and a busy one after its read, which still has its answer', async (t) => {
  const path = join(temporaryDirectory(t), 'file');
  // Long enough to be under way still when it is closed.
  writeFileSync(path, Buffer.alloc(64 * 1024 * 1024, 5));
  const descriptor = openSync(path, 'r');
  t.after(() => closeSync(descriptor));
  const threads = threadsOf(t, 1_000_000);
  for (let count = 1; count <= 2; count++) {
    threads.start();
    await until(() => threads.idleCount === count);
  }
  const reading = threads.read({ descriptor, position: 10, byteLength: 64 * 1024 * 1024 });
  threads.close();
  // From now on it doesn't keep the process alive.
  const alive = setInterval(() => undefined, 1000);
  t.after(() => clearInterval(alive));
  assert.equal((await reading).bytes.length, 64 * 1024 * 1024 - 10);
  await until(() => threads.count === 0);
  threads.start();
  assert.equal(threads.count, 0);
});

test('what a thread has read takes no memory of it, and a large read is no problem for a small heap', async (t) => {
  const path = join(temporaryDirectory(t), 'file');
  writeFileSync(path, Buffer.alloc(64 * 1024 * 1024, 5));
  const descriptor = openSync(path, 'r');
  t.after(() => closeSync(descriptor));
  const threads = threadsOf(t);
  threads.start();
  await until(() => threads.idleCount === 1);
  for (let i = 0; i < 4; i++) {
    const { bytes } = await threads.read({ descriptor, position: 0, byteLength: 64 * 1024 * 1024 });
    assert.equal(bytes.length, 64 * 1024 * 1024);
    assert.equal(bytes.at(-1), 5);
    await until(() => threads.idleCount === 1);
  }
});
