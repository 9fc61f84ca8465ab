/**
 * When a table's filter is asked, and that a table without it answers the same.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Entry } from '../../../src/shared/base/entry.ts';
import { BlockCache } from '../../../src/shared/table/block-cache.ts';
import { hashKey } from '../../../src/shared/table/bloom-filter.ts';
import type { TableReader } from '../../../src/shared/table/table-reader.ts';
import { buildTable, openTable, put, utf8 } from '../../helpers/tables.ts';

const entry = new Entry();

function has(reader: TableReader, key: string): boolean {
  const bytes = utf8(key);
  return reader.lookup(bytes, hashKey(bytes, 0, bytes.length), 1000, entry);
}

test('a filter that has said yes to 64 keys in a row, all of them there, is not asked until one is not there', () => {
  const rows = Array.from({ length: 500 }, (_, i) => put(`key${String(i).padStart(4, '0')}`, 5, `${i}`));
  const counters = { bloomChecks: 0, bloomRejections: 0, blockReads: 0, blockBytesRead: 0 };
  const reader = openTable(buildTable(rows).bytes, { counters });
  for (let i = 0; i < 100; i++) assert.equal(has(reader, `key${String(i).padStart(4, '0')}`), true);
  assert.deepEqual([counters.bloomChecks, counters.bloomRejections], [64, 0]);
  assert.equal(has(reader, 'key0100x'), false);
  assert.equal(counters.bloomChecks, 64, 'the block said so');
  const { blockReads } = counters;
  for (let i = 0; i < 200; i++) assert.equal(has(reader, `key0200absent${i}`), false);
  assert.equal(counters.bloomChecks, 264);
  assert.ok(counters.bloomRejections > 190, `${counters.bloomRejections} of 200`);
  assert.ok(counters.blockReads - blockReads <= 200 - counters.bloomRejections);
});

test('a key that is absent makes a trusted filter asked again, however it was found to be', () => {
  const rows = Array.from({ length: 500 }, (_, i) => put(`key${String(i).padStart(4, '0')}`, 5, `${i}`));
  const present = (i: number): string => `key${String(i).padStart(4, '0')}`;
  for (const isCached of [false, true]) {
    const counters = { bloomChecks: 0, bloomRejections: 0, blockReads: 0, blockBytesRead: 0 };
    const cache = new BlockCache(1 << 20);
    const reader = openTable(buildTable(rows).bytes, { counters, cache });
    for (let i = 0; i < 60; i++) has(reader, present(i));
    // The filter says no, or the block does.
    assert.equal(has(reader, 'key0100x'), false);
    for (let i = 0; i < 100; i++) has(reader, present(i));
    assert.equal(counters.bloomChecks, 61 + 64);
    const absent = utf8('key0050x');
    const block = reader.index.find(absent);
    if (isCached) {
      const position = reader.positionInCached(block, absent);
      assert.equal(reader.readCached(block, position, absent, 1000, entry), false);
    } else assert.equal(reader.lookupFrom(block, absent, 1000, entry), false);
    has(reader, present(7));
    assert.equal(counters.bloomChecks, 126);
  }
});

test('a block that a lookup missed is in a cache with room afterwards', () => {
  const rows = Array.from({ length: 500 }, (_, i) => put(`key${String(i).padStart(4, '0')}`, 5, `${i}`));
  const counters = { bloomChecks: 0, bloomRejections: 0, blockReads: 0, blockBytesRead: 0 };
  const cache = new BlockCache(1 << 20);
  const reader = openTable(buildTable(rows).bytes, { counters, cache });
  for (let round = 0; round < 3; round++) {
    for (let i = 0; i < 500; i++) assert.equal(has(reader, `key${String(i).padStart(4, '0')}`), true);
    assert.equal(counters.blockReads, reader.blockCount);
  }
});

test('a reader that looks no key up keeps no filter', () => {
  const rows = Array.from({ length: 5000 }, (_, i) => put(`key${String(i).padStart(4, '0')}`, 5, `${i}`));
  const { bytes } = buildTable(rows);
  const full = openTable(bytes);
  const bare = openTable(bytes, { hasFilter: false });
  // Ten bits a key.
  assert.ok(full.memoryBytes - bare.memoryBytes > 6000, `${full.memoryBytes} and ${bare.memoryBytes}`);
  for (const key of ['key0000', 'key4999', 'key4999x', 'absent'])
    assert.equal(has(bare, key), has(full, key));
});
