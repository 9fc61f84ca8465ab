/** dump-table: what it shows of sound and of damaged tables, and what it says of files that are none. */
import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { RangeDeletes } from '../../src/shared/ranges/range-deletes.ts';
import { type CliResult, runCommand, runEach } from '../helpers/run-cli.ts';
import { metaOf, resealBlock, withFooterVersion, withMeta } from '../helpers/table-surgery.ts';
import { buildTable, put, type Row, TABLE_NUMBER, tombstone } from '../helpers/tables.ts';
import { temporaryDirectory } from '../helpers/temp-directory.ts';

const NAME = '000007.sst';
const ROWS: readonly Row[] = [
  put('apple', 3, 'red'),
  put('apple', 1, 'green'),
  tombstone('banana', 5),
  ...Array.from({ length: 40 }, (_, i) => put(`key${String(i).padStart(3, '0')}`, 10 + i, `secret${i}`)),
];

interface JsonFact {
  readonly type: string;
  readonly [field: string]: unknown;
}

function tableBytes(): Uint8Array {
  return buildTable(ROWS, { blockSizeBytes: 200 }).bytes;
}

function writeTable(t: TestContext, bytes: Uint8Array, name: string = NAME): string {
  const path = join(temporaryDirectory(t), name);
  writeFileSync(path, bytes);
  return path;
}

function dump(path: string, ...options: string[]): Promise<CliResult> {
  return runCommand('/nowhere', ['dump-table', path, ...options]);
}

function factsOf({ stdout }: CliResult): JsonFact[] {
  return stdout
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as JsonFact);
}

test('dump-table shows the parts, the properties and the blocks of a table, and no keys', async (t) => {
  const result = await dump(writeTable(t, tableBytes()));
  assert.deepEqual([result.exitCode, result.stderr], [0, '']);
  for (const part of [
    /^footer +at \d+: checksum ok; format version 2, meta block at \d+, \d+ bytes$/m,
    /^meta block +at \d+, \d+ bytes: checksum ok$/m,
    /^properties +table 7, written in format version 2, compression snappy$/m,
    /^ +entries +43: 1 deletes, 1 older versions of a key; \d+ bytes of keys and values$/m,
    /^ +sequences +1 to 49, counted from 1$/m,
    /^ +keys +5 bytes \.\. 6 bytes +\(--keys shows them\)$/m,
    /^index +\d blocks in/m,
    /^filter +1 lines of 64 bytes, 6 probes, /m,
    /^ +block +offset +stored +raw +codec +entries +deletes$/m,
    /^ +0 +0 +\d+ +\d+ +(?:snappy|none) +\d+ +1$/m,
    /^ok: \d blocks, .*; 43 entries, 1 of them deletes, /m,
  ])
    assert.match(result.stdout, part);
  assert.doesNotMatch(result.stdout, /apple|key0|secret/);
});

test('dump-table shows deleted ranges: how many, and each of them where keys are asked for', async (t) => {
  const text = (key: string): Uint8Array => Buffer.from(key);
  const ranges = RangeDeletes.of([
    { key: text('a'), sequences: [50, 4] },
    { key: text('b'), sequences: [] },
    { key: text('key'), sequences: [9] },
    { key: text('zebra'), sequences: [] },
  ]);
  const path = writeTable(t, buildTable(ROWS, { blockSizeBytes: 200 }, TABLE_NUMBER, ranges).bytes);
  const plain = await dump(path);
  assert.deepEqual([plain.exitCode, plain.stderr], [0, '']);
  assert.match(plain.stdout, /^ {2}ranges +at \d+, \d+ bytes$/m);
  assert.match(plain.stdout, /^ranges +2 deleted, by sequences 4 to 50; \d+ bytes +\(--keys shows them\)$/m);
  assert.doesNotMatch(plain.stdout, /zebra/);
  const { stdout } = await dump(path, '--keys');
  assert.match(stdout, /^ {2}from a to b, by 50 4\n {2}from key to zebra, by 9$/m);
  const meta = factsOf(await dump(path, '--json', '--keys')).find(({ type }) => type === 'meta')!;
  assert.equal((meta['ranges'] as { count: number }).count, 2);
});

test('dump-table --entries shows sequences, kinds and lengths; keys and values only when they are asked for', async (t) => {
  const path = writeTable(t, tableBytes());
  const entries = await dump(path, '--entries');
  assert.match(entries.stdout, /^ +3 +put +key 5 +value 3$/m);
  assert.match(entries.stdout, /^ +5 +delete +key 6$/m);
  assert.doesNotMatch(entries.stdout, /apple|secret/);
  const keys = await dump(path, '--entries', '--keys');
  assert.match(keys.stdout, /^ +5 +delete +key 6 +banana$/m);
  assert.match(keys.stdout, /^ +keys +apple \.\. key039$/m);
  assert.doesNotMatch(keys.stdout, /secret/);
  const values = await dump(path, '--values');
  assert.match(values.stdout, /^ +3 +put +key 5 +value 3 => red$/m);
  assert.doesNotMatch(values.stdout, /apple/);
  assert.match((await dump(path, '--keys', '--values', '--hex')).stdout, /6170706c65 => 726564$/m);
});

test('dump-table --json prints a fact a line, with keys by the names that their encoding has', async (t) => {
  const bytes = buildTable([
    put(new Uint8Array([0xff, 0x01]), 1, 'a\n'),
    put(new Uint8Array([0xff, 0x02]), 2),
  ]).bytes;
  const path = writeTable(t, bytes);
  const facts = factsOf(await dump(path, '--json', '--keys', '--values'));
  assert.deepEqual(
    facts.map(({ type }) => type),
    ['file', 'footer', 'meta', 'block', 'entry', 'entry', 'summary'],
  );
  assert.deepEqual(facts[4], {
    type: 'entry',
    block: 0,
    sequence: 1,
    op: 'put',
    keyBytes: 2,
    valueBytes: 2,
    key_base64: '/wE=',
    value: 'a\n',
  });
  const hidden = factsOf(await dump(path, '--json', '--entries'));
  assert.deepEqual(Object.keys(hidden[4]!), ['type', 'block', 'sequence', 'op', 'keyBytes', 'valueBytes']);
});

test('dump-table --limit says how much it leaves out, and reads all the same', async (t) => {
  const path = writeTable(t, tableBytes());
  const all = factsOf(await dump(path, '--json'));
  const count = all.filter(({ type }) => type === 'block').length;
  const blocks = await dump(path, '--limit', '2');
  assert.match(blocks.stdout, new RegExp(`^\\.\\.\\. and ${count - 2} more blocks \\(--limit\\)$`, 'm'));
  assert.match(blocks.stdout, new RegExp(`^ok: ${count} blocks, .* 43 entries`, 'm'));
  const entries = await dump(path, '--entries', '--limit', '5');
  assert.match(entries.stdout, /^\.\.\. and 38 more entries \(--limit\)$/m);
  const summary = await dump(path, '--summary', '--json');
  assert.deepEqual(
    factsOf(summary).map(({ type }) => type),
    ['file', 'footer', 'meta', 'summary'],
  );
});

test('a damaged block is named with its offset, beyond a limit as well, and the others are shown', async (t) => {
  const bytes = tableBytes();
  const path = writeTable(t, bytes);
  const [first, second, third] = factsOf(await dump(path, '--json')).filter(({ type }) => type === 'block');
  bytes[(third!['offset'] as number) + 3]! ^= 0x10;
  writeFileSync(path, bytes);
  const { exitCode, stdout, stderr } = await dump(path, '--limit', '1');
  assert.equal(exitCode, 4);
  assert.equal(
    stderr,
    `stratakv: corruption: block checksum mismatch in ${path} at offset ${third!['offset']} (STRATA_CORRUPTION)\n`,
  );
  assert.match(
    stdout,
    new RegExp(`^damaged: block checksum mismatch in ${path} at offset ${third!['offset']}$`, 'm'),
  );
  assert.match(stdout, /^1 fault: \d blocks \(1 damaged\)/m);
  const shown = factsOf(await dump(path, '--json')).filter(({ type }) => type === 'block');
  assert.deepEqual(shown.slice(0, 2), [first, second]);
});

test('a table whose footer is cut off is shown by its blocks, counted from a base that is not known', async (t) => {
  const bytes = tableBytes();
  const sound = factsOf(await dump(writeTable(t, bytes), '--json', '--entries', '--keys'));
  const { metaOffset } = sound[1] as unknown as { metaOffset: number };
  const path = writeTable(t, bytes.subarray(0, metaOffset));
  const result = await dump(path, '--json', '--entries', '--keys');
  assert.equal(result.exitCode, 4);
  const cut = factsOf(result).filter(({ type }) => type === 'entry');
  const entries = sound.filter(({ type }) => type === 'entry');
  assert.deepEqual(
    cut.map(({ key, sequence }) => [key, (sequence as number) + 1]),
    entries.map(({ key, sequence }) => [key, sequence]),
  );
  assert.ok(cut.every(({ isSequenceRelative }) => isSequenceRelative === true));
  assert.match((await dump(path, '--entries')).stdout, /^ +base\+2 +put/m);
});

test('of a table whose last bytes are cut off, the properties and the index are shown, unproven', async (t) => {
  const bytes = tableBytes();
  const { exitCode, stdout, stderr } = await dump(writeTable(t, bytes.subarray(0, bytes.length - 10)));
  assert.equal(exitCode, 4);
  assert.match(
    stderr,
    /footer has no magic: not a table, or cut off in .* at offset \d+ \(STRATA_CORRUPTION\)\n$/,
  );
  assert.match(stdout, /^meta block +at \d+, \d+ bytes: not verified, so what it says is not proven$/m);
  assert.match(stdout, /^ +sequences +1 to 49, counted from 1$/m);
  assert.match(stdout, /^1 fault: \d blocks, .* 43 entries/m);
});

test('entries that are out of order, and properties that say something else, are faults', async (t) => {
  const { bytes } = buildTable([put('a', 1), put('b', 2), put('c', 3)], {
    compression: 'none',
    bloomBitsPerKey: 0,
  });
  const meta = metaOf(bytes);
  const blockEnd = bytes.length - 32 - meta.length;
  const swapped = bytes.slice();
  swapped[swapped.indexOf(0x62)] = 0x61;
  resealBlock(swapped, 0, blockEnd, 7, 0);
  const outOfOrder = await dump(writeTable(t, swapped));
  assert.equal(outOfOrder.exitCode, 4);
  assert.match(outOfOrder.stderr, /entries are out of order in .*000007\.sst at offset 0 /);
  // Tag 3, one byte: the number of entries.
  const at = meta.findIndex((byte, i) => byte === 3 && meta[i + 1] === 1 && meta[i + 2] === 3);
  meta[at + 2] = 4;
  const other = await dump(writeTable(t, withMeta(bytes, meta)));
  assert.equal(other.exitCode, 4);
  assert.match(other.stderr, /the properties say 4 entries where the blocks hold 3 in /);
});

test('a table under the number of another one is shown, with a fault', async (t) => {
  const { exitCode, stdout, stderr } = await dump(writeTable(t, tableBytes(), '000009.sst'));
  assert.equal(exitCode, 4);
  assert.match(stderr, /table is number 7 where 9 is expected in .*000009\.sst at offset 0/);
  assert.match(stdout, /^1 fault: \d blocks, .* 43 entries/m);
});

test('a table of another name, one set aside, and one behind a link are read', async (t) => {
  for (const name of ['copy.bin', '000007.sst.set-aside', '000007.sst.new']) {
    const { exitCode, stderr } = await dump(writeTable(t, tableBytes(), name));
    assert.deepEqual([exitCode, stderr], [0, ''], name);
  }
  const path = writeTable(t, tableBytes());
  const link = join(temporaryDirectory(t), 'link');
  symlinkSync(path, link);
  assert.equal((await dump(link)).exitCode, 0);
});

test('a newer format is no damage: exit code 1, with its version', async (t) => {
  const { exitCode, stdout, stderr } = await dump(writeTable(t, withFooterVersion(tableBytes(), 9)));
  assert.equal(exitCode, 1);
  assert.match(stdout, /format version 9/);
  assert.match(stderr, /has table format version 9; this release reads up to 2.*STRATA_UNSUPPORTED/);
});

test('what is no table is one line that says what was expected', async (t) => {
  const directory = temporaryDirectory(t);
  const random = join(directory, 'noise.bin');
  writeFileSync(random, 'x'.repeat(1000));
  const empty = join(directory, 'empty');
  writeFileSync(empty, '');
  mkdirSync(join(directory, 'folder'));
  copyFileSync(random, join(directory, '000012.log'));
  for (const [name, says] of [
    ['noise.bin', /noise\.bin is no table: expected/],
    ['empty', /empty is no table: expected/],
    ['folder', /folder is a directory; expected the file of a table/],
    ['absent.sst', /absent\.sst does not exist; expected the file of a table/],
    ['noise.bin/x', /noise\.bin\/x does not exist/],
    ['000012.log', /000012\.log is a file for dump-log/],
  ] as const) {
    const { exitCode, stdout, stderr } = await dump(join(directory, name));
    assert.deepEqual([exitCode, stdout], [1, ''], name);
    assert.match(stderr, says);
    assert.equal(stderr.split('\n').length, 2, stderr);
  }
  for (const content of ['', 'x'.repeat(1000)]) {
    const { exitCode, stderr } = await dump(writeTable(t, Buffer.from(content)));
    assert.equal(exitCode, 4);
    assert.match(stderr, /000007\.sst at offset \d+ \(STRATA_CORRUPTION\)/);
  }
});

test('looking at a store changes nothing in it', async (t) => {
  const db = temporaryDirectory(t);
  await runEach(db, ['put a 1', 'flush', 'put b 2']);
  const snapshot = (): string[] =>
    readdirSync(db).map((name) => `${name} ${readFileSync(join(db, name), 'latin1')}`);
  const before = snapshot();
  for (const name of readdirSync(db)) {
    if (name.endsWith('.sst')) assert.equal((await dump(join(db, name), '--values')).exitCode, 0);
    if (name.endsWith('.log')) assert.equal((await runCommand(db, ['dump-log', join(db, name)])).exitCode, 0);
  }
  for (const command of ['dump-manifest', 'levels'])
    assert.equal((await runCommand(db, [command])).exitCode, 0);
  assert.deepEqual(snapshot(), before);
});
