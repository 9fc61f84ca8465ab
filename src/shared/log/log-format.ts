/**
 * The write-ahead log's bytes, which are also the memtable's data (memtable/arena.ts) and the inside of a WriteBatch.
 *
 *   log    = start-record (group-record | batch-record | note-record)*
 *   record = header payload
 *
 *   header  0  crc32 u32            over everything behind it: header bytes 4..18 and the payload. It goes on from the number
 *                                   of the log, so that no record of one log is intact in another
 *           4  first sequence       53 bits: of the first entry in the payload, or of the next one to come
 *          10  type                 the upper 3 bits of this byte: 1 start, 2 group, 3 note, 4 batch; never 0, so that zeroed
 *                                   space can't pass for a record
 *          11  synced up to u32     the file offset that the last completed fdatasync covered when this was written
 *          15  payload length u32
 *
 *   start payload = format version u32 | log number u32 | previous log u32 (0 = none) | previous log's final length u32
 *                 | how much of the previous log was durable then u32 | flags u32 | owner's epoch u64
 *                 | when the log began, in milliseconds since 1970, u64
 *                 | id of the opening in which it was written, 8 bytes (changes/history.ts; absent or 0: none was drawn)
 *                 | bytes to be ignored
 *   group payload = entry+         writes of one entry each, which come into the log together
 *   batch payload = entry+         one write: a WriteBatch, or what a transaction wrote. (Releases that drew no ids put batches
 *                                  into groups, where nothing says where one begins)
 *   note payload  = field*         what is known of the groups that follow
 *   field         = tag u8 | length u8 | bytes
 *
 *   entry   0  tag u8               lowest bit of the kind (EntryKind) | ordinal << 1
 *           1  key length varint | value length varint | key | value | zeros up to 8 bytes in all
 *              keys are at most 2^16 + 1 bytes long, so the bits of a key length from 2^17 on are free: they hold the kind's
 *              upper bits. Only the slow path of a reader, for lengths from 128 on, has to look at them
 *
 * The log is cut, in thought, into buckets of 1024 bytes. The *ordinal* of an entry is how many entries before it start in
 * its bucket: at most 127, as an entry takes 8 bytes or more, so 7 bits do. In the arena, whose data starts at a multiple of
 * 1024, the ordinal and the sequence of the first entry of the bucket make the entry's sequence (memtable/arena.ts); a
 * reader of the log knows it anyway, and checks the ordinal.
 *
 * "Synced up to" distinguishes a torn tail from damage: bytes below an offset that some later record calls synced were on the
 * disk, so damage there is corruption, never a crash (Pebble's WAL sync offset). All numbers are little-endian.
 *
 * What may come without a new format version, so that a release that does not know it says so instead of calling it damage:
 *
 *   flags          a bit each for what a reader must know to read on; none is given yet
 *   type 5..7      further records; likewise
 *   note fields    tag 1, time u64: nothing that follows was written before it. Others below 128 may be skipped by who does
 *                  not know them; from 128 on they must be known
 *   further kinds  from 4 on
 *
 * Invariants: a log is write-once. Sequences in a log are consecutive.
 * Not chosen: a sequence in each entry: 4 bytes of every 120 written. Smaller buckets, and no least size: their sequences take
 *             four times the memory, and a walk over a memtable a fifth more time, for want of room in the cache. First sequences
 *             relative to the log's: the records of a log whose start is damaged could not be placed any more.
 */
import { assert } from '../base/assert.ts';
import { readU32, readU64, writeU32, writeU64 } from '../base/bytes.ts';
import { crc32 } from '../base/checksum.ts';

export const LOG_FORMAT_VERSION = 2;
export const RECORD_HEADER_BYTES = 19;
export const START_PAYLOAD_BYTES = 48;
/** Of a start record at least: those of releases that drew no ids end here. */
export const MIN_START_PAYLOAD_BYTES = 40;
export const START_RECORD_BYTES: number = RECORD_HEADER_BYTES + START_PAYLOAD_BYTES;

/** On disk. Never renumber. */
export const RecordType = { Start: 1, Group: 2, Note: 3, Batch: 4 } as const;
/** No record of this release has a higher type. */
export const LAST_TYPE: number = RecordType.Batch;
/** Bits of a start record's flags that this release knows. */
export const KNOWN_FLAGS = 0;
/** What a key length is below; above it are the upper bits of the kind. */
export const KIND_SCALE: number = 2 ** 17;
/** The end of what three bytes of a varint hold. */
export const KIND_END: number = 2 ** 21;
export const NoteTag = { Time: 1 } as const;
/** A note record that says what time it is. */
export const TIME_NOTE_BYTES: number = RECORD_HEADER_BYTES + 10;
/** Note fields from this tag on must be known. */
export const REQUIRED_NOTES = 128;

/** The tag. */
export const ENTRY_PREFIX_BYTES = 1;
/** Ordinals count within 2^10 bytes. */
export const BUCKET_SHIFT = 10;
/** Least size of an entry: no more of them start in a bucket than 7 bits can number. */
export const MIN_ENTRY_BYTES = 8;

/** What sequences have beyond a word, and types above them. */
const HIGH_BITS = 21;
const HIGH_MASK: number = 2 ** HIGH_BITS - 1;

/** Where the key of the entry at `ref` starts: behind two varints of at most 3 (64 KiB) and 5 bytes. */
export function entryKeyStart(bytes: Uint8Array, ref: number): number {
  let position = ref + ENTRY_PREFIX_BYTES;
  while (bytes[position++]! >= 128);
  while (bytes[position++]! >= 128);
  return position;
}

/** Where the key of the entry at `ref` ends, given where it starts. */
export function entryKeyEnd(bytes: Uint8Array, ref: number, keyStart: number): number {
  const first = bytes[ref + ENTRY_PREFIX_BYTES]!;
  if (first < 128) return keyStart + first;
  const second = bytes[ref + ENTRY_PREFIX_BYTES + 1]!;
  const low = (first & 0x7f) | ((second & 0x7f) << 7);
  return keyStart + (second < 128 ? low : low | ((bytes[ref + ENTRY_PREFIX_BYTES + 2]! & 0x07) << 14));
}

/** The kind of the entry at `ref`. */
export function entryKind(bytes: Uint8Array, ref: number): number {
  const lengths = ref + ENTRY_PREFIX_BYTES;
  const low = bytes[ref]! & 1;
  return bytes[lengths]! < 128 || bytes[lengths + 1]! < 128 ? low : low | ((bytes[lengths + 2]! >>> 3) << 1);
}

/** Where the entry at `ref` ends, given where its value ends. */
export function entryEnd(ref: number, valueEnd: number): number {
  return valueEnd < ref + MIN_ENTRY_BYTES ? ref + MIN_ENTRY_BYTES : valueEnd;
}

/** Where the value of the entry ends, given where its key ends. */
export function entryValueEnd(bytes: Uint8Array, ref: number, keyEnd: number): number {
  let position = ref + ENTRY_PREFIX_BYTES;
  while (bytes[position++]! >= 128);
  let length = 0;
  let scale = 1;
  for (;;) {
    const byte = bytes[position++]!;
    length += (byte & 0x7f) * scale;
    if (byte < 128) return keyEnd + length;
    scale *= 128;
  }
}

/** The payload of a start record. */
export interface LogStart {
  readonly version: number;
  readonly logNumber: number;
  /** 0: none. */
  readonly previousLog: number;
  readonly previousBytes: number;
  /** How much of the previous log was durable when this one began. */
  readonly previousSynced: number;
  readonly flags: number;
  /** The opening of the store in which the log was written: each one that writes has a higher number. */
  readonly epoch: number;
  /** The time by which the log began: milliseconds since 1970, and not before what the logs until then say. */
  readonly startedAtMs: number;
  /** Of the opening in which it was written: 16 hexadecimal digits; '' for none. */
  readonly epochId: string;
}

const EPOCH_ID_BYTES = 8;

/** Of the start record whose header is at `payload` - RECORD_HEADER_BYTES, and which is all in `bytes`. */
export function readStart(bytes: Uint8Array, payload: number): LogStart {
  const length = readU32(bytes, payload - 4);
  return {
    version: readU32(bytes, payload),
    logNumber: readU32(bytes, payload + 4),
    previousLog: readU32(bytes, payload + 8),
    previousBytes: readU32(bytes, payload + 12),
    previousSynced: readU32(bytes, payload + 16),
    flags: readU32(bytes, payload + 20),
    epoch: readU64(bytes, payload + 24),
    startedAtMs: readU64(bytes, payload + 32),
    epochId: length < START_PAYLOAD_BYTES ? '' : readEpochId(bytes, payload + MIN_START_PAYLOAD_BYTES),
  };
}

function readEpochId(bytes: Uint8Array, at: number): string {
  let id = '';
  let sum = 0;
  for (let i = at; i < at + EPOCH_ID_BYTES; i++) {
    const byte = bytes[i] ?? 0;
    sum |= byte;
    id += byte.toString(16).padStart(2, '0');
  }
  return sum === 0 ? '' : id;
}

export interface RecordHeader {
  readonly type: number;
  readonly logNumber: number;
  readonly firstSequence: number;
  readonly syncedUpTo: number;
  readonly payloadLength: number;
}

/** Fills in the header in front of a payload already in place, checksum last. */
export function sealRecord(bytes: Uint8Array, start: number, header: RecordHeader): void {
  const { type, logNumber, firstSequence, syncedUpTo, payloadLength } = header;
  assert(firstSequence <= Number.MAX_SAFE_INTEGER, 'a sequence has 53 bits');
  const high = Math.floor(firstSequence / 0x100000000) | (type << HIGH_BITS);
  writeU32(bytes, start + 4, firstSequence % 0x100000000);
  bytes[start + 8] = high;
  bytes[start + 9] = high >>> 8;
  bytes[start + 10] = high >>> 16;
  writeU32(bytes, start + 11, syncedUpTo);
  writeU32(bytes, start + 15, payloadLength);
  writeU32(bytes, start, crc32(bytes, start + 4, start + RECORD_HEADER_BYTES + payloadLength, logNumber));
}

/** Whether a record of this type holds writes. */
export function holdsWrites(type: number): boolean {
  return type === RecordType.Group || type === RecordType.Batch;
}

/** Writes the payload of a note record whose header is at `at`. */
export function writeTimeNote(bytes: Uint8Array, at: number, timeMs: number): void {
  const payload = at + RECORD_HEADER_BYTES;
  bytes[payload] = NoteTag.Time;
  bytes[payload + 1] = 8;
  writeU64(bytes, payload + 2, timeMs);
}

/** Writes a log's start record. */
export function sealStart(bytes: Uint8Array, at: number, firstSequence: number, start: LogStart): void {
  const payload = at + RECORD_HEADER_BYTES;
  writeU32(bytes, payload, start.version);
  writeU32(bytes, payload + 4, start.logNumber);
  writeU32(bytes, payload + 8, start.previousLog);
  writeU32(bytes, payload + 12, start.previousBytes);
  writeU32(bytes, payload + 16, start.previousSynced);
  writeU32(bytes, payload + 20, start.flags);
  writeU64(bytes, payload + 24, start.epoch);
  writeU64(bytes, payload + 32, start.startedAtMs);
  for (let i = 0; i < EPOCH_ID_BYTES; i++)
    bytes[payload + MIN_START_PAYLOAD_BYTES + i] = Number.parseInt(start.epochId.slice(2 * i, 2 * i + 2), 16);
  const { logNumber } = start;
  const payloadLength = START_PAYLOAD_BYTES;
  sealRecord(bytes, at, { type: RecordType.Start, logNumber, firstSequence, syncedUpTo: 0, payloadLength });
}

/** What the bytes at `start`, a whole header, say is the type of a record there. */
export function claimedType(bytes: Uint8Array, start: number): number {
  return bytes[start + 10]! >>> 5;
}

/** The first sequence in the header at `start`. */
export function readFirstSequence(bytes: Uint8Array, start: number): number {
  const high = bytes[start + 8]! | (bytes[start + 9]! << 8) | (bytes[start + 10]! << 16);
  return (high & HIGH_MASK) * 0x100000000 + readU32(bytes, start + 4);
}

/** How much of the log was durable when the record with the header at `start` was written. */
export function readSyncedUpTo(bytes: Uint8Array, start: number): number {
  return readU32(bytes, start + 11);
}

/** Where a record whose header is at `start` would end; -1: behind `end`. */
export function claimedEnd(bytes: Uint8Array, start: number, end: number): number {
  const payload = start + RECORD_HEADER_BYTES;
  const payloadLength = readU32(bytes, start + 15);
  return payloadLength > end - payload ? -1 : payload + payloadLength;
}

/**
 * The header of the record at `start`, or undefined when no whole, intact record of log `logNumber` stands there.
 * Nothing is believed before the checksum matched; no length is trusted beyond `end`.
 */
export function readRecord(
  bytes: Uint8Array,
  start: number,
  end: number,
  logNumber: number,
): RecordHeader | undefined {
  if (end - start < RECORD_HEADER_BYTES || claimedType(bytes, start) === 0) return undefined;
  const next = claimedEnd(bytes, start, end);
  if (next < 0 || readU32(bytes, start) !== crc32(bytes, start + 4, next, logNumber)) return undefined;
  return readHeader(bytes, start, logNumber);
}

/** The header of the record at `start`. Requires: that the record is intact has been found out. */
export function readHeader(bytes: Uint8Array, start: number, logNumber: number): RecordHeader {
  return {
    type: claimedType(bytes, start),
    logNumber,
    firstSequence: readFirstSequence(bytes, start),
    syncedUpTo: readSyncedUpTo(bytes, start),
    payloadLength: readU32(bytes, start + 15),
  };
}
