/**
 * Jobs leave the disk to reads that wait for it: small pieces with pauses between them, but never when writers would have to
 * wait, never on the application's thread, and not a moment longer once they are cancelled.
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { WorkerPool } from '../../src/main/jobs/worker-pool.ts';
import type { FileSystem, StorageFile } from '../../src/shared/files/file-system.ts';
import { nodeFileSystem } from '../../src/shared/files/node-file-system.ts';
import type { DiskUseTotals } from '../../src/shared/threads/disk-use.ts';
import type { CompactJob, FlushJob, VerifyJob } from '../../src/shared/threads/jobs.ts';
import { PIECE_BYTES } from '../../src/workers/pacer.ts';
import { runJob } from '../../src/workers/run-job.ts';
import { type ArrayEntry, put } from '../helpers/array-iterator.ts';
import { JobStore } from '../helpers/job-store.ts';
import { seededRandom } from '../helpers/rng.ts';

const VALUE_BYTES = 2000;

/** Values that don't compress, so that tables are as large as they look. */
function entries(count: number, firstSequence: number): ArrayEntry[] {
  const random = seededRandom(firstSequence);
  return Array.from({ length: count }, (_, i) => {
    const value = random.bytes(VALUE_BYTES).map((byte) => 33 + (byte % 90));
    return put(`key${String(i).padStart(6, '0')}`, firstSequence + i, Buffer.from(value).toString('latin1'));
  });
}

interface Transfers {
  largest: number;
  syncs: number;
  readonly totals: () => DiskUseTotals;
}

/** The real disk, with the sizes of what is asked of it. `during` is called in each read and write. */
function measuredFileSystem(transfers: Transfers, during: () => void): FileSystem {
  const measured = (file: StorageFile): StorageFile => ({
    path: file.path,
    readAt: (into, position) => {
      transfers.largest = Math.max(transfers.largest, into.length);
      during();
      return file.readAt(into, position);
    },
    writeAt: (bytes, position) => {
      transfers.largest = Math.max(transfers.largest, bytes.length);
      during();
      return file.writeAt(bytes, position);
    },
    writeAtAsync: (bytes, position) => file.writeAtAsync(bytes, position),
    datasync: () => {
      transfers.syncs++;
      file.datasync();
    },
    datasyncAsync: () => file.datasyncAsync(),
    size: () => file.size(),
    close: () => file.close(),
  });
  return {
    ...nodeFileSystem,
    openRead: (path) => measured(nodeFileSystem.openRead(path)),
    createExclusive: (path) => measured(nodeFileSystem.createExclusive(path)),
  };
}

type AnyJob = FlushJob | CompactJob | VerifyJob;

/** Runs the job while somebody waits for the disk all the time, if `isWanted`. */
function run(store: JobStore, job: AnyJob, isWanted: boolean): Transfers {
  const { diskUse } = store.control;
  const transfers: Transfers = { largest: 0, syncs: 0, totals: () => diskUse.totals };
  const sign = (): void => {
    diskUse.readBegan();
    diskUse.readEnded();
  };
  if (isWanted) diskUse.readBegan();
  const reply = runJob(job, measuredFileSystem(transfers, isWanted ? sign : () => undefined));
  assert.ok(reply.ok, JSON.stringify(reply));
  return transfers;
}

function compactJob(store: JobStore, changes: Partial<CompactJob> = {}): CompactJob {
  const older = store.writeTable(1, entries(600, 1));
  const newer = store.writeTable(2, entries(600, 1001));
  return store.compactJob([[newer], [older]], changes);
}

const JOBS: readonly [string, (store: JobStore) => AnyJob][] = [
  ['flush', (store) => store.flushJob(entries(1200, 1))],
  ['compaction', (store) => compactJob(store)],
  ['verify', (store) => store.verifyJob(store.writeTable(1, entries(600, 1)))],
];

for (const [name, make] of JOBS) {
  test(`${name}: while reads wait for the disk it is used in small pieces, with pauses`, (t) => {
    const store = new JobStore(t);
    const { largest, totals } = run(store, make(store), true);
    assert.ok(largest <= PIECE_BYTES, `${largest} bytes at once`);
    assert.ok(totals().pausedMs > 0);
  });

  test(`${name}: when writers would have to wait it pauses for no reader`, (t) => {
    const store = new JobStore(t);
    store.control.diskUse.setHaste(true);
    assert.equal(run(store, make(store), true).totals().pausedMs, 0);
  });

  test(`${name}: on the application's thread it never pauses, for readers or for the bound`, (t) => {
    const store = new JobStore(t);
    store.control.diskUse.setBound(65_536);
    const { totals } = run(store, { ...make(store), isInline: true }, true);
    assert.equal(totals().pausedMs, 0);
    assert.ok(store.control.diskUse.reserve(0, false) > 1000, 'the next job pays for it');
  });

  test(`${name}: it pauses for nobody when nobody reads`, (t) => {
    const store = new JobStore(t);
    assert.equal(run(store, make(store), false).totals().pausedMs, 0);
  });
}

test('what a compaction reads and writes is counted', (t) => {
  const store = new JobStore(t);
  const job = compactJob(store);
  const { bytesRead, bytesWritten } = run(store, job, false).totals();
  const inputs = job.inputs.flat().reduce((sum, table) => sum + table.sizeBytes, 0);
  // The footer and the meta block are read apart from the blocks.
  assert.ok(bytesRead >= inputs && bytesRead < 2 * inputs, `${bytesRead} of ${inputs}`);
  assert.ok(bytesWritten > 600 * VALUE_BYTES && bytesWritten < inputs, `${bytesWritten}`);
});

test('while reads wait, what is written goes to the disk bit by bit', (t) => {
  const busy = new JobStore(t);
  const quiet = new JobStore(t);
  const writes = entries(1200, 1);
  const bitByBit = run(busy, busy.flushJob(writes), true).syncs;
  assert.equal(run(quiet, quiet.flushJob(writes), false).syncs, 1);
  assert.ok(bitByBit > 1, `${bitByBit} syncs`);
});

/** A job on a thread, which waits for hours: the bucket is in debt. `seen` resolves when it has shown that it lives. */
function pausedJob(t: TestContext, store: JobStore, job: CompactJob | FlushJob) {
  const pool = new WorkerPool({ threads: 1 });
  t.after(() => pool.close());
  const { control } = store;
  control.diskUse.setBound(65_536);
  control.diskUse.reserve(2 ** 40, false);
  let hasEnded = false;
  const done = pool.run<'compact' | 'flush'>(job, { urgent: false, keepAlive: true }).finally(() => {
    hasEnded = true;
  });
  const seen = async (): Promise<void> => {
    const beats = new Set<number>();
    while (beats.size < 4 && !hasEnded) {
      beats.add(control.heartbeat(0));
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    assert.equal(hasEnded, false, 'it waits');
  };
  return { done, seen };
}

test('a job that pauses shows that it lives, and ends at once when it is cancelled', async (t) => {
  const store = new JobStore(t);
  const { done, seen } = pausedJob(t, store, compactJob(store));
  const failure = assert.rejects(done, { name: 'JobCancelledError' });
  await seen();
  store.control.cancel(0);
  await failure;
  assert.deepEqual(store.files, ['000001.sst', '000002.sst']);
});

test('a flush that waits for the bound waits no more when the store closes', async (t) => {
  const store = new JobStore(t);
  const { done, seen } = pausedJob(t, store, store.flushJob(entries(1200, 1)));
  await seen();
  store.control.diskUse.beginClose();
  const result = await done;
  assert.ok('output' in result && result.output?.entryCount === 1200);
});
