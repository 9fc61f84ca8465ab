/** dump-log: records and entries of sound logs, torn tails told from damage, and what it says of files that are no logs. */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { buildLog, type LogGroup, resealRecord } from '../helpers/log-files.ts';
import { type CliResult, runCommand, runEach } from '../helpers/run-cli.ts';
import { temporaryDirectory } from '../helpers/temp-directory.ts';

const NUMBER = 12;
const NAME = '000012.log';
const GROUPS: readonly LogGroup[] = [
  { entries: [['apple', 'red']] },
  {
    entries: [
      ['banana', undefined],
      ['cherry', 'dark'],
    ],
  },
  { timeMs: Date.UTC(2026, 0, 2, 3, 4, 5) },
  { entries: [['date', 'x'.repeat(300)]] },
];

interface JsonFact {
  readonly type: string;
  readonly [field: string]: unknown;
}

function build(groups: readonly LogGroup[] = GROUPS): { bytes: Uint8Array; offsets: readonly number[] } {
  return buildLog({ number: NUMBER, firstSequence: 7, previousLog: 9, previousBytes: 100, epoch: 3, groups });
}

function writeLog(t: TestContext, bytes: Uint8Array, name: string = NAME): string {
  const path = join(temporaryDirectory(t), name);
  writeFileSync(path, bytes);
  return path;
}

function dump(path: string, ...options: string[]): Promise<CliResult> {
  return runCommand('/nowhere', ['dump-log', path, ...options]);
}

async function factsOf(path: string, ...options: string[]): Promise<JsonFact[]> {
  const { stdout } = await dump(path, '--json', ...options);
  return stdout
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as JsonFact);
}

function recordsOf(facts: readonly JsonFact[]): unknown[] {
  return facts.filter(({ type }) => type === 'record').map(({ offset }) => offset);
}

test('dump-log shows the records of a log, and neither keys nor values', async (t) => {
  const { bytes, offsets } = build();
  const { exitCode, stdout, stderr } = await dump(writeLog(t, bytes));
  assert.deepEqual([exitCode, stderr], [0, '']);
  for (const part of [
    /^ +0 +67 +ok +start +7 +- +- +- +0$/m,
    /^ +log 12, format version 2, after 000009\.log \(100 bytes, 0 of them on the disk then\); owner 3, begun at 0$/m,
    new RegExp(`^ +${offsets[1]} +\\d+ +ok +group +7 +1 +0 +8 +0$`, 'm'),
    new RegExp(`^ +${offsets[2]} +\\d+ +ok +group +8 +1 +1 +16 +0$`, 'm'),
    new RegExp(`^ +${offsets[3]} +\\d+ +ok +note +10 +- +- +- +0\n +time: 2026-01-02T03:04:05\\.000Z$`, 'm'),
    /^ok: 5 intact records, 3 of them groups of writes, with 4 entries$/m,
    new RegExp(
      `^recovery counts ${bytes.length} bytes from the front, with 4 entries; it ends with a record$`,
      'm',
    ),
  ])
    assert.match(stdout, part);
  assert.doesNotMatch(stdout, /apple|banana|dark/);
});

test('dump-log --entries, --keys and --values show the writes of each group', async (t) => {
  const path = writeLog(t, build().bytes);
  const entries = (await dump(path, '--entries')).stdout;
  assert.match(entries, /^ +7 +put +key 5 +value 3$/m);
  assert.match(entries, /^ +8 +delete +key 6$/m);
  assert.doesNotMatch(entries, /apple|red$/m);
  assert.match((await dump(path, '--keys')).stdout, /^ +9 +put +key 6 +value 4 +cherry$/m);
  assert.match(
    (await dump(path, '--keys', '--values')).stdout,
    /^ +9 +put +key 6 +value 4 +cherry => dark$/m,
  );
  const limited = (await dump(path, '--entries', '--limit', '1')).stdout;
  assert.match(limited, /^\.\.\. and 3 more entries \(--limit\)$/m);
  assert.match((await dump(path, '--limit', '2')).stdout, /^\.\.\. and 3 more records \(--limit\)$/m);
});

test('dump-log --json prints a fact a line', async (t) => {
  const facts = await factsOf(writeLog(t, build().bytes), '--keys', '--values');
  assert.deepEqual(
    facts.map(({ type, record }) => record ?? type),
    ['file', 'start', 'group', 'entry', 'group', 'entry', 'entry', 'note', 'group', 'entry', 'summary'],
  );
  const { offset, ...entry } = facts[3]!;
  assert.deepEqual(entry, {
    type: 'entry',
    sequence: 7,
    op: 'put',
    keyBytes: 5,
    valueBytes: 3,
    key: 'apple',
    value: 'red',
  });
  assert.equal(offset, build().offsets[1]! + 19);
  assert.equal(facts.at(-1)!['end'], 'whole');
});

test('a log that was cut short has a torn tail, which is no damage', async (t) => {
  const { bytes, offsets } = build();
  const path = writeLog(t, bytes.subarray(0, bytes.length - 5));
  const { exitCode, stdout, stderr } = await dump(path);
  assert.deepEqual([exitCode, stderr], [0, '']);
  const at = offsets.at(-2)!;
  const size = bytes.length - at;
  const gap = `${at} +${size - 5} +- +no intact record: by its header a record of ${size} bytes, of which ${size - 5} are there`;
  assert.match(stdout, new RegExp(`^ +${gap}$`, 'm'));
  assert.match(stdout, /with 3 entries; behind them a torn tail/);
  const zeros = await dump(writeLog(t, Buffer.concat([bytes, Buffer.alloc(5000)])));
  assert.deepEqual([zeros.exitCode, zeros.stderr], [0, '']);
  assert.match(zeros.stdout, /5,000 +- +no intact record: zeros$/m);
});

test('a damaged record in the middle is a fault; those behind it are shown', async (t) => {
  const { bytes, offsets } = build();
  bytes[offsets[2]! + 25]! ^= 1;
  const path = writeLog(t, bytes);
  const { exitCode, stdout, stderr } = await dump(path, '--entries', '--keys');
  assert.equal(exitCode, 4);
  assert.equal(
    stderr,
    `stratakv: corruption: the log is damaged in the middle in ${path} at offset ${offsets[2]} (STRATA_CORRUPTION)\n`,
  );
  assert.match(
    stdout,
    new RegExp(`^ +${offsets[2]} +\\d+ +- +no intact record: .*checksum does not match$`, 'm'),
  );
  assert.match(stdout, /apple[\s\S]*date/);
  assert.match(stdout, /^recovery counts \d+ bytes from the front, with 1 entries; behind them damage/m);
  assert.deepEqual(recordsOf(await factsOf(path)), [offsets[0], offsets[1], offsets[3], offsets[4]]);
});

test('damage below what a later record calls synced is named as that', async (t) => {
  const { bytes, offsets } = build([...GROUPS, { entries: [['end', '']], syncedUpTo: 500 }]);
  bytes.fill(0, offsets[2]!, offsets[3]!);
  const { exitCode, stderr } = await dump(writeLog(t, bytes));
  assert.equal(exitCode, 4);
  assert.match(stderr, /the log is damaged in a part that had been synced/);
});

test('a page that was never written is a crash, not damage', async (t) => {
  const groups = Array.from({ length: 12 }, (_, i): LogGroup => ({ entries: [[`k${i}`, 'v'.repeat(1000)]] }));
  const { bytes } = build(groups);
  bytes.fill(0, 4096, 8192);
  const { exitCode, stdout } = await dump(writeLog(t, bytes));
  assert.equal(exitCode, 0);
  assert.match(stdout, /behind them a page that was lost in a crash/);
});

test('a record that is intact and wrong is a fault with its offset', async (t) => {
  const { bytes, offsets } = build();
  // The length of the first key, beyond the record.
  bytes[offsets[1]! + 19 + 1] = 0x7f;
  resealRecord(bytes, offsets[1]!, offsets[2]!, NUMBER);
  const { exitCode, stdout, stderr } = await dump(writeLog(t, bytes));
  assert.equal(exitCode, 4);
  assert.match(stderr, new RegExp(`a log entry is malformed in .* at offset ${offsets[1]! + 19}`));
  assert.match(stdout, /^1 fault: 5 intact records/m);
  assert.match(
    stdout,
    /^recovery counts 67 bytes .*, with 0 entries; behind them a record that the store refuses/m,
  );
});

test('a log without an intact start record is a fault, and what follows is shown', async (t) => {
  const { bytes, offsets } = build();
  bytes[8]! ^= 4;
  const path = writeLog(t, bytes);
  const { exitCode, stderr } = await dump(path);
  assert.equal(exitCode, 4);
  assert.match(stderr, /the log is damaged in the middle in .* at offset 0 /);
  assert.deepEqual(recordsOf(await factsOf(path)), offsets.slice(1, -1));
  const noise = await dump(writeLog(t, Buffer.from('noise'.repeat(50))));
  assert.equal(noise.exitCode, 4);
  assert.match(noise.stderr, /does not begin with an intact start record in .*000012\.log at offset 0/);
  const empty = await dump(writeLog(t, Buffer.alloc(0)));
  assert.deepEqual([empty.exitCode, empty.stderr], [0, '']);
  assert.match(empty.stdout, /it is empty, as a crash leaves a log that was just made/);
});

test('a log of a later release is no damage: exit code 1', async (t) => {
  const { bytes } = build();
  bytes[19] = 9;
  resealRecord(bytes, 0, 67, NUMBER);
  const { exitCode, stderr } = await dump(writeLog(t, bytes));
  assert.equal(exitCode, 1);
  assert.match(stderr, /log format 9; this release reads 2.*STRATA_UNSUPPORTED/);
});

test('the log of another number is read, with a fault; a copy of any name without one', async (t) => {
  const { bytes } = build();
  const other = await dump(writeLog(t, bytes, '000013.log'));
  assert.equal(other.exitCode, 4);
  assert.match(other.stderr, /the log says that it is 12, not 13/);
  assert.match(other.stdout, /^1 fault: 5 intact records/m);
  assert.equal((await dump(writeLog(t, bytes, 'copy.bin'))).exitCode, 0);
  assert.equal((await dump(writeLog(t, bytes, '000012.log.set-aside'))).exitCode, 0);
});

test('a log that other files say was longer is damaged', async (t) => {
  const db = temporaryDirectory(t);
  await runEach(db, ['put apple red', 'put banana yellow']);
  const [first, second] = readdirSync(db)
    .filter((name) => name.endsWith('.log'))
    .map((name) => join(db, name));
  for (const [path, from] of [
    [first!, /000\d+\.log/],
    [second!, /manifest\.json/],
  ] as const) {
    const size = readFileSync(path).length;
    const whole = await dump(path);
    assert.deepEqual([whole.exitCode, whole.stderr], [0, '']);
    assert.match(whole.stdout, new RegExp(`complete with ${size} bytes, says ${from.source}`));
    truncateSync(path, size - 1);
    const cut = await dump(path);
    assert.equal(cut.exitCode, 4);
    assert.match(
      cut.stderr,
      new RegExp(`has \\d+ sound bytes of the ${size} that ${from.source} says it has`),
    );
  }
});

test('what is no log is one line that says what was expected', async (t) => {
  const directory = temporaryDirectory(t);
  writeFileSync(join(directory, 'noise.bin'), 'x'.repeat(1000));
  writeFileSync(join(directory, 'empty'), '');
  writeFileSync(join(directory, '000013.sst'), 'x');
  mkdirSync(join(directory, 'folder'));
  for (const [name, says] of [
    ['noise.bin', /noise\.bin is no log: expected/],
    ['empty', /empty is no log: expected/],
    ['folder', /folder is a directory; expected the file of a write-ahead log/],
    ['absent.log', /absent\.log does not exist; expected the file of a write-ahead log/],
    ['000013.sst', /000013\.sst is a file for dump-table/],
  ] as const) {
    const { exitCode, stdout, stderr } = await dump(join(directory, name));
    assert.deepEqual([exitCode, stdout], [1, ''], name);
    assert.match(stderr, says);
    assert.equal(stderr.split('\n').length, 2, stderr);
  }
});
