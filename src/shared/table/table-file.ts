/**
 * Opens the file of a table, whichever of its two names it has.
 *
 *   000013.sst.new     while it is written, and until a durable manifest names it
 *   000013.sst         from then on. A crash between the two leaves the first; the next open for writing renames it
 *
 * Thread: any.
 */
import { systemErrorCode } from '../errors.ts';
import { newTablePath, tablePath } from '../file-names.ts';
import type { FileStat, FileSystem, StorageFile } from '../file-system.ts';
import type { FileNumber } from '../ids.ts';

export function openTableFile(
  fs: Pick<FileSystem, 'openRead'>,
  directory: string,
  number: FileNumber,
): StorageFile {
  try {
    return fs.openRead(tablePath(directory, number));
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw error;
    try {
      return fs.openRead(newTablePath(directory, number));
    } catch (other) {
      // Neither is there: the one that should be is the one to name.
      throw systemErrorCode(other) === 'ENOENT' ? error : other;
    }
  }
}

/** The file, under its name for good if there is one; undefined: there is none. */
export function statTableFile(fs: FileSystem, directory: string, number: FileNumber): FileStat | undefined {
  return fs.stat(tablePath(directory, number)) ?? fs.stat(newTablePath(directory, number));
}
