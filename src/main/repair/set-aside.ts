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
import { setAsideName } from '../../shared/files/file-names.ts';
import { type FileSystem, readFully, writeFully } from '../../shared/files/file-system.ts';

const PART_BYTES: number = 1024 * 1024;

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
  const from = join(directory, name);
  for (let attempt = 1; ; attempt++) {
    const aside = setAsideName(name, attempt);
    const to = join(directory, aside);
    const found = fs.stat(to);
    if (found === undefined) {
      copy(fs, from, to);
      return aside;
    }
    if (found.kind === 'file' && isSame(fs, from, to)) return aside;
  }
}

function copy(fs: FileSystem, from: string, to: string): void {
  const target = fs.createExclusive(to);
  try {
    let position = 0;
    for (const part of partsOf(fs, from)) {
      writeFully(target, part, position);
      position += part.length;
    }
    target.datasync();
  } finally {
    target.close();
  }
}

function isSame(fs: FileSystem, a: string, b: string): boolean {
  const others = partsOf(fs, b);
  try {
    for (const part of partsOf(fs, a)) {
      const other = others.next();
      if (other.done === true || !part.equals(other.value)) return false;
    }
    return others.next().done === true;
  } finally {
    others.return(undefined);
  }
}

/** The content of a file in pieces of equal length, the last one shorter: damaged logs may be large. A piece is good until the
 * next. */
function* partsOf(fs: FileSystem, path: string): Generator<Buffer, undefined> {
  const file = fs.openRead(path);
  try {
    const part = Buffer.alloc(PART_BYTES);
    for (let position = 0, length = -1; length !== 0; position += length) {
      length = readFully(file, part, position);
      if (length > 0) yield part.subarray(0, length);
    }
  } finally {
    file.close();
  }
}
