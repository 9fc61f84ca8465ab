/**
 * Whether every table that a manifest names is there, before anything else of it is believed.
 *
 *   all               there, by their names: one look at the directory
 *   the newest 4,096  regular files, and in their full size
 *   the others        the same when they are first opened (table-cache.ts, table-reader.ts), and by verify()
 *
 * A look at a file takes 7 us: for 20,000 of them longer than an open may take in all. A table is synced in full before a
 * manifest names it, so one that has been there for long was not cut by a crash.
 *
 * Thread: main. Reads only.
 */
import { CorruptionError } from '../../shared/base/errors.ts';
import type { TableInfo } from '../../shared/base/version-edit.ts';
import { parseFileName, tablePath } from '../../shared/files/file-names.ts';
import type { FileSystem } from '../../shared/files/file-system.ts';
import { statTableFile } from '../../shared/table/table-file.ts';

/** The tables of 8 GiB at least, and 30 ms. */
export const FULLY_CHECKED_TABLES = 4096;

export function checkTables(
  fs: FileSystem,
  directory: string,
  tables: readonly TableInfo[],
  fullyChecked: number = FULLY_CHECKED_TABLES,
  listed: () => readonly string[] = () => fs.list(directory),
): void {
  const oldest = tables.length <= fullyChecked ? 0 : numbersOf(tables)[tables.length - fullyChecked]!;
  const there = tables.length <= fullyChecked ? undefined : tableNumbers(listed());
  for (const table of tables)
    if (table.number >= oldest || there?.has(table.number) !== true) checkTable(fs, directory, table);
}

/** Ascending. */
function numbersOf(tables: readonly TableInfo[]): Uint32Array {
  const numbers = new Uint32Array(tables.length);
  for (let i = 0; i < tables.length; i++) numbers[i] = tables[i]!.number;
  return numbers.sort();
}

function tableNumbers(names: readonly string[]): ReadonlySet<number> {
  const numbers = new Set<number>();
  for (const name of names) {
    const file = parseFileName(name);
    if (file?.kind === 'table') numbers.add(file.number);
  }
  return numbers;
}

function checkTable(fs: FileSystem, directory: string, table: TableInfo): void {
  const file = tablePath(directory, table.number);
  const found = statTableFile(fs, directory, table.number);
  if (found === undefined) throw new CorruptionError('a table that the manifest names is missing', { file });
  if (found.kind !== 'file') throw new CorruptionError('a table is not a regular file', { file });
  if (found.sizeBytes !== table.sizeBytes)
    throw new CorruptionError(`the table has ${found.sizeBytes} bytes, not ${table.sizeBytes}`, {
      file,
      offset: Math.min(found.sizeBytes, table.sizeBytes),
    });
}
