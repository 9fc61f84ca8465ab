/**
 * Records and entries of the log: what is sealed reads back, and nothing else passes for a record.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { writeU32 } from '../../../src/shared/base/bytes.ts';
import { crc32 } from '../../../src/shared/base/checksum.ts';
import { Entry, EntryKind } from '../../../src/shared/base/entry.ts';
import { EntryBatch } from '../../../src/shared/base/entry-batch.ts';
import { MAX_KEY_BYTES } from '../../../src/shared/base/limits.ts';
import { MAX_BOUND_BYTES } from '../../../src/shared/base/range-delete.ts';
import {
  addToBatch,
  encodedEntryBytes,
  encodeEntry,
  readEntry,
  tagOf,
} from '../../../src/shared/log/entry-codec.ts';
import {
  ENTRY_PREFIX_BYTES,
  entryEnd,
  entryKeyEnd,
  entryKeyStart,
  entryValueEnd,
  RECORD_HEADER_BYTES,
  type RecordHeader,
  RecordType,
  readRecord,
  sealRecord,
} from '../../../src/shared/log/log-format.ts';

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
    for (const payloadLength of [0, 11, 1000]) {
      const bytes = sealedRecord({ ...HEADER, payloadLength });
      assert.notEqual(readRecord(bytes, 3, bytes.length, HEADER.logNumber), undefined);
      for (let number = HEADER.logNumber - 50; number <= HEADER.logNumber + 50; number++)
        if (number !== HEADER.logNumber)
          assert.equal(readRecord(bytes, 3, bytes.length, number), undefined, `${number}`);
      for (let bit = 0; bit < 32; bit++) {
        const number = (HEADER.logNumber ^ (1 << bit)) >>> 0;
        assert.equal(readRecord(bytes, 3, bytes.length, number), undefined, `bit ${bit}`);
      }
    }
  });

  test('zeros are no record, although the checksum of nothing is zero', () => {
    assert.equal(crc32(new Uint8Array(0), 0, 0), 0);
    for (const length of [RECORD_HEADER_BYTES, 4096])
      assert.equal(readRecord(new Uint8Array(length), 0, length, 0), undefined);
  });

  test('a length beyond the end is not believed', () => {
    const long = sealedRecord({ ...HEADER, payloadLength: 0 });
    writeU32(long, 3 + 15, 0xffffffff);
    assert.equal(readRecord(long, 3, long.length, HEADER.logNumber), undefined);
  });

  test('every safe integer is a sequence beside every type, and no other is written', () => {
    for (const firstSequence of [0, 1, 2 ** 32 - 1, 2 ** 32, 2 ** 40 + 3, 2 ** 52, Number.MAX_SAFE_INTEGER])
      for (const type of [1, 2, 3, 7]) {
        const header = { ...HEADER, type, firstSequence };
        const bytes = sealedRecord(header);
        assert.deepEqual(readRecord(bytes, 3, bytes.length, HEADER.logNumber), header);
      }
    assert.throws(() => sealedRecord({ ...HEADER, firstSequence: 2 ** 53 }), /53 bits/);
    const largest = sealedRecord({ ...HEADER, type: 7, firstSequence: Number.MAX_SAFE_INTEGER });
    assert.ok(largest.subarray(3 + 4, 3 + 11).every((byte) => byte === 0xff));
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
        const end = encodeEntry(bytes, 1, 0xff, key, 0, keyLength, value, 0, valueLength);
        assert.equal(end, 1 + total);
        const keyStart = entryKeyStart(bytes, 1);
        const keyEnd = entryKeyEnd(bytes, 1, keyStart);
        assert.ok(keyStart >= 1 + ENTRY_PREFIX_BYTES + 2);
        assert.equal(keyEnd - keyStart, keyLength);
        const valueEnd = entryValueEnd(bytes, 1, keyEnd);
        assert.equal(valueEnd - keyEnd, valueLength);
        assert.equal(entryEnd(1, valueEnd), end);
        assert.ok(valueEnd === end || end === 1 + 8, 'only up to 8 bytes is an entry filled up');
        assert.ok(bytes.subarray(keyStart, keyEnd).every((byte) => byte === 0xcc));
        assert.equal(bytes[end], 0, 'nothing is written behind it');
      }
  });

  test('an entry takes 8 bytes at least, the last of them zeros, whatever was there', () => {
    for (let length = 0; length < 10; length++) {
      const bytes = new Uint8Array(20).fill(0xee);
      const value = new Uint8Array(length).fill(0xdd);
      assert.equal(encodedEntryBytes(0, length), Math.max(8, 3 + length));
      const end = encodeEntry(bytes, 2, 1, value, 0, 0, value, 0, length);
      assert.equal(end, 2 + Math.max(8, 3 + length));
      const expected = new Uint8Array(20).fill(0xee);
      expected.fill(0, 2, end).set([1, 0, length, ...value], 2);
      assert.deepEqual(bytes, expected);
    }
  });

  test('an entry encodes a part of larger arrays', () => {
    const key = Buffer.from('xxkeyyy');
    const value = Buffer.from('xvaluey');
    const bytes = new Uint8Array(encodedEntryBytes(3, 5));
    encodeEntry(bytes, 0, 7, key, 2, 5, value, 1, 6);
    assert.equal(Buffer.from(bytes).toString('latin1'), '\x07\x03\x05keyvalue');
  });
});

test('every kind of entry is read as it was written, whatever the lengths of its key and value', () => {
  for (const kind of Object.values(EntryKind)) {
    for (const keyLength of [0, 1, 127, 128, 16383, 16384, MAX_KEY_BYTES, MAX_BOUND_BYTES]) {
      for (const valueLength of [0, 9, 130, 70_000]) {
        const key = new Uint8Array(keyLength).fill(0x41);
        const value = new Uint8Array(valueLength).fill(0x42);
        const bytes = new Uint8Array(encodedEntryBytes(keyLength, valueLength, kind));
        const end = encodeEntry(bytes, 0, tagOf(kind) + 5 * 2, key, 0, keyLength, value, 0, valueLength);
        assert.equal(end, bytes.length);
        assert.equal(bytes[0]! >>> 1, 5, 'the ordinal');
        const entry = new Entry();
        readEntry(bytes, 0, 7, entry);
        assert.deepEqual(
          [entry.kind, entry.keyEnd - entry.keyStart, entry.valueEnd - entry.valueStart, entry.sequence],
          [kind, keyLength, valueLength, 7],
        );
        if (keyLength > 0) assert.equal(bytes[entry.keyStart], 0x41);
        const batch = new EntryBatch();
        batch.beginScattered(bytes, new DataView(bytes.buffer));
        addToBatch(bytes, 0, 7, batch);
        assert.deepEqual([batch.kinds[0], batch.rows[1]! - batch.rows[0]!], [kind, keyLength]);
      }
    }
  }
});
