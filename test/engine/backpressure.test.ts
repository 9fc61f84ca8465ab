/**
 * Backpressure: writers are held while flush or compaction is behind, and always get in.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WriteBatch } from '../../src/main/index.ts';
import { systemErrorCode } from '../../src/shared/base/errors.ts';
import {
  failsWith,
  fill,
  keyOf,
  keysOf,
  newPath,
  openOn,
  openTiny,
  until,
  valueFor,
} from '../helpers/engines.ts';
import { FailingDisk } from '../helpers/failing-disk.ts';

/** Four times what the buffers hold: most of it has to wait. */
const FLOOD = 1200;

for (const threads of [0, 1, 3]) {
  test(`a flood of writes all get in, in order, with threads: ${threads}`, async (t) => {
    const engine = await openTiny(t, { writeBufferSize: 4096, threads });
    const order: number[] = [];
    const writes: Promise<unknown>[] = [];
    for (let i = 0; i < FLOOD; i++) {
      const key = keyOf(i % 100);
      const write =
        i % 3 === 0
          ? engine.write(new WriteBatch().put(key, valueFor(i, 60)).put(`copy of ${key}`, valueFor(i, 60)))
          : engine.put(key, valueFor(i, 60), { sync: i % 50 === 0 });
      writes.push(write.then(() => i % 50 !== 0 && order.push(i)));
    }
    assert.ok(engine.stats().stalls.heldWrites > 0, 'some wait');
    await Promise.all(writes);
    assert.deepEqual(
      order,
      order.toSorted((a, b) => a - b),
    );
    for (let i = FLOOD - 100; i < FLOOD; i++)
      assert.equal(engine.getSync(keyOf(i % 100))?.toString(), valueFor(i, 60));
    await until(() => engine.stats().stalls.state === 'open');
    assert.equal(engine.stats().stalls.heldWrites, 0);
  });
}

test('writers that come one after another get in while compaction is behind', async (t) => {
  const engine = await openTiny(t, { writeBufferSize: 4096, maxFileSize: 4096, blockSize: 64 });
  // Every key in every table: each compaction rewrites everything.
  for (let i = 0; i < 3000; i++) {
    const write = engine.put(keyOf((i * 7919) % 1000), valueFor(i, 60));
    if (i % 64 === 0) await write;
  }
  await engine.put('last', '1');
  assert.equal(engine.hasSync('last'), true);
  assert.equal(keysOf(engine.scan({ gte: 'key' })).length, 1001);
});

test('reads and scans go on while writes are held', async (t) => {
  const engine = await openTiny(t, { writeBufferSize: 4096 });
  await fill(engine, 20);
  const writes = Array.from({ length: FLOOD }, (_, i) => engine.put(`x${keyOf(i)}`, valueFor(i, 60)));
  assert.ok(engine.stats().stalls.heldWrites > 0);
  assert.equal(engine.getSync(keyOf(7))?.toString(), valueFor(7));
  assert.equal(keysOf(engine.scan({ lt: 'x' })).length, 20);
  await Promise.all(writes);
});

test('flush and compact called while writes are held resolve, and so do the writes', async (t) => {
  const engine = await openTiny(t, { writeBufferSize: 4096 });
  const writes = Array.from({ length: FLOOD }, (_, i) => engine.put(keyOf(i), valueFor(i, 60)));
  assert.ok(engine.stats().stalls.heldWrites > 0);
  await Promise.all([engine.flush(), engine.compact(), engine.flush()]);
  await Promise.all(writes);
  assert.equal(keysOf(engine.scan()).length, FLOOD);
});

test('with no room for tables writes wait, and get in when there is room again', async (t) => {
  const disk = new FailingDisk();
  const engine = await openOn(t, disk.spec, { writeBufferSize: 4096 });
  const told: boolean[] = [];
  engine.on('backgroundError', ({ willRetry }) => told.push(willRetry));
  disk.fail('createTable', 'ENOSPC');
  const writes = Array.from({ length: 300 }, (_, i) => engine.put(keyOf(i), valueFor(i, 60)));
  await until(() => told.length > 0);
  assert.equal(told[0], true);
  assert.equal(engine.status, 'open');
  assert.ok(engine.stats().stalls.heldWrites > 0);
  assert.ok(engine.hasSync(keyOf(0)), 'what was acknowledged can be read');
  disk.recover();
  await Promise.all(writes);
  assert.equal(keysOf(engine.scan()).length, 300);
});

test('when there is no room for long, held writes are refused and later ones get in once there is', async (t) => {
  const disk = new FailingDisk();
  const engine = await openOn(t, disk.spec, { writeBufferSize: 4096 });
  disk.fail('createTable', 'ENOSPC');
  let acknowledged = 0;
  const writes = Array.from({ length: 300 }, (_, i) =>
    engine.put(keyOf(i), valueFor(i, 60)).then(() => acknowledged++),
  );
  for (const outcome of await Promise.allSettled(writes)) {
    if (outcome.status === 'fulfilled') continue;
    await failsWith('STRATA_IO', Promise.reject(outcome.reason));
    assert.equal(systemErrorCode(outcome.reason), 'ENOSPC');
  }
  assert.ok(acknowledged > 0 && acknowledged < 300, `${acknowledged} acknowledged`);
  assert.equal(engine.status, 'open');
  disk.recover();
  await engine.put('later', '1');
  await engine.flush();
  assert.equal(keysOf(engine.scan()).length, acknowledged + 1, 'what was refused was not written');
});

test('held writes are refused, not forgotten, when the log fails', async (t) => {
  const disk = new FailingDisk();
  const engine = await openOn(t, disk.spec, { writeBufferSize: 4096 });
  disk.fail('createTable', 'ENOSPC');
  const outcomes = Promise.allSettled(
    Array.from({ length: 2000 }, (_, i) => engine.put(keyOf(i), valueFor(i, 60))),
  );
  await until(() => engine.stats().backgroundError !== null);
  const held = engine.stats().stalls.heldWrites;
  assert.ok(held > 0);
  // The log fails while the held ones enter.
  disk.recover();
  disk.fail('writeLog', 'EIO');
  const settled = await outcomes;
  assert.equal(settled.filter((outcome) => outcome.status === 'rejected').length, held);
  assert.equal(engine.status, 'read-only');
  await failsWith('STRATA_READ_ONLY', engine.put('a', '1'));
  assert.equal(engine.hasSync(keyOf(0)), true, 'reads go on');
});

test('a failed log makes the store read-only, the write indeterminate, and reopening ends it', async (t) => {
  for (const operation of ['writeLog', 'syncLog'] as const) {
    const disk = new FailingDisk();
    const path = newPath(t);
    let engine = await openOn(t, disk.spec, {}, path);
    const told: string[] = [];
    engine.on('backgroundError', (event) => told.push(`${event.operation} ${event.willRetry}`));
    await engine.put('before', '1', { sync: true });
    disk.fail(operation, 'EIO');
    await failsWith('STRATA_IO', engine.put('lost', '1', { sync: true }));
    await failsWith('STRATA_READ_ONLY', engine.put('later', '1'));
    await failsWith('STRATA_READ_ONLY', engine.flush());
    assert.equal(engine.status, 'read-only');
    assert.equal(engine.getSync('before')?.toString(), '1');
    assert.deepEqual(told, ['log false']);
    assert.equal((await engine.verify()).logs, 1, 'what was acknowledged is sound');
    disk.recover();
    await failsWith('STRATA_READ_ONLY', engine.put('later', '1'));
    await engine.close();
    engine = await openOn(t, disk.spec, {}, path);
    assert.equal(engine.getSync('before')?.toString(), '1');
    await engine.put('later', '2');
    await engine.close();
  }
});

test('a failed manifest makes the store read-only; nothing acknowledged is lost', async (t) => {
  const disk = new FailingDisk();
  const path = newPath(t);
  let engine = await openOn(t, disk.spec, {}, path);
  await fill(engine, 50);
  disk.fail('renameManifest', 'EIO');
  await failsWith('STRATA_IO', engine.flush());
  await until(() => engine.status === 'read-only');
  await failsWith('STRATA_READ_ONLY', engine.put('later', '1'));
  assert.equal(keysOf(engine.scan()).length, 50);
  await engine.close();
  disk.recover();
  engine = await openOn(t, disk.spec, {}, path);
  assert.equal(keysOf(engine.scan()).length, 50);
  await engine.compact();
  await engine.verify();
});
