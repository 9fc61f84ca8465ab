/**
 * Compaction job on real tables. The first tests are the defects of the project this one descends from, by symptom
 * (docs/: research on reliability, 1.3).
 */
import assert from 'node:assert/strict';
import { truncateSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { level } from '../../src/shared/base/ids.ts';
import type { TableInfo } from '../../src/shared/base/version-edit.ts';
import { tablePath } from '../../src/shared/files/file-names.ts';
import { nodeFileSystem } from '../../src/shared/files/node-file-system.ts';
import type { CompactJob, CompactResult, JobReply, VerifyResult } from '../../src/shared/threads/jobs.ts';
import { OutputNumbers } from '../../src/shared/threads/output-numbers.ts';
import { runJob } from '../../src/workers/run-job.ts';
import { type ArrayEntry, bytesOf, del, put, showEntry } from '../helpers/array-iterator.ts';
import { JobStore, snapshots, watchedFileSystem } from '../helpers/job-store.ts';

function resultOf(reply: JobReply): CompactResult {
  assert.ok(reply.ok, reply.ok ? '' : reply.error.stack);
  return reply.value as CompactResult;
}

function run(store: JobStore, inputs: TableInfo[][], changes: Partial<CompactJob> = {}): string[] {
  const { outputs } = resultOf(runJob(store.compactJob(inputs, changes), nodeFileSystem));
  return outputs.flatMap((table) => store.readTable(table)).map(showEntry);
}

const boundsOf = (table: TableInfo) => ({ smallest: table.smallestKey, largest: table.largestKey });

function manyPuts(count: number, firstSequence: number): ArrayEntry[] {
  return Array.from({ length: count }, (_, i) =>
    put(`key${String(i).padStart(6, '0')}`, firstSequence + i, `value ${i * 7919}`.repeat(4)),
  );
}

test('a deleted key does not come back after a flush: its delete is an entry of the table', (t) => {
  const store = new JobStore(t);
  const old = store.writeTable(1, [put('k', 1)]);
  const newer = store.writeTable(2, [del('k', 2)]);
  assert.equal(newer.tombstoneCount, 1);
  assert.deepEqual(run(store, [[newer], [old]]), []);
});

test('a deleted key does not come back after a compaction to a level that is not the last', (t) => {
  const store = new JobStore(t);
  const bottom = store.writeTable(1, [put('k', 1)]);
  const newer = store.writeTable(2, [del('k', 2), put('m', 3)]);
  assert.deepEqual(run(store, [[newer]], { deeper: [[], [boundsOf(bottom)]] }), ['k@2-', 'm@0']);
});

test('a deleted key does not come back after a compaction to the last level: what is there takes part', (t) => {
  const store = new JobStore(t);
  const bottom = store.writeTable(1, [put('a', 1), put('k', 2), put('z', 3)]);
  const newer = store.writeTable(2, [del('k', 4)]);
  assert.deepEqual(run(store, [[newer], [bottom]], { outputLevel: level(7) }), ['a@0', 'z@0']);
});

test('an old version does not win because its table got a newer number', (t) => {
  const store = new JobStore(t);
  const newer = store.writeTable(3, [put('k', 9)]);
  const rewritten = store.writeTable(900, [put('k', 2), put('l', 1)]);
  assert.deepEqual(run(store, [[rewritten], [newer]], { deeper: [[boundsOf(newer)]] }), ['k@9', 'l@0']);
});

test('a compaction keeps what open snapshots see', (t) => {
  const store = new JobStore(t);
  const inputs = [[store.writeTable(2, [del('k', 20), put('m', 21)])], [store.writeTable(1, [put('k', 9)])]];
  assert.deepEqual(run(store, inputs, { snapshots: snapshots(10) }), ['k@20-', 'k@0', 'm@21']);
});

test('a compaction cuts outputs by size, numbers them in order and keeps versions of a key together', (t) => {
  const store = new JobStore(t);
  const versions = Array.from({ length: 300 }, (_, i) => put('key000500v', 5000 + i, 'x'.repeat(100)));
  const table = store.writeTable(1, [...manyPuts(2000, 1), ...versions]);
  const { outputs, stats } = resultOf(
    runJob(
      store.compactJob([[table]], {
        maxFileSizeBytes: 8192,
        snapshots: snapshots(...versions.map(({ sequence }) => sequence)),
      }),
      nodeFileSystem,
    ),
  );
  assert.ok(outputs.length > 5);
  assert.deepEqual(
    outputs.map(({ number }) => number),
    outputs.map((_, i) => 1000 + i),
  );
  const keys = outputs.map((output) =>
    store.readTable(output).map(({ key }) => new TextDecoder().decode(key)),
  );
  for (let i = 1; i < keys.length; i++)
    assert.ok(keys[i - 1]!.at(-1)! < keys[i]![0]!, 'outputs are disjoint');
  assert.equal(keys.flat().length, 2300);
  assert.equal(stats.entriesWritten, 2300);
  assert.equal(stats.bytesRead, table.sizeBytes);
});

test('a compaction never makes more tables than it has room to note', (t) => {
  const store = new JobStore(t);
  const table = store.writeTable(1, manyPuts(2000, 1));
  const job = store.compactJob([[table]], {
    maxFileSizeBytes: 1024,
    outputs: OutputNumbers.create(3).buffer,
  });
  const { outputs } = resultOf(runJob(job, nodeFileSystem));
  assert.deepEqual(
    outputs.map(({ number }) => number),
    [1000, 1001, 1002],
  );
});

test('a compaction of which nothing is left writes no table', (t) => {
  const store = new JobStore(t);
  const inputs = [[store.writeTable(2, [del('k', 2)])], [store.writeTable(1, [put('k', 1)])]];
  const { outputs, stats } = resultOf(runJob(store.compactJob(inputs), nodeFileSystem));
  assert.deepEqual(outputs, []);
  assert.deepEqual([stats.entriesRead, stats.entriesWritten, stats.bytesWritten], [2, 0, 0]);
  assert.deepEqual(store.files, ['000001.sst', '000002.sst']);
});

test('the parts of a compaction split by key range add up to the whole', (t) => {
  const store = new JobStore(t);
  const entries = manyPuts(1000, 1);
  const level1 = [
    store.writeTable(1, entries.slice(0, 300)),
    store.writeTable(2, entries.slice(300, 700)),
    store.writeTable(3, entries.slice(700)),
  ];
  const newer = store.writeTable(
    4,
    entries.filter((_, i) => i % 3 === 0).map(({ key }, i) => ({ ...del('', 2000 + i), key })),
  );
  const inputs = [[newer], level1];
  const whole = run(store, inputs);
  const cut = bytesOf('key000350');
  const low = run(store, inputs, { range: { start: undefined, end: cut } });
  const high = run(store, inputs, { range: { start: cut, end: undefined } });
  assert.equal(whole.length, 666);
  assert.deepEqual([...low, ...high], whole);
});

test('a compaction syncs each output, closes all files, and syncs the directory once, last', (t) => {
  const store = new JobStore(t);
  const table = store.writeTable(1, manyPuts(2000, 1));
  const operations: string[] = [];
  const open = new Map<string, number>();
  const fileSystem = watchedFileSystem((operation, path) => {
    operations.push(operation);
    if (operation === 'create' || operation === 'openRead') open.set(path, 1);
    if (operation === 'close') open.delete(path);
  });
  const { outputs } = resultOf(runJob(store.compactJob([[table]], { maxFileSizeBytes: 8192 }), fileSystem));
  assert.equal(operations.filter((operation) => operation === 'datasync').length, outputs.length);
  assert.equal(operations.filter((operation) => operation === 'syncDirectory').length, 1);
  assert.ok(operations.lastIndexOf('datasync') < operations.indexOf('syncDirectory'));
  assert.equal(open.size, 0);
});

test('a compaction that fails at any operation leaves its inputs, no output and no open file', (t) => {
  const store = new JobStore(t);
  const inputs = [
    [store.writeTable(2, [del('k', 20), put('m', 21)])],
    [store.writeTable(1, manyPuts(200, 1))],
  ];
  const before = store.files;
  let failures = 0;
  for (let failAt = 0; ; failAt++) {
    const open = new Set<string>();
    let count = 0;
    const fileSystem = watchedFileSystem((operation, path) => {
      if (operation === 'close') open.delete(path);
      // Failing closes and unlinks are the next test's.
      if (operation === 'close' || operation === 'unlink') return;
      if (count++ === failAt) throw new Error('the disk is gone');
      if (operation === 'create' || operation === 'openRead') open.add(path);
    });
    const job = store.compactJob(inputs, {
      maxFileSizeBytes: 2048,
    });
    const reply = runJob(job, fileSystem);
    if (reply.ok) break;
    failures++;
    assert.match(reply.error.message, /the disk is gone/);
    assert.deepEqual(store.files, before, `operation ${failAt}`);
    assert.deepEqual([...open], [], `operation ${failAt}`);
  }
  assert.ok(failures > 15, `${failures} failures`);
});

test('a compaction reports its own failure when cleaning up fails as well', (t) => {
  const store = new JobStore(t);
  const table = store.writeTable(1, manyPuts(200, 1));
  const fileSystem = watchedFileSystem((operation) => {
    if (operation === 'syncDirectory') throw new Error('first failure');
    if (operation === 'unlink') throw new Error('second failure');
  });
  const reply = runJob(store.compactJob([[table]]), fileSystem);
  assert.ok(!reply.ok);
  assert.match(reply.error.message, /first failure/);
});

test('a damaged input fails the compaction; it never ends early', (t) => {
  const store = new JobStore(t);
  const entries = manyPuts(500, 1);
  const table = store.writeTable(1, entries);
  const path = tablePath(store.directory, table.number);
  const file = nodeFileSystem.openRead(path);
  const bytes = new Uint8Array(table.sizeBytes);
  file.readAt(bytes, 0);
  file.close();
  for (let offset = 0; offset < bytes.length; offset += 97) {
    const damaged = bytes.slice();
    damaged[offset]! ^= 0x40;
    writeFileSync(path, damaged);
    const reply = runJob(store.compactJob([[table]]), nodeFileSystem);
    assert.ok(!reply.ok, `offset ${offset}`);
    assert.equal(reply.error.code, 'STRATA_CORRUPTION', `offset ${offset}`);
    assert.deepEqual(store.files, ['000001.sst']);
  }
  writeFileSync(path, bytes);
  truncateSync(path, table.sizeBytes - 1);
  const reply = runJob(store.compactJob([[table]]), nodeFileSystem);
  assert.ok(!reply.ok);
  assert.equal(reply.error.code, 'STRATA_CORRUPTION');
});

test('an input that holds fewer entries than the manifest says fails the compaction', (t) => {
  const store = new JobStore(t);
  const table = store.writeTable(1, manyPuts(50, 1));
  const reply = runJob(store.compactJob([[{ ...table, entryCount: 51 }]]), nodeFileSystem);
  assert.ok(!reply.ok);
  assert.equal(reply.error.code, 'STRATA_CORRUPTION');
  assert.deepEqual(store.files, ['000001.sst']);
});

test('a compaction runs again with new numbers after it failed', (t) => {
  const store = new JobStore(t);
  const table = store.writeTable(1, manyPuts(200, 1));
  const failing = watchedFileSystem((operation) => {
    if (operation === 'datasync') throw new Error('not now');
  });
  assert.ok(!runJob(store.compactJob([[table]]), failing).ok);
  assert.equal(run(store, [[table]]).length, 200);
});

test('a compaction writes to no level 0, where age is told by the sequences it zeroes', (t) => {
  const store = new JobStore(t);
  const table = store.writeTable(1, [put('k', 1)]);
  const reply = runJob(store.compactJob([[table]], { outputLevel: level(0) }), nodeFileSystem);
  assert.ok(!reply.ok);
});

test('a verify job counts what is there and finds a flipped bit', (t) => {
  const store = new JobStore(t);
  const table = store.writeTable(1, manyPuts(500, 1));
  const reply = runJob(store.verifyJob(table), nodeFileSystem);
  assert.ok(reply.ok);
  const result = reply.value as VerifyResult;
  assert.equal(result.entryCount, 500);
  assert.equal(result.bytesRead, table.sizeBytes);
  const found = runJob(store.verifyJob({ ...table, checksum: table.checksum ^ 1 }), nodeFileSystem);
  assert.ok(!found.ok);
  assert.equal(found.error.code, 'STRATA_CORRUPTION');
});
