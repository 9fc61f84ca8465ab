/**
 * Compaction: tables of one or two levels become tables of one level.
 *
 *   inputs -> InputRun (one per sorted run) -> MergingIterator -> CompactionIterator -> OutputSplitter -> TableBuilder
 *             opens table after table          orders them        drops versions       cuts tables      writes them
 *
 * Invariants: every entry of the inputs was read (unless the job is for a part of the key range), or the job fails:
 *             inputs are deleted on the strength of its answer.
 *             The directory is synced once, after the last output, before the answer.
 * Thread:     any; synchronous.
 * Owns:       the input files, for the length of the job.
 */
import { checkAllRead } from '../shared/base/all-read.ts';
import { assert } from '../shared/base/assert.ts';
import type { TableInfo } from '../shared/base/version-edit.ts';
import type { FileSystem } from '../shared/files/file-system.ts';
import { MergingIterator } from '../shared/merge/merging-iterator.ts';
import { ControlBlock } from '../shared/threads/control-block.ts';
import type { CompactJob, CompactResult } from '../shared/threads/jobs.ts';
import { OutputNumbers } from '../shared/threads/output-numbers.ts';
import { CompactionIterator } from './compaction-iterator.ts';
import { DeeperLevels } from './deeper-levels.ts';
import { InputRun } from './input-run.ts';
import { JobMonitor } from './job-monitor.ts';
import type { JobOutputs } from './job-outputs.ts';
import { OutputSplitter } from './output-splitter.ts';
import type { TableBuilder } from './table-builder.ts';

export function compact(job: CompactJob, fileSystem: FileSystem, outputs: JobOutputs): CompactResult {
  // A zeroed sequence would be older than everything in L0, where age is known by sequence.
  assert(job.outputLevel > 0, 'a compaction writes to L1 or deeper');
  const tables = job.inputs.flat();
  const inputBytes = sum(tables, (table) => table.sizeBytes);
  const inputEntries = sum(tables, (table) => table.entryCount);
  const monitor = new JobMonitor(job, inputBytes, inputEntries);
  const runs = job.inputs.map((run) => new InputRun(fileSystem, job.directory, run));
  try {
    const survivors = new CompactionIterator(new MergingIterator(runs.map((run) => run.iterator)), {
      snapshots: job.snapshots,
      snapshotTimes: job.snapshotTimes,
      nowMs: job.nowMs,
      deeper: new DeeperLevels(job.deeper),
      range: job.range,
      onPulse: (entriesRead) => monitor.pulse(entriesRead),
    });
    const entriesWritten = writeSurvivors(job, survivors, outputs);
    if (isWhole(job)) checkAllRead('the tables of a compaction', survivors.entriesRead, inputEntries);
    const finished = outputs.commit();
    monitor.pulse(inputEntries);
    return {
      outputs: finished,
      stats: {
        bytesRead: bytesReadOf(job, inputBytes, survivors.entriesRead, inputEntries),
        bytesWritten: sum(finished, (table) => table.sizeBytes),
        entriesRead: survivors.entriesRead,
        entriesWritten,
        elapsedMs: monitor.elapsedMs,
      },
    };
  } finally {
    for (const run of runs) run.close();
  }
}

/** Returns how many entries were written. */
function writeSurvivors(job: CompactJob, survivors: CompactionIterator, outputs: JobOutputs): number {
  const control = new ControlBlock(job.control);
  const numbers = new OutputNumbers(job.outputs);
  const splitter = new OutputSplitter({ ...job, outputCount: numbers.capacity });
  let builder: TableBuilder | undefined;
  let entriesWritten = 0;
  while (survivors.next()) {
    if (
      survivors.startsKey &&
      splitter.beginsTable(survivors.entry, builder === undefined ? 0 : builder.fileSizeBytes)
    ) {
      outputs.finish();
      // Zeroed entries have sequence 0, so no larger base would do.
      builder = outputs.begin(numbers.take(control), job.table, 0);
    }
    builder!.add(survivors.entry);
    entriesWritten++;
  }
  return entriesWritten;
}

function isWhole(job: CompactJob): boolean {
  return job.range.start === undefined && job.range.end === undefined;
}

/** A part of a compaction reads about its share of the bytes. */
function bytesReadOf(job: CompactJob, inputBytes: number, entriesRead: number, inputEntries: number): number {
  return isWhole(job) ? inputBytes : Math.round((inputBytes * entriesRead) / Math.max(1, inputEntries));
}

function sum(tables: readonly TableInfo[], of: (table: TableInfo) => number): number {
  return tables.reduce((total, table) => total + of(table), 0);
}
