/**
 * Makes a directory with the parents it lacks, one by one, and knows afterwards which ones it made.
 *
 *   1. walk up to the first parent that exists      2. make what is missing, from there down
 *
 * Invariants: as many calls as the path has parts, at most twice. What fails to be made leaves nothing behind.
 * Thread:     any.
 * Not chosen: mkdir with `recursive`. Node's never returns where mkdir answers ENOENT below a directory that exists
 *             (/proc), says ENOENT on a disk that is mounted read-only, and does not name all that it made.
 */
import { dirname } from 'node:path';
import type { FileSystem } from './file-system.ts';

type DirectoryMaker = Pick<FileSystem, 'stat' | 'makeDirectory' | 'removeDirectory'>;

/** Returns the directories that were made, outermost first; none when `path` exists already. */
export function makeDirectories(fs: DirectoryMaker, path: string): string[] {
  const missing: string[] = [];
  // The root is its own parent: a drive that does not exist ends the walk as well.
  for (let at = path; fs.stat(at) === undefined; at = dirname(at)) {
    missing.unshift(at);
    if (dirname(at) === at) break;
  }
  const made: string[] = [];
  try {
    for (const directory of missing) if (fs.makeDirectory(directory)) made.push(directory);
  } catch (error) {
    removeDirectories(fs, made);
    throw error;
  }
  return made;
}

/** Removes what {@link makeDirectories} made, as far as nobody has put anything there. Never throws. */
export function removeDirectories(fs: Pick<FileSystem, 'removeDirectory'>, made: readonly string[]): void {
  for (const directory of made.toReversed()) {
    try {
      fs.removeDirectory(directory);
    } catch {
      // In use by now, or not ours to remove any more: then neither are those around it.
      return;
    }
  }
}
