/**
 * "It read-only'd itself, said nothing more than that, and went on filling the disk": what a failure of background work does to
 * everything else. It ends all work that writes, everything pending settles, and each later refusal says why. One that lasts
 * is told to the writers that wait; one that ends is overcome without them.
 */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { StorageClient } from '../../src/client/storage-client.ts';
import { type StorageEngine, StorageError, WriteBatch } from '../../src/main/index.ts';
import { loadManifest, saveManifest } from '../../src/main/manifest/manifest.ts';
import { systemErrorCode } from '../../src/shared/base/errors.ts';
import { nodeFileSystem } from '../../src/shared/files/node-file-system.ts';
import {
  failsWith,
  fill,
  keyOf,
  keysOf,
  newPath,
  openAt,
  openOn,
  until,
  valueFor,
} from '../helpers/engines.ts';
import { type DiskOperation, FailingDisk } from '../helpers/failing-disk.ts';
import { of, traced } from '../helpers/traces.ts';

/** Long enough for a compaction that starts again and again to show. */
async function atRest(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 300));
}

function codeOf(outcome: PromiseSettledResult<unknown>): string | undefined {
  return outcome.status === 'fulfilled' ? 'resolved' : (outcome.reason as StorageError).code;
}

interface Cause {
  readonly operation: DiskOperation;
  /** What runs into it. */
  readonly run: (engine: StorageEngine) => Promise<unknown>;
  readonly told: string;
}

const CAUSES: readonly Cause[] = [
  { operation: 'renameManifest', run: (engine) => engine.flush(), told: 'manifest' },
  { operation: 'renameManifest', run: (engine) => engine.compact(), told: 'manifest' },
  { operation: 'renameManifest', run: (engine) => engine.ingest([['x', '1']]), told: 'manifest' },
  { operation: 'writeLog', run: (engine) => engine.put('x', '1'), told: 'log' },
  { operation: 'syncLog', run: (engine) => engine.put('x', '1', { sync: true }), told: 'log' },
  {
    operation: 'createTable',
    run: (engine) => engine.flush().then(undefined, () => engine.flush()),
    told: 'flush',
  },
];

for (const [index, { operation, run, told }] of CAUSES.entries())
  test(`EIO at ${operation} (${index}): no work goes on, all settles, and every refusal says why`, async (t) => {
    const disk = new FailingDisk();
    const path = newPath(t);
    const engine = await openOn(t, disk.spec, {}, path);
    const events: string[] = [];
    engine.on('backgroundError', ({ operation: what, willRetry }) => events.push(`${what} ${willRetry}`));
    // One table short of a compaction.
    for (let round = 0; round < 3; round++) {
      await fill(engine, 50, 40, round);
      await engine.flush();
    }
    await fill(engine, 50, 40, 3);
    disk.fail(operation, 'EIO');
    const pending = [
      run(engine),
      engine.flush(),
      engine.compact(),
      engine.ingest([['y', '1']]),
      engine.put('z', '1'),
    ];
    for (const outcome of await Promise.allSettled(pending))
      assert.match(codeOf(outcome)!, /^resolved$|^STRATA_/);
    assert.equal(engine.status, 'read-only');
    await atRest();
    assert.deepEqual(
      events.filter((event) => event.endsWith('false')),
      [`${told} false`],
    );
    const before = readdirSync(path).toSorted();
    disk.recover();
    // Reads go on, and ask for a compaction.
    for (let i = 0; i < 2000; i++) engine.scan({ limit: 1 }).close();
    await atRest();
    assert.deepEqual(readdirSync(path).toSorted(), before, 'nothing is written any more');
    assert.equal(engine.stats().jobs.running + engine.stats().jobs.queued, 0);
    assert.equal(engine.stats().backgroundError?.code, 'EIO');
    const client = await StorageClient.attach(engine.share());
    const refused: (() => Promise<unknown>)[] = [
      () => engine.put('a', '1'),
      () => engine.delete('a'),
      () => engine.write(new WriteBatch().put('a', '1')),
      () => engine.flush(),
      () => engine.compact(),
      () => engine.ingest([['a', '1']]),
      () => client.put('a', '1'),
      () => client.flush(),
      () => client.compact(),
      () => client.ingest([['a', '1']]),
    ];
    for (const attempt of refused) {
      const error = await failsWith('STRATA_READ_ONLY', attempt);
      assert.match(error.message, new RegExp(`its ${told} failed.*EIO`));
      assert.equal(systemErrorCode(error), 'EIO');
    }
    await client.close();
    assert.equal(engine.getSync(keyOf(7))?.toString(), valueFor(7, 40, 3));
    await engine.close();
    const again = await openAt(t, path);
    assert.equal(again.getSync(keyOf(7))?.toString(), valueFor(7, 40, 3));
    await again.compact();
    await again.verify();
  });

test('writes that are held when the manifest fails are refused', async (t) => {
  const disk = new FailingDisk();
  const engine = await openOn(t, disk.spec, { writeBufferSize: 4096 });
  disk.fail('renameManifest', 'EIO');
  const writes = Array.from({ length: 300 }, (_, i) => engine.put(keyOf(i), valueFor(i, 60)));
  assert.ok(engine.stats().stalls.heldWrites > 0);
  const outcomes = await Promise.allSettled(writes);
  assert.ok(outcomes.some((outcome) => codeOf(outcome) === 'STRATA_READ_ONLY'));
  assert.equal(
    outcomes.filter((outcome) => codeOf(outcome) === 'resolved').length,
    keysOf(engine.scan()).length,
  );
  assert.equal(engine.stats().stalls.state, 'open');
});

test('a compaction that goes on failing is told, refuses the writes that wait for it, and is overcome by itself', async (t) => {
  const disk = new FailingDisk();
  const engine = await openOn(t, disk.spec, {
    writeBufferSize: 8192,
    maxFileSize: 2 ** 20,
    compression: 'none',
  });
  const told: boolean[] = [];
  engine.on('backgroundError', ({ operation, willRetry }) => {
    if (operation === 'compaction') told.push(willRetry);
  });
  disk.fail('writeLargeTable', 'EFBIG');
  let refused: unknown;
  let written = 0;
  // In no order: tables that overlap are merged, not moved.
  const key = (i: number): string => keyOf((i * 7919) % 100_003);
  for (; refused === undefined && written < 20_000; written++)
    refused = await engine.put(key(written), valueFor(written, 200)).then(
      () => undefined,
      (error: unknown) => error,
    );
  assert.ok(refused instanceof StorageError);
  assert.equal(refused.code, 'STRATA_IO');
  assert.equal(systemErrorCode(refused), 'EFBIG');
  assert.ok(told.length >= 2 && told.every((willRetry) => willRetry), 'after a second attempt');
  assert.equal(engine.status, 'open');
  assert.equal(engine.hasSync(key(written - 1)), false, 'what was refused was not written');
  disk.recover();
  await engine.put('later', '1');
  await until(() => engine.stats().stalls.state === 'open');
  assert.equal(engine.stats().backgroundError, null);
  assert.equal(keysOf(engine.scan()).length, written);
});

test('a compaction that fails is tried again after a while, not at once', async (t) => {
  const disk = new FailingDisk();
  const { records, options } = traced();
  const engine = await openOn(t, disk.spec, { compression: 'none', maxFileSize: 2 ** 20, ...options });
  let failures = 0;
  engine.on('backgroundError', () => failures++);
  disk.fail('writeLargeTable', 'EIO');
  for (let i = 0; failures === 0 && i < 20_000; i++)
    await engine.put(keyOf((i * 7919) % 100_003), valueFor(i, 200));
  await atRest();
  // Not how often: on a machine that is busy with something else a second has passed by now, and the next attempt is due.
  const failedAt = records.findIndex(({ event }) => event === 'background-error');
  const next = of(records.slice(failedAt), 'compaction', 'start')[0];
  assert.ok(failedAt >= 0 && failures > 0);
  if (next !== undefined) assert.ok(next.time - records[failedAt]!.time > 900, 'it began at once');
  assert.equal(engine.stats().backgroundError?.code, 'EIO');
});

/** A store whose manifest says so, with one record. */
async function surgery(t: TestContext, change: object): Promise<string> {
  const path = newPath(t);
  const engine = await openAt(t, path);
  await engine.put('first', '1');
  await engine.flush();
  await engine.close();
  const state = loadManifest(nodeFileSystem, path)!;
  await saveManifest(nodeFileSystem, path, { ...state, ...change });
  return path;
}

for (const threads of [0, 1])
  for (const left of [1, 2, 3, 10, 40])
    test(`${left} file numbers left (threads: ${threads}): writes and flush are refused at last, and nothing is lost`, async (t) => {
      const path = await surgery(t, { nextFileNumber: 2 ** 31 - 1 - left });
      const engine = await openAt(t, path, { threads, writeBufferSize: 4096 });
      const acknowledged = ['first'];
      let refused: unknown;
      for (let i = 0; refused === undefined && i < 3000; i++)
        refused = await engine.put(keyOf(i), valueFor(i, 60)).then(
          () => void acknowledged.push(keyOf(i)),
          (error: unknown) => error,
        );
      assert.equal((refused as StorageError).code, 'STRATA_READ_ONLY');
      assert.match((refused as StorageError).message, /file numbers are used up/);
      await failsWith('STRATA_READ_ONLY', engine.flush());
      await failsWith('STRATA_READ_ONLY', engine.ingest([['x', '1']]));
      assert.equal(engine.status, 'read-only');
      assert.deepEqual(keysOf(engine.scan()), acknowledged.toSorted());
      await engine.close();
      for (let round = 0; round < 2; round++) {
        const again = await openAt(t, path);
        assert.deepEqual(keysOf(again.scan()), acknowledged.toSorted());
        await again.put('more', '1').then(
          () => acknowledged.push('more'),
          (error: StorageError) => assert.equal(error.code, 'STRATA_READ_ONLY'),
        );
        await again.close();
      }
    });

test('the last sequence number is used, and what would go beyond is refused, whole', async (t) => {
  const path = await surgery(t, { lastSequence: Number.MAX_SAFE_INTEGER - 5 });
  const engine = await openAt(t, path);
  const writes = [
    engine.put('a', '1'),
    engine.put('b', '1'),
    engine.write(new WriteBatch().put('c', '1').put('d', '1').put('e', '1')),
    engine.put('f', '1'),
    engine.write(new WriteBatch().put('g', '1').put('h', '1')),
  ];
  const codes = (await Promise.allSettled(writes)).map(codeOf);
  assert.deepEqual(codes, ['resolved', 'resolved', 'resolved', 'STRATA_READ_ONLY', 'STRATA_READ_ONLY']);
  await failsWith('STRATA_READ_ONLY', engine.flush());
  assert.equal(engine.stats().sequence, Number.MAX_SAFE_INTEGER);
  await engine.close();
  const again = await openAt(t, path);
  assert.deepEqual(keysOf(again.scan()), ['a', 'b', 'c', 'd', 'e', 'first']);
  await failsWith('STRATA_READ_ONLY', again.put('i', '1'));
  await again.close();
});

test('an ingestion for which there are not enough sequence numbers is refused, and the store goes on', async (t) => {
  const path = await surgery(t, { lastSequence: Number.MAX_SAFE_INTEGER - 1000 });
  const engine = await openAt(t, path);
  await failsWith('STRATA_READ_ONLY', engine.ingest([['a', '1']]));
  await engine.put('b', '1');
  assert.deepEqual(keysOf(engine.scan()), ['b', 'first']);
});
