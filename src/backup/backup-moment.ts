/**
 * What of a captured moment a backup consists of: its tables, and of a store that is open for reading the logs that it was
 * recovered from.
 *
 * Not chosen: what the store keeps for changes() as well. It may be many times the store, and a restored store goes on with a
 *             history of its own; whoever wants the past has an archive.
 *
 * Thread: main.
 */

import type { Capture, CapturedFile } from '../main/copy/capture.ts';
import { encodeManifest, type ManifestState } from '../main/manifest/manifest.ts';
import { crc32 } from '../shared/base/checksum.ts';
import { CorruptionError } from '../shared/base/errors.ts';
import { closeQuietly, type FileSystem, readFullyAsync } from '../shared/files/file-system.ts';
import type { SourceFile } from './upload-files.ts';

const PART_BYTES: number = 1024 * 1024;

/** A moment as it is backed up. */
export interface BackupMoment {
  readonly files: readonly SourceFile[];
  readonly state: ManifestState;
  /** The text of manifest.json. */
  readonly manifest: string;
}

export async function momentOf(fs: FileSystem, capture: Capture): Promise<BackupMoment> {
  const state: ManifestState = { ...capture.state, keptLogs: [], keptLoads: [], keptTables: [] };
  const needed = new Set<number>();
  for (const { number } of [...state.levels.flat(), ...state.sealedLogs]) needed.add(number);
  const files: SourceFile[] = [];
  for (const file of capture.files)
    if (needed.has(file.number))
      files.push({ ...file, checksum: file.checksum ?? (await checksumOf(fs, file)) });
  return { files, state, manifest: Buffer.from(encodeManifest(state)).toString('utf8') };
}

/** Of a log nobody knows it before it was read. */
async function checksumOf(fs: FileSystem, { path, sizeBytes }: CapturedFile): Promise<number> {
  const file = (await fs.openReadAsync?.(path)) ?? fs.openRead(path);
  try {
    const part = new Uint8Array(Math.min(PART_BYTES, sizeBytes));
    let sum = 0;
    for (let position = 0; position < sizeBytes; position += part.length) {
      const wanted = part.subarray(0, Math.min(part.length, sizeBytes - position));
      const count = await readFullyAsync(file, wanted, position);
      const offset = position + count;
      if (count < wanted.length)
        throw new CorruptionError('the log is shorter than it was', { file: path, offset });
      sum = crc32(wanted, 0, count, sum);
    }
    return sum;
  } finally {
    closeQuietly(file);
  }
}
