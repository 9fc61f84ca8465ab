/**
 * Ingestion, second phase: the runs, or a key range of them, become tables; many runs become one.
 *
 *   slices of runs -> RunReader -> RunMerger -> OutputSplitter -> TableBuilder, or RunWriter
 *
 * Invariants: every entry of an output table bears the sequence of the load, so that nothing need be known of its moment
 *             while the runs are built.
 *             The directory is synced once, after the last table, before the answer.
 * Thread:     any; synchronous.
 * Owns:       the runs' files, for the length of the job.
 */

import { Entry, EntryKind } from '../shared/base/entry.ts';
import { runPath } from '../shared/files/file-names.ts';
import { closeQuietly, type FileSystem } from '../shared/files/file-system.ts';
import { RunWriter } from '../shared/ingest/run-writer.ts';
import { ControlBlock } from '../shared/threads/control-block.ts';
import type { IngestMergeJob, IngestMergeResult } from '../shared/threads/jobs.ts';
import { OutputNumbers } from '../shared/threads/output-numbers.ts';
import { JobMonitor } from './job-monitor.ts';
import type { JobOutputs } from './job-outputs.ts';
import { OutputSplitter } from './output-splitter.ts';
import { RunMerger } from './run-merger.ts';
import { RunReader } from './run-reader.ts';
import type { TableBuilder } from './table-builder.ts';

const PULSE_BYTES = 64 * 1024;

type TablesOutput = Extract<IngestMergeJob['output'], { kind: 'tables' }>;

export function ingestMerge(
  job: IngestMergeJob,
  fileSystem: FileSystem,
  outputs: JobOutputs,
): IngestMergeResult {
  const inputBytes = job.runs.reduce((sum, { start, end }) => sum + end - start, 0);
  const monitor = new JobMonitor(job, inputBytes, inputBytes);
  const readers: RunReader[] = [];
  try {
    for (const [age, slice] of job.runs.entries()) {
      const file = fileSystem.openRead(runPath(job.directory, slice.number));
      readers.push(new RunReader(file, slice, age, job.range, job.sharedLength));
    }
    const merger = new RunMerger(readers, job.sharedLength);
    const { output } = job;
    if (output.kind === 'run') {
      const writer = new RunWriter(outputs.createRun(output.number), output.number);
      writeRun(merger, writer, monitor);
      return { outputs: [], run: writer.finish(), recordsRead: merger.recordsRead };
    }
    writeTables(merger, output, outputs, monitor, new ControlBlock(job.control));
    return { outputs: outputs.commit(), run: undefined, recordsRead: merger.recordsRead };
  } finally {
    for (const reader of readers) closeQuietly(reader);
  }
}

function writeRun(merger: RunMerger, writer: RunWriter, monitor: JobMonitor): void {
  let bytesDone = 0;
  let untilPulse = PULSE_BYTES;
  while (merger.next()) {
    const { bytes, recordStart, recordEnd, keyStart, keyEnd } = merger.current!;
    writer.add(bytes, recordStart, recordEnd, keyStart, keyEnd);
    bytesDone += recordEnd - recordStart;
    untilPulse -= recordEnd - recordStart;
    if (untilPulse > 0) continue;
    untilPulse = PULSE_BYTES;
    monitor.pulse(bytesDone);
  }
}

function writeTables(
  merger: RunMerger,
  output: TablesOutput,
  outputs: JobOutputs,
  monitor: JobMonitor,
  control: ControlBlock,
): void {
  const { sequence, maxFileSizeBytes, table, grandparents } = output;
  const numbers = new OutputNumbers(output.outputs);
  const splitter = new OutputSplitter({ maxFileSizeBytes, outputCount: numbers.capacity, grandparents });
  const entry = new Entry();
  entry.sequence = sequence;
  entry.kind = EntryKind.Put;
  let builder: TableBuilder | undefined;
  let bytesDone = 0;
  let untilPulse = PULSE_BYTES;
  while (merger.next()) {
    const { bytes, recordStart, recordEnd, keyStart, keyEnd } = merger.current!;
    entry.keyBytes = bytes;
    entry.keyStart = keyStart;
    entry.keyEnd = keyEnd;
    entry.valueBytes = bytes;
    entry.valueStart = keyEnd;
    entry.valueEnd = recordEnd;
    if (splitter.beginsTable(entry, builder === undefined ? 0 : builder.fileSizeBytes)) {
      outputs.finish();
      builder = outputs.begin(numbers.take(control), table, sequence);
    }
    builder!.add(entry);
    bytesDone += recordEnd - recordStart;
    untilPulse -= recordEnd - recordStart;
    if (untilPulse > 0) continue;
    untilPulse = PULSE_BYTES;
    monitor.pulse(bytesDone);
  }
}
