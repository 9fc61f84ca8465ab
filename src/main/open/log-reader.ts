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
 * Steps 1 and 2 (walkLog) need only a piece of the log in memory at a time (log-window.ts), step 3 (readLog) all of it.
 *
 * Invariants: reads only; recovery never changes a log, so it can be killed and run again.
 */

import { readU32, readU64 } from '../../shared/base/bytes.ts';
import { crc32 } from '../../shared/base/checksum.ts';
import { CorruptionError, StorageError } from '../../shared/base/errors.ts';
import {
  claimedEnd,
  claimedType,
  holdsWrites,
  KNOWN_FLAGS,
  LAST_TYPE,
  LOG_FORMAT_VERSION,
  type LogStart,
  MIN_START_PAYLOAD_BYTES,
  NoteTag,
  RECORD_HEADER_BYTES,
  REQUIRED_NOTES,
  type RecordHeader,
  RecordType,
  readFirstSequence,
  readRecord,
  readStart,
  readSyncedUpTo,
} from '../../shared/log/log-format.ts';
import { EntryWalk } from './entry-walk.ts';
import { LogWindow } from './log-window.ts';
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

/** More than any entry has in front of its key and value. */
const MAX_ENTRY_HEADER_BYTES = 32;

/**
 * Reads the log in `bytes`; `limit`, where known, is its final length, and what follows is not looked at.
 * `load`, where given, fills the window up to what is wanted: everything is there when this returns.
 * Throws CorruptionError for damage that no crash explains, STRATA_UNSUPPORTED for what a later release has written.
 */
export function readLog(
  bytes: Uint8Array,
  path: string,
  number: number,
  limit: number = bytes.length,
  load?: (window: LogWindow) => void,
): RecoveredLog {
  const end = Math.min(limit, bytes.length);
  const window = LogWindow.whole(bytes, load === undefined);
  const walk = walkLog(window, path, number, end);
  let step = walk.next();
  for (; step.done !== true; step = walk.next()) load?.(window);
  const log = step.value;
  if (window.want(0, bytes.length)) load?.(window);
  const due = log.start === undefined ? Number.POSITIVE_INFINITY : log.firstSequence + log.entryCount;
  if (log.validBytes < end) explainDamage(bytes, log.validBytes, end, number, path, due);
  return log;
}

/** Where a walk over the records of a log is. */
class LogWalk {
  readonly window: LogWindow;
  readonly path: string;
  readonly number: number;
  readonly end: number;
  readonly entries = new EntryWalk();
  position = 0;
  firstSequence = 0;
  entryCount = 0;
  hasSyncEvidence = false;
  latestMs = 0;

  constructor(window: LogWindow, path: string, number: number, end: number) {
    this.window = window;
    this.path = path;
    this.number = number;
    this.end = end;
  }

  /** What was found out, of a log that begins with `start`. */
  found(start: LogStart | undefined): RecoveredLog {
    const { path, number, firstSequence, entryCount, position, hasSyncEvidence, latestMs } = this;
    return {
      path,
      number,
      start,
      firstSequence,
      entryCount,
      validBytes: position,
      hasSyncEvidence,
      latestMs,
    };
  }

  /**
   * Takes the records that are in the window, back to back: up to one that is not, or not all of it; false: up to one that is not
   * intact, or the end. No object for any of them: there may be millions.
   */
  takeLoaded(): boolean {
    const { window, number, path, entries } = this;
    const { bytes, base } = window;
    const end = this.end - base;
    const loaded = window.loadedUpTo - base;
    let at = this.position - base;
    let isIntact = true;
    for (;;) {
      isIntact = end - at >= RECORD_HEADER_BYTES;
      if (!isIntact || at + RECORD_HEADER_BYTES > loaded) break;
      const type = claimedType(bytes, at);
      const next = claimedEnd(bytes, at, end);
      isIntact = type !== 0 && next >= 0;
      if (!isIntact || next > loaded) break;
      isIntact = readU32(bytes, at) === crc32(bytes, at + 4, next, number);
      if (!isIntact) break;
      checkRecord(bytes, at, next, this.firstSequence + this.entryCount, path, base);
      const payload = at + RECORD_HEADER_BYTES;
      if (holdsWrites(type)) this.entryCount += entries.count(bytes, payload, next, path, base);
      else this.latestMs = Math.max(this.latestMs, readNote(bytes, payload, next, path, base));
      if (readSyncedUpTo(bytes, at) > 0) this.hasSyncEvidence = true;
      at = next;
    }
    this.position = base + at;
    return isIntact;
  }
}

/**
 * Steps 1 and 2: as far as the records of the log are intact and in order. What keeps those behind `validBytes` from being so is
 * left to readLog(). Stops wherever the window has to be filled.
 */
export function* walkLog(
  window: LogWindow,
  path: string,
  number: number,
  end: number,
): Generator<undefined, RecoveredLog> {
  const walk = new LogWalk(window, path, number, end);
  if (window.want(0, window.pieceEnd(0, end))) yield;
  const firstEnd = end < RECORD_HEADER_BYTES ? -1 : claimedEnd(window.bytes, 0, end);
  // A start record is short. One that claims to be longer than the window is none.
  if (firstEnd < 0 || !window.holds(0, firstEnd)) return walk.found(undefined);
  if (window.want(0, firstEnd)) yield;
  const first = readRecord(window.bytes, 0, firstEnd, number);
  if (first === undefined) return walk.found(undefined);
  const start = checkStart(window.bytes, first, path, number);
  walk.firstSequence = first.firstSequence;
  walk.latestMs = start.startedAtMs;
  walk.position = firstEnd;
  while (walk.takeLoaded()) {
    const { position } = walk;
    if (position + RECORD_HEADER_BYTES > window.loadedUpTo) {
      if (window.want(position, window.pieceEnd(position, end))) yield;
      continue;
    }
    const at = position - window.base;
    const next = claimedEnd(window.bytes, at, end - window.base) + window.base;
    if (window.holds(position, next)) {
      if (window.want(position, Math.max(next, window.pieceEnd(position, end)))) yield;
    } else {
      const isGroup = holdsWrites(claimedType(window.bytes, at));
      if (!isGroup || !(yield* walkLarge(walk, next))) break;
    }
  }
  return walk.found(start);
}

/** A group that is larger than the window, which ends at `next`: piece by piece, first its checksum, then its entries. */
function* walkLarge(walk: LogWalk, next: number): Generator<undefined, boolean> {
  const { window, position, path } = walk;
  const { bytes } = window;
  const expected = readU32(bytes, position - window.base);
  let sum = walk.number;
  for (let from = position + 4; from < next; ) {
    const to = window.pieceEnd(from, next);
    if (window.want(from, to)) yield;
    sum = crc32(bytes, from - window.base, to - window.base, sum);
    from = to;
  }
  if (sum !== expected) return false;
  if (window.want(position, window.pieceEnd(position, next))) yield;
  const { base } = window;
  checkRecord(bytes, position - base, next - base, walk.firstSequence + walk.entryCount, path, base);
  const isSynced = readSyncedUpTo(bytes, position - base) > 0;
  let count = 0;
  for (let from = position + RECORD_HEADER_BYTES; from < next; ) {
    if (window.want(from, window.pieceEnd(from, next))) yield;
    const at = window.base;
    const stop = window.loadedUpTo < next ? window.loadedUpTo - MAX_ENTRY_HEADER_BYTES : next;
    count += walk.entries.count(bytes, from - at, next - at, path, at, stop - at);
    from = walk.entries.position + at;
  }
  walk.entryCount += count;
  walk.hasSyncEvidence ||= isSynced;
  walk.position = next;
  return true;
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
  if (first.payloadLength < MIN_START_PAYLOAD_BYTES)
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

/** The record at `position`, which is intact and ends at `next`, must be the one that is due. bytes[0] is the log's at `base`. */
export function checkRecord(
  bytes: Uint8Array,
  position: number,
  next: number,
  due: number,
  path: string,
  base: number,
): void {
  const type = claimedType(bytes, position);
  if (type > LAST_TYPE) throw unsupported(path, `a log with records of type ${type}, of a later release`);
  if (type === RecordType.Start || readFirstSequence(bytes, position) !== due)
    throw new CorruptionError('a log record is out of order', { file: path, offset: base + position });
  if (next === position + RECORD_HEADER_BYTES)
    throw new CorruptionError('a log record is empty', { file: path, offset: base + position });
}

/** The time in a note record; 0: none. */
export function readNote(bytes: Uint8Array, start: number, end: number, path: string, base: number): number {
  let time = 0;
  let position = start;
  while (position < end) {
    const tag = bytes[position]!;
    const field = position + 2;
    const next = position + 1 < end ? field + bytes[position + 1]! : end + 1;
    const isTime = tag === NoteTag.Time;
    if (isTime && next === field + 8) time = readU64(bytes, field);
    if (next > end || time < 0 || (isTime && next !== field + 8))
      throw new CorruptionError('a note in the log is malformed', { file: path, offset: base + position });
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
