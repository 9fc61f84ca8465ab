/**
 * A file of a store under another directory: as a hard link, or as a copy where there can be none.
 *
 *   link      another file system, one without links, too many links, not permitted: whatever the reason, it is copied, and what
 *             keeps it from being copied is the error
 *   copy      a part at a time, checked against the checksum that the manifest has of it, synced
 *
 * Invariants: what a copy has is what the manifest says, or it fails with a CorruptionError. A link shares the file, which never
 *             changes. The directory is not synced.
 * Thread:     main; waits for the disk outside of the call.
 */
import { crc32 } from '../../shared/base/checksum.ts';
import { CorruptionError } from '../../shared/base/errors.ts';
import {
  closeQuietly,
  type FileSystem,
  readFullyAsync,
  type StorageFile,
  writeFullyAsync,
} from '../../shared/files/file-system.ts';

/** Read and written at a time. */
const PART_BYTES: number = 1024 * 1024;

/** What is to be under the other directory. */
export interface SourceFile {
  readonly path: string;
  /** The bytes from the start that count. */
  readonly sizeBytes: number;
  /** CRC-32 of these, if that is known. */
  readonly checksum: number | undefined;
  /** All of it has been synced: a link is as durable as its directory. */
  readonly isSynced: boolean;
}

/** Returns whether it is a link. `check` is called between parts, and what it throws ends the copy. */
export async function linkOrCopy(
  fs: FileSystem,
  source: SourceFile,
  target: string,
  check: () => void,
): Promise<boolean> {
  if (await tryLink(fs, source, target)) return true;
  const { path, sizeBytes, checksum } = source;
  const from = await openToRead(fs, path);
  try {
    const to = (await fs.createExclusiveAsync?.(target)) ?? fs.createExclusive(target);
    try {
      const found = await readParts(from, sizeBytes, async (part, position) => {
        check();
        await writeFullyAsync(to, part, position);
      });
      if (checksum !== undefined && found !== checksum)
        throw new CorruptionError('the file is not the one that the manifest names', { file: path });
      await to.datasyncAsync();
    } finally {
      closeQuietly(to);
    }
  } finally {
    closeQuietly(from);
  }
  return false;
}

/** Only a file that is the copy's as a whole, and on the disk, can be shared. */
async function tryLink(
  fs: FileSystem,
  { path, sizeBytes, isSynced }: SourceFile,
  target: string,
): Promise<boolean> {
  if (!isSynced) return false;
  const found = fs.stat(path);
  if (fs.linkAsync === undefined || found?.kind !== 'file' || found.sizeBytes !== sizeBytes) return false;
  try {
    await fs.linkAsync(path, target);
    return true;
  } catch {
    // The error of the copy that is tried next says more.
    return false;
  }
}

async function openToRead(fs: FileSystem, path: string): Promise<StorageFile> {
  return (await fs.openReadAsync?.(path)) ?? fs.openRead(path);
}

/** Returns the checksum of the first `sizeBytes` of the file. `use` gets memory that the next part is read into. */
async function readParts(
  file: StorageFile,
  sizeBytes: number,
  use: (part: Uint8Array, position: number) => Promise<void>,
): Promise<number> {
  const memory = new Uint8Array(Math.min(PART_BYTES, sizeBytes));
  let sum = 0;
  for (let position = 0; position < sizeBytes; position += memory.length) {
    const part = memory.subarray(0, Math.min(memory.length, sizeBytes - position));
    const length = await readFullyAsync(file, part, position);
    if (length < part.length)
      throw new CorruptionError(`the file ends before byte ${sizeBytes}`, {
        file: file.path,
        offset: position + length,
      });
    sum = crc32(part, 0, length, sum);
    await use(part, position);
  }
  return sum;
}
