/**
 * Reads pages of changes from a log, of which so much is known to count.
 *
 *   place   offset of a record, the sequence that is due there, and the time that the log has told so far
 *   page    the records from there on that fit into PAGE_BYTES, one at least; as far as they are visible
 *
 * Every record is checked before anything of it is passed on: its checksum, its place in the order, each entry. What counts was
 * whole once, so whatever is wrong is damage, and named by file and offset.
 *
 * Memory: a page, or a record that is larger than one. The file is open only while it is read, so a consumer that is slow keeps
 *         neither descriptor nor disk space.
 * Thread: main. Waits for the disk outside of the call.
 */
import { readU32 } from '../../shared/base/bytes.ts';
import { crc32 } from '../../shared/base/checksum.ts';
import { CorruptionError } from '../../shared/base/errors.ts';
import { type ChangePage, PAGE_BYTES, PieceKind } from '../../shared/changes/change-page.ts';
import { readFullyAsync, type StorageFile } from '../../shared/files/file-system.ts';
import {
  claimedEnd,
  claimedType,
  entryEnd,
  entryKeyEnd,
  entryKeyStart,
  entryValueEnd,
  holdsWrites,
  RECORD_HEADER_BYTES,
  RecordType,
  readRecord,
} from '../../shared/log/log-format.ts';
import { EntryWalk } from '../open/entry-walk.ts';
import { checkRecord, checkStart, readNote } from '../open/log-reader.ts';

/** Where in a log. */
export interface LogPlace {
  /** Of a record. */
  readonly offset: number;
  /** The sequence that is due there. */
  readonly due: number;
  readonly timeMs: number;
}

export interface LogPart {
  readonly place: LogPlace;
  /** undefined: nothing from here on is visible yet, or the log ends. */
  readonly page: ChangePage | undefined;
  /** The sequence before the first one that is wanted lies within a batch: it is no place between two writes. */
  readonly isInside: boolean;
}

/** The log, as far as it counts. */
export interface LogOfChanges {
  readonly number: number;
  readonly sizeBytes: number;
  readonly firstSequence: number;
}

/** What is wanted: entries behind `after`, up to `visible`. */
export interface Wanted {
  readonly after: number;
  readonly visible: number;
}

/** Reads on from `place`; undefined: from the start of the log. */
export async function readLogPart(
  file: StorageFile,
  log: LogOfChanges,
  place: LogPlace | undefined,
  wanted: Wanted,
): Promise<LogPart> {
  const offset = place?.offset ?? 0;
  checkLength(file, log.sizeBytes);
  let bytes = await readPart(file, offset, Math.min(PAGE_BYTES, log.sizeBytes - offset));
  const needed = firstRecordBytes(bytes, offset, file.path, log.sizeBytes);
  if (needed > bytes.length) bytes = await readPart(file, offset, needed);
  const reader = new PartReader(bytes, offset, file.path, log, wanted);
  return reader.read(place);
}

/** It may have become shorter since it was measured. */
function checkLength(file: StorageFile, sizeBytes: number): void {
  const size = file.size();
  if (size < sizeBytes)
    throw new CorruptionError(`the log has ${size} bytes of ${sizeBytes}`, { file: file.path, offset: size });
}

async function readPart(file: StorageFile, offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(length);
  const count = await readFullyAsync(file, bytes, offset);
  if (count === length) return bytes;
  throw new CorruptionError('the log became shorter while it was read', {
    file: file.path,
    offset: offset + count,
  });
}

/** Of the record at `offset`, which is at the start of `bytes`; 0: the log ends there. */
function firstRecordBytes(bytes: Uint8Array, offset: number, file: string, sizeBytes: number): number {
  if (bytes.length === 0) return 0;
  const end = bytes.length < RECORD_HEADER_BYTES ? -1 : claimedEnd(bytes, 0, sizeBytes - offset);
  if (end < 0) throw damaged(file, offset);
  return end;
}

function damaged(file: string, offset: number): CorruptionError {
  return new CorruptionError('the log is damaged', { file, offset });
}

class PartReader {
  readonly #bytes: Uint8Array<ArrayBuffer>;
  /** Where bytes[0] is in the log. */
  readonly #base: number;
  readonly #path: string;
  readonly #log: LogOfChanges;
  readonly #wanted: Wanted;
  readonly #entries = new EntryWalk();
  readonly #pieces: number[] = [];
  #at = 0;
  #due = 0;
  #timeMs = 0;
  #isInside = false;

  constructor(bytes: Uint8Array<ArrayBuffer>, base: number, path: string, log: LogOfChanges, wanted: Wanted) {
    this.#bytes = bytes;
    this.#base = base;
    this.#path = path;
    this.#log = log;
    this.#wanted = wanted;
  }

  read(place: LogPlace | undefined): LogPart {
    if (place === undefined) this.#readStart();
    else {
      this.#due = place.due;
      this.#timeMs = place.timeMs;
      this.#beginInMiddle();
    }
    while (this.#readRecord());
    const [due, offset, timeMs] = [this.#due, this.#base + this.#at, this.#timeMs];
    const pieces = Float64Array.from(this.#pieces);
    return {
      place: { offset, due, timeMs },
      page: pieces.length === 0 ? undefined : { bytes: this.#bytes, pieces },
      isInside: this.#isInside,
    };
  }

  #readStart(): void {
    const { number } = this.#log;
    const record = readRecord(this.#bytes, 0, this.#bytes.length, number);
    if (record === undefined) throw damaged(this.#path, 0);
    const start = checkStart(this.#bytes, record, this.#path, number);
    if (record.firstSequence !== this.#log.firstSequence)
      throw new CorruptionError('the log begins with another sequence number', {
        file: this.#path,
        offset: 0,
      });
    this.#due = record.firstSequence;
    this.#timeMs = start.startedAtMs;
    this.#at = RECORD_HEADER_BYTES + record.payloadLength;
  }

  /** The ordinal of the first entry is taken at its word: those before it have not been counted. */
  #beginInMiddle(): void {
    const bytes = this.#bytes;
    let at = 0;
    while (at < bytes.length && !holdsWrites(claimedType(bytes, at))) {
      const next = bytes.length - at < RECORD_HEADER_BYTES ? -1 : claimedEnd(bytes, at, bytes.length);
      if (next < 0) return;
      at = next;
    }
    if (bytes.length - at > RECORD_HEADER_BYTES)
      this.#entries.beginAt(bytes, at + RECORD_HEADER_BYTES, this.#base);
  }

  /** false: the next one is not (all) there, or not visible yet. */
  #readRecord(): boolean {
    const bytes = this.#bytes;
    const at = this.#at;
    const left = this.#log.sizeBytes - this.#base;
    if (bytes.length - at < RECORD_HEADER_BYTES) {
      if (left - at > 0 && left - at < RECORD_HEADER_BYTES) throw damaged(this.#path, this.#base + at);
      return false;
    }
    const type = claimedType(bytes, at);
    const next = claimedEnd(bytes, at, left);
    if (type === 0 || next < 0) throw damaged(this.#path, this.#base + at);
    if (next > bytes.length) return false;
    if (readU32(bytes, at) !== crc32(bytes, at + 4, next, this.#log.number))
      throw damaged(this.#path, this.#base + at);
    checkRecord(bytes, at, next, this.#due, this.#path, this.#base);
    const payload = at + RECORD_HEADER_BYTES;
    if (!holdsWrites(type)) {
      this.#timeMs = Math.max(this.#timeMs, readNote(bytes, payload, next, this.#path, this.#base));
      this.#at = next;
      return true;
    }
    const count = this.#entries.count(bytes, payload, next, this.#path, this.#base);
    if (this.#due + count - 1 > this.#wanted.visible) return false;
    this.#addPiece(type, payload, next, count);
    this.#due += count;
    this.#at = next;
    return true;
  }

  #addPiece(type: number, start: number, end: number, count: number): void {
    const due = this.#due;
    const skipped = Math.max(0, this.#wanted.after + 1 - due);
    if (skipped >= count) return;
    const kind = type === RecordType.Batch ? PieceKind.Batch : PieceKind.Writes;
    let from = start;
    if (skipped > 0) {
      if (kind === PieceKind.Batch) this.#isInside = true;
      for (let i = 0; i < skipped; i++) from = endOfEntry(this.#bytes, from);
    }
    const piece = [kind, from, end, due + skipped, this.#timeMs];
    this.#pieces.push(...piece);
  }
}

/** Of an entry that has been checked. */
function endOfEntry(bytes: Uint8Array, ref: number): number {
  const keyEnd = entryKeyEnd(bytes, ref, entryKeyStart(bytes, ref));
  return entryEnd(ref, entryValueEnd(bytes, ref, keyEnd));
}
