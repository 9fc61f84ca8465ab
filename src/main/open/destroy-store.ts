/**
 * destroy(): deletes a store's own files, and nothing else.
 *
 *   1. is there a store? Some file must prove it by its content: names alone do not
 *   2. lock it
 *   3. delete the manifest first: once it is gone nothing can be half a store that opens. Then logs, tables and LOCK, by
 *      our exact names and regular files only, of every epoch (epochs.ts); a directory itself only if that leaves it empty
 *
 * Thread: main.
 */
import { join } from 'node:path';
import { systemErrorCode } from '../../shared/base/errors.ts';
import { awaited } from '../../shared/base/process-keeper.ts';
import { LOCK_NAME, MANIFEST_NAME, parseFileName } from '../../shared/files/file-names.ts';
import { type FileSystem, readFully } from '../../shared/files/file-system.ts';
import { loadFileSystem } from '../../shared/files/node-file-system.ts';
import { RecordType, readRecord, START_RECORD_BYTES } from '../../shared/log/log-format.ts';
import { TABLE_MAGIC } from '../../shared/table/format.ts';
import { allEpochs } from '../files/epochs.ts';
import { acquireLock } from '../locking/directory-lock.ts';
import { isManifestOfOurs } from '../manifest/manifest.ts';
import { resolveDirectory } from '../store/open-request.ts';
import { throughAnchors } from './open-store.ts';

export async function destroyStore(path: string): Promise<void> {
  await awaited(destroy(resolveDirectory(path)));
}

async function destroy(root: string): Promise<void> {
  const disk = await loadFileSystem(undefined);
  if (disk.stat(root) === undefined) return;
  const proves = (directory: string): boolean =>
    ourFiles(disk, directory).some((name) => provesStore(disk, directory, name));
  if (!allEpochs(disk, root).some(proves)) return;
  const lock = await acquireLock(disk, root);
  const fs = throughAnchors(disk, lock);
  let isDone = false;
  try {
    for (const directory of allEpochs(fs, root)) {
      const order = (name: string): number => (name === MANIFEST_NAME ? 0 : name === LOCK_NAME ? 2 : 1);
      const names = ourFiles(fs, directory).sort((a, b) => order(a) - order(b));
      for (const name of names) fs.unlink(join(directory, name));
      if (directory !== root && fs.list(directory).length === 0) removeEmpty(fs, directory);
    }
    isDone = true;
  } finally {
    // When the socket of the lock is gone as well, and nobody else can have the directory yet.
    await lock.release(() => {
      if (isDone && disk.stat(root) !== undefined && disk.list(root).length === 0) removeEmpty(disk, root);
    });
  }
}

function ourFiles(fs: FileSystem, directory: string): string[] {
  return fs.list(directory).filter((name) => isOurs(fs, directory, name));
}

function isOurs(fs: FileSystem, directory: string, name: string): boolean {
  return parseFileName(name) !== undefined && fs.stat(join(directory, name))?.kind === 'file';
}

/**
 * Whether the file can only be a store's. A web application has a manifest.json, too, and a LevelDB database a 000003.log
 * and a LOCK.
 */
export function provesStore(fs: FileSystem, directory: string, name: string): boolean {
  const path = join(directory, name);
  const file = parseFileName(name);
  switch (file?.kind) {
    case 'manifest':
    case 'manifest-temporary':
    case 'page':
      return isManifestOfOurs(fs, path);
    case 'table': {
      const magic = readPart(fs, path, -TABLE_MAGIC.length, TABLE_MAGIC.length);
      return magic.length > 0 && magic.every((byte, i) => byte === TABLE_MAGIC[i]);
    }
    case 'log': {
      const start = readFirst(fs, path, START_RECORD_BYTES);
      return readRecord(start, 0, start.length, file.number)?.type === RecordType.Start;
    }
    default:
      return false;
  }
}

/** At most `length` bytes. */
function readFirst(fs: FileSystem, path: string, length: number): Uint8Array {
  const file = fs.openRead(path);
  try {
    const bytes = new Uint8Array(length);
    return bytes.subarray(0, readFully(file, bytes, 0));
  } finally {
    file.close();
  }
}

/** `length` bytes from `position`, which counts from the end when negative; empty when there are not so many. */
function readPart(fs: FileSystem, path: string, position: number, length: number): Uint8Array {
  const file = fs.openRead(path);
  try {
    const size = file.size();
    if (size < length) return new Uint8Array(0);
    const bytes = new Uint8Array(length);
    readFully(file, bytes, position < 0 ? size + position : position);
    return bytes;
  } finally {
    file.close();
  }
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
