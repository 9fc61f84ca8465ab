/**
 * The parts of an open store. RunningStore makes and closes them; each module that works on a store takes those parts of it that
 * its signature names (FlusherParts, IngestParts, ReadParts, ...).
 *
 * Thread: main.     Owns: nothing.
 */
import type { SchedulerParts } from './compaction/scheduler.ts';
import type { UpkeepParts } from './compaction/upkeep.ts';
import type { CaptureParts } from './copy/capture.ts';
import type { ReadParts } from './engine-reads.ts';
import type { IngestParts } from './ingest/ingestion.ts';
import type { ShareParts } from './share/shares.ts';
import type { VerifyParts } from './verify-store.ts';

/** Where the application opened it, and where the files are (files/epochs.ts). */
interface Places {
  readonly path: string;
  readonly directory: string;
}

export type StoreParts = Places &
  SchedulerParts &
  UpkeepParts &
  ReadParts &
  IngestParts &
  CaptureParts &
  ShareParts &
  VerifyParts;
