/**
 * When a table's filter is asked, and that a table without it answers the same.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Entry } from '../../../src/shared/iterator.ts';
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
