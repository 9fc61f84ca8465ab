/**
 * Commands on a store that a service has open: they go through that service, or end with exit code 5.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { StorageEngine } from '../../src/main/index.ts';
import { fill, keyOf, openAt, openTiny, TINY, tableFiles, valueFor } from '../helpers/engines.ts';
import { runCli, runCommand } from '../helpers/run-cli.ts';
import { startRival } from '../locking/rivals.ts';

const skip = process.platform === 'linux' ? false : 'owners have a door on Linux only';

/** A store that is open here, and one of the same content that nobody has open. */
async function openAndClosed(t: TestContext): Promise<{ engine: StorageEngine; closed: string }> {
  const engine = await openTiny(t);
  await fill(engine, 300);
  await engine.compact();
  const closed = join(dirname(engine.path), 'closed');
  await engine.checkpoint(closed);
  return { engine, closed };
}

test('get, scan, stats and levels say the same, whoever has the store open', { skip }, async (t) => {
  const { engine, closed } = await openAndClosed(t);
  for (const words of [
    ['get', keyOf(7)],
    ['get', keyOf(7), '--raw'],
    ['get', '--hex', Buffer.from(keyOf(7)).toString('hex')],
    ['get', 'absent'],
    ['scan'],
    ['scan', keyOf(3), keyOf(9), '--json'],
    ['scan', '--prefix', 'key-0001', '--reverse', '--limit', '3', '--keys'],
    ['levels'],
  ]) {
    const [through, own] = [await runCommand(engine.path, words), await runCommand(closed, words)];
    assert.deepEqual({ ...through, stdoutBytes: '' }, { ...own, stdoutBytes: '' }, words.join(' '));
  }
  const stats = JSON.parse((await runCommand(engine.path, ['stats', '--json'])).stdout);
  assert.deepEqual(stats.levels, engine.stats().levels);
  assert.match((await runCommand(engine.path, ['stats'])).stdout, /\(open\)/);
  const levels = JSON.parse((await runCommand(engine.path, ['levels', '--json', '--keys'])).stdout);
  assert.equal(levels.type, 'levels');
  assert.equal(levels.levels.at(-1).files + levels.levels[1].files > 0, true);
});

test('flush, compact and checkpoint are done by whoever has it open', { skip }, async (t) => {
  const { engine } = await openAndClosed(t);
  await engine.put('new', '1');
  assert.equal((await runCommand(engine.path, ['flush'])).exitCode, 0);
  assert.equal(engine.stats().memtables.bytes, 0);
  const before = tableFiles(engine.path).length;
  assert.ok(before > 1);
  assert.equal((await runCommand(engine.path, ['compact'])).exitCode, 0);
  assert.equal(engine.stats().levels[0]?.files, 0);
  await engine.put('in memory', '2');
  const copy = join(dirname(engine.path), 'copy');
  const made = await runCli(engine.path, ['checkpoint', copy, '--json']);
  assert.equal(made.exitCode, 0, made.stderr);
  const { directory, ...report } = JSON.parse(made.stdout);
  assert.equal(directory, copy);
  assert.deepEqual(await engine.checkpoint(join(dirname(engine.path), 'copy 2')), report);
  assert.equal((await runCommand(copy, ['get', 'in memory'])).stdout, '2\n');
  const again = await runCommand(engine.path, ['checkpoint', copy]);
  assert.equal(again.exitCode, 1);
  assert.match(again.stderr, /exists already/);
});

test('checkpoint of a store that nobody has open changes nothing in it', async (t) => {
  const { engine } = await openAndClosed(t);
  await engine.put('in the log', '1');
  await engine.close();
  const copy = join(dirname(engine.path), 'deep', 'copy');
  const made = await runCommand(engine.path, ['checkpoint', copy]);
  assert.match(made.stdout, /copy: \d+ files, .* links; position /);
  assert.equal((await runCommand(copy, ['get', 'in the log'])).stdout, '1\n');
  const usage = await runCommand(engine.path, ['checkpoint']);
  assert.equal(usage.exitCode, 2);
  const none = await runCommand(join(dirname(engine.path), 'none'), ['checkpoint', `${copy}2`]);
  assert.equal(none.exitCode, 1);
  assert.equal(existsSync(`${copy}2`), false);
});

test('what writes records, or needs the store for itself, is refused with 5', { skip }, async (t) => {
  const engine = await openTiny(t);
  await engine.put('a', '1');
  for (const words of [
    ['put', 'a', '2'],
    ['delete', 'a'],
    ['delete-range', '--all'],
    ['destroy', '--yes'],
    ['repair'],
  ])
    assert.equal((await runCommand(engine.path, words)).exitCode, 5, words.join(' '));
  assert.equal(engine.getSync('a')?.toString(), '1');
});

test('one that does not answer: exit code 5, and the reason', { skip }, async (t) => {
  const { engine } = await openAndClosed(t);
  await engine.close();
  const owner = await startRival(t, engine.path);
  assert.equal((await owner.ask('open')).outcome, 'held');
  assert.equal((await runCommand(engine.path, ['get', 'count'])).stdout, '1\n');
  owner.process.kill('SIGSTOP');
  for (const words of [['get', 'a'], ['levels'], ['checkpoint', join(dirname(engine.path), 'copy')]]) {
    const { exitCode, stdout, stderr } = await runCommand(engine.path, ['--answer-timeout', '150', ...words]);
    assert.equal(exitCode, 5, words.join(' '));
    assert.equal(stdout, '');
    assert.match(stderr, /does not answer: nothing was heard of it for 0.15 s/);
    assert.match(stderr, new RegExp(`pid ${owner.pid}|open in another process`));
  }
  owner.process.kill('SIGCONT');
  await owner.kill();
  // Its socket is there still, and tells nobody that it lives.
  assert.equal((await runCommand(engine.path, ['get', keyOf(1)])).stdout, `${valueFor(1)}\n`);
  assert.equal((await runCommand(engine.path, ['levels'])).exitCode, 0);
  const next = await openAt(t, engine.path, TINY);
  assert.equal((await runCommand(next.path, ['get', keyOf(1)])).exitCode, 0);
});
