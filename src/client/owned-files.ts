/**
 * The owner's files from a client's thread.
 *
 * Where the owner reaches its directory through a descriptor (directory-anchor.ts), a client opens one of its own: the owner may
 * be terminated at any moment, and its descriptor's number be another directory's before the client hears of it.
 *
 * Thread: the client's.     Owns: its descriptors of the directories.
 */
import { StorageError } from '../shared/base/errors.ts';
import type { FileSystem, FileSystemSpec } from '../shared/files/file-system.ts';
import { type HeldDirectory, holdAgain } from '../shared/files/lock-files.ts';
import { createNodeFileSystem, loadFileSystem } from '../shared/files/node-file-system.ts';

export interface OwnedFiles {
  readonly fs: FileSystem;
  /** Nothing is reached through `fs` any more. */
  release(): void;
}

/** @throws {@link StorageError} STRATA_CLOSED when the owner has closed its directory by now. */
export async function openOwnedFiles(spec: FileSystemSpec | undefined): Promise<OwnedFiles> {
  if (spec === undefined || !('anchors' in spec))
    return { fs: await loadFileSystem(spec), release: () => undefined };
  const held: HeldDirectory[] = [];
  const release = (): void => {
    for (const directory of held) directory.close();
  };
  for (const anchor of spec.anchors) {
    const again = holdAgain(anchor);
    if (again === undefined) {
      release();
      throw new StorageError('STRATA_CLOSED', 'the store is closed');
    }
    held.push(again);
  }
  const anchors = held.flatMap(({ anchor }) => anchor ?? []);
  return { fs: createNodeFileSystem(anchors, spec.watched), release };
}

/** Reads that fail once the store is closed say so: its files may be deleted by the next owner, and that is no damage. */
export function readsWhileOpen(
  fs: FileSystem,
  checkOpen: () => void,
): Pick<FileSystem, 'openRead' | 'openReadAsync'> {
  const openLater = fs.openReadAsync;
  return {
    openRead: (path) => {
      try {
        return fs.openRead(path);
      } catch (error) {
        checkOpen();
        throw error;
      }
    },
    openReadAsync:
      openLater &&
      (async (path) => {
        try {
          return await openLater(path);
        } catch (error) {
          checkOpen();
          throw error;
        }
      }),
  };
}
