/**
 * Reading one log: where it ends, and what is a torn tail, a lost page or damage.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { hasZeroPage, readLog } from '../../../src/main/open/log-reader.ts';
import { readU32, writeU32, writeVarint } from '../../../src/shared/base/bytes.ts';
import { CorruptionError, StorageError } from '../../../src/shared/base/errors.ts';
import { RECORD_HEADER_BYTES, RecordType, START_RECORD_BYTES } from '../../../src/shared/log/log-format.ts';
import { buildLog, type LogGroup, resealRecord } from '../../helpers/log-files.ts';
import { seededRandom } from '../../helpers/rng.ts';
import { runSeed } from '../../helpers/run-budget.ts';

const GROUPS: readonly LogGroup[] = [
  { entries: [['a', '1']] },
  { entries: [['b', undefined]], syncedUpTo: 70 },
  {
    entries: [
      ['c', ''],
      ['', 'of the empty key'],
    ],
  },
];
const LOG = buildLog({ number: 12, firstSequence: 40, previousLog: 9, previousBytes: 777, groups: GROUPS });

/** Changes bytes of the record at `offset` and makes its checksum right again, as a hostile writer would. */
function forged(offset: number, length: number, change: (record: Uint8Array) => void): Uint8Array {
  const bytes = LOG.bytes.slice();
  const record = bytes.subarray(offset, offset + length);
  change(record);
  resealRecord(record, 0, length, LOG.number);
  return bytes;
}

describe('readLog', () => {
  test('says what the log holds', () => {
    const log = readLog(LOG.bytes, '12.log', 12);
    assert.deepEqual(log.start?.previousLog, 9);
    assert.deepEqual(log.start?.previousBytes, 777);
    assert.equal(log.validBytes, LOG.bytes.length);
    assert.equal(log.hasSyncEvidence, true);
    assert.deepEqual([log.firstSequence, log.entryCount], [40, 4]);
  });

  test('an empty file, a file of zeros and one of other bytes are logs whose first append was cut short', () => {
    for (const bytes of [new Uint8Array(0), new Uint8Array(5000), new Uint8Array(40).fill(0xff)]) {
      const log = readLog(bytes, '12.log', 12);
      assert.deepEqual([log.start, log.validBytes, log.entryCount], [undefined, 0, 0]);
    }
  });

  test('looks at nothing behind its limit', () => {
    const limit = LOG.offsets[2]!;
    const log = readLog(LOG.bytes, '12.log', 12, limit);
    assert.deepEqual([log.validBytes, log.entryCount, log.hasSyncEvidence], [limit, 1, false]);
  });

  test('another format, unknown flags, records, notes and kinds of entry are refused as such, not as damage', () => {
    const [, first = 0, second = 0] = LOG.offsets;
    const asNote = (tag: number) => (record: Uint8Array) => {
      record[10] = RecordType.Note << 5;
      record[RECORD_HEADER_BYTES] = tag;
      record[RECORD_HEADER_BYTES + 1] = second - first - RECORD_HEADER_BYTES - 2;
    };
    const later: readonly Uint8Array[] = [
      forged(0, START_RECORD_BYTES, (record) => writeU32(record, RECORD_HEADER_BYTES, 1)),
      forged(0, START_RECORD_BYTES, (record) => writeU32(record, RECORD_HEADER_BYTES, 3)),
      forged(0, START_RECORD_BYTES, (record) => writeU32(record, RECORD_HEADER_BYTES + 20, 1)),
      ...[5, 6, 7].map((type) => forged(first, second - first, (record) => (record[10] = type << 5))),
      forged(first, second - first, asNote(128)),
      ...[2 ** 18, 2 ** 21 - 1].map((length) =>
        forged(first, second - first, (record) => writeVarint(record, RECORD_HEADER_BYTES + 1, length)),
      ),
    ];
    for (const [i, bytes] of later.entries())
      assert.throws(
        () => readLog(bytes, '12.log', 12),
        (error: unknown) => error instanceof StorageError && error.code === 'STRATA_UNSUPPORTED',
        `case ${i}`,
      );
    const skipped = readLog(forged(first, second - first, asNote(127)).slice(0, second), '12.log', 12);
    assert.deepEqual([skipped.validBytes, skipped.entryCount], [second, 0], 'a note that may be skipped');
  });

  test('tells the epoch, and the latest time of the start record and the notes', () => {
    const spec = { number: 12, firstSequence: 40, epoch: 2 ** 40, startedAtMs: 1000, groups: GROUPS };
    const plain = readLog(buildLog(spec).bytes, '12.log', 12);
    assert.deepEqual([plain.start?.epoch, plain.latestMs], [2 ** 40, 1000]);
    const noted = [...GROUPS.slice(0, 2), { timeMs: 2 ** 41 }, { timeMs: 5 }, ...GROUPS.slice(2)];
    const { bytes } = buildLog({ ...spec, groups: noted });
    const log = readLog(bytes, '12.log', 12);
    assert.deepEqual([log.latestMs, log.entryCount, log.validBytes], [2 ** 41, 4, bytes.length]);
  });

  test('intact records in the wrong place, of the wrong type or with a wrong sequence are refused', () => {
    const [, first = 0, second = 0] = LOG.offsets;
    const length = second - first;
    const start = LOG.bytes.slice(0, first);
    const group = LOG.bytes.slice(first, second);
    const wrong: readonly Uint8Array[] = [
      Buffer.concat([group, start]),
      Buffer.concat([start, start]),
      Buffer.concat([start, group, group]),
      forged(first, length, (record) => writeU32(record, 4, 41)),
      forged(first, length, (record) => (record[8] = 1)),
      forged(first, length, (record) => (record[10]! |= 0x10)),
      forged(first, length, (record) => (record[10] = RecordType.Start << 5)),
      forged(first, length, (record) => (record[10] = 3 << 5)),
      forged(0, START_RECORD_BYTES, (record) => (record[10] = RecordType.Group << 5)),
      forged(0, START_RECORD_BYTES, (record) => writeU32(record, RECORD_HEADER_BYTES, 0)),
      forged(0, START_RECORD_BYTES, (record) => writeU32(record, RECORD_HEADER_BYTES + 4, 13)),
    ];
    for (const [i, bytes] of wrong.entries())
      assert.throws(() => readLog(new Uint8Array(bytes), '12.log', 12), CorruptionError, `case ${i}`);
  });

  test('entries that lie about their lengths are refused, whatever the checksum says', () => {
    const [, first = 0, second = 0] = LOG.offsets;
    const entry = RECORD_HEADER_BYTES;
    const changes: readonly ((record: Uint8Array) => void)[] = [
      (record) => (record[entry] = 3),
      (record) => (record[entry] = 2),
      (record) => (record[entry] = 0x81),
      (record) => (record[entry + 1] = 200),
      (record) => (record[entry + 1] = 0),
      (record) => (record[entry + 2] = 0x80),
      (record) => record.fill(0xff, entry + 1),
    ];
    for (const [i, change] of changes.entries()) {
      const bytes = forged(first, second - first, change);
      assert.throws(() => readLog(bytes, '12.log', 12), CorruptionError, `case ${i}`);
    }
  });

  test('random bytes in place of any part: a prefix or a CorruptionError, never anything else', (t) => {
    const random = seededRandom(runSeed(t));
    for (let i = 0; i < 3000; i++) {
      const bytes = LOG.bytes.slice();
      const from = random.below(bytes.length);
      bytes.set(random.bytes(random.between(1, bytes.length - from)), from);
      try {
        const log = readLog(bytes, '12.log', 12);
        assert.ok(
          log.validBytes <= LOG.offsets.findLast((offset) => offset <= from)! ||
            bytes[from] === LOG.bytes[from],
        );
      } catch (error) {
        assert.ok(error instanceof CorruptionError, String(error));
      }
    }
  });

  test('forged payloads of random bytes are read to their end or refused', (t) => {
    const random = seededRandom(runSeed(t));
    const [, first = 0, second = 0] = LOG.offsets;
    for (let i = 0; i < 5000; i++) {
      const bytes = forged(first, second - first, (record) => {
        for (let n = random.between(1, 4); n > 0; n--)
          record[random.between(RECORD_HEADER_BYTES, record.length - 1)] = random.below(256);
      });
      try {
        assert.ok(readLog(bytes, '12.log', 12).validBytes <= bytes.length);
      } catch (error) {
        const isLater = error instanceof StorageError && error.code === 'STRATA_UNSUPPORTED';
        assert.ok(isLater || error instanceof CorruptionError, String(error));
      }
    }
  });
});

describe('hasZeroPage', () => {
  test('finds a page, or the part of one in the range, that is all zero', () => {
    const bytes = new Uint8Array(4 * 4096).fill(1);
    assert.equal(hasZeroPage(bytes, 0, bytes.length), false);
    bytes.fill(0, 4096, 8192);
    assert.equal(hasZeroPage(bytes, 0, bytes.length), true);
    assert.equal(hasZeroPage(bytes, 0, 4096), false);
    assert.equal(hasZeroPage(bytes, 4000, 4096 + 32), true);
    assert.equal(hasZeroPage(bytes, 4000, 4096 + 31), false, 'too few zeros to prove anything');
    bytes[6000] = 1;
    assert.equal(hasZeroPage(bytes, 0, bytes.length), false);
    assert.equal(readU32(bytes, 8192), 0x01010101);
  });
});
