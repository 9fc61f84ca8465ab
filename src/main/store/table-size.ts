/**
 * How large the tables of a level become.
 *
 *   a level of up to      tables of (default of maxFileSize: 32 MiB)
 *   32 GiB                32 MiB
 *   64 GiB                64 MiB
 *   more                  128 MiB
 *
 * So a level has about a thousand tables until it is very large: each costs a line in the manifest, an entry in the list of every
 * version, a file. Four times the size is the end of it: whatever comes down from the level above is merged with whole tables,
 * and with larger ones half of what is rewritten would be out of its range.
 *
 * Invariants: a maxFileSize that was given holds for every level.
 * Thread:     main. Pure.
 */
import type { Level } from '../../shared/base/ids.ts';
import type { Version } from '../../shared/read/version.ts';

const TABLES_PER_LEVEL = 1024;
/** Of what maxFileSize is where it was not given. */
export const DEEP_FILE_FACTOR = 4;

/** The limit for tables that a compaction makes for `level`. */
export function fileSizeFor(
  version: Version,
  level: Level,
  {
    maxFileSizeBytes,
    deepFileSizeBytes,
  }: { readonly maxFileSizeBytes: number; readonly deepFileSizeBytes: number },
): number {
  let size = maxFileSizeBytes;
  while (2 * size <= deepFileSizeBytes && version.levelBytes(level) > TABLES_PER_LEVEL * size) size *= 2;
  return size;
}
