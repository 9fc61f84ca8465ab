/**
 * Flush job: a frozen memtable to a table, and what is left behind when the disk fails.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ioError } from '../../src/shared/base/errors.ts';
import { fileNumber } from '../../src/shared/base/ids.ts';
import { newTablePath, tablePath } from '../../src/shared/files/file-names.ts';
import { nodeFileSystem } from '../../src/shared/files/node-file-system.ts';
import type { FlushResult, JobReply } from '../../src/shared/threads/jobs.ts';
import { runJob } from '../../src/workers/run-job.ts';
import { del, put, showEntry } from '../helpers/array-iterator.ts';
import { JobStore, snapshots, watchedFileSystem } from '../helpers/job-store.ts';

function resultOf(reply: JobReply): FlushResult {
  assert.ok(reply.ok, reply.ok ? '' : reply.error.stack);
  return reply.value as FlushResult;
}

const WRITES = [put('b', 10), put('a', 11), del('b', 12), put('a', 13), put('', 14, '')];

test('a flush writes the newest version of each key, deletes included, with their sequences', (t) => {
  const store = new JobStore(t);
  const { output, stats } = resultOf(runJob(store.flushJob(WRITES), nodeFileSystem));
  assert.ok(output);
  assert.deepEqual(store.readTable(output).map(showEntry), ['@14', 'a@13', 'b@12-']);
  assert.deepEqual([output.smallestSequence, output.largestSequence], [12, 14]);
  assert.deepEqual([output.entryCount, output.tombstoneCount], [3, 1]);
  assert.deepEqual([stats.entriesRead, stats.entriesWritten], [5, 3]);
  assert.equal(stats.bytesWritten, output.sizeBytes);
});

test('a flush keeps what open snapshots see', (t) => {
  const store = new JobStore(t);
  const job = store.flushJob(WRITES, { snapshots: snapshots(10, 11) });
  const { output } = resultOf(runJob(job, nodeFileSystem));
  assert.deepEqual(store.readTable(output!).map(showEntry), ['@14', 'a@13', 'a@11', 'b@12-', 'b@10']);
});

test('a flush of an empty memtable writes no table and does not touch the directory', (t) => {
  const store = new JobStore(t);
  const touched: string[] = [];
  const reply = runJob(
    store.flushJob([]),
    watchedFileSystem((operation) => touched.push(operation)),
  );
  assert.equal(resultOf(reply).output, undefined);
  assert.deepEqual(touched, []);
});

test('a flush syncs the table, closes it, and syncs the directory once, last', (t) => {
  const store = new JobStore(t);
  const operations: string[] = [];
  const fileSystem = watchedFileSystem((operation) => operations.push(operation));
  resultOf(runJob(store.flushJob(WRITES), fileSystem));
  assert.deepEqual(operations, ['create', 'write', 'datasync', 'close', 'syncDirectory']);
});

test('a flush that fails at any operation leaves no file and says what the disk said', (t) => {
  const store = new JobStore(t);
  let failures = 0;
  for (let failAt = 0; ; failAt++) {
    let count = 0;
    const fileSystem = watchedFileSystem((operation, path) => {
      if (operation === 'unlink' || count++ !== failAt) return;
      throw ioError(operation, path, Object.assign(new Error('no space left'), { code: 'ENOSPC' }));
    });
    const reply = runJob(store.flushJob(WRITES, { output: fileNumber(failAt + 1) }), fileSystem);
    if (reply.ok) break;
    failures++;
    assert.equal(reply.error.code, 'STRATA_IO');
    assert.equal(reply.error.cause?.code, 'ENOSPC');
    assert.deepEqual(store.files, [], `operation ${failAt}`);
  }
  assert.equal(failures, 5);
});

test('a flush does not remove a file that was there before it', (t) => {
  const store = new JobStore(t);
  const existing = store.writeTable(1, [put('x', 1)]);
  // Under the name that the job gives its own: under the other one it is in the way when the table is named
  // (moved-directory.test.ts).
  nodeFileSystem.rename(
    tablePath(store.directory, fileNumber(1)),
    newTablePath(store.directory, fileNumber(1)),
  );
  const reply = runJob(store.flushJob(WRITES), nodeFileSystem);
  assert.ok(!reply.ok);
  assert.deepEqual(store.readTable(existing).map(showEntry), ['x@1']);
});

test('a cancelled flush stops, leaves no file and is told from a failed one', (t) => {
  const store = new JobStore(t);
  store.control.cancel(0);
  const reply = runJob(store.flushJob(WRITES), nodeFileSystem);
  assert.ok(!reply.ok);
  assert.equal(reply.error.name, 'JobCancelledError');
  assert.deepEqual(store.files, []);
});

test('a flush cancelled half-way stops at the next blocks and removes its table', (t) => {
  const store = new JobStore(t);
  const writes = Array.from({ length: 20_000 }, (_, i) => put(`key${String(i).padStart(6, '0')}`, i + 1));
  const fileSystem = watchedFileSystem((operation) => {
    if (operation === 'write') store.control.cancel(0);
  });
  const reply = runJob(store.flushJob(writes), fileSystem);
  assert.ok(!reply.ok);
  assert.equal(reply.error.name, 'JobCancelledError');
  assert.deepEqual(store.files, []);
  const { doneBytes, totalBytes } = store.control.progress(0);
  assert.ok(doneBytes > 0 && doneBytes < totalBytes, 'progress was reported meanwhile');
});

test('a flush drops tombstones of keys that no table can hold, and no sequence', (t) => {
  const store = new JobStore(t);
  const bounds = (smallest: string, largest: string) => ({
    smallest: Buffer.from(smallest),
    largest: Buffer.from(largest),
  });
  const writes = [put('a', 10), del('b', 11), del('c', 12), del('d', 13)];
  const deeper = [[bounds('c', 'c')], [bounds('cc', 'cd'), bounds('d', 'e')]];
  const { output } = resultOf(runJob(store.flushJob(writes, { deeper }), nodeFileSystem));
  assert.deepEqual(store.readTable(output!).map(showEntry), ['a@10', 'c@12-', 'd@13-']);
  const kept = resultOf(
    runJob(
      store.flushJob([put('b', 10), del('b', 11)], {
        deeper: [],
        snapshots: snapshots(10),
        output: fileNumber(2),
      }),
      nodeFileSystem,
    ),
  );
  assert.deepEqual(store.readTable(kept.output!).map(showEntry), ['b@11-', 'b@10']);
});
