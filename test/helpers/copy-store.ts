/**
 * Copies the directory of an open store as a crash at this moment would leave it.
 *
 * The copy is made in one synchronous piece, so nothing that the main thread does comes in between. Threads go on: a table
 * half written is an orphan, as after a crash. Only a rename or unlink under way on libuv's threads can make the copy one
 * that no moment ever showed; then the manifest has changed, and it is made again.
 */
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { MANIFEST_NAME, parseFileName } from '../../src/shared/file-names.ts';

const ATTEMPTS = 20;

export function copyOpenStore(from: string, to: string): void {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const manifest = readFileSync(join(from, MANIFEST_NAME));
    mkdirSync(to, { recursive: true });
    for (const name of readdirSync(from).sort())
      if (!isSocket(name)) copyIfThere(join(from, name), join(to, name));
    const isSteady =
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

/** What is unlinked meanwhile is not named by the manifest, or the manifest has changed and the copy is made again. */
function copyIfThere(from: string, to: string): void {
  try {
    copyFileSync(from, to);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}
