/** What scans of tests read with, where no disk is involved: an ordinary reader, and nothing read ahead. */
import { Disk } from '../../src/shared/disk/disk.ts';
import { PendingReads } from '../../src/shared/disk/pending-reads.ts';
import { ReadTurns } from '../../src/shared/read/read-turns.ts';
import type { ScanReader } from '../../src/shared/read/scan-core.ts';

export function scanReader(disk: Disk = new Disk()): ScanReader {
  return { disk, pending: new PendingReads(disk), turns: new ReadTurns() };
}

export const NO_READ_AHEAD = {
  prime: <T>(needed: T): T => needed,
  close: (): void => undefined,
};
