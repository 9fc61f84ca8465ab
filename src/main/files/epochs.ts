/**
 * Where the files of a store are, and how an owner that may come back is kept away from them.
 *
 *   epoch 0      the store's directory itself: every store begins there, and most stay
 *   epoch n      its subdirectory epoch-00000n, once n owners on other hosts have been superseded (foreign-owner.ts)
 *
 * An owner that was paused when it was taken for dead may go on at any time, between any two of its steps. It has its own names
 * in mind: those of its epoch. So the new owner moves everything into the directory of the next one:
 *
 *   1. read the manifest of the old epoch; make the directory of the new one
 *   2. rename every table, page and log into it: from now on the old owner can't delete or replace them. What it still writes to
 *      a log that it has open lies behind the bytes that the new owner counts (recovery.ts)
 *   3. is the old manifest still the same? Otherwise the old owner has gone on, and published before step 2 was over: again
 *   4. write the manifest into the new directory: from here on the new epoch is the store
 *
 * Invariants: the highest epoch with a manifest is the store. Killed at any point, the next open does the rest: a directory
 *             without a manifest is an unfinished move. What the old owner leaves behind is never read and never deleted.
 * Thread:     main.
 * Not chosen: checks before each rename and unlink of the old owner: it can be paused between check and act. Names with the epoch
 *             in them, beside each other in one directory: every path in workers and clients would have to carry it.
 */
import { join } from 'node:path';
import { CorruptionError, systemErrorCode } from '../../shared/base/errors.ts';
import { epochName, MANIFEST_NAME, parseFileName, type StoreFile } from '../../shared/files/file-names.ts';
import type { FileSystem } from '../../shared/files/file-system.ts';
import { loadManifest, publishManifest, readRoot, stageManifest } from '../manifest/manifest.ts';

/** Files of a store that go along; what else there is belongs to an owner, or is a leftover. */
const MOVED: ReadonlySet<StoreFile['kind']> = new Set(['table', 'new-table', 'page', 'new-page', 'log']);
/** So often an old owner may publish a manifest while its files are being moved. */
const MOVE_ATTEMPTS = 10;

export interface Epoch {
  readonly number: number;
  /** Where its files are. */
  readonly directory: string;
}

export interface Epochs {
  readonly current: Epoch;
  /** To be finished by the next owner. */
  readonly unfinishedMove: number | undefined;
}

function epochOf(root: string, number: number): Epoch {
  return { number, directory: number === 0 ? root : join(root, epochName(number)) };
}

/** Which epoch is the store. Reads only. */
export function findEpochs(fs: FileSystem, root: string): Epochs {
  const numbers = fs
    .list(root)
    .map(parseFileName)
    .flatMap((file) => (file?.kind === 'epoch' ? [file.epoch] : []))
    .filter((number) => fs.stat(epochOf(root, number).directory)?.kind === 'directory')
    .sort((a, b) => b - a);
  const withManifest = numbers.find(
    (number) => fs.stat(join(epochOf(root, number).directory, MANIFEST_NAME)) !== undefined,
  );
  const current = epochOf(root, withManifest ?? 0);
  const highest = numbers[0] ?? 0;
  return { current, unfinishedMove: highest > current.number ? highest : undefined };
}

/** The directories of all epochs, the store's own last. */
export function allEpochs(fs: FileSystem, root: string): string[] {
  const names = fs.list(root).filter((name) => parseFileName(name)?.kind === 'epoch');
  const directories = names.map((name) => join(root, name));
  return [...directories.filter((path) => fs.stat(path)?.kind === 'directory'), root];
}

/**
 * Moves the store to its next epoch, whose directory `hold` lets it reach safely. Requires: the locks of this kernel are held.
 * @throws {@link CorruptionError} when the manifest is damaged; nothing has been moved then.
 */
export async function beginEpoch(
  rootFiles: FileSystem,
  storeRoot: string,
  { current, unfinishedMove }: Epochs,
  hold: (directory: string) => FileSystem,
): Promise<Epoch> {
  const next = epochOf(storeRoot, unfinishedMove ?? current.number + 1);
  for (let attempt = 0; attempt < MOVE_ATTEMPTS; attempt++) {
    const root = readRoot(rootFiles, current.directory);
    if (!isSound(rootFiles, current.directory, next.directory, root)) continue;
    rootFiles.makeDirectory(next.directory);
    const fs = hold(next.directory);
    moveFiles(fs, current.directory, next.directory);
    if (!isSame(root, readRoot(fs, current.directory))) continue;
    if (root !== undefined) {
      await stageManifest(fs, next.directory, root);
      await publishManifest(fs, next.directory);
    }
    await fs.syncDirectoryAsync(storeRoot);
    return next;
  }
  throw new CorruptionError('another owner goes on writing to this store', {
    file: join(current.directory, MANIFEST_NAME),
  });
}

function moveFiles(fs: FileSystem, from: string, to: string): void {
  for (const name of fs.list(from)) {
    const kind = parseFileName(name)?.kind;
    if (kind === undefined || !MOVED.has(kind)) continue;
    if (fs.stat(join(from, name))?.kind !== 'file') continue;
    try {
      fs.rename(join(from, name), join(to, name));
    } catch (error) {
      // The old owner was quicker, and had a manifest without it in force: that is found out next.
      if (systemErrorCode(error) !== 'ENOENT') throw error;
    }
  }
}

/**
 * Whether the manifest `root`, some of whose pages may have been moved already, is in order. false: the old owner has replaced it
 * meanwhile, and deleted pages of it.
 */
function isSound(fs: FileSystem, from: string, to: string, root: Uint8Array | undefined): boolean {
  try {
    loadManifest(fs, from, to);
    return true;
  } catch (error) {
    if (error instanceof CorruptionError && !isSame(root, readRoot(fs, from))) return false;
    throw error;
  }
}

function isSame(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return Buffer.from(a).equals(b);
}
