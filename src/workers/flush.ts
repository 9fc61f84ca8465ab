/**
 * Flush: a frozen memtable becomes one L0 table.
 *
 *   1. walk the arena in key order, where it lies: it is shared, not copied
 *   2. drop what no reader can see any more (compaction-iterator.ts); deletes stay where older tables may hold their keys, and so
 *      do deleted ranges, which end with the last key there is: what is written later is newer
 *   3. build one table, however large: an L0 table is one run
 *
 * Invariants: every entry of the memtable was read, or the job fails.
 *             Sequences stay as they are: the age of an L0 table is known by them.
 * Thread:     any; synchronous.
 */
import { assert } from '../shared/base/assert.ts';
import { compareKeys, keySuccessor } from '../shared/base/bytes.ts';
import { MemtableArena } from '../shared/memtable/arena.ts';
import { Memtable } from '../shared/memtable/memtable.ts';
import { memtableIterator } from '../shared/memtable/memtable-iterator.ts';
import type { FlushJob, FlushResult } from '../shared/threads/jobs.ts';
import { CompactionIterator } from './compaction-iterator.ts';
import { DeeperLevels } from './deeper-levels.ts';
import { JobMonitor } from './job-monitor.ts';
import type { JobOutputs } from './job-outputs.ts';
import { type DeletedRange, StripedRanges } from './striped-ranges.ts';
import type { TableBuilder } from './table-builder.ts';

export function flush(job: FlushJob, outputs: JobOutputs): FlushResult {
  const arena = MemtableArena.attach(job.memtable);
  const monitor = new JobMonitor(job, arena.rawBytes, arena.entryCount);
  const input = memtableIterator(job.memtable);
  const ranges = StripedRanges.of(deletedRanges(job), job.snapshots, new DeeperLevels(job.deeper));
  const survivors = new CompactionIterator(input, {
    snapshots: job.snapshots,
    keepDeletesAbove: job.keepDeletesAbove,
    snapshotTimes: job.snapshotTimes,
    nowMs: job.nowMs,
    deeper: new DeeperLevels(job.deeper),
    ranges,
    keepsSequences: true,
    onPulse: (entriesRead) => monitor.pulse(entriesRead),
  });

  let builder: TableBuilder | undefined;
  let entriesWritten = 0;
  while (survivors.next()) {
    if (builder === undefined) builder = outputs.begin(job.output, job.table, arena.firstSequence);
    builder.add(survivors.entry);
    entriesWritten++;
  }
  input.close();
  const read = survivors.entriesRead + arena.rangeCount;
  assert(read === arena.entryCount, 'a flush must read every entry of its memtable');
  const left = ranges?.cut(undefined, undefined);
  if (left !== undefined) {
    builder ??= outputs.begin(job.output, job.table, arena.firstSequence);
    builder.setRanges(left);
  }

  const output = outputs.commit()[0];
  monitor.pulse(survivors.entriesRead);
  return {
    output,
    stats: {
      bytesRead: survivors.rawBytesRead,
      bytesWritten: output?.sizeBytes ?? 0,
      entriesRead: survivors.entriesRead,
      entriesWritten,
      elapsedMs: monitor.elapsedMs,
    },
  };
}

/** Those of the memtable; one without an end gets that of all keys it can delete. */
function deletedRanges({ memtable, deeper }: FlushJob): DeletedRange[] {
  const ranges = Memtable.attach(memtable).ranges?.list(Number.MAX_SAFE_INTEGER) ?? [];
  if (ranges.every(({ end }) => end !== undefined)) return ranges as DeletedRange[];
  const points = memtableIterator(memtable);
  const last = points.seekToLast() ? points.entry : undefined;
  const ownLast = last?.keyBytes.slice(last.keyStart, last.keyEnd);
  const oldLast = new DeeperLevels(deeper).lastKey;
  const isOwn = ownLast !== undefined && (oldLast === undefined || compareKeys(ownLast, oldLast) > 0);
  const lastKey = isOwn ? ownLast : oldLast;
  const found: DeletedRange[] = [];
  for (const { start, end, sequence } of ranges)
    if (end !== undefined) found.push({ start, end, sequence });
    else if (lastKey !== undefined && compareKeys(start, lastKey) <= 0)
      found.push({ start, end: keySuccessor(lastKey), sequence });
  return found;
}
