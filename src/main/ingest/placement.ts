/**
 * Where the tables of an ingestion go: each as deep as the order of age allows.
 *
 *   L0    .  [old]  .        a   overlaps nothing                      -> the bottom level
 *   L6    .    .    .        b   overlaps a table of L0                -> L0
 *   L7    .    .  [old]      c   overlaps a table of the bottom alone  -> the level above it
 *         a    b    c
 *
 * What is loaded is newer than all there is, so it must lie above whatever shares its keys, or will: where a running compaction
 * may write to, a table counts as there. What goes to L0 moves on as soon as the older tables there are gone (level-zero.ts).
 *
 * Thread: main. Pure.
 * Not chosen: merging with what overlaps before anything becomes visible. It may be the whole store; compaction does it
 *             afterwards, in the background and bit by bit.
 */
import { level as toLevel } from '../../shared/base/ids.ts';
import type { LeveledTable, TableInfo } from '../../shared/base/version-edit.ts';
import type { Version } from '../../shared/read/version.ts';
import type { BusyTables, CompactionOptions } from '../compaction/compaction-plan.ts';
import { placesOutOfLevelZero } from '../compaction/level-zero.ts';

export function placeTables(
  version: Version,
  tables: readonly TableInfo[],
  options: CompactionOptions,
  busy: BusyTables,
): LeveledTable[] {
  const levelZero = toLevel(0);
  const places = placesOutOfLevelZero(version, tables, options, busy);
  return tables.map((table, i) => {
    const range = { start: table.smallestKey, end: table.largestKey };
    return { level: version.hasOverlap(levelZero, range) ? levelZero : places[i]!, table };
  });
}
