/**
 * Databases of other engines, known by their files: no store of ours is made among them, and none of them is touched.
 *
 *   LevelDB, RocksDB   a file CURRENT that names a MANIFEST-; beside it RocksDB keeps IDENTITY and OPTIONS- files
 *   lmdb               a file data.mdb
 *   SQLite             a file, by the name of a database, that begins with "SQLite format 3" and a zero
 *
 * Invariants: reads only. Asked for a directory without a manifest of ours alone: a store that is there may have such neighbours.
 * Thread:     main.
 */
import { join } from 'node:path';
import { StorageError } from '../../shared/base/errors.ts';
import { type FileSystem, readFully } from '../../shared/files/file-system.ts';

const LEVELDB_POINTER = 'MANIFEST-';
const SQLITE_START = 'SQLite format 3\0';
const SQLITE_NAME = /\.(?:db3?|sqlite3?|sdb|s3db)$/i;
/** Of so many files by such a name the beginning is read. */
const MOST_LOOKS = 16;

/** Throws STRATA_UNSUPPORTED where another engine has its database. `names`: what is in the directory. */
export function refuseForeignEngine(fs: FileSystem, directory: string, names: readonly string[]): void {
  const found = findEngine(fs, directory, names);
  if (found === undefined) return;
  const { engine, name } = found;
  const advice =
    engine === 'LevelDB'
      ? `open another directory, and copy what is in this one with: stratakv --db DIR import-level ${directory}`
      : 'open another directory, and copy what is in this one with programs of that engine and `stratakv load`';
  throw new StorageError(
    'STRATA_UNSUPPORTED',
    `${directory} holds a database of ${engine} (${name}), which is no store of stratakv; nothing was changed: ${advice}`,
    { file: join(directory, name) },
  );
}

/** The same for a file in the place of the directory. */
export function refuseForeignFile(fs: FileSystem, path: string): void {
  if (startOf(fs, path, SQLITE_START.length) !== SQLITE_START) return;
  throw new StorageError(
    'STRATA_UNSUPPORTED',
    `${path} is a database of SQLite, and no directory of stratakv; nothing was changed: open another path`,
    { file: path },
  );
}

function findEngine(
  fs: FileSystem,
  directory: string,
  names: readonly string[],
): { readonly engine: string; readonly name: string } | undefined {
  const isFile = (name: string): boolean =>
    names.includes(name) && fs.stat(join(directory, name))?.kind === 'file';
  if (isFile('CURRENT') && startOf(fs, join(directory, 'CURRENT'), 9) === LEVELDB_POINTER) {
    const isRocks = names.some((name) => name === 'IDENTITY' || name.startsWith('OPTIONS-'));
    return { engine: isRocks ? 'RocksDB' : 'LevelDB', name: 'CURRENT' };
  }
  if (isFile('data.mdb')) return { engine: 'lmdb', name: 'data.mdb' };
  const name = names
    .filter((each) => SQLITE_NAME.test(each) && isFile(each))
    .slice(0, MOST_LOOKS)
    .find((each) => startOf(fs, join(directory, each), SQLITE_START.length) === SQLITE_START);
  return name === undefined ? undefined : { engine: 'SQLite', name };
}

/** The first `length` bytes, as text. */
function startOf(fs: FileSystem, path: string, length: number): string {
  const file = fs.openRead(path);
  try {
    const bytes = new Uint8Array(length);
    return Buffer.from(bytes.buffer, 0, readFully(file, bytes, 0)).toString('latin1');
  } finally {
    file.close();
  }
}
