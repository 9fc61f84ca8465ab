/**
 * The quick reading of a page takes what would be written, and nothing else; and says of it what the thorough one says.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HEADER_LENGTH, sealText } from '../../../src/main/manifest/manifest-text.ts';
import { decodePage, encodePage, type PageEntry } from '../../../src/main/manifest/page-files.ts';
import { scanPage } from '../../../src/main/manifest/page-scanner.ts';
import { crc32 } from '../../../src/shared/base/checksum.ts';
import { level } from '../../../src/shared/base/ids.ts';
import type { TableInfo } from '../../../src/shared/base/version-edit.ts';
import { type Random, seededRandom } from '../../helpers/rng.ts';
import { freshSeed, reportSeed } from '../../helpers/run-budget.ts';
import { tableMeta } from '../../helpers/table-meta.ts';

const STORE_ID = '01234567-89ab-4cde-8f01-23456789abcd';
const AT = level(6);
const PREFIX = `"page": {\n  "formatVersion": 5,\n  "storeId": "${STORE_ID}",\n  "number": 7,\n  "tables": [\n    `;

function randomTable(number: number, random: Random, longest = 255): TableInfo {
  const count = (): number => random.pick([0, 1, 9, 10, 4095, 0xffffffff, 999_999_999_999_999]);
  const key = (): Uint8Array =>
    Uint8Array.from({ length: random.pick([0, 1, 2, 3, 4, 17, longest]) }, () => random.between(0, 255));
  return {
    ...tableMeta(number, '', '', { smallestKey: key(), largestKey: key() }),
    sizeBytes: count(),
    checksum: count(),
    entryCount: count(),
    tombstoneCount: count(),
    shadowedCount: count(),
    rawBytes: count(),
    smallestSequence: count() as TableInfo['smallestSequence'],
    largestSequence: count() as TableInfo['largestSequence'],
  };
}

function textOf(tables: readonly TableInfo[]): Buffer {
  return encodePage(STORE_ID, 7, { level: AT, tables }).subarray(HEADER_LENGTH);
}

function entryOf(bytes: Uint8Array, tableCount: number): PageEntry {
  return { level: AT, number: 7, sizeBytes: bytes.length, checksum: crc32(bytes), tableCount };
}

test('a page is read as it was written', (t) => {
  const seed = freshSeed();
  reportSeed(t, seed);
  const random = seededRandom(seed);
  for (let round = 0; round < 100; round++) {
    const tables = Array.from({ length: random.between(1, 20) }, (_, i) => randomTable(i + 1, random));
    const scanned = scanPage(textOf(tables), PREFIX, AT, tables.length);
    assert.deepEqual(scanned, tables);
    for (const { smallestKey, largestKey } of scanned)
      for (const key of [smallestKey, largestKey]) assert.equal(key.buffer.byteLength, key.length);
  }
});

test('numbers of sixteen digits and long keys are left to the thorough reader, which takes them', () => {
  const table = tableMeta(1, 'a', 'b');
  const long = new Uint8Array(300).fill(0x61);
  for (const one of [
    { ...table, rawBytes: Number.MAX_SAFE_INTEGER },
    { ...table, smallestKey: long, largestKey: long },
    { ...table, largestKey: long },
  ]) {
    assert.equal(scanPage(textOf([one]), PREFIX, AT, 1), undefined);
    const bytes = encodePage(STORE_ID, 7, { level: AT, tables: [one] });
    assert.deepEqual(decodePage(bytes, 'page', STORE_ID, entryOf(bytes, 1)).tables, [one]);
  }
});

test('whatever is changed in a text, it is refused, or is the text of what is read', (t) => {
  const seed = freshSeed();
  reportSeed(t, seed);
  const random = seededRandom(seed);
  let taken = 0;
  for (let round = 0; round < 3000; round++) {
    const tables = Array.from({ length: random.between(1, 3) }, (_, i) => randomTable(i + 1, random, 20));
    const body = Buffer.from(changed(textOf(tables), random), 'latin1');
    const scanned = scanPage(body, PREFIX, AT, tables.length);
    if (scanned === undefined) continue;
    taken++;
    assert.equal(textOf(scanned).toString('latin1'), body.toString('latin1'));
    const bytes = sealText(body.toString('latin1'));
    assert.deepEqual(decodePage(bytes, 'page', STORE_ID, entryOf(bytes, tables.length)).tables, scanned);
  }
  // Another digit is another number, for the most part.
  assert.ok(taken > 50, `only ${taken} of the changed texts were taken`);
});

/** In one place; of what stands there already, more often than not. */
function changed(text: Buffer, random: Random): string {
  const whole = text.toString('latin1');
  const at = random.between(0, whole.length - 1);
  const put = random.pick([
    '0',
    '1',
    '9',
    '00',
    '-',
    '.',
    'e',
    'A',
    'B',
    'Q',
    '=',
    '==',
    ' ',
    '"',
    ',',
    '}',
    '\n',
    'é',
    '+',
    '/',
  ]);
  return whole.slice(0, at) + put + whole.slice(at + random.pick([0, 1, 1, 1, 2]));
}

test('texts that mean the same to JSON, or to a decoder of base64, are not taken', () => {
  const text = textOf([tableMeta(1, 'a', 'bc')]).toString();
  const take = (other: string): unknown => scanPage(Buffer.from(other), PREFIX, AT, 1);
  assert.ok(take(text) !== undefined);
  for (const [from, to] of [
    ['"number":1', '"number":01'],
    ['"number":1', '"number":1.0'],
    ['"number":1', '"number":1e0'],
    ['"number":1', '"number":-0'],
    ['"number":1', '"number": 1'],
    ['"number":1', '"number":'],
    ['"YQ=="', '"YQ="'],
    ['"YQ=="', '"YQ"'],
    ['"YQ=="', '"YR=="'],
    ['"YQ=="', '"Y==="'],
    ['"YmM="', '"YmN="'],
    ['"YmM="', '"YmM=="'],
    ['"YmM="', '"YmM"'],
    ['"YmM="', '"Ym-="'],
    ['"level":6', '"level":5'],
    ['\n}}\n', '\n}}'],
    ['\n}}\n', '\n}}\n\n'],
    ['\n}}\n', '\n, "x":1}}\n'],
  ] as const) {
    assert.ok(text.includes(from), from);
    assert.equal(take(text.replace(from, to)), undefined, `${from} as ${to}`);
  }
  assert.equal(scanPage(Buffer.from(text), PREFIX, AT, 2), undefined);
});
