/**
 * A chunk of records becomes a sorted run: on the pool for the engine's ingestions, in its own thread for a client's.
 *
 *   1. sort what came unsorted (record-sort.ts)
 *   2. write it (run-writer.ts); of equal keys only the one that came last
 *
 * Invariants: every record of the chunk is accounted for. The run is not synced: it is of no use after a crash.
 * Thread:     any; synchronous.
 */
import { assert } from '../base/assert.ts';
import type { FileNumber } from '../base/ids.ts';
import type { StorageFile } from '../files/file-system.ts';
import type { PackedRecords } from './chunk.ts';
import { RecordTable, sortRecords } from './record-sort.ts';
import type { RunMeta } from './run.ts';
import { RunWriter } from './run-writer.ts';

/** Records between two pulses. */
const PULSE_RECORDS = 4096;

/**
 * Writes the records of `chunk` into `file` and closes it, unless it fails. `pulse` is called now and then with how many are
 * done, and may throw to end it.
 */
export function buildRun(
  chunk: PackedRecords,
  file: StorageFile,
  number: FileNumber,
  pulse: (recordsDone: number) => void,
): RunMeta {
  const { recordBytes, recordCount: count, isSorted } = chunk;
  const records = new RecordTable(new Uint8Array(chunk.records, 0, recordBytes), count);
  const { bytes, starts, keyStarts, keyEnds, order } = records;
  assert(starts[count] === recordBytes, 'a chunk must hold exactly its records');
  if (!isSorted) sortRecords(records);
  const writer = new RunWriter(file, number);
  for (let i = 0; i < count; i++) {
    if (i % PULSE_RECORDS === 0) pulse(i);
    const record = order[i]!;
    const isRepeated = !isSorted && i + 1 < count && records.hasSameKey(record, order[i + 1]!);
    if (isRepeated) continue;
    writer.add(bytes, starts[record]!, starts[record + 1]!, keyStarts[record]!, keyEnds[record]!);
  }
  const run = writer.finish();
  pulse(count);
  return run;
}
