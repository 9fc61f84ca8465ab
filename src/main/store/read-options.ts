/**
 * The options of the engine's reads: those of all readers (shared/read/read-options.ts), with the engine's snapshots.
 *
 * Thread: main.
 */
import type { ReadOptionsOf, ScanOptionsOf } from '../../shared/read/read-options.ts';
import type { Snapshot } from './snapshot.ts';

/** Options of get, getMany and has. */
export type ReadOptions = ReadOptionsOf<Snapshot>;

/** What a scan covers and gives. */
export type ScanOptions = ScanOptionsOf<Snapshot>;
