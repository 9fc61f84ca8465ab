/**
 * Bulk load, first phase: a chunk of records becomes a sorted run.
 *
 *   1. sort what came unsorted (record-sort.ts)
 *   2. write it (run-writer.ts); of equal keys only the one that came last
 *
 * Invariants: every record of the chunk is accounted for. The run is not synced: it is of no use after a crash.
 * Thread:     any; synchronous.
 */
import { assert } from '../shared/assert.ts';
import type { IngestRunJob, IngestRunResult } from '../shared/jobs.ts';
import { JobMonitor } from './job-monitor.ts';
import type { JobOutputs } from './job-outputs.ts';
import { RecordTable, sortRecords } from './record-sort.ts';
import { RunWriter } from './run-writer.ts';

/** Records between two looks at the cancellation flag. */
const PULSE_RECORDS = 4096;

export function ingestRun(job: IngestRunJob, outputs: JobOutputs): IngestRunResult {
  const monitor = new JobMonitor(job, job.recordBytes, job.recordCount);
  const records = new RecordTable(new Uint8Array(job.records, 0, job.recordBytes), job.recordCount);
  const { bytes, count, starts, keyStarts, keyEnds, order } = records;
  assert(starts[count] === job.recordBytes, 'a chunk must hold exactly its records');
  if (!job.isSorted) sortRecords(records);
  monitor.pulse(0);
  const writer = new RunWriter(outputs.createRun(job.output), job.output);
  for (let i = 0; i < count; i++) {
    if (i % PULSE_RECORDS === 0) monitor.pulse(i);
    const record = order[i]!;
    const isRepeated = !job.isSorted && i + 1 < count && records.hasSameKey(record, order[i + 1]!);
    if (isRepeated) continue;
    writer.add(bytes, starts[record]!, starts[record + 1]!, keyStarts[record]!, keyEnds[record]!);
  }
  const run = writer.finish();
  monitor.pulse(count);
  return { run };
}
