/**
 * Ingestion, first phase: a chunk of records becomes a sorted run (src/shared/ingest/run-builder.ts).
 *
 * Thread: any; synchronous.
 */
import { buildRun } from '../shared/ingest/run-builder.ts';
import type { IngestRunJob, IngestRunResult } from '../shared/threads/jobs.ts';
import { JobMonitor } from './job-monitor.ts';
import type { JobOutputs } from './job-outputs.ts';

export function ingestRun(job: IngestRunJob, outputs: JobOutputs): IngestRunResult {
  const monitor = new JobMonitor(job, job.recordBytes, job.recordCount);
  const file = outputs.createRun(job.output);
  return { run: buildRun(job, file, job.output, (recordsDone) => monitor.pulse(recordsDone)) };
}
