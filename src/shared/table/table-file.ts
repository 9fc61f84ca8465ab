/**
 * Opens the file of a table, whichever of its two names it has.
 *
 *   000013.sst.new     while it is written, and until a durable manifest names it
 *   000013.sst         from then on. A crash between the two leaves the first; the next open for writing renames it
 *
 * Thread: any.
 */
import { systemErrorCode } from '../base/errors.ts';
import type { FileNumber } from '../base/ids.ts';
import { newTablePath, tablePath } from '../files/file-names.ts';
import type { FileStat, FileSystem, StorageFile } from '../files/file-system.ts';

type Opener = Pick<FileSystem, 'openRead' | 'openReadAsync'>;

/** The names to try. The first one again: the file may be renamed between two tries. */
function namesOf(directory: string, number: FileNumber): readonly string[] {
  const name = tablePath(directory, number);
  return [name, newTablePath(directory, number), name];
}

export function openTableFile(
  fs: Pick<FileSystem, 'openRead'>,
  directory: string,
  number: FileNumber,
): StorageFile {
  let missing: unknown;
  for (const name of namesOf(directory, number)) {
    try {
      return fs.openRead(name);
    } catch (error) {
      if (systemErrorCode(error) !== 'ENOENT') throw error;
      missing = error;
    }
  }
  // The one that should be there is the one to name.
  throw missing;
}

/** As {@link openTableFile}, waiting for nothing within the call where the file system can do that. */
export async function openTableFileLater(
  fs: Opener,
  directory: string,
  number: FileNumber,
): Promise<StorageFile> {
  let missing: unknown;
  for (const name of namesOf(directory, number)) {
    try {
      return fs.openReadAsync === undefined ? fs.openRead(name) : await fs.openReadAsync(name);
    } catch (error) {
      if (systemErrorCode(error) !== 'ENOENT') throw error;
      missing = error;
    }
  }
  throw missing;
}

/** The file, under its name for good if there is one; undefined: there is none. */
export function statTableFile(fs: FileSystem, directory: string, number: FileNumber): FileStat | undefined {
  return fs.stat(tablePath(directory, number)) ?? fs.stat(newTablePath(directory, number));
}
