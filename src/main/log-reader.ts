/**
 * Reads one log back: which of its bytes count, and whether the rest is the torn tail of a crash or damage.
 *
 *   1. the start record names the log before this one
 *   2. group records follow, back to back; the first bad one, at X, ends what counts
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

import { CorruptionError, StorageError } from '../shared/errors.ts';
import {
  LOG_FORMAT_VERSION,
  type LogStart,
  RECORD_HEADER_BYTES,
  RecordType,
  readRecord,
  readStart,
  START_PAYLOAD_BYTES,
} from '../shared/log-format.ts';
import { EntryWalk } from './entry-walk.ts';
import { RecordSearch } from './record-search.ts';

/** The unit in which a disk loses unwritten data. */
const PAGE_BYTES = 4096;
/** Fewer zero bytes than this in the middle of a page prove nothing. */
const MIN_HOLE_BYTES = 32;

/** The entries of one group record: bytes[start, end), `count` of them from `firstSequence` on. */
export interface RecoveredGroup {
  readonly start: number;
  readonly end: number;
  readonly count: number;
  readonly firstSequence: number;
}

export interface RecoveredLog {
  readonly path: string;
  readonly number: number;
  /** undefined: the log has no intact start record and nothing behind it: its first append was cut short. */
  readonly start: LogStart | undefined;
  readonly groups: readonly RecoveredGroup[];
  /** How many bytes from the front count. */
  readonly validBytes: number;
  /** Some record of this log was written after a completed sync of it. */
  readonly hasSyncEvidence: boolean;
}

/**
 * Reads the log in `bytes`; `limit`, where known, is its final length, and what follows is not looked at.
 * Throws CorruptionError for damage that no crash explains.
 */
export function readLog(
  bytes: Uint8Array,
  path: string,
  number: number,
  limit: number = bytes.length,
): RecoveredLog {
  const end = Math.min(limit, bytes.length);
  const first = readRecord(bytes, 0, end, number);
  if (first === undefined) {
    explainDamage(bytes, 0, end, number, path, Number.POSITIVE_INFINITY);
    return { path, number, start: undefined, groups: [], validBytes: 0, hasSyncEvidence: false };
  }
  if (first.type !== RecordType.Start || first.payloadLength < START_PAYLOAD_BYTES)
    throw new CorruptionError('the log does not begin with a start record', { file: path, offset: 0 });
  const start = readStart(bytes, RECORD_HEADER_BYTES);
  const { version } = start;
  if (version === 0)
    throw new CorruptionError('the log has no format version', { file: path, offset: RECORD_HEADER_BYTES });
  if (version > LOG_FORMAT_VERSION)
    throw new StorageError(
      'STRATA_UNSUPPORTED',
      `${path} has log format ${version}; this release reads ${LOG_FORMAT_VERSION}`,
      {
        file: path,
      },
    );
  if (start.logNumber !== number)
    throw new CorruptionError('the log says that it is another', {
      file: path,
      offset: RECORD_HEADER_BYTES + 4,
    });
  const groups: RecoveredGroup[] = [];
  const walk = new EntryWalk();
  let position = RECORD_HEADER_BYTES + first.payloadLength;
  let hasSyncEvidence = false;
  let nextSequence = first.firstSequence;
  for (;;) {
    const record = readRecord(bytes, position, end, number);
    if (record === undefined) break;
    const payload = position + RECORD_HEADER_BYTES;
    const next = payload + record.payloadLength;
    if (record.type !== RecordType.Group || record.firstSequence !== nextSequence)
      throw new CorruptionError('a log record is out of order', { file: path, offset: position });
    if (next === payload)
      throw new CorruptionError('a log record is empty', { file: path, offset: position });
    const count = walk.count(bytes, payload, next, path);
    groups.push({ start: payload, end: next, count, firstSequence: nextSequence });
    if (record.syncedUpTo > 0) hasSyncEvidence = true;
    nextSequence += count;
    position = next;
  }
  if (position < end) explainDamage(bytes, position, end, number, path, nextSequence);
  return { path, number, start, groups, validBytes: position, hasSyncEvidence };
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
