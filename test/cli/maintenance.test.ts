/** flush, compact, stats, verify and destroy; damaged and locked stores; readers that go away. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { EngineStats } from '../../src/main/index.ts';
import { CLI, runCli, runCommand, runEach } from '../helpers/run-cli.ts';
import { temporaryDirectory } from '../helpers/temp-directory.ts';

test('flush and compact put records into tables, and deleted ones are gone', async (t) => {
  const db = temporaryDirectory(t);
  await runEach(db, ['put a 1', 'put b 2', 'flush', 'delete a']);
  assert.equal((await runCommand(db, ['flush'])).exitCode, 0);
  assert.deepEqual(await tableFigures(db), { entries: 3, tombstones: 1 });
  const compact = await runCommand(db, ['compact']);
  assert.deepEqual([compact.exitCode, compact.stdout, compact.stderr], [0, '', '']);
  assert.deepEqual(await tableFigures(db), { entries: 1, tombstones: 0 });
  assert.equal((await runCommand(db, ['scan'])).stdout, 'b => 2\n');
});

test('stats prints a table, or one JSON object', async (t) => {
  const db = temporaryDirectory(t);
  await runEach(db, ['put a 1', 'flush', 'put b 2']);
  const table = await runCommand(db, ['stats']);
  assert.equal(table.stderr, '');
  assert.match(table.stdout, /^level +tables +size +entries +tombstones\nL0 +1 +\d/);
  assert.match(table.stdout, /\nmemory +1 entries in 1 memtables/);
  const json = await runCommand(db, ['stats', '--json']);
  assert.equal(json.stdout.split('\n').length, 2);
  const stats = JSON.parse(json.stdout) as EngineStats;
  assert.equal(stats.levels.length, 8);
  assert.equal(stats.levels[0]?.files, 1);
});

test('commands that only look change nothing on disk', async (t) => {
  const db = temporaryDirectory(t);
  await runEach(db, ['put a 1', 'flush', 'put b 2']);
  const before = snapshotOf(db);
  for (const command of ['get a', 'scan', 'dump', 'stats', 'verify']) {
    assert.equal((await runCommand(db, command.split(' '))).exitCode, 0, command);
    assert.deepEqual(snapshotOf(db), before, command);
  }
});

test('verify says what it read', async (t) => {
  const db = temporaryDirectory(t);
  await runEach(db, ['put a 1', 'flush', 'put b 2']);
  const { exitCode, stdout, stderr } = await runCommand(db, ['verify']);
  assert.deepEqual([exitCode, stderr], [0, '']);
  assert.match(stdout, /^ok: 1 tables, 1 blocks, 1 entries, 1 logs, .* read in .*\n$/);
});

test('a damaged table is exit code 4, with the file and the offset on stderr', async (t) => {
  const db = temporaryDirectory(t);
  await runEach(db, ['put a 1', 'put b 2', 'flush']);
  const name = readdirSync(db).find((file) => file.endsWith('.sst')) ?? '';
  const bytes = readFileSync(join(db, name));
  bytes[3]! ^= 0xff;
  writeFileSync(join(db, name), bytes);
  for (const [run, command] of [
    [runCli, ['verify']],
    ...[['verify'], ['get', 'a'], ['scan'], ['dump']].map((command) => [runCommand, command] as const),
  ] as const) {
    const { exitCode, stdout, stderr } = await run(db, command);
    assert.deepEqual([exitCode, stdout], [4, ''], command[0]);
    assert.match(
      stderr,
      new RegExp(`^stratakv: [^\\n]*${name} at offset \\d+[^\\n]*STRATA_CORRUPTION\\)\\n$`),
    );
  }
});

test('a damaged manifest is exit code 4, and the store is not taken for an empty one', async (t) => {
  const db = temporaryDirectory(t);
  await runEach(db, ['put a 1', 'flush']);
  const manifest = join(db, 'manifest.json');
  writeFileSync(manifest, readFileSync(manifest, 'utf8').slice(0, 40));
  for (const command of [
    ['get', 'a'],
    ['put', 'b', '2'],
  ]) {
    const { exitCode, stderr } = await runCommand(db, command);
    assert.equal(exitCode, 4);
    assert.match(stderr, /manifest\.json/);
  }
});

test('a store that is open elsewhere is exit code 5, and the holder is named', async (t) => {
  const db = temporaryDirectory(t);
  const holder = spawn(process.execPath, [CLI, '--db', db], { stdio: ['pipe', 'pipe', 'inherit'] });
  t.after(() => holder.kill());
  holder.stdin.write('put a 1\nget a\n');
  await once(holder.stdout, 'data');
  for (const [run, command] of [
    [runCli, ['dump']],
    [runCommand, ['put', 'a', '2']],
    [runCommand, ['destroy', '--yes']],
  ] as const) {
    const { exitCode, stdout, stderr } = await run(db, command);
    assert.deepEqual([exitCode, stdout], [5, ''], command[0]);
    assert.match(stderr, new RegExp(`^stratakv: [^\\n]*${holder.pid}[^\\n]*\\(STRATA_LOCKED\\)\\n$`));
  }
  holder.stdin.end();
  await once(holder, 'exit');
  assert.equal((await runCommand(db, ['get', 'a'])).stdout, '1\n');
});

test("destroy deletes the store's own files and no others", async (t) => {
  const db = join(temporaryDirectory(t), 'db');
  await runEach(db, ['put a 1', 'flush', 'put b 2']);
  writeFileSync(join(db, 'notes.txt'), 'mine');
  assert.equal((await runCommand(db, ['destroy'])).exitCode, 2);
  assert.equal((await runCommand(db, ['get', 'a'])).exitCode, 0);
  assert.equal((await runCommand(db, ['destroy', '--yes'])).exitCode, 0);
  assert.deepEqual(readdirSync(db), ['notes.txt']);
  assert.equal((await runCommand(db, ['get', 'a'])).exitCode, 1);
});

test('destroy removes a directory that held nothing else', async (t) => {
  const db = join(temporaryDirectory(t), 'db');
  await runEach(db, ['put a 1']);
  await runCommand(db, ['destroy', '--yes']);
  assert.equal(existsSync(db), false);
});

test('a reader that goes away ends a scan quietly', async (t) => {
  const db = temporaryDirectory(t);
  const rows = Array.from({ length: 20_000 }, (_, i) => `["key${i}","${'x'.repeat(100)}"]`);
  await runCli(db, ['load', '-'], rows.join('\n'));
  for (const input of [undefined, 'scan\nscan\nget key1\n']) {
    const child = spawn(process.execPath, [CLI, '--db', db, ...(input === undefined ? ['scan'] : [])]);
    let stderr = '';
    child.stderr.on('data', (chunk: Buffer) => {
      stderr += chunk.toString();
    });
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
    await once(child.stdout, 'data');
    child.stdout.destroy();
    const [exitCode] = (await once(child, 'close')) as [number];
    assert.deepEqual([exitCode, stderr], [0, '']);
  }
});

async function tableFigures(db: string): Promise<{ readonly entries: number; readonly tombstones: number }> {
  const stats = JSON.parse((await runCommand(db, ['stats', '--json'])).stdout) as EngineStats;
  const sum = (of: (level: EngineStats['levels'][number]) => number): number =>
    stats.levels.reduce((total, level) => total + of(level), 0);
  return { entries: sum((level) => level.entries), tombstones: sum((level) => level.tombstones) };
}

/** Names and contents. LOCK names its last holder. */
function snapshotOf(db: string): Record<string, string> {
  const names = readdirSync(db).filter((name) => name !== 'LOCK');
  return Object.fromEntries(names.sort().map((name) => [name, readFileSync(join(db, name), 'latin1')]));
}
