/** What goes into a table comes out of it: scans, seeks and lookups against a sorted array. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compareKeys } from '../../src/shared/base/bytes.ts';
import { Entry } from '../../src/shared/base/entry.ts';
import { StorageError } from '../../src/shared/base/errors.ts';
import { PreadSource } from '../../src/shared/table/block-source.ts';
import { hashKey } from '../../src/shared/table/bloom-filter.ts';
import { type CodecName, isCodecAvailable } from '../../src/shared/table/compression.ts';
import { TableIterator } from '../../src/shared/table/table-iterator.ts';
import { TableReader } from '../../src/shared/table/table-reader.ts';
import { TableBuilder } from '../../src/workers/table-builder.ts';
import { verifyTable } from '../../src/workers/verify-table.ts';
import { MemoryFile } from '../helpers/memory-file.ts';
import { type Random, seededRandom } from '../helpers/rng.ts';
import { freshSeed, reportSeed } from '../helpers/run-budget.ts';
import { withFooterVersion } from '../helpers/table-surgery.ts';
import {
  buildTable,
  collect,
  collectBackwards,
  compareRows,
  entryOf,
  openTable,
  put,
  type Row,
  rowOf,
  sourceOf,
  TABLE_NUMBER,
  TABLE_OPTIONS,
  tombstone,
  utf8,
} from '../helpers/tables.ts';

/** Keys of few letters, so that they share prefixes and repeat: several versions each. */
function randomRows(random: Random, count: number): Row[] {
  const rows: Row[] = [];
  const alphabet = random.pick([2, 4, 200]);
  for (let i = 0; i < count; i++) {
    const length = random.pick([0, 1, 2, 3, 8, 16, 16, random.below(300)]);
    const key = Uint8Array.from({ length }, () => random.below(alphabet) + (alphabet === 2 ? 254 : 20));
    const sequence = 1000 + i * random.pick([1, 1000]) + i;
    if (random.chance(0.2)) rows.push(tombstone(key, sequence));
    else
      rows.push(put(key, sequence, random.bytes(random.pick([0, 1, 20, 100, 127, 128, random.below(2000)]))));
  }
  return rows.sort(compareRows);
}

function lookup(reader: TableReader, key: Uint8Array, maxSequence: number): Row | undefined {
  const entry = new Entry();
  return reader.lookup(key, hashKey(key, 0, key.length), maxSequence, entry) ? rowOf(entry) : undefined;
}

function checkSeeks(reader: TableReader, rows: readonly Row[], key: Uint8Array): void {
  const iterator = new TableIterator(reader);
  const first = rows.findIndex((row) => compareKeys(row.key, key) >= 0);
  assert.equal(iterator.seek(key), first >= 0);
  if (first >= 0) assert.deepEqual(rowOf(iterator.entry), rows[first]);
  const last = (first < 0 ? rows.length : first) - 1;
  assert.equal(iterator.seekBefore(key), last >= 0);
  if (last >= 0) assert.deepEqual(rowOf(iterator.entry), rows[last]);
}

function checkLookup(reader: TableReader, rows: readonly Row[], key: Uint8Array, maxSequence: number): void {
  const expected = rows.find((row) => compareKeys(row.key, key) === 0 && row.sequence <= maxSequence);
  assert.deepEqual(lookup(reader, key, maxSequence), expected);
}

/** Random steps in both directions must show the same rows as an index into the array. */
function checkWalk(reader: TableReader, rows: readonly Row[], random: Random): void {
  const iterator = new TableIterator(reader);
  let at = random.below(rows.length);
  assert.ok(iterator.seek(rows[at]!.key));
  at = rows.findIndex((row) => compareKeys(row.key, rows[at]!.key) === 0);
  for (let step = 0; step < 200; step++) {
    assert.deepEqual(rowOf(iterator.entry), rows[at]);
    const isForward = random.chance(0.5);
    at += isForward ? 1 : -1;
    const isOn = isForward ? iterator.next() : iterator.prev();
    assert.equal(isOn, at >= 0 && at < rows.length);
    if (!isOn) return;
  }
}

test('TableBuilder tables scan, seek and look up like a sorted array', (t) => {
  const random = seededRandom(freshSeed());
  reportSeed(t, random.seed);
  const codecs = (['none', 'snappy', 'lz4'] as CodecName[]).filter(isCodecAvailable);
  for (let round = 0; round < 60; round++) {
    const rows = randomRows(random, random.pick([1, 2, 30, 500]));
    const { bytes, meta } = buildTable(rows, {
      blockSizeBytes: random.pick([1, 64, 700, 4096]),
      restartInterval: random.pick([1, 2, 16, 100_000]),
      compression: random.pick(codecs),
      bloomBitsPerKey: random.pick([0, 10]),
    });
    const reader = openTable(bytes);
    assert.deepEqual(collect(new TableIterator(reader)), rows);
    assert.deepEqual(collectBackwards(new TableIterator(reader)), [...rows].reverse());
    for (let i = 0; i < 60; i++) {
      const near = random.pick(rows).key;
      const key = random.pick([near, near.slice(0, -1), Uint8Array.from([...near, 0]), random.bytes(3)]);
      checkSeeks(reader, rows, key);
      checkLookup(reader, rows, key, random.pick([Number.MAX_SAFE_INTEGER, 0, random.pick(rows).sequence]));
    }
    checkWalk(reader, rows, random);
    assert.equal(verifyTable(sourceOf(bytes), meta).entryCount, rows.length);
  }
});

test('TableBuilder keeps versions of one key findable across many blocks', () => {
  const rows = [put('a', 1, 'first')];
  for (let sequence = 900; sequence > 100; sequence--) rows.push(put('key', sequence, `value ${sequence}`));
  rows.push(put('key2', 5, 'after'));
  const { bytes, meta } = buildTable(rows, { blockSizeBytes: 128, restartInterval: 4 });
  const reader = openTable(bytes);
  assert.ok(reader.blockCount > 50);
  for (let sequence = 99; sequence < 903; sequence += 7) checkLookup(reader, rows, utf8('key'), sequence);
  for (const key of ['', 'a', 'b', 'key', 'key1', 'key2', 'key3']) {
    checkSeeks(reader, rows, utf8(key));
    checkLookup(reader, rows, utf8(key), Number.MAX_SAFE_INTEGER);
  }
  verifyTable(sourceOf(bytes), meta);
});

test('TableBuilder takes empty keys and values, keys of 64 KiB and values of megabytes', (t) => {
  const random = seededRandom(freshSeed());
  reportSeed(t, random.seed);
  const longKey = random.bytes(65536);
  longKey[0] = 200;
  const rows = [
    put('', 9, ''),
    tombstone('', 3),
    put('a', 4, random.bytes(5_000_000)),
    put('b', 5, ''),
    put('c', 6, new Uint8Array(3_000_000)),
    put(longKey.slice(0, 65535), 8, 'short by one'),
    put(longKey, 7, 'the longest'),
  ];
  for (const compression of ['snappy', 'none'] as const) {
    const { bytes, meta } = buildTable(rows, { compression });
    const reader = openTable(bytes);
    assert.deepEqual(collect(new TableIterator(reader)), rows);
    assert.deepEqual(collectBackwards(new TableIterator(reader)), [...rows].reverse());
    for (const row of rows) checkLookup(reader, rows, row.key, row.sequence);
    verifyTable(sourceOf(bytes), meta);
  }
});

test('TableBuilder reports what it wrote', () => {
  const rows = [put('a', 12, 'xx'), tombstone('b', 30), put('b', 11, 'yyy')];
  const { bytes, meta } = buildTable(rows);
  assert.deepEqual(meta, {
    number: TABLE_NUMBER,
    sizeBytes: bytes.length,
    checksum: meta.checksum,
    entryCount: 3,
    tombstoneCount: 1,
    shadowedCount: 1,
    rawBytes: 8,
    smallestKey: utf8('a'),
    largestKey: utf8('b'),
    smallestSequence: 11,
    largestSequence: 30,
  });
  const { properties } = openTable(bytes);
  assert.equal(properties.codec, 'snappy');
  assert.equal(properties.baseSequence, 11);
  assert.equal(properties.blockCount, 1);
});

test('TableBuilder copies from shared memory, and survives short writes', () => {
  const file = new MemoryFile('000007.sst', undefined, 1000);
  const builder = new TableBuilder(file, TABLE_NUMBER, TABLE_OPTIONS, 1);
  const shared = new Uint8Array(new SharedArrayBuffer(256));
  const rows = Array.from({ length: 3000 }, (_, i) => put(String(i).padStart(8, '0'), 1 + i, `value ${i}`));
  const entry = new Entry();
  for (const row of rows) {
    shared.set(row.key, 5);
    shared.set(row.value, 50);
    entryOf({ ...row, key: shared, value: shared }, entry);
    Object.assign(entry, { keyStart: 5, keyEnd: 13, valueStart: 50, valueEnd: 50 + row.value.length });
    builder.add(entry);
  }
  const meta = builder.finish();
  const source = new PreadSource(new MemoryFile('000007.sst', file.content, 100));
  assert.deepEqual(collect(new TableIterator(TableReader.open(source, meta))), rows);
  assert.ok(file.syncCount > 0);
});

test('TableBuilder.fileSizeBytes rises and ends close to the size of the file', () => {
  const file = new MemoryFile();
  const builder = new TableBuilder(file, TABLE_NUMBER, { ...TABLE_OPTIONS, compression: 'none' }, 1);
  let before = 0;
  for (let i = 0; i < 5000; i++) {
    builder.add(entryOf(put(String(i).padStart(16, '0'), 1 + i, 'x'.repeat(100))));
    assert.ok(builder.fileSizeBytes >= before);
    before = builder.fileSizeBytes;
  }
  const { sizeBytes } = builder.finish();
  assert.ok(Math.abs(sizeBytes - before) < 500, `${sizeBytes} ${before}`);
});

test('TableBuilder refuses entries out of order', () => {
  const a = put('a', 5);
  for (const [first, second] of [
    [put('b', 1), a],
    [a, put('a', 5)],
    [a, put('a', 6)],
    [put('ab', 5), a],
    [put('', 5), put('', 5)],
  ] as const) {
    assert.throws(() => buildTable([first, second]), /assertion failed/);
  }
  const builder = new TableBuilder(new MemoryFile(), TABLE_NUMBER, TABLE_OPTIONS, 10);
  assert.throws(() => builder.add(entryOf(put('a', 9))), /assertion failed/);
  assert.throws(() => builder.add(entryOf(put(new Uint8Array(65537), 10))), /assertion failed/);
  assert.throws(() => builder.finish(), /assertion failed/);
});

test('TableReader refuses a newer format version with STRATA_UNSUPPORTED', () => {
  const { bytes } = buildTable([put('a', 1)]);
  assert.throws(
    () => openTable(withFooterVersion(bytes, 3)),
    (error) =>
      error instanceof StorageError && error.code === 'STRATA_UNSUPPORTED' && /version 3/.test(error.message),
  );
  assert.throws(() => openTable(withFooterVersion(bytes, 0)), { code: 'STRATA_CORRUPTION' });
});
