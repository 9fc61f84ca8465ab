/**
 * A job is answered when its files are on the disk, also where syncs can only be asynchronous.
 */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { ioError } from '../../src/shared/base/errors.ts';
import type { FileSystem } from '../../src/shared/files/file-system.ts';
import { nodeFileSystem } from '../../src/shared/files/node-file-system.ts';
import { runJobDurably } from '../../src/workers/run-job.ts';
import { put } from '../helpers/array-iterator.ts';
import { JobStore } from '../helpers/job-store.ts';

const WRITES = [put('a', 10)];

test('what a job owes to the disk is paid before it is answered', async (t) => {
  const store = new JobStore(t);
  const events: string[] = [];
  const fileSystem: FileSystem = {
    ...nodeFileSystem,
    finishSyncs: async (directory) => {
      assert.equal(directory, store.directory);
      await new Promise((resolve) => setImmediate(resolve));
      events.push('synced');
    },
  };
  const reply = runJobDurably(store.flushJob(WRITES), fileSystem).then((answer) => {
    events.push('answered');
    return answer;
  });
  assert.ok((await reply).ok);
  assert.deepEqual(events, ['synced', 'answered']);
});

test('a sync that fails after the job was done fails the job, and its files go', async (t) => {
  const store = new JobStore(t);
  const fileSystem: FileSystem = {
    ...nodeFileSystem,
    finishSyncs: () => Promise.reject(ioError('sync', store.directory, new Error('the disk is gone'))),
  };
  const before = readdirSync(store.directory);
  const reply = await runJobDurably(store.flushJob(WRITES), fileSystem);
  assert.ok(!reply.ok && reply.error.code === 'STRATA_IO');
  assert.deepEqual(readdirSync(store.directory), before);
});
