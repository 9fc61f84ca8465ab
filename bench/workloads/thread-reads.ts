/**
 * What a thread reads: as readrandom-sync, or as readseq. The owner's own thread and reader threads do the same.
 */
import type { Reading } from '../threads/reader-task.ts';
import { prepareGetSync } from './reads.ts';
import { prepareScans } from './scans.ts';
import type { ReadContext } from './workload.ts';

/** Warms up; returned ready to run. */
export function prepareReading(reading: Reading, context: ReadContext): Promise<() => Promise<void>> {
  return reading === 'get' ? prepareGetSync(context) : prepareScans(context, false);
}
