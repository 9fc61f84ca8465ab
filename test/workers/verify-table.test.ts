/** No flipped byte and no truncation goes unnoticed, and no read ever returns wrong data. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Entry } from '../../src/shared/base/entry.ts';
import { CorruptionError, StorageError } from '../../src/shared/base/errors.ts';
import { fileNumber, type SequenceNumber } from '../../src/shared/base/ids.ts';
import { RangeDeletes } from '../../src/shared/ranges/range-deletes.ts';
import { hashKey } from '../../src/shared/table/bloom-filter.ts';
import { CODEC_NONE, type CodecName, isCodecAvailable } from '../../src/shared/table/compression.ts';
import { TableIterator } from '../../src/shared/table/table-iterator.ts';
import { verifyTable } from '../../src/workers/verify-table.ts';
import { resealBlock, sealedAs } from '../helpers/table-surgery.ts';
import {
  type BuiltTable,
  buildTable,
  collect,
  collectBackwards,
  openTable,
  put,
  type Row,
  rowOf,
  sourceOf,
  TABLE_NUMBER,
  tombstone,
} from '../helpers/tables.ts';

const PATH = '/db/000007.sst';

function smallRows(): Row[] {
  const rows: Row[] = [];
  for (let i = 0; i < 40; i++) {
    const key = `key ${String(i).padStart(3, '0')}`;
    if (i % 7 === 3) rows.push(tombstone(key, 2000 + i));
    rows.push(put(key, 1000 + i, `some value that repeats, that repeats ${i}`));
  }
  return rows;
}

function smallTable(compression: CodecName = 'snappy'): BuiltTable {
  return buildTable(smallRows(), { blockSizeBytes: 300, restartInterval: 4, compression });
}

/** Runs `read`; whether it failed cleanly. Anything but a StorageError that names the file fails the test. */
function failsCleanly(read: () => void): boolean {
  try {
    read();
    return false;
  } catch (error) {
    if (!(error instanceof StorageError)) throw error;
    assert.match(error.code, /^STRATA_(CORRUPTION|UNSUPPORTED)$/);
    assert.equal(error.file, PATH);
    assert.equal(typeof error.offset, 'number');
    return true;
  }
}

/** A damaged table may answer rightly or refuse; it may not answer wrongly. */
function checkReads(bytes: Uint8Array, rows: readonly Row[]): void {
  failsCleanly(() => assert.deepEqual(collect(new TableIterator(openTable(bytes))), rows));
  failsCleanly(() =>
    assert.deepEqual(collectBackwards(new TableIterator(openTable(bytes))), [...rows].reverse()),
  );
  const entry = new Entry();
  for (const row of [rows[0]!, rows[20]!, rows.at(-1)!]) {
    failsCleanly(() => {
      const hash = hashKey(row.key, 0, row.key.length);
      assert.ok(openTable(bytes).lookup(row.key, hash, row.sequence, entry));
      assert.deepEqual(rowOf(entry), row);
    });
  }
}

for (const compression of (['none', 'snappy', 'lz4'] as const).filter(isCodecAvailable)) {
  test(`verifyTable notices every flipped byte, and no read of it is wrong: ${compression}`, () => {
    const { bytes, meta } = smallTable(compression);
    verifyTable(sourceOf(bytes), meta);
    const rows = smallRows();
    for (let position = 0; position < bytes.length; position++) {
      const original = bytes[position]!;
      for (const value of new Set([original ^ (1 << (position % 8)), 0, 0xff, original ^ 0xff])) {
        if (value === original) continue;
        bytes[position] = value;
        assert.ok(
          failsCleanly(() => verifyTable(sourceOf(bytes), meta)),
          `byte ${position}`,
        );
        checkReads(bytes, rows);
      }
      bytes[position] = original;
    }
  });
}

test('verifyTable notices every truncation and every addition, and no table of another size opens', () => {
  const { bytes, meta } = smallTable();
  for (let length = 0; length < bytes.length; length++) {
    const cut = bytes.slice(0, length);
    assert.ok(failsCleanly(() => verifyTable(sourceOf(cut), meta)));
    assert.ok(failsCleanly(() => openTable(cut)));
  }
  for (const extra of [1, 9, 32, 4096]) {
    for (const fill of [0, 0xff]) {
      const longer = new Uint8Array(bytes.length + extra).fill(fill);
      longer.set(bytes);
      assert.ok(failsCleanly(() => verifyTable(sourceOf(longer), meta)));
      assert.ok(failsCleanly(() => openTable(longer)));
    }
  }
});

test('TableReader refuses a table under another number, and blocks of another table or place', () => {
  const { bytes } = smallTable();
  const other = buildTable(smallRows(), { blockSizeBytes: 300, restartInterval: 4 }, fileNumber(8));
  assert.throws(() => openTable(other.bytes), /table is number 8 where 7 is expected/);
  const { index } = openTable(bytes);
  const first = index.blockSize(0);
  // The same bytes but for the checksum: what the two tables hold is the same.
  const mixed = bytes.slice();
  mixed.set(other.bytes.subarray(0, first));
  assert.throws(() => openTable(mixed).readBlock(0), /block checksum mismatch in .* at offset 0/);
  let i = 1;
  while (index.blockSize(i) !== index.blockSize(i + 1)) i++;
  const misdirected = bytes.slice();
  const offset = index.blockOffset(i);
  misdirected.copyWithin(offset, offset + index.blockSize(i), offset + 2 * index.blockSize(i));
  assert.throws(() => openTable(misdirected).readBlock(i), /block checksum mismatch/);
});

test('verifyTable notices a table that is intact but not the one the manifest means', () => {
  const { bytes, meta } = smallTable();
  for (const changed of [
    { entryCount: meta.entryCount + 1 },
    { tombstoneCount: 0 },
    { shadowedCount: meta.shadowedCount + 1 },
    { rawBytes: 0 },
    { sizeBytes: meta.sizeBytes - 1 },
    { checksum: 1 },
    { smallestKey: new Uint8Array(1) },
    { largestKey: new Uint8Array(1) },
    { smallestSequence: meta.largestSequence },
    { largestSequence: meta.smallestSequence },
  ]) {
    assert.throws(() => verifyTable(sourceOf(bytes), { ...meta, ...changed }), CorruptionError);
  }
});

test('verifyTable checks deleted ranges, which bounds and sequences hold, against properties and manifest', () => {
  const text = (key: string): Uint8Array => Buffer.from(key);
  const ranges = RangeDeletes.of([
    { key: text('a'), sequences: [900, 40] },
    { key: text('key'), sequences: [] },
    { key: text('m'), sequences: [9000] },
    { key: text('p\0'), sequences: [] },
  ]);
  const { bytes, meta } = buildTable(smallRows(), { compression: 'none' }, TABLE_NUMBER, ranges);
  assert.deepEqual(
    [meta.rangeDeletes, meta.smallestSequence, meta.largestSequence],
    [2, 40, 9000],
    'the table states its ranges',
  );
  assert.deepEqual([meta.smallestKey, meta.largestKey].map(String), ['97', '112'], 'from a to p');
  assert.equal(verifyTable(sourceOf(bytes), meta).rangeDeletes, 2);
  for (const changed of [
    { rangeDeletes: 3 },
    { rangeDeletes: undefined },
    { smallestSequence: 1000 as SequenceNumber },
    { largestSequence: 2038 as SequenceNumber },
    { smallestKey: text('key 000') },
    { largestKey: text('p\0') },
    { largestKey: text('key 039') },
  ])
    assert.throws(() => verifyTable(sourceOf(bytes), { ...meta, ...changed }), CorruptionError);
});

test('verifyTable tells how many bytes it has read', () => {
  const { bytes, meta } = smallTable();
  let total = 0;
  const result = verifyTable(sourceOf(bytes), meta, (count) => {
    total += count;
  });
  assert.equal(total, bytes.length);
  assert.deepEqual(result, {
    blockCount: openTable(bytes).blockCount,
    entryCount: meta.entryCount,
    rangeDeletes: 0,
    bytesRead: bytes.length,
  });
});

/** The table of `a` and `b` with another content, as long, and with right checksums. */
function tableWithContent(content: readonly number[]): Uint8Array {
  const { bytes } = buildTable([put('a', 5), put('b', 5)], { compression: 'none', restartInterval: 1 });
  const block = sealedAs(CODEC_NONE, Uint8Array.from(content), content.length, TABLE_NUMBER, 0);
  assert.equal(
    block.length,
    openTable(bytes).index.blockSize(0),
    'the block must have the size the index says',
  );
  bytes.set(block);
  return bytes;
}

/** Entries of two one-letter keys, made wrong in one way each. Restart offsets are appended. */
const ONE = [0, 1, 0, 1, 0, 97];
const TWO = [0, 1, 0, 1, 0, 98];
const u32 = (value: number): number[] => [value & 255, (value >> 8) & 255, (value >> 16) & 255, value >>> 24];

for (const [what, content, message] of [
  ['one restart twice', [...ONE, ...TWO, ...u32(0), ...u32(0), ...u32(2)], /restart/],
  ['a restart outside', [...ONE, ...TWO, ...u32(0), ...u32(12), ...u32(2)], /outside/],
  ['a restart inside an entry', [...ONE, ...TWO, ...u32(0), ...u32(3), ...u32(2)], /corruption/],
  ['keys out of order', [...TWO, ...ONE, ...u32(0), ...u32(6), ...u32(2)], /out of order/],
  ['equal entries', [...ONE, ...ONE, ...u32(0), ...u32(6), ...u32(2)], /out of order/],
  ['too many restarts', [...ONE, ...TWO, ...u32(0), ...u32(6), ...u32(0x40000000)], /no entries/],
  ['no restarts', [...ONE, ...TWO, ...u32(0), ...u32(6), ...u32(0)], /no entries/],
  ['no room for its moment', [0, 1, 0, 3, 0, 97, ...TWO, ...u32(0), ...u32(6), ...u32(2)], /when it expires/],
  ['an unknown kind', [0, 1, 0, 9, 0, 97, ...TWO, ...u32(0), ...u32(6), ...u32(2)], /unknown kind/],
  ['a value past the end', [0, 1, 99, 1, 0, 97, ...TWO, ...u32(0), ...u32(6), ...u32(2)], /past the end/],
  ['a shared first key', [1, 1, 0, 1, 0, 97, ...TWO, ...u32(0), ...u32(6), ...u32(2)], /shares more/],
  [
    'an endless varint',
    [255, 255, 255, 255, 255, 255, ...TWO, ...u32(0), ...u32(6), ...u32(2)],
    /corruption/,
  ],
] as const) {
  test(`verifyTable refuses a block with ${what}, whose checksums are right`, () => {
    const bytes = tableWithContent(content);
    const size = bytes.length;
    const meta = { ...buildTable([put('a', 5), put('b', 5)]).meta, sizeBytes: size };
    assert.throws(
      () => verifyTable(sourceOf(bytes), meta),
      (error) => error instanceof CorruptionError && error.file === PATH && message.test(error.message),
    );
  });
}

test('TableReader refuses a 4 KiB block that claims 4 GiB, without allocating them', () => {
  const { bytes } = buildTable([put('a', 5, 'x'.repeat(90_000))]);
  const end = openTable(bytes).index.blockSize(0);
  for (const claim of [0xffffffff, 0x7fffffff, 0x10000000]) {
    bytes.set(u32(claim), end - 9);
    bytes.set(
      [
        ...u32(claim)
          .map((byte) => byte | 0x80)
          .slice(0, 4),
        0x0f,
      ],
      0,
    );
    resealBlock(bytes, 0, end, TABLE_NUMBER, 0);
    const before = process.memoryUsage().rss;
    assert.throws(() => openTable(bytes).readBlock(0), CorruptionError);
    assert.ok(process.memoryUsage().rss - before < 16 * 1024 * 1024);
  }
});
