/**
 * destroy(): deletes a store's own files, and nothing else.
 *
 * The manifest goes first: once it is gone nothing can be half a store that opens. Then logs, tables and LOCK, by our exact
 * names and regular files only; the directory itself only if that leaves it empty.
 *
 * Thread: main.
 */
import { join } from 'node:path';
import { systemErrorCode } from '../shared/errors.ts';
import { LOCK_NAME, MANIFEST_NAME, parseFileName } from '../shared/file-names.ts';
import type { FileSystem } from '../shared/file-system.ts';
import { loadFileSystem } from '../shared/node-file-system.ts';
import { acquireLock } from './directory-lock.ts';
import { resolveDirectory } from './open-store.ts';
import { awaited } from './process-keeper.ts';

export async function destroyStore(path: string): Promise<void> {
  await awaited(destroy(resolveDirectory(path)));
}

async function destroy(directory: string): Promise<void> {
  const fs = await loadFileSystem(undefined);
  const found = fs.stat(directory);
  if (found === undefined) return;
  const names = fs.list(directory).filter((name) => isOurs(fs, directory, name));
  if (names.length === 0) return;
  const lock = await acquireLock(fs, directory);
  try {
    const order = (name: string): number => (name === MANIFEST_NAME ? 0 : name === LOCK_NAME ? 2 : 1);
    names.sort((a, b) => order(a) - order(b));
    for (const name of names) if (isOurs(fs, directory, name)) fs.unlink(join(directory, name));
    // Locking may have made a LOCK that wasn't there.
    if (isOurs(fs, directory, LOCK_NAME)) fs.unlink(join(directory, LOCK_NAME));
    if (fs.list(directory).length === 0) removeEmpty(fs, directory);
  } finally {
    await lock.release();
  }
}

function isOurs(fs: FileSystem, directory: string, name: string): boolean {
  return parseFileName(name) !== undefined && fs.stat(join(directory, name))?.kind === 'file';
}

/** A file that appeared meanwhile, or a directory that is a mount point or a link, keeps it: not ours to insist. */
function removeEmpty(fs: FileSystem, directory: string): void {
  try {
    fs.removeDirectory(directory);
  } catch (error) {
    const code = systemErrorCode(error);
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST' && code !== 'EBUSY' && code !== 'ENOTDIR') throw error;
  }
}
