/**
 * Records and entries of the log: what is sealed reads back, and nothing else passes for a record.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { writeU32 } from '../../src/shared/bytes.ts';
import { crc32 } from '../../src/shared/checksum.ts';
import {
  ENTRY_PREFIX_BYTES,
  entryKeyEnd,
  entryKeyStart,
  entryValueEnd,
  RECORD_HEADER_BYTES,
  type RecordHeader,
  RecordType,
  readRecord,
  sealRecord,
} from '../../src/shared/log-format.ts';
import { encodedEntryBytes, encodeEntry } from '../../src/shared/memtable/entry-codec.ts';

const HEADER: RecordHeader = {
  type: RecordType.Group,
  logNumber: 4_000_000_001,
  firstSequence: 2 ** 52 + 12345,
  syncedUpTo: 3_000_000_000,
  payloadLength: 11,
};

function sealedRecord(header: RecordHeader = HEADER, at = 3): Uint8Array {
  const bytes = new Uint8Array(at + RECORD_HEADER_BYTES + header.payloadLength + 5);
  bytes.fill(0xab, at + RECORD_HEADER_BYTES, bytes.length - 5);
  sealRecord(bytes, at, header);
  return bytes;
}

describe('records', () => {
  test('a sealed record reads back, at any offset, with the widest numbers', () => {
    for (const at of [0, 1, 3, 8]) {
      const bytes = sealedRecord(HEADER, at);
      assert.deepEqual(readRecord(bytes, at, bytes.length, HEADER.logNumber), HEADER);
      assert.deepEqual(
        readRecord(bytes, at, bytes.length - 5, HEADER.logNumber),
        HEADER,
        'nothing behind it',
      );
    }
  });

  test('no bit of it can change, and no byte of its end be missing', () => {
    const bytes = sealedRecord();
    const end = bytes.length - 5;
    for (let offset = 3; offset < end; offset++)
      for (let bit = 0; bit < 8; bit++) {
        bytes[offset]! ^= 1 << bit;
        assert.equal(
          readRecord(bytes, 3, bytes.length, HEADER.logNumber),
          undefined,
          `bit ${bit} of ${offset}`,
        );
        bytes[offset]! ^= 1 << bit;
      }
    for (let short = 0; short < end; short++)
      assert.equal(readRecord(bytes, 3, short, HEADER.logNumber), undefined, `ends at ${short}`);
  });

  test('a record of another log is none of this one', () => {
    const bytes = sealedRecord();
    assert.equal(readRecord(bytes, 3, bytes.length, HEADER.logNumber + 1), undefined);
  });

  test('zeros are no record, although the checksum of nothing is zero', () => {
    assert.equal(crc32(new Uint8Array(0), 0, 0), 0);
    for (const length of [RECORD_HEADER_BYTES, 4096])
      assert.equal(readRecord(new Uint8Array(length), 0, length, 0), undefined);
  });

  test('a length beyond the end is not believed, nor a sequence beyond the safe integers', () => {
    const long = sealedRecord({ ...HEADER, payloadLength: 0 });
    writeU32(long, 3 + 21, 0xffffffff);
    assert.equal(readRecord(long, 3, long.length, HEADER.logNumber), undefined);
    const unsafe = sealedRecord();
    writeU32(unsafe, 3 + 13, 0xffffffff);
    writeU32(unsafe, 3, crc32(unsafe, 7, unsafe.length - 5));
    assert.equal(readRecord(unsafe, 3, unsafe.length, HEADER.logNumber), undefined);
  });

  test('an empty payload is fine', () => {
    const header = { ...HEADER, payloadLength: 0 };
    const bytes = sealedRecord(header);
    assert.deepEqual(readRecord(bytes, 3, bytes.length, HEADER.logNumber), header);
  });
});

describe('entries', () => {
  test('keys and values of all lengths around the varint limits are found where they were put', () => {
    for (const keyLength of [0, 1, 127, 128, 16383, 16384, 65536])
      for (const valueLength of [0, 1, 127, 128, 16383, 16384, 2097151, 2097152]) {
        const total = encodedEntryBytes(keyLength, valueLength);
        const bytes = new Uint8Array(total + 2);
        const key = new Uint8Array(keyLength).fill(0xcc);
        const value = new Uint8Array(valueLength).fill(0xdd);
        const end = encodeEntry(bytes, 1, 0xfffffffe, 1, key, 0, keyLength, value, 0, valueLength);
        assert.equal(end, 1 + total);
        const keyStart = entryKeyStart(bytes, 1);
        const keyEnd = entryKeyEnd(bytes, 1, keyStart);
        assert.ok(keyStart >= 1 + ENTRY_PREFIX_BYTES + 2);
        assert.equal(keyEnd - keyStart, keyLength);
        assert.equal(entryValueEnd(bytes, 1, keyEnd), end);
        assert.ok(bytes.subarray(keyStart, keyEnd).every((byte) => byte === 0xcc));
        assert.equal(bytes[end], 0, 'nothing is written behind it');
      }
  });

  test('an entry encodes a part of larger arrays', () => {
    const key = Buffer.from('xxkeyyy');
    const value = Buffer.from('xvaluey');
    const bytes = new Uint8Array(encodedEntryBytes(3, 5));
    encodeEntry(bytes, 0, 7, 1, key, 2, 5, value, 1, 6);
    assert.equal(Buffer.from(bytes).toString('latin1'), '\x07\x00\x00\x00\x01\x03\x05keyvalue');
  });
});
