/**
 * One owner at a time, whoever the rivals are and however the owner ends.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, fork } from 'node:child_process';
import cluster from 'node:cluster';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { connect } from 'node:net';
import { extname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { acquireLock, DirectoryLock } from '../../../src/main/locking/directory-lock.ts';
import { describeSelf } from '../../../src/main/locking/lock-record.ts';
import { holdDirectory } from '../../../src/shared/files/lock-files.ts';
import { nodeFileSystem } from '../../../src/shared/files/node-file-system.ts';
import type { LockOutcome } from '../../helpers/lock-holder.ts';
import { temporaryDirectory } from '../../helpers/temp-directory.ts';

const HOLDER = new URL(`../../helpers/lock-holder${extname(import.meta.url)}`, import.meta.url);
const IS_LINUX = process.platform === 'linux';

function lock(directory: string): ReturnType<typeof acquireLock> {
  return acquireLock(nodeFileSystem, directory);
}

async function assertFree(directory: string): Promise<void> {
  await (await lock(directory)).release();
}

function startChild(t: TestContext, directory: string): ChildProcess {
  const child = fork(fileURLToPath(HOLDER), [directory], { execArgv: [] });
  t.after(() => child.kill('SIGKILL'));
  return child;
}

async function outcomeOf(child: ChildProcess): Promise<LockOutcome> {
  const [outcome] = await once(child, 'message');
  return outcome as LockOutcome;
}

async function end(child: ChildProcess): Promise<void> {
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}

const lockedByUs = { code: 'STRATA_LOCKED', message: new RegExp(`this process \\(pid ${process.pid}\\)`) };

test('acquireLock() refuses a second owner in the same thread and frees the directory on release', async (t) => {
  const directory = temporaryDirectory(t);
  const first = await lock(directory);
  await assert.rejects(lock(directory), lockedByUs);
  await first.release();
  await first.release();
  await assertFree(directory);
});

test('acquireLock() sees through symbolic links and other spellings of the path', async (t) => {
  const parent = temporaryDirectory(t);
  const directory = join(parent, 'real');
  mkdirSync(directory);
  symlinkSync(directory, join(parent, 'link'));
  const first = await lock(join(parent, 'link'));
  await assert.rejects(lock(directory), lockedByUs);
  await assert.rejects(lock(`${parent}/./real/../real/`), lockedByUs);
  await first.release();
});

test('acquireLock() names the pid of another process, and is free at once when that is killed', async (t) => {
  const directory = temporaryDirectory(t);
  for (let i = 0; i < 3; i++) {
    const child = startChild(t, directory);
    assert.deepEqual(await outcomeOf(child), { outcome: 'held' });
    await assert.rejects(lock(directory), {
      code: 'STRATA_LOCKED',
      message: new RegExp(`pid ${child.pid}$`),
    });
    await end(child);
    assert.match(readFileSync(join(directory, 'LOCK'), 'utf8'), new RegExp(`"pid":${child.pid},`));
    await assertFree(directory);
  }
});

test('acquireLock() stays refused while the owner is stopped', { skip: !IS_LINUX }, async (t) => {
  const directory = temporaryDirectory(t);
  const child = startChild(t, directory);
  await outcomeOf(child);
  child.kill('SIGSTOP');
  await assert.rejects(lock(directory), { code: 'STRATA_LOCKED' });
  await end(child);
  await assertFree(directory);
});

test('acquireLock() excludes worker threads, and is free when one is terminated', async (t) => {
  const directory = temporaryDirectory(t);
  const worker = new Worker(HOLDER, { workerData: { directory } });
  const [outcome] = await once(worker, 'message');
  assert.deepEqual(outcome, { outcome: 'held' });
  await assert.rejects(lock(directory), lockedByUs);
  await worker.terminate();
  const held = await lock(directory);
  const rival = new Worker(HOLDER, { workerData: { directory } });
  const [refused] = (await once(rival, 'message')) as [LockOutcome];
  assert.equal(refused.outcome, 'STRATA_LOCKED');
  await rival.terminate();
  await held.release();
});

for (const appServer of ['none', 'shared', 'exclusive']) {
  test(`acquireLock() lets one cluster worker win (application server: ${appServer})`, async (t) => {
    const directory = temporaryDirectory(t);
    cluster.setupPrimary({ exec: fileURLToPath(HOLDER), args: [directory, appServer], execArgv: [] });
    const workers = [cluster.fork(), cluster.fork(), cluster.fork()];
    const outcomes = await Promise.all(workers.map((worker) => once(worker, 'message')));
    const codes = outcomes.map(([outcome]) => (outcome as LockOutcome).outcome).sort();
    await Promise.all(workers.map((worker) => end(worker.process)));
    assert.deepEqual(codes, ['STRATA_LOCKED', 'STRATA_LOCKED', 'held']);
    await assertFree(directory);
  });
}

test('acquireLock() has exactly one winner among 20 processes that race', async (t) => {
  const directory = temporaryDirectory(t);
  const children = Array.from({ length: 20 }, () => startChild(t, directory));
  const outcomes = await Promise.all(children.map(outcomeOf));
  assert.equal(outcomes.filter(({ outcome }) => outcome === 'held').length, 1);
  assert.equal(outcomes.filter(({ outcome }) => outcome === 'STRATA_LOCKED').length, 19);
  await Promise.all(children.map(end));
  await assertFree(directory);
});

test('acquireLock() has exactly one winner among 50 racers in one thread', async (t) => {
  const directory = temporaryDirectory(t);
  const results = await Promise.allSettled(Array.from({ length: 50 }, () => lock(directory)));
  const won = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  assert.equal(won.length, 1);
  await won[0]!.release();
});

test('acquireLock() works where LOCK cannot be written', { skip: !IS_LINUX }, async (t) => {
  const directory = temporaryDirectory(t);
  // For a user who may write anywhere, permissions alone would not do.
  mkdirSync(join(directory, 'LOCK'));
  chmodSync(directory, 0o500);
  try {
    const first = await lock(directory);
    await assert.rejects(lock(directory), { code: 'STRATA_LOCKED', message: /another process$/ });
    await first.release();
  } finally {
    chmodSync(directory, 0o700);
  }
});

test('acquireLock() writes through no symbolic or hard link named LOCK', { skip: !IS_LINUX }, async (t) => {
  for (const link of [symlinkSync, linkSync]) {
    const parent = temporaryDirectory(t);
    const victim = join(parent, 'victim');
    const directory = join(parent, 'store');
    mkdirSync(directory);
    writeFileSync(victim, 'precious');
    link(victim, join(directory, 'LOCK'));
    const first = await lock(directory);
    await assert.rejects(lock(directory), { code: 'STRATA_LOCKED', message: /another process$/ });
    await first.release();
    assert.equal(readFileSync(victim, 'utf8'), 'precious');
  }
});

test('acquireLock() is neither misled nor delayed by hostile content of LOCK', {
  skip: !IS_LINUX,
}, async (t) => {
  const directory = temporaryDirectory(t);
  const contents = ['', '{', '[]', 'null', '{"pid":"1"}', '{"pid":-1}', '{"pid":1e999}', 'x'.repeat(100_000)];
  const first = await lock(directory);
  for (const content of contents) {
    writeFileSync(join(directory, 'LOCK'), content);
    await assert.rejects(lock(directory), { code: 'STRATA_LOCKED', message: /another process$/ });
  }
  await first.release();
  rmSync(join(directory, 'LOCK'));
  execFileSync('mkfifo', [join(directory, 'LOCK')]);
  await assertFree(directory);
});

test('acquireLock() names no process that is no more', { skip: !IS_LINUX }, async (t) => {
  const directory = temporaryDirectory(t);
  const dead = startChild(t, directory);
  await outcomeOf(dead);
  await end(dead);
  const stale = readFileSync(join(directory, 'LOCK'));
  const first = await lock(directory);
  writeFileSync(join(directory, 'LOCK'), stale);
  await assert.rejects(lock(directory), { message: /locked by another process$/ });
  await first.release();
});

test('DirectoryLock.release() leaves LOCK behind, empty and readable by its owner only', async (t) => {
  const directory = temporaryDirectory(t);
  await assertFree(directory);
  assert.equal(readFileSync(join(directory, 'LOCK'), 'utf8'), '');
  assert.ok(existsSync(join(directory, 'LOCK')));
  assert.equal(nodeFileSystem.stat(join(directory, 'LOCK'))!.kind, 'file');
});

test('DirectoryLock is not given away when its directory is removed and made again', {
  skip: !IS_LINUX,
}, async (t) => {
  const directory = join(temporaryDirectory(t), 'store');
  mkdirSync(directory);
  const first = await lock(directory);
  rmSync(directory, { recursive: true });
  mkdirSync(directory);
  // Another directory, though at the same path: the old lock must not be in its way.
  await assertFree(directory);
  await first.release();
});

test('DirectoryLock.release() is not held up by somebody connected to the socket', {
  skip: !IS_LINUX,
}, async (t) => {
  const directory = temporaryDirectory(t);
  const first = await lock(directory);
  const { device, inode } = nodeFileSystem.stat(directory)!;
  // Padded to the full length: Node 20 pads and Node 22 doesn't, and both must mean the same socket.
  const client = connect({ path: `\0stratakv-${device}-${inode}`.padEnd(108, '\0') });
  await once(client, 'connect');
  client.on('error', () => {});
  await first.release();
  client.destroy();
  await assertFree(directory);
});

test('acquireLock() fails on what is no directory', async (t) => {
  const directory = temporaryDirectory(t);
  await assert.rejects(lock(join(directory, 'missing')), { code: 'STRATA_IO' });
  writeFileSync(join(directory, 'file'), '');
  await assert.rejects(lock(join(directory, 'file')), { code: 'STRATA_IO' });
});

test('where a directory can only be reached by its path, a takeover makes LOCK anew there, and nowhere else', async (t) => {
  const directory = temporaryDirectory(t);
  const path = join(directory, 'LOCK');
  writeFileSync(path, 'of the superseded owner');
  const held = holdDirectory(directory);
  const record = describeSelf('0123456789abcdef', undefined);
  const lock = new DirectoryLock(directory, { held: { ...held, anchor: undefined } }, record, true);
  assert.equal(
    readFileSync(path, 'utf8'),
    'of the superseded owner',
    'not before the files are out of reach',
  );
  lock.supersede();
  assert.match(readFileSync(path, 'utf8'), /"ownerId":"0123456789abcdef"/);
  assert.equal(lock.hasLockFile(), true);
  await lock.release();
  assert.equal(readFileSync(path, 'utf8'), '');
});
