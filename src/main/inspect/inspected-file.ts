/**
 * Opens one file of a store to be looked at, whoever owns the store: no lock is taken, and nothing is created or changed.
 *
 * A file of a store is written once, so what is read of a running store is right as far as it goes; the newest log and a table
 * with the ending `.new` may still grow.
 *
 * Thread: main.
 */
import { basename } from 'node:path';
import { StorageError, systemErrorCode } from '../../shared/base/errors.ts';
import { parseFileName, type StoreFile } from '../../shared/files/file-names.ts';
import type { FileSystem, StorageFile } from '../../shared/files/file-system.ts';

/** What was named is not what was asked for. The message says what was expected. */
export class WrongFile extends Error {
  override name = 'WrongFile';
}

/** What a command takes, in words, and the names of files that belong to another command. */
export interface Expected {
  /** 'a table (000013.sst)' */
  readonly what: string;
  readonly kinds: readonly StoreFile['kind'][];
}

/** Which command shows a file of this kind. */
const COMMAND_FOR: Readonly<Partial<Record<StoreFile['kind'], string>>> = {
  table: 'dump-table',
  'new-table': 'dump-table',
  log: 'dump-log',
  manifest: 'dump-manifest',
  'manifest-temporary': 'dump-manifest',
  page: 'dump-manifest',
  'new-page': 'dump-manifest',
};

/** The path without symbolic links, which may lead to a file from anywhere; and whether it is a directory. */
export function findPath(
  fs: FileSystem,
  path: string,
  what: string,
): { readonly path: string; readonly isDirectory: boolean } {
  const missing = (cause?: unknown): WrongFile =>
    new WrongFile(`${path} does not exist; expected ${what}`, { cause });
  let real: string;
  try {
    real = fs.realPath(path);
  } catch (error) {
    const code = systemErrorCode(error);
    throw code === 'ENOENT' || code === 'ENOTDIR' ? missing(error) : error;
  }
  const kind = fs.stat(real)?.kind;
  // A running store may have deleted it meanwhile.
  if (kind === undefined) throw missing();
  if (kind === 'other') throw new WrongFile(`${path} is not a regular file; expected ${what}`);
  return { path: real, isDirectory: kind === 'directory' };
}

export function openInspected(fs: FileSystem, path: string, { what, kinds }: Expected): StorageFile {
  const found = findPath(fs, path, what);
  if (found.isDirectory) throw new WrongFile(`${path} is a directory; expected ${what}`);
  const named = parseFileName(basename(found.path));
  const command = named === undefined || kinds.includes(named.kind) ? undefined : COMMAND_FOR[named.kind];
  if (command !== undefined)
    throw new WrongFile(`${path} is a file for ${command}, by its name; expected ${what}`);
  return fs.openRead(found.path);
}

/** The number in the name of a file of one of `kinds`, set aside by repair or not; undefined: it has another name. */
export function numberInName(path: string, kinds: readonly StoreFile['kind'][]): number | undefined {
  const named = parseFileName(basename(path));
  if (named === undefined || !('number' in named)) return undefined;
  return kinds.includes(named.kind === 'set-aside' ? named.of : named.kind) ? named.number : undefined;
}

/** What the disk or the format is to blame for, to be shown in its place; anything else is thrown on. */
export function faultOf(error: unknown): StorageError {
  if (error instanceof StorageError) return error;
  throw error;
}
