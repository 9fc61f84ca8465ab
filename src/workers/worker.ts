/**
 * The pool's entry: piscina calls the default export with each job, in a worker thread. With `threads: 0` the main
 * thread calls it itself.
 *
 * Invariants: never rejects: an Error would lose its class and code on the way, so failures travel as a WireError.
 *             No top-level await, which would keep piscina from loading this file the quick way.
 * Thread:     a pool worker's, or main's.
 */
import { errorToWire } from '../shared/errors.ts';
import type { Job, JobReply } from '../shared/jobs.ts';
import { loadFileSystem } from '../shared/node-file-system.ts';
import { runJob } from './run-job.ts';

export default async function handleJob(job: Job): Promise<JobReply> {
  try {
    return runJob(job, await loadFileSystem(job.fileSystem));
  } catch (error) {
    return { ok: false, error: errorToWire(error) };
  }
}
