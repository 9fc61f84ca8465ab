/**
 * Reads one log back: which of its bytes count, and whether the rest is the torn tail of a crash or damage.
 *
 *   1. the start record names the log before this one
 *   2. group and note records follow, back to back; the first bad one, at X, ends what counts
 *   3. behind X, look for a later intact record of the same log:
 *        none                          torn tail: the crash cut the last append short
 *        one says "synced" beyond X    corruption: X was on the disk once
 *        a page of zeros in between    the power failed before that page was written: as a torn tail
 *        otherwise                     corruption: no crash leaves an intact record behind a damaged one
 *
 * A log whose final length is known (a clean close, or the next log's start record) has no tail to tear: the caller
 * compares `validBytes` with it.
 *
 * Invariants: reads only; recovery never changes a log, so it can be killed and run again.
 */

import { readU32, readU64 } from '../../shared/base/bytes.ts';
import { crc32 } from '../../shared/base/checksum.ts';
import { CorruptionError, StorageError } from '../../shared/base/errors.ts';
import {
  claimedEnd,
  claimedType,
  KNOWN_FLAGS,
  LOG_FORMAT_VERSION,
  type LogStart,
  NoteTag,
  RECORD_HEADER_BYTES,
  REQUIRED_NOTES,
  type RecordHeader,
  RecordType,
  readFirstSequence,
  readRecord,
  readStart,
  readSyncedUpTo,
  START_PAYLOAD_BYTES,
} from '../../shared/log/log-format.ts';
import { EntryWalk } from './entry-walk.ts';
import { RecordSearch } from './record-search.ts';

/** The unit in which a disk loses unwritten data. */
const PAGE_BYTES = 4096;
/** Fewer zero bytes than this in the middle of a page prove nothing. */
const MIN_HOLE_BYTES = 32;

/** What was found out about a log. A few numbers, however many records it has: a heap that wrote it can read it. */
export interface RecoveredLog {
  readonly path: string;
  readonly number: number;
  /** undefined: the log has no intact start record and nothing behind it: its first append was cut short. */
  readonly start: LogStart | undefined;
  /** Of the first entry, or of the next one to come; 0 without a start record. */
  readonly firstSequence: number;
  readonly entryCount: number;
  /** How many bytes from the front count. */
  readonly validBytes: number;
  /** Some record of this log was written after a completed sync of it. */
  readonly hasSyncEvidence: boolean;
  /** The latest time in the log, in milliseconds since 1970; 0: none. */
  readonly latestMs: number;
}

/** What is read of a file at once: small enough to be in the processor's cache still when it is judged. */
const LOAD_BYTES: number = 256 * 1024;

/**
 * Reads the log in `bytes`; `limit`, where known, is its final length, and what follows is not looked at.
 * `load`, where given, fills `bytes` up to a place and says how far they are filled: everything is when this returns.
 * Throws CorruptionError for damage that no crash explains, STRATA_UNSUPPORTED for what a later release has written.
 */
export function readLog(
  bytes: Uint8Array,
  path: string,
  number: number,
  limit: number = bytes.length,
  load: (upTo: number) => number = () => bytes.length,
): RecoveredLog {
  const end = Math.min(limit, bytes.length);
  let loaded = load(Math.min(end, LOAD_BYTES));
  if (end >= RECORD_HEADER_BYTES) loaded = load(Math.max(loaded, claimedEnd(bytes, 0, end)));
  const first = readRecord(bytes, 0, end, number);
  if (first === undefined) {
    load(bytes.length);
    explainDamage(bytes, 0, end, number, path, Number.POSITIVE_INFINITY);
    const nothing = { firstSequence: 0, entryCount: 0, validBytes: 0, hasSyncEvidence: false, latestMs: 0 };
    return { path, number, start: undefined, ...nothing };
  }
  const start = checkStart(bytes, first, path, number);
  const { firstSequence } = first;
  const walk = new EntryWalk();
  let position = RECORD_HEADER_BYTES + first.payloadLength;
  let hasSyncEvidence = false;
  let entryCount = 0;
  let latestMs = start.startedAtMs;
  // No object for any record: there may be millions.
  for (;;) {
    if (end - position < RECORD_HEADER_BYTES) break;
    if (position + RECORD_HEADER_BYTES > loaded) loaded = load(Math.min(end, position + LOAD_BYTES));
    const type = claimedType(bytes, position);
    const next = claimedEnd(bytes, position, end);
    if (type === 0 || next < 0) break;
    if (next > loaded) loaded = load(Math.min(end, Math.max(next, position + LOAD_BYTES)));
    if (readU32(bytes, position) !== crc32(bytes, position + 4, next, number)) break;
    checkRecord(bytes, position, next, firstSequence + entryCount, path);
    const payload = position + RECORD_HEADER_BYTES;
    if (type === RecordType.Group) entryCount += walk.count(bytes, payload, next, path);
    else latestMs = Math.max(latestMs, readNote(bytes, payload, next, path));
    if (readSyncedUpTo(bytes, position) > 0) hasSyncEvidence = true;
    position = next;
  }
  load(bytes.length);
  if (position < end) explainDamage(bytes, position, end, number, path, firstSequence + entryCount);
  return { path, number, start, firstSequence, entryCount, validBytes: position, hasSyncEvidence, latestMs };
}

/** The start record is intact: is it one, of this log, and in a format that this release knows? */
export function checkStart(bytes: Uint8Array, first: RecordHeader, path: string, number: number): LogStart {
  const damaged = (problem: string, offset: number): CorruptionError =>
    new CorruptionError(problem, { file: path, offset });
  // The version and the number come first in every format.
  if (first.type !== RecordType.Start || first.payloadLength < 8)
    throw damaged('the log does not begin with a start record', 0);
  const { version, logNumber, flags, epoch, startedAtMs } = readStart(bytes, RECORD_HEADER_BYTES);
  if (version === 0) throw damaged('the log has no format version', RECORD_HEADER_BYTES);
  if (version !== LOG_FORMAT_VERSION)
    throw unsupported(path, `log format ${version}; this release reads ${LOG_FORMAT_VERSION}`);
  if (first.payloadLength < START_PAYLOAD_BYTES)
    throw damaged('the start record is too short', RECORD_HEADER_BYTES);
  if ((flags & ~KNOWN_FLAGS) !== 0) throw unsupported(path, 'a log with flags of a later release');
  if (epoch < 0 || startedAtMs < 0)
    throw damaged('the start record has a number that is too large', RECORD_HEADER_BYTES);
  if (logNumber !== number) throw damaged('the log says that it is another', RECORD_HEADER_BYTES + 4);
  return readStart(bytes, RECORD_HEADER_BYTES);
}

function unsupported(path: string, what: string): StorageError {
  return new StorageError('STRATA_UNSUPPORTED', `${path} has ${what}`, { file: path });
}

/** The record at `position`, which is intact and ends at `next`, must be the one that is due. */
function checkRecord(bytes: Uint8Array, position: number, next: number, due: number, path: string): void {
  const type = claimedType(bytes, position);
  if (type > RecordType.Note)
    throw unsupported(path, `a log with records of type ${type}, of a later release`);
  if (type === RecordType.Start || readFirstSequence(bytes, position) !== due)
    throw new CorruptionError('a log record is out of order', { file: path, offset: position });
  if (next === position + RECORD_HEADER_BYTES)
    throw new CorruptionError('a log record is empty', { file: path, offset: position });
}

/** The time in a note record; 0: none. */
function readNote(bytes: Uint8Array, start: number, end: number, path: string): number {
  let time = 0;
  let position = start;
  while (position < end) {
    const tag = bytes[position]!;
    const field = position + 2;
    const next = position + 1 < end ? field + bytes[position + 1]! : end + 1;
    const isTime = tag === NoteTag.Time;
    if (isTime && next === field + 8) time = readU64(bytes, field);
    if (next > end || time < 0 || (isTime && next !== field + 8))
      throw new CorruptionError('a note in the log is malformed', { file: path, offset: position });
    if (tag >= REQUIRED_NOTES) throw unsupported(path, `a log with notes of kind ${tag}, of a later release`);
    position = next;
  }
  return time;
}

/**
 * Step 3: returns if a crash explains that no intact record stands at `position`, throws CorruptionError otherwise.
 * `nextSequence`: what a record at `position` would begin with; infinite where that is not known.
 */
function explainDamage(
  bytes: Uint8Array,
  position: number,
  end: number,
  number: number,
  path: string,
  nextSequence: number,
): void {
  const search = new RecordSearch(bytes, position, end, number);
  let nextRecord = -1;
  for (let found = search.next(position + 1); found !== undefined; ) {
    const { at, header } = found;
    // More writes than fit in between: part of a value, whose checksum matches by chance. In a gigabyte there may be one.
    if (header.firstSequence - nextSequence > at - position) {
      found = search.next(at + 1);
      continue;
    }
    if (header.syncedUpTo > position)
      throw new CorruptionError('the log is damaged in a part that had been synced', {
        file: path,
        offset: position,
      });
    if (nextRecord < 0) nextRecord = at;
    found = search.next(at + RECORD_HEADER_BYTES + header.payloadLength);
  }
  if (nextRecord >= 0 && !hasZeroPage(bytes, position, nextRecord, end))
    throw new CorruptionError('the log is damaged in the middle', { file: path, offset: position });
}

/**
 * Whether some page's part of bytes[start, end) is all zero, as a page that was never written reads. `fileEnd`: how long
 * the file was meant to be. A part that reaches the end of its page may be short: a sync may end just before it.
 */
export function hasZeroPage(
  bytes: Uint8Array,
  start: number,
  end: number,
  fileEnd: number = Number.POSITIVE_INFINITY,
): boolean {
  for (let page = start - (start % PAGE_BYTES); page < end; page += PAGE_BYTES) {
    const from = Math.max(page, start);
    const pageEnd = Math.min(page + PAGE_BYTES, fileEnd);
    const to = Math.min(pageEnd, end);
    let at = from;
    while (at < to && bytes[at] === 0) at++;
    if (at === to && (to === pageEnd || to - from >= MIN_HOLE_BYTES)) return true;
  }
  return false;
}
