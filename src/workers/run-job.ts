/**
 * Runs any job to its reply: the one entry to the workers' code, on a pool thread or inline.
 *
 * Invariants: never throws; a failed job has removed the files it began, and nothing stays open or cached.
 *             Running a job again, with new file numbers, does no harm: it only reads its inputs.
 * Thread:     any; synchronous.
 */
import { assertNever } from '../shared/base/assert.ts';
import { errorToWire } from '../shared/base/errors.ts';
import type { FileSystem } from '../shared/files/file-system.ts';
import type { Job, JobReply, ResultOf } from '../shared/threads/jobs.ts';
import { compact } from './compact.ts';
import { flush } from './flush.ts';
import { ingestMerge } from './ingest-merge.ts';
import { ingestRun } from './ingest-run.ts';
import { JobOutputs } from './job-outputs.ts';
import { pacedFileSystem } from './paced-files.ts';
import { Pacer } from './pacer.ts';
import { salvage } from './salvage.ts';
import { verify } from './verify.ts';

export function runJob(job: Job, fileSystem: FileSystem): JobReply {
  const disk = diskFor(job, fileSystem);
  const outputs = new JobOutputs(disk, job.directory);
  try {
    return { ok: true, value: carryOut(job, disk, outputs) };
  } catch (error) {
    outputs.discard();
    return { ok: false, error: errorToWire(error) };
  }
}

/** As runJob; what has to be on the disk is there once this resolves, also where syncs can't be synchronous. */
export async function runJobDurably(job: Job, fileSystem: FileSystem): Promise<JobReply> {
  const disk = diskFor(job, fileSystem);
  const outputs = new JobOutputs(disk, job.directory);
  try {
    const value = carryOut(job, disk, outputs);
    if (fileSystem.finishSyncs !== undefined) await fileSystem.finishSyncs(job.directory);
    return { ok: true, value };
  } catch (error) {
    outputs.discard();
    return { ok: false, error: errorToWire(error) };
  }
}

/** The disk as the job sees it: what was asked for in the background leaves the foreground its own. */
function diskFor(job: Job, fileSystem: FileSystem): FileSystem {
  // A repair has nobody to stand back for.
  return job.kind === 'salvage' ? fileSystem : pacedFileSystem(fileSystem, new Pacer(job));
}

function carryOut(job: Job, fileSystem: FileSystem, outputs: JobOutputs): ResultOf[Job['kind']] {
  switch (job.kind) {
    case 'flush':
      return flush(job, outputs);
    case 'compact':
      return compact(job, fileSystem, outputs);
    case 'verify':
      return verify(job, fileSystem);
    case 'salvage':
      return salvage(job, fileSystem, outputs);
    case 'ingest-run':
      return ingestRun(job, outputs);
    case 'ingest-merge':
      return ingestMerge(job, fileSystem, outputs);
    default:
      return assertNever(job);
  }
}
