/**
 * What a thread keeps of the jobs that it was given: of those that came to it by message, nothing.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { givenUp } from '../../src/shared/base/reclaim.ts';
import type { Job } from '../../src/shared/threads/jobs.ts';
import handleJob, { handleJobAsGuest } from '../../src/workers/worker.ts';
import { put } from '../helpers/array-iterator.ts';
import { JobStore } from '../helpers/job-store.ts';

/** What the collector is to free beside what it was to free before. */
async function notedBy(handle: (job: Job) => Promise<unknown>, job: Job): Promise<number> {
  const { count } = givenUp();
  await handle(job);
  return givenUp().count - count;
}

test('the memory of a memtable is given up in a thread of the application, and not where it is in use', async (t) => {
  const store = new JobStore(t);
  // Both are held, so none is freed meanwhile.
  const jobs = [store.flushJob([put('a', 10)]), store.flushJob([put('b', 11)])] as const;
  assert.equal(await notedBy(handleJobAsGuest, jobs[0]), 1);
  assert.equal(await notedBy(handleJob, jobs[1]), 0);
  assert.equal(jobs.length, 2);
});
