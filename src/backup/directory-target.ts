/**
 * A backup target in a directory: of another disk, as a rule, or of a network file system.
 *
 *   an object      a file of that name. Written as `.<random>.tmp` beside it, synced, then given its name; then the directory is
 *                  synced
 *   create         the name is given by a hard link, which fails if there is one
 *   replace        the n-th version of `x.json` is called `x.json~n` (the first one `x.json`), and made by a hard link as well;
 *                  the highest counts. Who finds that a higher one has come up meanwhile has lost. The one before is kept for
 *                  those who have just listed it
 *
 * Invariants: a reader sees an object whole or not at all. Two that create or replace the same object, in processes on whatever
 *             hosts, never both win. Links are not followed; only regular files are read.
 * Thread:     main.
 * Not chosen: a lock file. One whose owner died, or sleeps, on another host can't be told from one that is held.
 *             rename() for replace: the one of a process that was stopped takes effect whenever that wakes.
 */

import { dirname, join, resolve } from 'node:path';
import { invalidArgument, ioError, systemErrorCode } from '../shared/base/errors.ts';
import { describe } from '../shared/base/input-bytes.ts';
import { randomHex } from '../shared/base/random.ts';
import {
  closeQuietly,
  type FileSystem,
  readFullyAsync,
  type StorageFile,
  writeFullyAsync,
} from '../shared/files/file-system.ts';
import { makeDirectories } from '../shared/files/make-directories.ts';
import { nodeFileSystem } from '../shared/files/node-file-system.ts';
import type {
  BackupTarget,
  ListedObject,
  ListPage,
  StoredObject,
  TargetCall,
  TargetUpload,
} from './target.ts';

const PART_BYTES: number = 1024 * 1024;
const READ_BYTES: number = 256 * 1024;
/** A version may be replaced between its being listed and being read, this often in a row. */
const READ_ATTEMPTS = 10;

/** A directory as a backup target. It need not exist. */
export function directoryTarget(path: string): BackupTarget {
  if (typeof path !== 'string' || path === '' || path.includes('\0'))
    throw invalidArgument(
      `the path of a backup target must be a string that names a directory, not ${describe(path)}`,
    );
  return directoryTargetOn(nodeFileSystem, resolve(path));
}

/** The same on another file system. */
export function directoryTargetOn(fs: FileSystem, directory: string): BackupTarget {
  return new DirectoryTarget(fs, directory);
}

class DirectoryTarget implements BackupTarget {
  readonly name: string;
  readonly #fs: FileSystem;

  constructor(fs: FileSystem, directory: string) {
    this.#fs = fs;
    this.name = directory;
  }

  async read(key: string): Promise<StoredObject | undefined> {
    for (let tries = 1; ; tries++) {
      const version = this.#newestVersion(key);
      if (version === undefined) return undefined;
      try {
        const file = await openRead(this.#fs, this.#pathOf(key, version));
        try {
          const bytes = Buffer.alloc(file.size());
          return { bytes: bytes.subarray(0, await readFullyAsync(file, bytes, 0)), version: String(version) };
        } finally {
          closeQuietly(file);
        }
      } catch (error) {
        // It was replaced, or is gone, since it was listed.
        if (systemErrorCode(error) !== 'ENOENT' || tries === READ_ATTEMPTS) throw error;
      }
    }
  }

  async download(key: string, start: number): Promise<AsyncIterable<Uint8Array> | undefined> {
    try {
      return chunksOf(await openRead(this.#fs, join(this.name, key)), start);
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  async upload(key: string): Promise<TargetUpload> {
    const draft = await this.#draft(key);
    const fs = this.#fs;
    return {
      partBytes: PART_BYTES,
      write: async (part, bytes) => await writeFullyAsync(draft.file, bytes, part * PART_BYTES),
      finish: async () => {
        await draft.file.datasyncAsync();
        draft.file.close();
        await fs.renameAsync(draft.path, join(this.name, key));
        await fs.syncDirectoryAsync(dirname(draft.path));
      },
      cancel: async () => await discard(fs, draft),
    };
  }

  async create(key: string, bytes: Uint8Array): Promise<boolean> {
    if (this.#newestVersion(key) !== undefined) return false;
    return await this.#link(key, 1, bytes);
  }

  async replace(key: string, bytes: Uint8Array, version: string): Promise<boolean> {
    const current = this.#newestVersion(key);
    if (current === undefined || String(current) !== version) return false;
    const next = current + 1;
    if (!(await this.#link(key, next, bytes))) return false;
    // One that was stopped since it looked may have taken a number that others have used and given up.
    if (this.#newestVersion(key) !== next) {
      await this.#unlink(this.#pathOf(key, next));
      return false;
    }
    for (const old of this.#versions(key)) if (old < current) await this.#unlink(this.#pathOf(key, old));
    return true;
  }

  async remove(key: string): Promise<void> {
    const path = join(this.name, key);
    // Where there is a first version there is at most one more. Looking for others takes a list of the directory.
    const versions = (await this.#unlink(path)) ? [2] : this.#versions(key);
    for (const version of versions) await this.#unlink(this.#pathOf(key, version));
    try {
      await this.#fs.syncDirectoryAsync(dirname(path));
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
  }

  async list(prefix: string, _after: string | undefined, _call: TargetCall): Promise<ListPage> {
    const folder = prefix.slice(0, prefix.lastIndexOf('/') + 1);
    const newest = new Map<string, { readonly version: number; readonly name: string }>();
    for (const name of this.#namesIn(join(this.name, folder))) {
      const { key, version } = parseVersion(folder + name);
      if (!key.startsWith(prefix) || (newest.get(key)?.version ?? 0) > version) continue;
      newest.set(key, { version, name });
    }
    const objects: ListedObject[] = [];
    for (const [key, { name }] of newest) {
      const stat = this.#fs.stat(join(this.name, folder, name));
      // Something else than a file matters only to who asks whether there is anything at all.
      if (stat === undefined || (stat.kind !== 'file' && prefix !== '')) continue;
      objects.push({ key, sizeBytes: stat.sizeBytes, modifiedMs: stat.modifiedMs });
    }
    return { objects, next: undefined };
  }

  /** Gives the bytes a name, unless it is taken. */
  async #link(key: string, version: number, bytes: Uint8Array): Promise<boolean> {
    const draft = await this.#draft(key);
    try {
      await writeFullyAsync(draft.file, bytes, 0);
      await draft.file.datasyncAsync();
      draft.file.close();
      const isOurs = await giveName(this.#fs, draft.path, this.#pathOf(key, version), bytes);
      await this.#fs.syncDirectoryAsync(dirname(draft.path));
      return isOurs;
    } finally {
      await discard(this.#fs, draft);
    }
  }

  async #draft(key: string): Promise<Draft> {
    const folder = dirname(join(this.name, key));
    const made = makeDirectories(this.#fs, folder);
    for (const directory of made) await this.#fs.syncDirectoryAsync(dirname(directory));
    const path = join(folder, `.${randomHex(6)}.tmp`);
    return { path, file: (await this.#fs.createExclusiveAsync?.(path)) ?? this.#fs.createExclusive(path) };
  }

  #pathOf(key: string, version: number): string {
    return join(this.name, version === 1 ? key : `${key}~${version}`);
  }

  #newestVersion(key: string): number | undefined {
    return this.#versions(key).at(-1);
  }

  /** Ascending. */
  #versions(key: string): number[] {
    const folder = key.slice(0, key.lastIndexOf('/') + 1);
    return this.#namesIn(join(this.name, folder))
      .map((name) => parseVersion(folder + name))
      .flatMap((found) => (found.key === key ? [found.version] : []))
      .sort((a, b) => a - b);
  }

  #namesIn(directory: string): string[] {
    try {
      return this.#fs.list(directory);
    } catch (error) {
      if (isMissing(error)) return [];
      throw error;
    }
  }

  /** false: it was not there. */
  async #unlink(path: string): Promise<boolean> {
    try {
      await this.#fs.unlinkAsync(path);
      return true;
    } catch (error) {
      if (isMissing(error)) return false;
      throw error;
    }
  }
}

/** A file that has no name of an object yet. */
interface Draft {
  readonly path: string;
  readonly file: StorageFile;
}

/** Never throws: a draft that stays is not seen by readers, and purge removes it. */
async function discard(fs: FileSystem, draft: Draft): Promise<void> {
  closeQuietly(draft.file);
  try {
    await fs.unlinkAsync(draft.path);
  } catch {
    // It has got its name, or the disk takes no more changes.
  }
}

/** False: the name is taken. */
async function giveName(fs: FileSystem, draft: string, path: string, bytes: Uint8Array): Promise<boolean> {
  try {
    if (fs.linkAsync === undefined)
      throw ioError('link', draft, Object.assign(new Error('no links'), { code: 'ENOTSUP' }));
    await fs.linkAsync(draft, path);
    return true;
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'EEXIST') return false;
    if (code !== 'ENOTSUP' && code !== 'EOPNOTSUPP' && code !== 'EPERM' && code !== 'ENOSYS') throw error;
    return await createWhole(fs, path, bytes);
  }
}

/**
 * Where there are no hard links (FAT, some network file systems): the file is made under its name. One that is cut short by a
 * crash has a name, then, and a checksum that does not match.
 */
async function createWhole(fs: FileSystem, path: string, bytes: Uint8Array): Promise<boolean> {
  let file: StorageFile;
  try {
    file = fs.createExclusive(path);
  } catch (error) {
    if (systemErrorCode(error) === 'EEXIST') return false;
    throw error;
  }
  try {
    await writeFullyAsync(file, bytes, 0);
    await file.datasyncAsync();
    file.close();
    return true;
  } catch (error) {
    await discard(fs, { path, file });
    throw error;
  }
}

/** What a file in the directory is a version of. */
function parseVersion(name: string): { readonly key: string; readonly version: number } {
  const match = /^(.+)~([2-9]|[1-9]\d{1,14})$/.exec(name);
  return match === null ? { key: name, version: 1 } : { key: match[1]!, version: Number(match[2]) };
}

async function openRead(fs: FileSystem, path: string): Promise<StorageFile> {
  return (await fs.openReadAsync?.(path)) ?? fs.openRead(path);
}

async function* chunksOf(file: StorageFile, start: number): AsyncGenerator<Uint8Array> {
  try {
    for (let position = start; ; ) {
      const bytes = Buffer.allocUnsafe(READ_BYTES);
      const count = await readFullyAsync(file, bytes, position);
      if (count > 0) yield bytes.subarray(0, count);
      if (count < bytes.length) return;
      position += count;
    }
  } finally {
    closeQuietly(file);
  }
}

function isMissing(error: unknown): boolean {
  return systemErrorCode(error) === 'ENOENT';
}
