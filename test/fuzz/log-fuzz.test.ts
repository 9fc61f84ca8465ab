/**
 * The log reader against structured garbage whose checksums are right, and against logs made to cost time.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readLog } from '../../src/main/open/log-reader.ts';
import { RecordSearch } from '../../src/main/open/record-search.ts';
import { recoverLogs } from '../../src/main/open/recovery.ts';
import { writeU32 } from '../../src/shared/base/bytes.ts';
import { EntryKind } from '../../src/shared/base/entry.ts';
import { EXPIRY_BYTES, writeExpiry } from '../../src/shared/base/expiry.ts';
import { MAX_BOUND_BYTES, rangeDeleteValue } from '../../src/shared/base/range-delete.ts';
import {
  claimedEnd,
  RECORD_HEADER_BYTES,
  RecordType,
  readRecord,
  sealRecord,
} from '../../src/shared/log/log-format.ts';
import { fuzz, mutate, onlyCorruption } from '../helpers/fuzz.ts';
import { buildLog, type LogEntry, logDirectory, resealRecord } from '../helpers/log-files.ts';
import type { Random } from '../helpers/rng.ts';

const NUMBER = 7;

function randomLog(random: Random, number = NUMBER, firstSequence = 1): ReturnType<typeof buildLog> {
  const groups = Array.from({ length: random.between(0, 6) }, () => ({
    entries: Array.from({ length: random.between(1, 4) }, () => randomEntry(random)),
    syncedUpTo: random.chance(0.2) ? random.below(400) : 0,
  }));
  return buildLog({ number, firstSequence, groups });
}

/** Of all kinds. */
function randomEntry(random: Random): LogEntry {
  const number = random.below(20);
  const key = `key ${number}`;
  if (random.chance(0.2)) {
    const end = random.chance(0.2) ? undefined : Buffer.from(`key ${number}${random.below(20)}`);
    return [key, rangeDeleteValue(end), EntryKind.RangeDelete];
  }
  const value = 'v'.repeat(random.below(40));
  if (random.chance(0.2)) {
    const moment = Buffer.alloc(EXPIRY_BYTES);
    writeExpiry(moment, 0, random.below(2 ** 45));
    return [key, Buffer.concat([moment, Buffer.from(value)]), EntryKind.ExpiringPut];
  }
  return [key, random.chance(0.3) ? undefined : value];
}

/** Writes the checksums of the records that stand at `offsets`, with the lengths their headers claim where those fit. */
function reseal(bytes: Uint8Array, offsets: readonly number[], number = NUMBER): void {
  for (const at of offsets) {
    if (at + RECORD_HEADER_BYTES > bytes.length) continue;
    const end = claimedEnd(bytes, at, bytes.length);
    if (end >= 0) resealRecord(bytes, at, end, number);
  }
}

/** What was read must lie in the file, and hang together. */
function checkRead(bytes: Uint8Array): void {
  const log = readLog(bytes, '000007.log', NUMBER);
  assert.ok(log.validBytes <= bytes.length);
  // An entry takes eight bytes at least.
  assert.ok(log.entryCount * 8 <= log.validBytes, 'entries without bytes');
}

test('readLog meets damaged logs with CorruptionError only, checksums being right', (t) => {
  fuzz(t, (random) => {
    const { bytes, offsets } = randomLog(random);
    const mutant = mutate(bytes, random);
    if (random.chance(0.9)) reseal(mutant, offsets);
    return onlyCorruption(() => checkRead(mutant));
  });
});

test('recoverLogs meets chains of damaged logs with CorruptionError only', (t) => {
  fuzz(t, (random) => {
    const first = randomLog(random, 3);
    const second = buildLog({
      number: 5,
      firstSequence: first.nextSequence,
      previousLog: random.pick([3, 3, 3, 0, 4, 5, 0xffffffff]),
      previousBytes: random.pick([first.bytes.length, first.bytes.length, 0, 50, 0xffffffff]),
      groups: [{ entries: [['last', 'value']] }],
    });
    const logs = new Map([
      [3, first.bytes],
      [5, second.bytes],
    ]);
    const target = random.pick([first, second]);
    const mutant = mutate(target.bytes, random);
    reseal(mutant, target.offsets, target.number);
    logs.set(target.number, mutant);
    const sealedLogs = random.chance(0.3)
      ? [{ number: 3 as never, sizeBytes: random.pick([first.bytes.length, 0, 1e9]) }]
      : [];
    const manifest = { logNumber: random.below(6), lastSequence: random.below(20), sealedLogs };
    return onlyCorruption(() => void recoverLogs(logDirectory(logs), '/db', manifest, 65536));
  });
});

/** What a value of a range delete or of what expires can't be. */
const BAD_VALUES: readonly (readonly [what: string, kind: EntryKind, value: Uint8Array])[] = [
  ['a range that says nothing of its end', EntryKind.RangeDelete, new Uint8Array(0)],
  ['a range whose end has an unknown flag', EntryKind.RangeDelete, Uint8Array.of(2)],
  ['a range with all flags', EntryKind.RangeDelete, Uint8Array.of(255, 122)],
  ['a range without an end, and one', EntryKind.RangeDelete, Uint8Array.of(1, 122)],
  ['a range that ends where it begins', EntryKind.RangeDelete, Buffer.from('\0key')],
  ['a range that ends before it begins', EntryKind.RangeDelete, Buffer.from('\0a')],
  ['a range with an empty end', EntryKind.RangeDelete, Uint8Array.of(0)],
  [
    'a range whose end is too long',
    EntryKind.RangeDelete,
    Buffer.from(`\0${'z'.repeat(MAX_BOUND_BYTES + 1)}`),
  ],
  ['nothing of the moment', EntryKind.ExpiringPut, new Uint8Array(0)],
  ['a part of the moment', EntryKind.ExpiringPut, new Uint8Array(EXPIRY_BYTES - 1)],
  ['a moment that is no number', EntryKind.ExpiringPut, new Uint8Array(EXPIRY_BYTES).fill(255)],
];

for (const [what, kind, value] of BAD_VALUES) {
  test(`an entry with ${what} is corruption, checksums being right`, () => {
    const groups = [
      {
        entries: [
          ['a', 'b'],
          ['key', value, kind],
          ['z', 'b'],
        ] as const,
      },
    ];
    const { bytes } = buildLog({ number: NUMBER, firstSequence: 1, groups });
    assert.throws(() => readLog(bytes, '000007.log', NUMBER), { code: 'STRATA_CORRUPTION' });
    const logs = logDirectory(new Map([[NUMBER, bytes]]));
    const manifest = { logNumber: NUMBER, lastSequence: 0, sealedLogs: [] };
    assert.throws(() => recoverLogs(logs, '/db', manifest, 65536), { code: 'STRATA_CORRUPTION' });
  });
}

test('a group without entries, which nobody writes, is corruption', () => {
  const { bytes } = buildLog({ number: NUMBER, firstSequence: 1, groups: [{ entries: [['a', 'b']] }] });
  const longer = new Uint8Array(bytes.length + RECORD_HEADER_BYTES);
  longer.set(bytes);
  sealRecord(longer, bytes.length, {
    type: RecordType.Group,
    logNumber: NUMBER,
    firstSequence: 2,
    syncedUpTo: 0,
    payloadLength: 0,
  });
  assert.throws(() => readLog(longer, '000007.log', NUMBER), {
    code: 'STRATA_CORRUPTION',
    offset: bytes.length,
  });
});

/** Behind a damaged record: as many headers as fit, each of which claims everything up to the end. */
function costlyLog(size: number): Uint8Array {
  const { bytes: start } = buildLog({ number: NUMBER, firstSequence: 1, groups: [] });
  const bytes = new Uint8Array(size);
  bytes.set(start);
  for (let at = start.length + 1; at + RECORD_HEADER_BYTES <= size; at += RECORD_HEADER_BYTES) {
    bytes[at + 10] = RecordType.Group << 5;
    writeU32(bytes, at + 15, size - at - RECORD_HEADER_BYTES);
  }
  return bytes;
}

test('a log full of headers that each claim the rest of it is judged in linear time', (t) => {
  const timeOf = (size: number): number => {
    const bytes = costlyLog(size);
    const startedAt = performance.now();
    onlyCorruption(() => void readLog(bytes, '000007.log', NUMBER));
    return performance.now() - startedAt;
  };
  timeOf(200_000);
  const small = timeOf(500_000);
  const large = timeOf(4_000_000);
  t.diagnostic(`500 kB: ${small.toFixed(0)} ms, 4 MB: ${large.toFixed(0)} ms`);
  // Linear is 8 times; quadratic would be 64, and minutes.
  assert.ok(large < 30 * small + 200, `${small} ms and ${large} ms`);
});

test('RecordSearch finds what readRecord accepts, no more and no less', (t) => {
  fuzz(t, (random) => {
    const parts = Array.from({ length: random.between(1, 4) }, () =>
      random.chance(0.5) ? randomLog(random).bytes : random.bytes(random.below(5000)),
    );
    const bytes = mutate(Buffer.concat(parts), random);
    const from = random.below(Math.min(100, bytes.length + 1));
    const search = new RecordSearch(bytes, from, bytes.length, NUMBER);
    const found: number[] = [];
    for (let next = search.next(from); next !== undefined; next = search.next(next.at + 1))
      found.push(next.at);
    const expected: number[] = [];
    for (let at = from; at < bytes.length; at++) {
      const type = readRecord(bytes, at, bytes.length, NUMBER)?.type;
      if (type === RecordType.Group || type === RecordType.Start) expected.push(at);
    }
    assert.deepEqual(found, expected);
    return true;
  });
});
