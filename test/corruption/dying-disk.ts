/**
 * A disk in memory that dies at its n-th change: every later operation fails, and what was done until then stays.
 *
 * For code without threads: the count is kept in this module.
 */
import { ioError } from '../../src/shared/base/errors.ts';
import type { FileSystem, ModuleSpec, StorageFile } from '../../src/shared/files/file-system.ts';
import { createFileSystem as memoryDisk } from '../helpers/fault/memory-file-system.ts';

interface DyingDiskOptions {
  readonly under: { readonly id: number };
  readonly life: number;
}

const lives = new Map<number, { remaining: number }>();

/** `under` is the spec of a mounted memory disk. */
export function dyingDisk(
  under: ModuleSpec,
  changes: number,
): { readonly spec: ModuleSpec; readonly isDead: () => boolean } {
  const life = { remaining: changes };
  lives.set(lives.size, life);
  const options: DyingDiskOptions = { under: under.options as { id: number }, life: lives.size - 1 };
  return { spec: { module: import.meta.url, options }, isDead: () => life.remaining < 0 };
}

export function createFileSystem(options: DyingDiskOptions): FileSystem {
  const disk = memoryDisk(options.under);
  const life = lives.get(options.life)!;
  const change = (path: string): void => {
    if (life.remaining < 0 || life.remaining-- === 0) {
      life.remaining = -1;
      throw ioError('change', path, Object.assign(new Error('EIO: dead'), { code: 'EIO' }));
    }
  };
  return {
    spec: { module: import.meta.url, options },
    openRead: (path) => disk.openRead(path),
    createExclusive: (path) => {
      change(path);
      return dyingFile(disk.createExclusive(path), change);
    },
    rename: (from, to) => {
      change(from);
      disk.rename(from, to);
    },
    renameAsync: async (from, to) => {
      change(from);
      await disk.renameAsync(from, to);
    },
    unlink: (path) => {
      change(path);
      disk.unlink(path);
    },
    unlinkAsync: async (path) => {
      change(path);
      await disk.unlinkAsync(path);
    },
    makeDirectory: (path) => disk.makeDirectory(path),
    removeDirectory: (path) => disk.removeDirectory(path),
    list: (path) => disk.list(path),
    stat: (path) => disk.stat(path),
    realPath: (path) => disk.realPath(path),
    syncDirectory: (path) => change(path),
    syncDirectoryAsync: async (path) => change(path),
  };
}

function dyingFile(file: StorageFile, change: (path: string) => void): StorageFile {
  const { path } = file;
  return {
    path,
    readAt: (into, position) => file.readAt(into, position),
    writeAt: (bytes, position) => {
      change(path);
      return file.writeAt(bytes, position);
    },
    writeAtAsync: async (bytes, position) => {
      change(path);
      return await file.writeAtAsync(bytes, position);
    },
    datasync: () => change(path),
    datasyncAsync: async () => change(path),
    size: () => file.size(),
    close: () => file.close(),
  };
}
