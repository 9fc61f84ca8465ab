/**
 * Reads the ranges that tables delete, from their meta blocks. A table of which the manifest says that it deletes none is not
 * opened.
 *
 * Thread: any; synchronous.
 */
import type { TableInfo } from '../shared/base/version-edit.ts';
import type { FileSystem } from '../shared/files/file-system.ts';
import type { RangeDeletes } from '../shared/ranges/range-deletes.ts';
import { openTableFile } from '../shared/table/table-file.ts';
import { TableReader } from '../shared/table/table-reader.ts';
import { ReadAheadSource } from './read-ahead-source.ts';
import type { DeletedRange } from './striped-ranges.ts';

export function readRanges(
  fileSystem: FileSystem,
  directory: string,
  tables: readonly Pick<TableInfo, 'number' | 'rangeDeletes'>[],
): DeletedRange[] {
  const found: DeletedRange[] = [];
  for (const { number, rangeDeletes } of tables) {
    if (rangeDeletes === undefined) continue;
    const file = openTableFile(fileSystem, directory, number);
    try {
      const reader = TableReader.open(new ReadAheadSource(file), { number }, { hasFilter: false });
      if (reader.ranges !== undefined) addRanges(reader.ranges, found);
    } finally {
      file.close();
    }
  }
  return found;
}

/** Each stretch for each of its deletes. */
export function addRanges(ranges: RangeDeletes, found: DeletedRange[]): void {
  for (let i = 0; i + 1 < ranges.boundaryCount; i++) {
    const [start, end] = [ranges.key(i), ranges.key(i + 1)];
    for (const sequence of ranges.sequencesOf(i)) found.push({ start, end, sequence });
  }
}
