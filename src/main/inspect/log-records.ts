/**
 * Single records of a log, read through a window; and what stands where no intact one does.
 *
 * Thread: main. Pure, but for reading.
 */
import { readU32, readU64 } from '../../shared/base/bytes.ts';
import { CorruptionError, StorageError } from '../../shared/base/errors.ts';
import {
  claimedType,
  type LogStart,
  MIN_START_PAYLOAD_BYTES,
  NoteTag,
  RECORD_HEADER_BYTES,
  REQUIRED_NOTES,
  type RecordHeader,
  readHeader,
  readStart,
  START_PAYLOAD_BYTES,
} from '../../shared/log/log-format.ts';
import { checkStart, hasZeroPage } from '../open/log-reader.ts';
import type { FileWindow } from './file-window.ts';

const CHECKSUM_BYTES = 4;
const SCAN_BYTES = 65536;

/** The header of the record at `at`, if it is intact and ends at or before `end`. */
export function readIntact(
  window: FileWindow,
  at: number,
  end: number,
  logNumber: number,
): RecordHeader | undefined {
  if (end - at < RECORD_HEADER_BYTES) return undefined;
  const from = window.show(at, RECORD_HEADER_BYTES);
  const { bytes } = window;
  const header = readHeader(bytes, from, logNumber);
  const checksum = readU32(bytes, from);
  const next = at + RECORD_HEADER_BYTES + header.payloadLength;
  if (claimedType(bytes, from) === 0 || next > end) return undefined;
  return window.checksum(at + CHECKSUM_BYTES, next, logNumber) === checksum ? header : undefined;
}

/**
 * The number that the log's records are sealed with: the one in its start record, if that is intact so, or the one in its name;
 * undefined: there is neither.
 */
export function findLogNumber(
  window: FileWindow,
  end: number,
  nameNumber: number | undefined,
): number | undefined {
  if (nameNumber !== undefined && readIntact(window, 0, end, nameNumber) !== undefined) return nameNumber;
  if (end < RECORD_HEADER_BYTES + MIN_START_PAYLOAD_BYTES) return nameNumber;
  const from = window.show(0, RECORD_HEADER_BYTES + MIN_START_PAYLOAD_BYTES);
  const own = readStart(window.bytes, from + RECORD_HEADER_BYTES).logNumber;
  return own > 0 && readIntact(window, 0, end, own) !== undefined ? own : nameNumber;
}

/** What the intact record at 0 says, which must be a start record that this release knows. */
export function readLogStart(window: FileWindow, header: RecordHeader, number: number): LogStart {
  const length = RECORD_HEADER_BYTES + Math.min(header.payloadLength, START_PAYLOAD_BYTES);
  const from = window.show(0, length);
  // What is too short is read as zeros, and refused.
  const record = new Uint8Array(RECORD_HEADER_BYTES + START_PAYLOAD_BYTES);
  record.set(window.bytes.subarray(from, from + length));
  return checkStart(record, header, window.path, number);
}

/** The time that the note record at `at` tells of; undefined: none. */
export function readNoteTime(window: FileWindow, at: number, header: RecordHeader): number | undefined {
  const start = at + RECORD_HEADER_BYTES;
  const end = start + header.payloadLength;
  let timeMs: number | undefined;
  for (let position = start; position < end; ) {
    const fail = (): never => {
      throw new CorruptionError('a note in the log is malformed', { file: window.path, offset: position });
    };
    if (end - position < 2) fail();
    const from = window.show(position, 2);
    const [tag, length] = [window.bytes[from]!, window.bytes[from + 1]!];
    if (position + 2 + length > end) fail();
    if (tag >= REQUIRED_NOTES)
      throw new StorageError(
        'STRATA_UNSUPPORTED',
        `${window.path} has a log with notes of kind ${tag}, of a later release`,
        { file: window.path },
      );
    if (tag === NoteTag.Time) {
      if (length !== 8) fail();
      timeMs = readU64(window.bytes, window.show(position + 2, 8));
      if (timeMs < 0) fail();
    }
    position += 2 + length;
  }
  return timeMs;
}

/** What [at, gapEnd) looks like, where no intact record stands at `at`; `end` is where the log ends. */
export function describeGap(window: FileWindow, at: number, gapEnd: number, end: number): string {
  if (isZero(window, at, gapEnd)) return 'zeros';
  if (end - at < RECORD_HEADER_BYTES) return 'a part of a header';
  const from = window.show(at, RECORD_HEADER_BYTES);
  const header = readHeader(window.bytes, from, 0);
  if (header.type === 0) return 'no record begins here';
  const bytes = RECORD_HEADER_BYTES + header.payloadLength;
  if (bytes > end - at) return `by its header a record of ${bytes} bytes, of which ${end - at} are there`;
  return `by its header a record of ${bytes} bytes, but its checksum does not match`;
}

/** Whether some page between the gap at `at` and the next record was never written: a crash explains the gap. */
export function hasLostPage(window: FileWindow, at: number, nextRecord: number, end: number): boolean {
  // Windows begin at the start of a page, and end at that of another one or with the gap.
  for (let start = at; start < nextRecord; ) {
    const page = start - (start % SCAN_BYTES);
    const stop = Math.min(page + SCAN_BYTES, nextRecord);
    const bytes = window.copy(page, stop);
    if (hasZeroPage(bytes, start - page, stop - page, end - page)) return true;
    start = stop;
  }
  return false;
}

function isZero(window: FileWindow, start: number, end: number): boolean {
  for (let at = start; at < end; at += SCAN_BYTES) {
    const length = Math.min(SCAN_BYTES, end - at);
    const from = window.show(at, length);
    for (let i = from; i < from + length; i++) if (window.bytes[i] !== 0) return false;
  }
  return true;
}
