/**
 * The files of a store that is read without a lock: an owner may come at any time, and change or delete them.
 *
 *   a file of the store is opened      then the manifest is looked at: while it is the one that was read, this is the file that
 *                                      it names, as an owner deletes a file, or makes another of its name, only after it has
 *                                      replaced the manifest
 *   the manifest is another one        STRATA_CLOSED: what is open can be read further, and nothing else
 *   a file is gone                     likewise; also where the files were moved into the directory of a newer epoch, with the
 *                                      old manifest left behind (epochs.ts)
 *
 * Invariants: what is read belongs to the manifest that was read, whatever becomes of the directory: also where the store is
 *             deleted and another one made in its place, with the same file names.
 * Thread:     any; the specification carries it to workers and clients.
 * Not chosen: all tables open from the start: 20,000 descriptors. A lock that readers share: a checkpoint on a read-only disk has
 *             none, and a reader that is stopped would keep the owner out.
 */
import { basename, dirname, join } from 'node:path';
import { StorageError, systemErrorCode } from '../base/errors.ts';
import { MANIFEST_NAME, parseFileName } from './file-names.ts';
import { type FileSystem, stampOf, type WatchedStore } from './file-system.ts';

/** `fs`, for a reader of the store. */
export function watchFiles(fs: FileSystem, watched: WatchedStore): FileSystem {
  const { openReadAsync, linkAsync } = fs;
  const isWatched = (path: string): boolean =>
    dirname(path) === watched.directory && isFileOfManifest(basename(path));
  return {
    ...fs,
    openRead: (path) => {
      if (!isWatched(path)) return fs.openRead(path);
      const file = judged(fs, watched, () => fs.openRead(path));
      if (!hasChanged(fs, watched)) return file;
      file.close();
      throw overtakenError(watched);
    },
    openReadAsync:
      openReadAsync &&
      (async (path) => {
        if (!isWatched(path)) return await openReadAsync(path);
        const opened = await openReadAsync(path).then(
          (file) => () => file,
          (error: unknown) => () => {
            throw error;
          },
        );
        const file = judged(fs, watched, opened);
        if (!hasChanged(fs, watched)) return file;
        file.close();
        throw overtakenError(watched);
      }),
    linkAsync:
      linkAsync &&
      (async (from, to) => {
        await linkAsync(from, to);
        if (!isWatched(from) || !hasChanged(fs, watched)) return;
        await fs.unlinkAsync(to);
        throw overtakenError(watched);
      }),
  };
}

function isFileOfManifest(name: string): boolean {
  const kind = parseFileName(name)?.kind;
  return kind === 'table' || kind === 'new-table' || kind === 'log' || kind === 'page';
}

/** What `open` returns. A file that is gone because an owner has come is no damage. */
function judged<T>(fs: FileSystem, watched: WatchedStore, open: () => T): T {
  try {
    return open();
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw error;
    if (hasChanged(fs, watched) || hasMoved(fs, watched)) throw overtakenError(watched);
    throw error;
  }
}

function hasChanged(fs: FileSystem, { directory, stamp }: WatchedStore): boolean {
  return stampOf(fs.stat(join(directory, MANIFEST_NAME))) !== stamp;
}

function hasMoved(fs: FileSystem, { root, epoch }: WatchedStore): boolean {
  return fs.list(root).some((name) => {
    const file = parseFileName(name);
    return file?.kind === 'epoch' && file.epoch > epoch;
  });
}

function overtakenError({ root }: WatchedStore): StorageError {
  return new StorageError(
    'STRATA_CLOSED',
    `the store in ${root} has changed since it was opened read-only: somebody has opened it for writing; open it again`,
  );
}
