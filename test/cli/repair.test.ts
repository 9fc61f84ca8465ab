/** repair at the command line. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { RepairReport } from '../../src/main/index.ts';
import { runCommand, runEach } from '../helpers/run-cli.ts';
import { temporaryDirectory } from '../helpers/temp-directory.ts';

test('a sound store needs no repair', async (t) => {
  const db = temporaryDirectory(t);
  await runEach(db, ['put a 1', 'flush', 'put b 2']);
  for (const args of [['repair', '--dry-run'], ['repair']]) {
    const { exitCode, stdout, stderr } = await runCommand(db, args);
    assert.deepEqual([exitCode, stderr], [0, '']);
    assert.match(stdout, /ok: nothing to repair; manifest kept/);
  }
  assert.equal((await runCommand(db, ['scan'])).stdout, 'a => 1\nb => 2\n');
});

test('a lost manifest and a damaged table: said by a dry run, repaired, said file by file', async (t) => {
  const db = temporaryDirectory(t);
  await runEach(db, ['put a 1', 'put b 2', 'flush', 'put c 3', 'flush', 'delete a']);
  const tables = readdirSync(db).filter((name) => name.endsWith('.sst'));
  const bytes = readFileSync(join(db, tables[1]!));
  bytes[0]! ^= 1;
  writeFileSync(join(db, tables[1]!), bytes);
  rmSync(join(db, 'manifest.json'));
  assert.equal((await runCommand(db, ['get', 'b'])).exitCode, 4);
  const dry = await runCommand(db, ['repair', '--dry-run']);
  assert.equal(dry.exitCode, 4);
  assert.match(dry.stdout, /needs repair; manifest rebuilt/);
  assert.equal(existsSync(join(db, 'manifest.json')), false);
  const wet = await runCommand(db, ['repair', '--json']);
  assert.equal(wet.exitCode, 0, wet.stderr);
  const report = JSON.parse(wet.stdout) as RepairReport;
  assert.equal(report.manifest, 'rebuilt');
  assert.equal(report.files.find(({ name }) => name === tables[1])?.outcome, 'dropped');
  assert.ok(report.warnings.some((warning) => warning.startsWith(`${tables[1]}: 1 entries are lost`)));
  assert.equal((await runCommand(db, ['scan'])).stdout, 'b => 2\n');
  assert.equal((await runCommand(db, ['verify'])).exitCode, 0);
});

test('where there is no store, repair says so', async (t) => {
  const { exitCode, stderr } = await runCommand(temporaryDirectory(t), ['repair']);
  assert.equal(exitCode, 1);
  assert.match(stderr, /does not exist/);
});
