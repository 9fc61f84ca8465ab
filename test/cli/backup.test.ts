/** backup, backups, verify-backup, restore and purge-backups; a directory, and a bucket by the environment. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { StorageEngine } from '../../src/main/index.ts';
import { runCommand, runEach } from '../helpers/run-cli.ts';
import { S3Stub } from '../helpers/s3-stub.ts';
import { temporaryDirectory } from '../helpers/temp-directory.ts';

async function linesOf(db: string, args: readonly string[]): Promise<string[]> {
  const { exitCode, stdout, stderr } = await runCommand(db, args);
  assert.deepEqual([exitCode, stderr], [0, ''], args.join(' '));
  return stdout.split('\n').slice(0, -1);
}

/** The whole tour, whatever the target is. */
async function tour(
  t: TestContext,
  target: string,
): Promise<{ readonly folder: string; readonly db: string }> {
  const folder = temporaryDirectory(t);
  const db = join(folder, 'db');
  await runEach(db, ['put a 1', 'flush', 'put b 2']);
  const names = readdirSync(db).sort();
  const [first = ''] = await linesOf(db, ['backup', target]);
  assert.match(first, /^\d{8}T\d{9}Z-[0-9a-f]{12} {2}\d+ files, .* of them new$/);
  assert.deepEqual(readdirSync(db).sort(), names, 'the store was not touched');
  await runEach(db, ['put c 3']);
  const second = JSON.parse((await linesOf(db, ['backup', target, '--json']))[0]!) as {
    id: string;
    time: number;
  };
  const ids = (await linesOf(db, ['backups', target])).map((line) => line.split(' ')[0]!);
  assert.deepEqual(ids, [first.split(' ')[0], second.id]);
  const listed = JSON.parse((await linesOf(db, ['backups', target, '--json']))[0]!) as { id: string }[];
  assert.deepEqual(
    listed.map(({ id }) => id),
    ids,
  );
  assert.match(
    (await linesOf(db, ['verify-backup', target]))[0]!,
    /^ok: 2 backups, \d+ objects, .* read in /,
  );
  await linesOf(db, ['verify-backup', target, ids[0]!, '--json']);
  const old = join(folder, 'old');
  await linesOf(db, ['restore', target, old, '--id', ids[0]!]);
  assert.deepEqual(await linesOf(old, ['scan']), ['a => 1', 'b => 2']);
  const timed = join(folder, 'timed');
  await linesOf(db, ['restore', target, timed, '--time', new Date(second.time).toISOString()]);
  const newest = join(folder, 'newest');
  const [report = ''] = await linesOf(db, ['restore', target, newest, '--json']);
  assert.equal((JSON.parse(report) as { id: string }).id, second.id);
  assert.deepEqual(await linesOf(newest, ['scan']), ['a => 1', 'b => 2', 'c => 3']);
  assert.match(
    (await linesOf(db, ['purge-backups', target, '--keep', '1']))[0]!,
    /^deleted 1 backups and \d+ objects, .*; 1 backups stay$/,
  );
  assert.equal((await linesOf(db, ['backups', target])).length, 1);
  return { folder, db };
}

test('a directory as target, and what is wrong with a call', async (t) => {
  const target = join(temporaryDirectory(t), 'backups');
  const { folder, db } = await tour(t, target);
  const exitCodeOf = async (...args: string[]): Promise<number | null> => {
    const { exitCode, stdout, stderr } = await runCommand(db, args);
    assert.equal(stdout, '', args.join(' '));
    assert.match(stderr, /^stratakv: .+\n$/, args.join(' '));
    return exitCode;
  };
  const unknown = '20260101T000000000Z-0123456789ab';
  assert.equal(await exitCodeOf('verify-backup', target, unknown), 3);
  assert.equal(await exitCodeOf('verify-backup', target, 'x'), 3);
  assert.equal(await exitCodeOf('restore', target, join(folder, 'x'), '--id', unknown), 3);
  assert.equal(await exitCodeOf('restore', target, join(folder, 'x'), '--time', 'yesterday'), 2);
  assert.equal(await exitCodeOf('restore', target, join(folder, 'x'), '--time', '2020-01-01'), 1);
  assert.equal(await exitCodeOf('restore', target, join(folder, 'x'), '--id', 'a', '--position', 'b'), 2);
  assert.equal(await exitCodeOf('restore', target, folder), 1);
  assert.equal(await exitCodeOf('restore', join(folder, 'nothing'), join(folder, 'x')), 1);
  assert.equal(await exitCodeOf('purge-backups', target), 2);
  assert.equal(await exitCodeOf('purge-backups', target, '--keep', '0'), 2);
  assert.equal(await exitCodeOf('backups', 'ftp://server/place'), 2);
  assert.equal(await exitCodeOf('backups', 's3://'), 2);
  assert.ok(!existsSync(join(folder, 'x')) && !existsSync(join(folder, 'nothing')));
  assert.equal((await runCommand(join(folder, 'none'), ['backup', target])).exitCode, 1);
  // Where a service has the store open, that makes the backup.
  const engine = await StorageEngine.open(db);
  await engine.put('d', 'of the service');
  const [line = ''] = await linesOf(db, ['backup', target]);
  assert.equal((await linesOf(db, ['backups', target])).at(-1)!.split(' ')[0], line.split(' ')[0]);
  await engine.close();
  assert.equal(await exitCodeOf('backup', 's3://'), 2);
  const [name = ''] = readdirSync(join(target, 'tables'));
  const path = join(target, 'tables', name);
  const bytes = readFileSync(path);
  bytes[0]! ^= 1;
  writeFileSync(path, bytes);
  assert.equal(await exitCodeOf('verify-backup', target), 4);
});

test('the drill of docs/backup.md', async (t) => {
  const page = readFileSync(join(findRoot(), 'docs', 'backup.md'), 'utf8').replaceAll('\r\n', '\n');
  const [, lines = ''] = /\n## The drill\n[\s\S]*?```sh\n([\s\S]*?)```/.exec(page) ?? [];
  const commands = lines.split('\n').filter((line) => line.startsWith('stratakv '));
  assert.ok(commands.length > 5, 'the page has lost its drill');
  const folder = temporaryDirectory(t);
  const places: Record<string, string> = { TARGET: 'target', './db_data': 'db', './drill': 'drill' };
  await runEach(join(folder, 'db'), ['put a 1', 'put b 2']);
  for (const command of commands) {
    const [, ...words] = command
      .split(/\s+/)
      .map((word) => (word in places ? join(folder, places[word]!) : word));
    const db = words[0] === '--db' ? words.splice(0, 2)[1]! : join(folder, 'db');
    const { exitCode, stdout, stderr } = await runCommand(db, words);
    assert.deepEqual([exitCode, stderr], [0, ''], command);
    if (words[0] === 'scan') assert.equal(stdout, 'a => 1\nb => 2\n');
  }
  assert.deepEqual(readdirSync(folder).sort(), ['db', 'target']);
});

test('a bucket as target', async (t) => {
  const stub = await S3Stub.start();
  const before = { ...process.env };
  Object.assign(process.env, {
    AWS_ENDPOINT_URL_S3: stub.endpoint,
    AWS_ACCESS_KEY_ID: 'id',
    AWS_SECRET_ACCESS_KEY: 'secret',
    AWS_REGION: '',
  });
  t.after(async () => {
    process.env = before;
    await stub.stop();
  });
  await tour(t, 's3://bucket/some/where');
  assert.ok(stub.keys().every((key) => key.startsWith('some/where/')));
});

function findRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder);
  return folder;
}
