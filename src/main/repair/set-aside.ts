/**
 * Keeps damaged files, under a name that no store reads: for whoever wants to look, or has a better tool.
 *
 *   tables      are renamed: they may be large, and a repair that runs again finds them under their new name
 *   the others  are copied, as the originals must be there until the new manifest is: without it, they would be missing
 *
 * Invariants: never replaces a file. Only destroy() deletes what is set aside.
 * Thread:     main.
 */
import { join } from 'node:path';
import { setAsideName } from '../../shared/file-names.ts';
import { type FileSystem, readFully, writeFully } from '../../shared/file-system.ts';

/** Returns the new name. */
export function renameAside(fs: FileSystem, directory: string, name: string): string {
  for (let attempt = 1; ; attempt++) {
    const aside = setAsideName(name, attempt);
    if (fs.stat(join(directory, aside)) !== undefined) continue;
    fs.rename(join(directory, name), join(directory, aside));
    return aside;
  }
}

/** Returns the name of the copy. One that an interrupted repair has made is good enough. */
export function copyAside(fs: FileSystem, directory: string, name: string): string {
  const content = readWhole(fs, join(directory, name));
  for (let attempt = 1; ; attempt++) {
    const aside = setAsideName(name, attempt);
    const path = join(directory, aside);
    if (fs.stat(path) === undefined) {
      writeWhole(fs, path, content);
      return aside;
    }
    if (fs.stat(path)?.kind === 'file' && content.equals(readWhole(fs, path))) return aside;
  }
}

function readWhole(fs: FileSystem, path: string): Buffer {
  const file = fs.openRead(path);
  try {
    const bytes = Buffer.alloc(file.size());
    return bytes.subarray(0, readFully(file, bytes, 0));
  } finally {
    file.close();
  }
}

function writeWhole(fs: FileSystem, path: string, content: Uint8Array): void {
  const file = fs.createExclusive(path);
  try {
    writeFully(file, content, 0);
    file.datasync();
  } finally {
    file.close();
  }
}
