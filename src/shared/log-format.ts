/**
 * The write-ahead log's bytes, which are also the memtable's data (memtable/arena.ts) and the inside of a WriteBatch.
 *
 *   log    = start-record group-record*
 *   record = header payload
 *
 *   header  0  crc32 u32            over everything behind it: header bytes 4..24 and the payload
 *           4  type u8              1 start, 2 group; never 0, so that zeroed space can't pass for a record
 *           5  log number u32       refuses a record of another log; so logs are numbered below 2^31
 *           9  first sequence u64   of the first entry in the payload; in a start record, of the log
 *          17  synced up to u32     the file offset that the last completed fdatasync covered when this was written
 *          21  payload length u32
 *
 *   start payload = format version u32 | previous log u32 (0 = none) | previous log's final length u32
 *                 | how much of the previous log was durable then u32
 *   group payload = entry+         the writes of one commit group: they become durable together or not at all
 *
 *   entry   0  sequence u32         relative to the first sequence of the log
 *           4  kind u8              EntryKind
 *           5  key length varint | value length varint | key | value
 *
 * "Synced up to" tells a torn tail from damage: bytes below an offset that some later record calls synced were on the disk,
 * so damage there is corruption, never a crash (Pebble's WAL sync offset). All numbers are little-endian.
 *
 * Invariants: a log is write-once. Sequences in a log are consecutive. Integers above 32 bits are safe integers.
 */
import { readU32, readU64, writeU32, writeU64 } from './bytes.ts';
import { crc32 } from './checksum.ts';

export const LOG_FORMAT_VERSION = 1;
export const RECORD_HEADER_BYTES = 25;
export const START_PAYLOAD_BYTES = 16;
export const START_RECORD_BYTES: number = RECORD_HEADER_BYTES + START_PAYLOAD_BYTES;

/** On disk. Never renumber. */
export const RecordType = { Start: 1, Group: 2 } as const;

/** sequence u32 + kind u8. */
export const ENTRY_PREFIX_BYTES = 5;

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
  return keyStart + (second < 128 ? low : low | (bytes[ref + ENTRY_PREFIX_BYTES + 2]! << 14));
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

export interface RecordHeader {
  readonly type: number;
  readonly logNumber: number;
  readonly firstSequence: number;
  readonly syncedUpTo: number;
  readonly payloadLength: number;
}

/** Fills in the header in front of a payload already in place, checksum last. */
export function sealRecord(bytes: Uint8Array, start: number, header: RecordHeader): void {
  bytes[start + 4] = header.type;
  writeU32(bytes, start + 5, header.logNumber);
  writeU64(bytes, start + 9, header.firstSequence);
  writeU32(bytes, start + 17, header.syncedUpTo);
  writeU32(bytes, start + 21, header.payloadLength);
  writeU32(bytes, start, crc32(bytes, start + 4, start + RECORD_HEADER_BYTES + header.payloadLength));
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
  if (end - start < RECORD_HEADER_BYTES) return undefined;
  const type = bytes[start + 4]!;
  if (type === 0 || readU32(bytes, start + 5) !== logNumber) return undefined;
  const payloadLength = readU32(bytes, start + 21);
  if (payloadLength > end - start - RECORD_HEADER_BYTES) return undefined;
  if (readU32(bytes, start) !== crc32(bytes, start + 4, start + RECORD_HEADER_BYTES + payloadLength))
    return undefined;
  const firstSequence = readU64(bytes, start + 9);
  if (firstSequence < 0) return undefined;
  return { type, logNumber, firstSequence, syncedUpTo: readU32(bytes, start + 17), payloadLength };
}
