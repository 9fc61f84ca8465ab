/**
 * Where the tables of a bulk load go: each as deep as the order of age allows.
 *
 *   L0    .  [old]  .        a   overlaps nothing                      -> the bottom level
 *   L6    .    .    .        b   overlaps a table of L0                -> L0
 *   L7    .    .  [old]      c   overlaps a table of the bottom alone  -> the level above it
 *         a    b    c
 *
 * What is loaded is newer than all there is, so it must lie above whatever shares its keys.
 *
 * Thread: main. Pure.
 * Not chosen: merging with what overlaps before anything becomes visible. It may be the whole store; compaction does it
 *             afterwards, in the background and bit by bit.
 */
import { type Level, MAX_LEVEL, level as toLevel } from '../../shared/ids.ts';
import type { Version } from '../../shared/read/version.ts';
import type { LeveledTable, TableMeta } from '../../shared/version-edit.ts';

export function placeTables(version: Version, tables: readonly TableMeta[]): LeveledTable[] {
  const deepest = version.deepestLevel;
  const bottom = deepest === undefined || deepest === 0 ? MAX_LEVEL : deepest;
  return tables.map((table) => ({ level: levelFor(version, bottom, table), table }));
}

/** The deepest level such that neither it nor one above holds keys of the table's range. */
function levelFor(version: Version, bottom: Level, table: TableMeta): Level {
  const range = { start: table.smallestKey, end: table.largestKey };
  let found = toLevel(0);
  for (let i = 0; i <= bottom; i++) {
    const level = toLevel(i);
    if (version.hasOverlap(level, range)) return found;
    found = level;
  }
  return found;
}
