/**
 * OutputSplitter: where one output table ends and the next begins.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Entry } from '../../src/shared/base/entry.ts';
import { OutputSplitter, type OutputSplitterOptions } from '../../src/workers/output-splitter.ts';
import { bytesOf } from '../helpers/array-iterator.ts';

function entryOf(key: string): Entry {
  const entry = new Entry();
  entry.keyBytes = bytesOf(key);
  entry.keyEnd = key.length;
  return entry;
}

/** Splits `keys`, each adding `bytesPerKey` to its table: 'ab|c' for two tables. */
function split(keys: string, bytesPerKey: number, options: Partial<OutputSplitterOptions>): string {
  const splitter = new OutputSplitter({
    maxFileSizeBytes: 100,
    outputCount: 1000,
    grandparents: [],
    ...options,
  });
  let shown = '';
  let sizeBytes = 0;
  for (const key of keys) {
    if (splitter.beginsTable(entryOf(key), sizeBytes)) {
      if (shown !== '') shown += '|';
      sizeBytes = 0;
    }
    sizeBytes += bytesPerKey;
    shown += key;
  }
  return shown;
}

const grandparent = (largest: string, sizeBytes: number) => ({ largestKey: bytesOf(largest), sizeBytes });

test('OutputSplitter begins the first table with the first key, and one each time the size is reached', () => {
  assert.equal(split('abcdefg', 10, {}), 'abcdefg');
  assert.equal(split('abcdefg', 34, {}), 'abc|def|g');
  assert.equal(split('abc', 1000, {}), 'a|b|c');
});

test('OutputSplitter never begins more tables than are reserved: the last takes the rest', () => {
  assert.equal(split('abcdefgh', 100, { outputCount: 3 }), 'a|b|cdefgh');
  assert.equal(split('abc', 100, { outputCount: 1 }), 'abc');
  assert.throws(() => split('a', 1, { outputCount: 0 }), /at least one output/);
});

test('OutputSplitter ends a table that overlaps more than ten tables worth of grandparents', () => {
  // Each is half of what a table may overlap: the table ends once it has passed three.
  const grandparents = ['b', 'd', 'f', 'h', 'j'].map((key) => grandparent(key, 500));
  assert.equal(split('abcdefghij', 1, { grandparents }), 'abcdef|ghij');
  const huge = [grandparent('c', 1001), grandparent('m', 1001)];
  assert.equal(split('abcdefmno', 1, { grandparents: huge }), 'abc|defm|no');
});

test('OutputSplitter does not count grandparents that end before the first key', () => {
  const grandparents = ['a', 'b', 'c', 'd'].map((key) => grandparent(key, 5000));
  assert.equal(split('xyz', 1, { grandparents }), 'xyz');
});

test('OutputSplitter counts afresh for each table, whatever made it end', () => {
  const grandparents = ['a', 'b', 'c', 'd', 'e', 'f'].map((key) => grandparent(key, 400));
  // By size after two keys each time: 800 bytes of grandparents never reach the limit of 1000.
  assert.equal(split('abcdef', 50, { grandparents }), 'ab|cd|ef');
});
