/**
 * What distinguishes an obsolete file of this store from another one with its name: before a file is deleted because a manifest
 * lists its number, it must be the file that was meant. The manifest may be another store's, or that of a copy that has gone its
 * own way.
 *
 *   table    (or page) size, and the checksum of the whole file: as it was synced before a manifest named it, it is all there
 *   log      the checksum of its first group of writes. A power cut may have left less of it: without an intact start, or without
 *            that group, there is nothing in the file that could be missed
 *
 * Thread: main. Reads only.
 */
import { readU32 } from '../../shared/base/bytes.ts';
import { crc32 } from '../../shared/base/checksum.ts';
import { type FileNumber, fileNumber } from '../../shared/base/ids.ts';
import { logPath } from '../../shared/files/file-names.ts';
import { type FileSystem, readFully, type StorageFile } from '../../shared/files/file-system.ts';
import {
  claimedEnd,
  claimedType,
  RECORD_HEADER_BYTES,
  RecordType,
  readRecord,
} from '../../shared/log/log-format.ts';
import type { ObsoleteLog, ObsoleteTable } from '../manifest/manifest-state.ts';

const PART_BYTES: number = 1024 * 1024;

/** More than a start record and the notes before the first group have. */
const SEARCHED_BYTES = 1024;

/** The checksum of the first group in `bytes`, the start of a log; 0: there is none. */
export function firstGroupIn(bytes: Uint8Array): number {
  for (let at = 0; bytes.length - at >= RECORD_HEADER_BYTES; ) {
    const type = claimedType(bytes, at);
    if (type === 0) return 0;
    if (type !== RecordType.Start && type !== RecordType.Note) return readU32(bytes, at);
    const next = claimedEnd(bytes, at, bytes.length);
    if (next < 0) return 0;
    at = next;
  }
  return 0;
}

/** The same of a file; 0 as well when the log does not begin as one. */
export function firstGroupOf(fs: FileSystem, directory: string, number: FileNumber): number {
  const file = fs.openRead(logPath(directory, number));
  try {
    const start = new Uint8Array(SEARCHED_BYTES);
    const bytes = start.subarray(0, readFully(file, start, 0));
    const isLog = readRecord(bytes, 0, bytes.length, number)?.type === RecordType.Start;
    return isLog ? firstGroupIn(bytes) : 0;
  } finally {
    file.close();
  }
}

/** Whether the file with this log's name may be deleted for it. */
export function isThisLog(fs: FileSystem, directory: string, { number, firstGroup }: ObsoleteLog): boolean {
  const found = firstGroupOf(fs, directory, fileNumber(number));
  return found === 0 || found === firstGroup;
}

/** What the file at `path` is known by. */
export function identityOfFile(fs: FileSystem, path: string): Omit<ObsoleteTable, 'number'> {
  const file = fs.openRead(path);
  try {
    const sizeBytes = file.size();
    const checksum = checksumOf(file, sizeBytes);
    return { sizeBytes, checksum: checksum ?? 0 };
  } finally {
    file.close();
  }
}

/** Whether the file at `path`, which has the name of this table or page, is this one. */
export function isThisFile(fs: FileSystem, path: string, { sizeBytes, checksum }: ObsoleteTable): boolean {
  const file = fs.openRead(path);
  try {
    return file.size() === sizeBytes && checksumOf(file, sizeBytes) === checksum;
  } finally {
    file.close();
  }
}

/** Of the whole file; undefined: it ends before `sizeBytes`. */
function checksumOf(file: StorageFile, sizeBytes: number): number | undefined {
  const part = new Uint8Array(Math.min(PART_BYTES, sizeBytes));
  let sum = 0;
  for (let position = 0; position < sizeBytes; ) {
    const length = readFully(file, part, position);
    if (length === 0) return undefined;
    sum = crc32(part, 0, length, sum);
    position += length;
  }
  return sum;
}
