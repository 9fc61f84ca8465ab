/** load and dump: formats, malformed input, and that one reads what the other writes, whatever the bytes. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { splitLines } from '../../src/main/cli/line-splitter.ts';
import { barLine } from '../../src/main/cli/progress.ts';
import { detectFormat, parseRecord } from '../../src/main/cli/record-format.ts';
import { seededRandom } from '../helpers/rng.ts';
import { freshSeed, reportSeed } from '../helpers/run-budget.ts';
import { CLI, runCli, runCommand } from '../helpers/run-cli.ts';
import { temporaryDirectory } from '../helpers/temp-directory.ts';

test('load reads what dump writes: any bytes, byte for byte', async (t) => {
  const seed = freshSeed();
  reportSeed(t, seed);
  const random = seededRandom(seed);
  const folder = temporaryDirectory(t);
  const [first, second, third] = ['first', 'second', 'third'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  const lines = Array.from({ length: 1500 }, () => {
    const [key, value] = [random.between(0, 12), random.between(0, 60)].map((length) =>
      Buffer.from(random.bytes(length)).toString('hex'),
    );
    return JSON.stringify({ key_hex: key, value_hex: value });
  });
  lines.push('{"key":"\\ufefftext \\u0000 \\" \\\\ é €","value":"line\\nbreak"}');
  const loaded = await runCli(first, ['load', '-'], `${lines.join('\n')}\n`);
  assert.equal(loaded.exitCode, 0, loaded.stderr);
  assert.match(loaded.stderr, /^loaded 1,501 rows .* rows\/s, .* MB\/s\n$/);

  const dump = await runCommand(first, ['dump']);
  assert.equal((await runCli(second, ['load', '-'], dump.stdoutBytes)).exitCode, 0);
  assert.ok(
    (await runCommand(second, ['dump'])).stdoutBytes.equals(dump.stdoutBytes),
    'dump -> load -> dump',
  );

  const hexDump = await runCommand(first, ['dump', '--hex']);
  assert.equal((await runCli(third, ['load', '-'], hexDump.stdoutBytes)).exitCode, 0);
  assert.ok(
    (await runCommand(third, ['dump'])).stdoutBytes.equals(dump.stdoutBytes),
    'dump --hex -> load -> dump',
  );
});

test('load takes arrays, and tab-separated bytes as they are', async (t) => {
  const folder = temporaryDirectory(t);
  const [json, tsv] = [join(folder, 'json'), join(folder, 'tsv')];
  assert.equal((await runCli(json, ['load', '-'], '["k","v"]\r\n\r\n["k2","v2"]')).exitCode, 0);
  assert.equal((await runCommand(json, ['scan'])).stdout, 'k => v\nk2 => v2\n');
  const bytes = Buffer.from('a\tb\tc\r\n\n\\n\t\\t\nx\t\xff\n\tempty key\n', 'latin1');
  assert.equal((await runCli(tsv, ['load', '-'], bytes)).exitCode, 0);
  assert.equal(
    (await runCommand(tsv, ['scan'])).stdout,
    ' => empty key\n\\\\n => \\\\t\na => b\\tc\nx => \\xff\n',
  );
});

test('load reads a file, and --format overrides the first line', async (t) => {
  const folder = temporaryDirectory(t);
  const file = join(folder, 'rows.txt');
  writeFileSync(file, '{not json\tvalue\n');
  const db = join(folder, 'db');
  const detected = await runCommand(db, ['load', file]);
  assert.equal(detected.exitCode, 1);
  assert.match(detected.stderr, /line 1 of .*rows\.txt: not JSON/);
  assert.equal((await runCommand(db, ['load', file, '--format', 'tsv'])).exitCode, 0);
  assert.equal((await runCommand(db, ['get', '{not json'])).stdout, 'value\n');
});

test('a malformed line is named, and nothing is stored', async (t) => {
  const db = temporaryDirectory(t);
  const rows = Array.from({ length: 2500 }, (_, i) => `{"key":"${String(i).padStart(4, '0')}","value":"x"}`);
  rows[2100] = '{"key":"2100"}';
  const { exitCode, stdout, stderr } = await runCli(db, ['load', '-'], rows.join('\n'));
  assert.deepEqual([exitCode, stdout], [1, '']);
  assert.equal(stderr, 'stratakv: line 2101 of standard input: no value; nothing was stored\n');
  assert.equal((await runCommand(db, ['scan', '--keys'])).stdout, '');
});

test('load --skip-bad stores the rest and counts what it left out', async (t) => {
  const db = temporaryDirectory(t);
  const input = [
    '{"key":"a","value":"1"}',
    'rubbish',
    '["b"]',
    '{"key":"\\ud800","value":""}',
    '["c","3"]',
  ].join('\n');
  const { exitCode, stderr } = await runCli(db, ['load', '--skip-bad', '-'], input);
  assert.equal(exitCode, 0, stderr);
  assert.match(stderr, /^skipped line 2 of standard input: not JSON/m);
  assert.match(stderr, /^skipped line 3 of standard input: expected \[key, value\]/m);
  assert.match(stderr, /^skipped line 4 of standard input: /m);
  assert.match(stderr, /malformed lines skipped: 3\n$/);
  assert.equal((await runCommand(db, ['scan'])).stdout, 'a => 1\nc => 3\n');
});

test('a bar fits its terminal, whatever the width, and says the time left as long as it can', () => {
  const counts = {
    parts: ['251,000 rows', '310,442 rows/s', '41.2 MB/s', '0.8 s left'],
    dispensable: [2, 1, 0],
  };
  for (const label of ['loading', 'building tables'])
    for (let columns = 1; columns <= 200; columns++) {
      const line = barLine(label, 0.52, counts, columns);
      assert.ok(line.length < Math.max(2, columns), `${columns}: ${line}`);
      assert.ok(columns < 42 || line.includes('0.8 s left'), `${columns}: ${line}`);
      assert.ok(columns < 40 || /\[=+-+\] 52%/.test(line), `${columns}: ${line}`);
      assert.ok(columns < 110 || counts.parts.every((part) => line.includes(part)), `${columns}: ${line}`);
      assert.ok(barLine(label, undefined, counts, columns).length < Math.max(2, columns));
    }
});

test('notes on bad lines stand on lines of their own above the bar of a terminal', (t) => {
  const input = join(temporaryDirectory(t), 'bad.tsv');
  writeFileSync(input, `a\tb\nbad\n${'k\tv\n'.repeat(3000)}worse\n`);
  const command = [process.execPath, CLI, '--db', temporaryDirectory(t), 'load', '--skip-bad', input];
  const terminal = [
    '-qec',
    `stty cols 40 rows 10; ${command.map((word) => `'${word}'`).join(' ')}`,
    '/dev/null',
  ];
  const env = { ...process.env, TERM: 'xterm' };
  const { error, stdout } = spawnSync('script', terminal, { env, encoding: 'utf8' });
  if (error !== undefined) {
    t.skip('script(1) is not here to make a terminal');
    return;
  }
  // Cut where the line ends, where the cursor goes back to its beginning, and where it is erased.
  const shown = stdout
    .replaceAll('\u001b', '^')
    .split(/[\r\n]|\^\[(?:2K|1?G)/)
    .map((piece) => piece.replace(/\^\[[0-9;?]*[A-Za-z]|\^[78]/g, ''));
  const notes = shown.filter((piece) => piece.includes('skipped line'));
  assert.deepEqual(
    notes.map((note) => note.replace(/ of .*/, '')),
    ['skipped line 2', 'skipped line 3003'],
  );
  const bars = shown.filter((piece) => /^(?:loading|building)/.test(piece));
  assert.ok(bars.length > 0);
  for (const bar of bars) assert.ok(bar.length < 40, bar);
});

test('load of a file that cannot be read says so and creates no store', async (t) => {
  const folder = temporaryDirectory(t);
  const db = join(folder, 'db');
  for (const path of [join(folder, 'absent'), folder]) {
    const { exitCode, stderr } = await runCommand(db, ['load', path]);
    assert.equal(exitCode, 1);
    assert.match(stderr, /^stratakv: [^\n]*(?:no such file|is a directory)[^\n]*\n$/);
  }
  assert.equal((await runCommand(db, ['stats'])).exitCode, 1);
});

test('parseRecord() refuses whatever it would have to guess or drop', () => {
  const cases: readonly (readonly [line: string, says: RegExp])[] = [
    ['{"key":"k","value":1}', /value must be a string, not a number/],
    ['{"key":"k","value":null}', /not null/],
    ['{"key":["k"],"value":"v"}', /not an array/],
    ['{"key":"k","value":"v","ttl":1}', /unknown field "ttl"/],
    ['{"key":"k","key_hex":"6b","value":"v"}', /more than one key/],
    ['{"value":"v"}', /no key/],
    ['{"key_hex":"6","value":"v"}', /key is not hex/],
    ['{"key_base64":"*","value":"v"}', /key is not base64/],
    ['["k"]', /found 1 elements/],
    ['"k"', /expected/],
    ['null', /expected/],
    ['{', /not JSON/],
  ];
  for (const [line, says] of cases) assert.throws(() => parseRecord(Buffer.from(line), 'json'), says, line);
  assert.throws(() => parseRecord(Buffer.from('{"key":"\xff","value":""}', 'latin1'), 'json'), /not UTF-8/);
  assert.throws(() => parseRecord(Buffer.from('no tab'), 'tsv'), /no tab/);
});

test('detectFormat() goes by the first character', () => {
  assert.equal(detectFormat(Buffer.from('  {"key"')), 'json');
  assert.equal(detectFormat(Buffer.from('["k"')), 'json');
  assert.equal(detectFormat(Buffer.from('k\tv')), 'tsv');
});

test('splitLines() gives the same lines however the stream is cut', async () => {
  const text = Buffer.from('\ufeffone\r\n\ntwo\rx\nthree\n\nlast');
  const expected = ['one', '', 'two\rx', 'three', '', 'last'];
  for (let size = 1; size <= text.length; size++) {
    assert.deepEqual(await collect(cut(text, size)), expected, `chunks of ${size}`);
  }
  assert.deepEqual(await collect(cut(Buffer.alloc(0), 1)), []);
  assert.deepEqual(await collect(cut(Buffer.from('one\n'), 2)), ['one']);
});

async function* cut(bytes: Buffer, size: number): AsyncGenerator<Buffer, void, void> {
  for (let i = 0; i < bytes.length; i += size) yield bytes.subarray(i, i + size);
}

async function collect(chunks: AsyncIterable<Buffer>): Promise<string[]> {
  const lines: string[] = [];
  for await (const block of splitLines(chunks)) lines.push(...block.map((line) => line.toString()));
  return lines;
}
