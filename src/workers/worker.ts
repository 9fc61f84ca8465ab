/**
 * The pool's entry: piscina calls one of the exports with each job. `handleJobBehind` in a thread of our own, which works behind
 * the application's; `handleJobAsGuest` in a thread of the application's pool; with `threads: 0` main calls `handleJob` itself.
 *
 * Invariants: never rejects: an Error would lose its class and code on the way, so failures travel as a WireError.
 * Thread:     a pool worker's, or main's.
 */
import { constants, getPriority, setPriority } from 'node:os';
import { errorToWire } from '../shared/base/errors.ts';
import { noteGivenUp, reclaimBeforeWork } from '../shared/base/reclaim.ts';
import { loadFileSystem } from '../shared/files/node-file-system.ts';
import type { Job, JobReply } from '../shared/threads/jobs.ts';
import { runJobDurably } from './run-job.ts';

/**
 * Nice: where processors are scarce, a thread of ours gets a third of what main gets, and reads and writes do not wait for a
 * compaction (measured with 2 cores: reads that follow a fill 1.15 times as fast; event-loop delay while writing, p99 4.4 -> 3.2
 * ms). RocksDB has the same as an option. Higher, and a machine with other work would leave flushes nothing.
 */
const EXTRA_NICE = 5;
let isBehind = false;

/** As handleJob, in a thread that is nobody else's. */
export async function handleJobBehind(job: Job): Promise<JobReply> {
  if (!isBehind) {
    isBehind = true;
    getBehind();
  }
  return await handleJobAsGuest(job);
}

/** The thread keeps nothing of the job. */
export async function handleJobAsGuest(job: Job): Promise<JobReply> {
  reclaimBeforeWork();
  const reply = await handleJob(job);
  // The memory of this memtable serves the next ones, and is given up when there are none: not as long as it lives here.
  if (job.kind === 'flush') noteGivenUp(job.memtable);
  // Likewise a chunk of an ingestion.
  if (job.kind === 'ingest-run') noteGivenUp(job.records);
  return reply;
}

/** On Linux each thread has a priority of its own, contrary to POSIX; elsewhere it would be the whole process's. */
function getBehind(): void {
  if (process.platform !== 'linux') return;
  try {
    setPriority(Math.min(constants.priority.PRIORITY_LOW, getPriority() + EXTRA_NICE));
  } catch {
    // Where the system forbids it, all threads are equal.
  }
}

export default async function handleJob(job: Job): Promise<JobReply> {
  try {
    return await runJobDurably(job, await loadFileSystem(job.fileSystem));
  } catch (error) {
    return { ok: false, error: errorToWire(error) };
  }
}
