/**
 * Compaction: tables of one or two levels become tables of one level.
 *
 *   inputs -> InputRun (one per sorted run) -> MergingIterator -> CompactionIterator -> OutputSplitter -> TableBuilder
 *             opens table after table          orders them        drops versions       cuts tables      writes them
 *
 * Ranges that the inputs delete are read first, from their meta blocks. A table that they hide wholly is not read. What is left
 * of them goes into the outputs: each has what lies between its first key and the last key of the one before, so that tables stay
 * disjoint.
 *
 * Invariants: every entry of the inputs was read (unless the job is for a part of the key range), or the job fails:
 *             inputs are deleted on the strength of its answer.
 *             The directory is synced once, after the last output, before the answer.
 * Thread:     any; synchronous.
 * Owns:       the input files, for the length of the job.
 */
import { checkAllRead } from '../shared/base/all-read.ts';
import { assert } from '../shared/base/assert.ts';
import { keySuccessor } from '../shared/base/bytes.ts';
import { afterKey } from '../shared/base/key-range.ts';
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
import { readRanges } from './read-ranges.ts';
import { StripedRanges } from './striped-ranges.ts';
import type { TableBuilder } from './table-builder.ts';

export function compact(job: CompactJob, fileSystem: FileSystem, outputs: JobOutputs): CompactResult {
  // A zeroed sequence would be older than everything in L0, where age is known by sequence.
  assert(job.outputLevel > 0, 'a compaction writes to L1 or deeper');
  const ranges = StripedRanges.of(
    readRanges(fileSystem, job.directory, job.inputs.flat()),
    job.snapshots,
    new DeeperLevels(job.deeper),
  );
  const inputs = job.inputs
    .map((run) => run.filter((table) => ranges?.hidesAll(table) !== true))
    .filter((run) => run.length > 0);
  const tables = inputs.flat();
  const inputBytes = sum(tables, (table) => table.sizeBytes);
  const inputEntries = sum(tables, (table) => table.entryCount);
  const monitor = new JobMonitor(job, inputBytes, inputEntries);
  const runs = inputs.map((run) => new InputRun(fileSystem, job.directory, run));
  try {
    const survivors = new CompactionIterator(new MergingIterator(runs.map((run) => run.iterator)), {
      snapshots: job.snapshots,
      keepDeletesAbove: job.keepDeletesAbove,
      snapshotTimes: job.snapshotTimes,
      nowMs: job.nowMs,
      deeper: new DeeperLevels(job.deeper),
      ranges,
      range: job.range,
      onPulse: (entriesRead) => monitor.pulse(entriesRead),
    });
    const entriesWritten = writeSurvivors(job, survivors, ranges, outputs);
    if (isWhole(job)) checkAllRead('the tables of a compaction', survivors.entriesRead, inputEntries);
    const finished = outputs.commit();
    monitor.pulse(inputEntries);
    return {
      outputs: finished,
      unread: job.inputs.flat().flatMap((table) => (tables.includes(table) ? [] : [table.number])),
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
function writeSurvivors(
  job: CompactJob,
  survivors: CompactionIterator,
  ranges: StripedRanges | undefined,
  outputs: JobOutputs,
): number {
  const control = new ControlBlock(job.control);
  const numbers = new OutputNumbers(job.outputs);
  const splitter = new OutputSplitter({ ...job, outputCount: numbers.capacity });
  let builder: TableBuilder | undefined;
  let entriesWritten = 0;
  /** Where the table in progress begins, for its ranges. */
  let start = job.range.start;
  // Zeroed entries have sequence 0, so no larger base would do.
  const begin = (): TableBuilder => outputs.begin(numbers.take(control), job.table, 0);
  while (survivors.next()) {
    if (
      survivors.startsKey &&
      splitter.beginsTable(survivors.entry, builder === undefined ? 0 : builder.fileSizeBytes)
    ) {
      if (builder !== undefined && ranges !== undefined) {
        const { lastKey } = builder;
        builder.setRanges(ranges.cut(start, keySuccessor(lastKey)));
        // A table of ranges alone begins with a key that can be one.
        start = afterKey(lastKey);
      }
      outputs.finish();
      builder = begin();
    }
    builder!.add(survivors.entry);
    entriesWritten++;
  }
  const left = ranges?.cut(start, job.range.end);
  if (left !== undefined) {
    builder ??= begin();
    builder.setRanges(left);
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
