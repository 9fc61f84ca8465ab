/**
 * Keeps damaged files, under a name that no store reads: for whoever wants to look, or has a better tool.
 *
 * Invariants: never replaces a file. Only destroy() deletes what is set aside.
 * Thread:     main.
 */
import { join } from 'node:path';
import { MANIFEST_NAME, setAsideName } from '../../shared/file-names.ts';
import { type FileSystem, readFully, writeFully } from '../../shared/file-system.ts';

/** Renames the file; returns its new name. */
export function setAside(fs: FileSystem, directory: string, name: string): string {
  const free = freeName(fs, directory, name);
  fs.rename(join(directory, name), join(directory, free));
  return free;
}

/** Copies it, as the manifest must stay in place until the new one replaces it; returns the name of the copy. */
export function copyManifestAside(fs: FileSystem, directory: string): string {
  const from = fs.openRead(join(directory, MANIFEST_NAME));
  try {
    const bytes = new Uint8Array(from.size());
    const content = bytes.subarray(0, readFully(from, bytes, 0));
    const free = freeName(fs, directory, MANIFEST_NAME);
    const to = fs.createExclusive(join(directory, free));
    try {
      writeFully(to, content, 0);
      to.datasync();
    } finally {
      to.close();
    }
    return free;
  } finally {
    from.close();
  }
}

function freeName(fs: FileSystem, directory: string, name: string): string {
  for (let attempt = 1; ; attempt++) {
    const free = setAsideName(name, attempt);
    if (fs.stat(join(directory, free)) === undefined) return free;
  }
}
