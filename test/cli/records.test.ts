/** put, get, delete and scan at the command line: what they print where, and their exit codes. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { plainGet } from '../../src/main/cli/get-record.ts';
import { Output } from '../../src/main/cli/output.ts';
import { runShell } from '../../src/main/cli/shell.ts';
import { CLI, collector, runCli, runCommand, runLines } from '../helpers/run-cli.ts';
import { temporaryDirectory } from '../helpers/temp-directory.ts';

test('put, get and delete work across processes', async (t) => {
  const db = temporaryDirectory(t);
  assert.deepEqual(await outcome(runCli(db, ['put', 'user:1', 'Alice'])), [0, '', '']);
  assert.deepEqual(await outcome(runCli(db, ['get', 'user:1'])), [0, 'Alice\n', '']);
  assert.deepEqual(await outcome(runCli(db, ['delete', 'user:1'])), [0, '', '']);
  assert.deepEqual(await outcome(runCli(db, ['get', 'user:1'])), [3, '', 'stratakv: not found\n']);
  assert.deepEqual(await outcome(runCli(db, ['delete', 'user:1'])), [0, '', '']);
});

test('a plain get is carried out as any other line, and no other line is taken for one', async (t) => {
  const db = temporaryDirectory(t);
  assert.deepEqual(plainGet(['get', 'k']), { db: './db_data', key: 'k' });
  assert.deepEqual(plainGet(['--db', db, 'get', '']), { db, key: '' });
  for (const line of [
    'get',
    'get --raw',
    'get k --raw',
    'get a b',
    'put k',
    '--db d get -- k',
    '--db d get -k',
    '--db get k',
  ])
    assert.equal(plainGet(line.split(' ')), undefined, line);
  await runCommand(db, ['put', '--hex', '6b', 'c3a90aff']);
  for (const key of ['k', 'absent', 'x'.repeat(70_000)]) {
    const [plain, other] = [await runCli(db, ['get', key]), await runCommand(db, ['get', '--', key])];
    assert.deepEqual(plain, other);
  }
  const nowhere = join(db, 'nowhere');
  assert.deepEqual(await runCli(nowhere, ['get', 'k']), await runCommand(nowhere, ['get', '--', 'k']));
});

test('get --raw prints the bytes of the value and nothing else', async (t) => {
  const db = temporaryDirectory(t);
  await runCommand(db, ['put', '--base64', 'aw==', '/wD+Cg==']);
  const raw = await runCommand(db, ['get', 'k', '--raw']);
  assert.deepEqual(raw.stdoutBytes, Buffer.from([0xff, 0x00, 0xfe, 0x0a]));
  assert.equal((await runCommand(db, ['get', 'k'])).stdout, '\\xff\0\\xfe\n\n');
  assert.equal((await runCommand(db, ['get', '6b', '--hex'])).stdout, 'ff00fe0a\n');
  assert.equal((await runCommand(db, ['get', 'aw==', '--base64'])).stdout, '/wD+Cg==\n');
});

test('empty keys and values, spaces and line breaks are data like any other', async (t) => {
  const db = temporaryDirectory(t);
  await runCommand(db, ['put', '', 'the empty key']);
  await runCommand(db, ['put', 'empty', '']);
  await runCommand(db, ['put', 'two words', 'line 1\nline 2']);
  await runCommand(db, ['put', 'dash', '--', '-x']);
  assert.equal((await runCommand(db, ['get', ''])).stdout, 'the empty key\n');
  assert.equal((await runCommand(db, ['get', 'empty'])).stdout, '\n');
  assert.equal((await runCommand(db, ['get', 'two words'])).stdout, 'line 1\nline 2\n');
  assert.equal(
    (await runCommand(db, ['scan'])).stdout,
    ' => the empty key\ndash => -x\nempty => \ntwo words => line 1\\nline 2\n',
  );
});

test('scan takes a range (start inclusive, end exclusive) and its options', async (t) => {
  const db = temporaryDirectory(t);
  const puts = ['a', 'b', 'c', 'd', 'ca'].map((key) => `put ${key} v${key}`);
  assert.equal((await runLines(db, puts)).exitCode, 0);
  const { stdout, stderr, exitCode } = await runLines(db, [
    'scan b d',
    'scan b',
    'scan b d --reverse --keys',
    'scan --limit 2 --json',
    'scan --limit 0',
    'scan --prefix c --keys --json',
    'scan d b',
    'scan --limit 1 --hex',
  ]);
  assert.deepEqual([exitCode, stderr], [0, '']);
  assert.deepEqual(stdout.split('\n'), [
    ...['b => vb', 'c => vc', 'ca => vca'],
    ...['b => vb', 'c => vc', 'ca => vca', 'd => vd'],
    ...['ca', 'c', 'b'],
    ...['{"key":"a","value":"va"}', '{"key":"b","value":"vb"}'],
    ...['{"key":"c"}', '{"key":"ca"}'],
    '61 => 7661',
    '',
  ]);
});

test('scan escapes what is not text, and its JSON says how it is encoded', async (t) => {
  const db = temporaryDirectory(t);
  await runCommand(db, ['put', '--hex', 'c3a9ff', 'e282ac00']);
  assert.equal((await runCommand(db, ['scan'])).stdout, 'é\\xff => €\\x00\n');
  assert.equal(
    (await runCommand(db, ['scan', '--json'])).stdout,
    '{"key_base64":"w6n/","value":"€\\u0000"}\n',
  );
  assert.equal((await runCommand(db, ['scan', '--prefix', 'é', '--keys'])).stdout, 'é\\xff\n');
  assert.equal(
    (await runCommand(db, ['scan', 'c3a9ff', '--hex', '--keys', '--json'])).stdout,
    '{"key_hex":"c3a9ff"}\n',
  );
});

test('scan shows different bytes differently: tabs, backslashes and what looks like an escape', async (t) => {
  const db = temporaryDirectory(t);
  const keys = ['610062', '615c78303062', '740974', '745c7474', 'c285', 'ff', '5c786666'];
  for (const key of keys) await runCommand(db, ['put', '--hex', key, '']);
  const { stdout } = await runCommand(db, ['scan', '--keys']);
  const lines = ['\\\\xff', 'a\\x00b', 'a\\\\x00b', 't\\tt', 't\\\\tt', '\\u0085', '\\xff', ''];
  assert.deepEqual(stdout.split('\n'), lines);
});

test('scan cuts what is long for a terminal alone, and says how to see it', async (t) => {
  const db = temporaryDirectory(t);
  await runCommand(db, ['put', 'k', 'ä'.repeat(1000)]);
  const scanAt = async (args: readonly string[], columns: number | undefined): Promise<[string, string]> => {
    const shown: Buffer[] = [];
    const said: Buffer[] = [];
    const terminal = columns === undefined ? {} : { isTTY: true, columns };
    const out = new Output(
      Object.assign(collector(shown), terminal),
      Object.assign(collector(said), { isTTY: true }),
    );
    assert.equal(await runShell(['--db', db, 'scan', ...args], out, undefined), 0);
    return [Buffer.concat(shown).toString(), Buffer.concat(said).toString()];
  };
  const [line, remark] = await scanAt([], 40);
  assert.equal(line, `k => ${'ä'.repeat(80)}… (1.95 KiB)\n`);
  assert.match(remark, /--full/);
  const whole = `k => ${'ä'.repeat(1000)}\n`;
  assert.deepEqual(await scanAt(['--full'], 40), [whole, '']);
  assert.deepEqual(await scanAt([], undefined), [whole, '']);
  assert.deepEqual((await scanAt(['--json'], 40))[1], '');
});

test('looking at a directory without a store creates none', async (t) => {
  const db = join(temporaryDirectory(t), 'nothing-here');
  for (const command of [
    ['get', 'k'],
    ['scan'],
    ['stats'],
    ['verify'],
    ['dump'],
    ['delete', 'k'],
    ['delete-range', '--all'],
    ['flush'],
    ['compact'],
  ]) {
    const { exitCode, stdout, stderr } = await runCommand(db, command);
    assert.deepEqual([exitCode, stdout], [1, ''], command[0]);
    assert.match(stderr, /^stratakv: .*does not exist.* \(STRATA_NO_DATABASE\)\n$/, command[0]);
  }
  assert.equal(existsSync(db), false);
});

test('delete-range takes what scan takes, and all only when told so', async (t) => {
  const db = temporaryDirectory(t);
  for (const key of ['a', 'b1', 'b2', 'c', 'd\u00ff', 'e']) await runCommand(db, ['put', key, 'v']);
  const left = async (...args: string[]): Promise<string> => {
    const { exitCode, stderr } = await runCommand(db, ['delete-range', ...args]);
    assert.deepEqual([exitCode, stderr], [0, ''], args.join(' '));
    return (await runCommand(db, ['scan', '--keys'])).stdout.replaceAll('\n', ' ').trim();
  };
  assert.equal(await left('c', 'b'), 'a b1 b2 c d\u00ff e');
  assert.equal(await left('b2', 'c'), 'a b1 c d\u00ff e');
  assert.equal(await left('--prefix', 'b', '--sync'), 'a c d\u00ff e');
  assert.equal(await left('--hex', '--prefix', '64c3'), 'a c e');
  assert.equal(await left('d'), 'a c');
  assert.equal(await left('', 'b'), 'c');
  assert.equal(await left('--all'), '');
});

test('bad usage has exit code 2 and one line on stderr', async (t) => {
  const db = temporaryDirectory(t);
  const cases: readonly (readonly [args: readonly string[], says: RegExp])[] = [
    [['frobnicate'], /unknown command 'frobnicate'/],
    [['put', 'k'], /missing required argument 'value'/],
    [['get', 'a', 'b'], /too many arguments/],
    [['get', '--colour', 'k'], /unknown option '--colour'; put -- before/],
    [['scan', '--limit', 'ten'], /--limit.*must be a whole number/],
    [['scan', '--limit', '-1'], /--limit/],
    [['scan', '--limit', '1.5'], /--limit/],
    [['scan', '--limit', '1e3'], /--limit/],
    [['scan', 'a', '--prefix', 'b'], /either a range or --prefix/],
    [['scan', '--hex', '--base64'], /cannot be used with/],
    [['delete-range'], /every record: say START, END, --prefix or --all/],
    [['delete-range', ''], /every record/],
    [['delete-range', '--prefix', ''], /every record/],
    [['delete-range', '--all', 'a'], /either a range or --all/],
    [['delete-range', '--all', '--prefix', 'a'], /either a range or --all/],
    [['delete-range', 'a', '--prefix', 'b'], /either a range or --prefix/],
    [['delete-range', 'a', 'b', 'c'], /too many arguments/],
    [['get', '--hex', 'abc'], /"abc" is not hex/],
    [['get', '--base64', '%'], /"%" is not base64/],
    [['load', '-', '--format', 'csv'], /Allowed choices are json, tsv/],
    [['destroy'], /say --yes/],
  ];
  // A process does what its command says: one of them is enough to see it.
  assert.deepEqual(await outcome(runCli(db, ['get'])), [
    2,
    '',
    "stratakv: missing required argument 'key'\n",
  ]);
  for (const [args, says] of cases) {
    const { exitCode, stdout, stderr } = await runCommand(db, args);
    assert.deepEqual([exitCode, stdout], [2, ''], args.join(' '));
    assert.match(stderr, says);
    assert.match(stderr, /^stratakv: [^\n]+\n$/);
  }
});

test('help and --version are results: stdout and exit code 0', async (t) => {
  const db = temporaryDirectory(t);
  const help = await runCli(db, ['help']);
  assert.deepEqual([help.exitCode, help.stderr], [0, '']);
  for (const command of 'put get delete delete-range scan flush compact load dump stats verify destroy'.split(
    ' ',
  )) {
    assert.match(help.stdout, new RegExp(`^ {2}${command} `, 'm'));
  }
  assert.match((await runCli(db, ['scan', '--help'])).stdout, /^Usage: stratakv scan/);
  assert.match((await runCli(db, ['help', 'load'])).stdout, /^Usage: stratakv load/);
  for (const option of ['--version', '-v']) {
    assert.match((await runCommand(db, [option])).stdout, /^\d+\.\d+\.\d+\n$/);
    assert.match(execFileSync(process.execPath, [CLI, option], { encoding: 'utf8' }), /^\d+\.\d+\.\d+\n$/);
  }
});

async function outcome(run: ReturnType<typeof runCli>): Promise<[number | null, string, string]> {
  const { exitCode, stdout, stderr } = await run;
  return [exitCode, stdout, stderr];
}

test('put --ttl stores a value for a time', async (t) => {
  const db = temporaryDirectory(t);
  assert.deepEqual(await outcome(runCli(db, ['put', 'k', 'v', '--ttl', '1'])), [0, '', '']);
  assert.equal((await runCommand(db, ['get', 'k'])).exitCode, 3);
  assert.equal((await runCommand(db, ['put', 'k', 'v', '--ttl', '600000'])).exitCode, 0);
  assert.equal((await runCommand(db, ['get', 'k'])).stdout, 'v\n');
  for (const ttl of ['0', '-1', '1.5', 'x', '', '9007199254740992']) {
    const { exitCode, stderr } = await runCommand(db, ['put', 'k', 'w', `--ttl=${ttl}`]);
    assert.equal(exitCode, 2, ttl);
    assert.match(stderr, /whole number of milliseconds/);
  }
  assert.equal((await runCommand(db, ['put', 'k', 'w', '--ttl', '9007199254740991'])).exitCode, 2);
  assert.equal((await runCommand(db, ['get', 'k'])).stdout, 'v\n');
});
