/**
 * Copies the directory of an open store as a crash at this moment would leave it.
 *
 * The copy is made in one synchronous piece, so nothing that the main thread does comes in between. Threads go on: a table
 * half written is an orphan, as after a crash. Only a rename or unlink under way on libuv's threads can make the copy one
 * that no moment ever showed: then the manifest has changed, or a name has gone, and it is made again.
 */
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { MANIFEST_NAME, parseFileName } from '../../src/shared/files/file-names.ts';

const ATTEMPTS = 20;

export function copyOpenStore(from: string, to: string): void {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const manifest = readFileSync(join(from, MANIFEST_NAME));
    mkdirSync(to, { recursive: true });
    const copied = readdirSync(from)
      .sort()
      .filter((name) => !isSocket(name))
      .map((name) => copyIfThere(join(from, name), join(to, name)));
    const isSteady =
      copied.every((isThere) => isThere) &&
      manifest.equals(readFileSync(join(from, MANIFEST_NAME))) &&
      manifest.equals(readFileSync(join(to, MANIFEST_NAME)));
    if (isSteady) return;
    rmSync(to, { recursive: true });
  }
  throw new Error('the manifest would not hold still');
}

/** Of an owner: the one thing in a store that can't be copied. */
export function isSocket(path: string): boolean {
  return parseFileName(basename(path))?.kind === 'lock-socket';
}

/** false: it is gone, or has another name by now. */
function copyIfThere(from: string, to: string): boolean {
  try {
    copyFileSync(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    return false;
  }
}
