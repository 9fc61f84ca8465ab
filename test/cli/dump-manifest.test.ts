/** dump-manifest and levels: sound and damaged manifests, pages, missing files; and readers that go away. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { Output } from '../../src/main/cli/output.ts';
import { runShell } from '../../src/main/cli/shell.ts';
import { StorageEngine } from '../../src/main/index.ts';
import { readManifest } from '../../src/main/inspect/manifest-facts.ts';
import { saveManifest } from '../../src/main/manifest/manifest.ts';
import { emptyState } from '../../src/main/manifest/manifest-state.ts';
import { tablePath } from '../../src/shared/files/file-names.ts';
import { nodeFileSystem } from '../../src/shared/files/node-file-system.ts';
import { CLI, runCommand, runEach } from '../helpers/run-cli.ts';
import { tableMeta } from '../helpers/table-meta.ts';
import { temporaryDirectory } from '../helpers/temp-directory.ts';

interface Manifest {
  readonly isVerified: boolean;
  readonly tables: readonly {
    readonly level: number;
    readonly number: number;
    readonly smallestKey?: string;
  }[];
  readonly pages: readonly { readonly number: number; readonly tables: number }[];
  readonly faults: readonly { readonly file: string; readonly offset?: number; readonly message: string }[];
  readonly lastSequence?: number;
}

interface Levels {
  readonly levels: readonly {
    readonly level: number;
    readonly files: number;
    readonly score: number | null;
    readonly tables: readonly { readonly number: number; readonly from: number; readonly to: number }[];
  }[];
}

/** Three tables in level 0. */
async function smallStore(t: TestContext): Promise<string> {
  const db = temporaryDirectory(t);
  await runEach(db, [
    'put apple 1',
    'put berry 2',
    'flush',
    'put cherry 3',
    'flush',
    'put apple 4',
    'put zoo 5',
    'flush',
  ]);
  return db;
}

/** Tables in the deepest level: enough for the manifest to have pages. Of the tables only the size is right. */
async function pagedStore(t: TestContext): Promise<string> {
  const db = temporaryDirectory(t);
  const tables = Array.from({ length: 300 }, (_, i) => {
    const key = `key${String(i).padStart(5, '0')}`;
    return tableMeta(i + 1, key, `${key}x`, { sizeBytes: 1000 });
  });
  for (const { number } of tables) writeFileSync(tablePath(db, number), Buffer.alloc(1000));
  const state = emptyState('01234567-89ab-4def-8123-456789abcdef');
  const levels = state.levels.map((_, level) => (level === 7 ? tables : []));
  await saveManifest(nodeFileSystem, db, { ...state, nextFileNumber: 400, lastSequence: 1, levels });
  return db;
}

async function manifestOf(db: string, ...options: string[]): Promise<Manifest> {
  return JSON.parse((await runCommand(db, ['dump-manifest', '--json', ...options])).stdout) as Manifest;
}

test('dump-manifest shows fields, lists and tables, and no keys unless they are asked for', async (t) => {
  const db = await smallStore(t);
  const { exitCode, stdout, stderr } = await runCommand(db, ['dump-manifest']);
  assert.deepEqual([exitCode, stderr], [0, '']);
  assert.match(stdout, /manifest\.json: .*, checksum ok$/m);
  assert.match(stdout, /^ {2}formatVersion +5$/m);
  assert.match(stdout, /^ {2}lastSequence +5$/m);
  assert.match(stdout, /^ {2}lastTime +20\d\d-\d\d-\d\dT/m);
  assert.match(stdout, /^L0 +0000\d\d\.sst +\d+ B +2 +0 +0 +4\.\.5$/m);
  assert.match(stdout, /^ok: 3 tables, /m);
  assert.doesNotMatch(stdout, /apple|zoo/);
  assert.match((await runCommand(db, ['dump-manifest', '--keys'])).stdout, /4\.\.5 {2}apple \.\. zoo$/m);
  const byPath = await runCommand('/nowhere', [
    'dump-manifest',
    join(db, 'manifest.json'),
    '--json',
    '--keys',
  ]);
  const manifest = JSON.parse(byPath.stdout) as Manifest;
  assert.equal(manifest.isVerified, true);
  assert.deepEqual(
    manifest.tables.map(({ level, smallestKey }) => [level, smallestKey]),
    [
      [0, 'apple'],
      [0, 'cherry'],
      [0, 'apple'],
    ],
  );
});

test('bytes of a damaged manifest, all over it: a fault, and the lines that are not hit', async (t) => {
  const db = await smallStore(t);
  const path = join(db, 'manifest.json');
  const bytes = readFileSync(path);
  const numbers = (await manifestOf(db)).tables.map(({ number }) => number);
  // The line of the table that is hit may say anything, or nothing.
  const tableStart = bytes.indexOf('"tables": [');
  for (let at = 0; at < bytes.length; at += 3) {
    const mutant = Buffer.from(bytes);
    mutant[at]! ^= 1 << (at % 8);
    writeFileSync(path, mutant);
    const { levels, isVerified, faults } = readManifest(nodeFileSystem, path);
    assert.equal(isVerified, false);
    assert.ok(
      faults.length > 0 && faults.every(({ file, code }) => file === path && code === 'STRATA_CORRUPTION'),
    );
    const found = new Set<number>(levels.flat().map(({ number }) => number));
    // Where the end of a line is hit, two lines can't be read.
    const most = at < tableStart ? 0 : bytes[at] === 0x0a ? 2 : 1;
    const lost = numbers.filter((number) => !found.has(number));
    assert.ok(lost.length <= most, `byte ${at}: ${lost} are not shown`);
    if (at % 150 !== 0) continue;
    for (const command of ['dump-manifest', 'levels']) {
      const { exitCode, stderr } = await runCommand(db, [command]);
      assert.equal(exitCode, 4);
      assert.match(stderr, /^stratakv: corruption: [^\n]*\n$/);
    }
  }
});

test('a manifest that is cut short shows the lines before the cut, and where it ends', async (t) => {
  const db = await smallStore(t);
  const path = join(db, 'manifest.json');
  const size = readFileSync(path).length;
  truncateSync(path, size - 100);
  const { exitCode, stderr } = await runCommand(db, ['dump-manifest']);
  assert.equal(exitCode, 4);
  assert.match(
    stderr,
    /manifest\.json at offset \d+ \(STRATA_CORRUPTION\); and \d+ more, marked in the listing\n$/,
  );
  const { tables, lastSequence } = await manifestOf(db);
  assert.equal(lastSequence, 5);
  assert.equal(tables.length, 2);
  for (const content of ['', '{}', 'noise\n'.repeat(1000)]) {
    writeFileSync(path, content);
    for (const command of ['dump-manifest', 'levels'])
      assert.equal((await runCommand(db, [command])).exitCode, 4, content);
  }
});

test('files that the manifest names and that are missing or too short are faults', async (t) => {
  const db = await smallStore(t);
  const [first, second] = readdirSync(db).filter((name) => name.endsWith('.sst'));
  rmSync(join(db, first!));
  truncateSync(join(db, second!), 100);
  for (const command of ['dump-manifest', 'levels']) {
    const { exitCode, stdout } = await runCommand(db, [command]);
    assert.equal(exitCode, 4);
    assert.match(
      stdout,
      new RegExp(`^damaged: a file that the manifest names is missing in .*${first}$`, 'm'),
    );
    assert.match(
      stdout,
      new RegExp(`^damaged: the file has 100 bytes where the manifest has \\d+ in .*${second}$`, 'm'),
    );
  }
});

test('pages are part of the manifest, and each is shown by itself; a damaged one line by line', async (t) => {
  const db = await pagedStore(t);
  const { pages, tables } = await manifestOf(db);
  assert.ok(pages.length >= 2);
  const name = `${String(pages[0]!.number).padStart(6, '0')}.tables`;
  const alone = await runCommand('/nowhere', ['dump-manifest', join(db, name)]);
  assert.deepEqual([alone.exitCode, alone.stderr], [0, '']);
  assert.match(alone.stdout, /a page of a manifest, .*, checksum ok$/m);
  assert.match(alone.stdout, new RegExp(`^ok: ${pages[0]!.tables} tables`, 'm'));
  const bytes = readFileSync(join(db, name));
  const damagedAt = bytes.indexOf('"number":', bytes.length / 2);
  bytes[damagedAt] = 0;
  writeFileSync(join(db, name), bytes);
  const damaged = await runCommand(db, ['dump-manifest', '--json']);
  assert.equal(damaged.exitCode, 4);
  assert.match(damaged.stderr, new RegExp(`a line can not be read in .*${name} at offset \\d+ `));
  assert.equal((JSON.parse(damaged.stdout) as Manifest).tables.length, tables.length - 1);
  rmSync(join(db, name));
  const missing = await runCommand(db, ['dump-manifest', '--json']);
  assert.equal(missing.exitCode, 4);
  assert.match(missing.stderr, new RegExp(`a page that the manifest names is missing in .*${name}`));
  assert.equal((JSON.parse(missing.stdout) as Manifest).tables.length, tables.length - pages[0]!.tables);
});

test('levels draws each table over its keys, as wide as the terminal', async (t) => {
  const db = await smallStore(t);
  const { exitCode, stdout, stderr } = await runCommand(db, ['levels']);
  assert.deepEqual([exitCode, stderr], [0, '']);
  const lines = stdout.split('\n');
  assert.match(lines[1]!, /^L0 +3 +<?0\.\d+ +0\.75 +\[=+\]$/);
  // [apple, zoo], [cherry], [apple, berry]: the newest first.
  assert.match(lines[2]!, /^ +\[=*\]$/);
  assert.match(lines[3]!, /^ {32}\[=+\]$/);
  assert.ok(lines[3]!.length <= lines[2]!.indexOf('['));
  assert.match(lines[4]!, /^all +3 /);
  assert.doesNotMatch(stdout, /apple/);
  assert.match((await runCommand(db, ['levels', '--keys'])).stdout, /^L0 +apple \.\. zoo$/m);
  const chunks: Buffer[] = [];
  const wide = Object.assign(collector(chunks), { columns: 120 });
  await runShell(['levels', db], new Output(wide, collector([])), undefined);
  const widths = (text: string): number => Math.max(...text.split('\n').map((line) => line.length));
  assert.deepEqual([widths(stdout), widths(Buffer.concat(chunks).toString())], [79, 119]);
  const { levels } = JSON.parse((await runCommand(db, ['levels', '--json'])).stdout) as Levels;
  assert.deepEqual([levels.length, levels[0]!.files, levels[0]!.score], [8, 3, 0.75]);
  assert.deepEqual([levels[0]!.tables[0]!.from, levels[0]!.tables[0]!.to], [0, 1]);
});

test('levels of a large level: side by side, and many on few columns', async (t) => {
  const db = await pagedStore(t);
  const { levels } = JSON.parse((await runCommand(db, ['levels', '--json'])).stdout) as Levels;
  const deepest = levels.at(-1)!;
  assert.ok(deepest.tables.every(({ from, to }, i) => from < to && from >= (deepest.tables[i - 1]?.to ?? 0)));
  assert.match((await runCommand(db, ['levels'])).stdout, /^L7 +\d+ +\d+\.\d +- +#{20,}$/m);
});

test('what is no store is one line that says what was expected', async (t) => {
  const directory = temporaryDirectory(t);
  writeFileSync(join(directory, 'noise.bin'), 'x'.repeat(1000));
  writeFileSync(join(directory, '000013.sst'), 'x');
  mkdirSync(join(directory, 'folder'));
  for (const [command, name, says] of [
    ['dump-manifest', 'noise.bin', /is no manifest: expected manifest\.json/],
    ['dump-manifest', 'absent', /absent does not exist; expected manifest\.json/],
    ['dump-manifest', 'folder', /folder holds no store/],
    ['dump-manifest', '000013.sst', /is a file for dump-table/],
    ['levels', 'noise.bin', /noise\.bin is a file; expected the directory of a store/],
    ['levels', 'absent', /absent does not exist; expected the directory of a store/],
    ['levels', 'folder', /folder holds no store/],
  ] as const) {
    const { exitCode, stdout, stderr } = await runCommand('/nowhere', [command, join(directory, name)]);
    assert.deepEqual([exitCode, stdout], [1, ''], `${command} ${name}`);
    assert.match(stderr, says);
    assert.equal(stderr.split('\n').length, 2, stderr);
  }
  // There are files of a store, but nothing says what they make up.
  const lost = await runCommand(directory, ['levels']);
  assert.equal(lost.exitCode, 4);
  assert.match(lost.stderr, /the manifest is missing in .*manifest\.json/);
});

test('a store that is open elsewhere may be looked at, and a reader that goes away ends a dump quietly', async (t) => {
  const db = temporaryDirectory(t);
  const engine = await StorageEngine.open(db, { threads: 0 });
  try {
    for (let i = 0; i < 20_000; i++) engine.put(`key${i}`, 'v'.repeat(20));
    await engine.flush();
    await engine.put('last', 'one');
    for (const command of ['levels', 'dump-manifest'])
      assert.equal((await runCommand(db, [command])).exitCode, 0);
    const log = readdirSync(db).findLast((name) => name.endsWith('.log'))!;
    assert.match((await runCommand(db, ['dump-log', join(db, log), '--keys'])).stdout, /last$/m);
    const table = readdirSync(db).find((name) => name.endsWith('.sst'))!;
    // Damage behind what is read is none of its business.
    const copy = join(temporaryDirectory(t), table);
    const bytes = readFileSync(join(db, table));
    bytes[bytes.length - 200]! ^= 1;
    writeFileSync(copy, bytes);
    for (const path of [join(db, table), copy])
      assert.deepEqual(await readStartOnly(['dump-table', path, '--values', '--keys']), [0, '']);
  } finally {
    await engine.close();
  }
});

/** Runs a command whose reader goes away after the first bytes; its exit code and what it says on stderr. */
async function readStartOnly(args: readonly string[]): Promise<[exitCode: number, stderr: string]> {
  const child = spawn(process.execPath, [CLI, ...args]);
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  await once(child.stdout, 'data');
  child.stdout.destroy();
  const [exitCode] = (await once(child, 'close')) as [number];
  return [exitCode, stderr];
}

function collector(chunks: Buffer[]): Writable {
  return new Writable({
    write(chunk: Buffer, _encoding, done) {
      chunks.push(chunk);
      done();
    },
  });
}
