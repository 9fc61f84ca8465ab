/**
 * An owner on another host, which no lock of this kernel knows: only LOCK tells of it. It is refused while it shows signs of
 * life, superseded when it does not, and harmless when it goes on after all.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { StorageEngine } from '../../src/main/index.ts';
import {
  describeSelf,
  encodeRecord,
  type LockRecord,
  parseRecord,
} from '../../src/main/locking/lock-record.ts';
import { failsWith, fill, newPath, openAt } from '../helpers/engines.ts';
import { type Rival, startRival } from './rivals.ts';

const IS_LINUX = process.platform === 'linux';
const OTHER_BOOT = '11111111-2222-4333-8444-555555555555';

const canPretend = spawnSync('unshare', ['-n', '-m', '-u', 'true']).status === 0;
const skipRivals = canPretend ? false : 'unshare -n -m -u is not possible here';

/** A store that its owner, on another host, has not closed; last seen alive `ageMs` ago. */
async function storeOfAnother(
  t: TestContext,
  ageMs: number,
  changes: Partial<LockRecord> = {},
): Promise<string> {
  const path = newPath(t);
  const engine = await openAt(t, path);
  await fill(engine, 300);
  await engine.close();
  const record = {
    ...describeSelf('00000000deadbeef', undefined),
    hostname: 'db-0.example',
    bootId: OTHER_BOOT,
    ...changes,
  };
  writeFileSync(join(path, 'LOCK'), encodeRecord(record));
  const seen = (Date.now() - ageMs) / 1000;
  utimesSync(join(path, 'LOCK'), seen, seen);
  return path;
}

test('an owner on another host that lives is not superseded: open names the host and its last sign of life', {
  skip: !IS_LINUX,
}, async (t) => {
  const path = await storeOfAnother(t, 3000);
  for (const open of [
    () => openAt(t, path),
    () => StorageEngine.destroy(path),
    () => StorageEngine.repair(path),
  ]) {
    const { message } = await failsWith('STRATA_LOCKED', open);
    assert.match(message, /on host "db-0\.example", whose last sign of life is \d\.\d s old/);
    assert.match(message, /counts as dead after 60\.0 s without one \(option takeOverAfter\)/);
  }
  assert.ok(!existsSync(join(path, 'epoch-000001')), 'nothing is moved');
});

test('a host of the same name that was started anew, or is another one, is refused likewise', {
  skip: !IS_LINUX,
}, async (t) => {
  const path = await storeOfAnother(t, 3000, { hostname: hostname() });
  const { message } = await failsWith('STRATA_LOCKED', openAt(t, path));
  assert.match(message, /on another host of this name, or before a restart of it/);
});

test('takeOverAfter: 0 takes over at once, and everything is there', { skip: !IS_LINUX }, async (t) => {
  const path = await storeOfAnother(t, 3000);
  const engine = await openAt(t, path, { takeOverAfter: 0 });
  assert.equal([...engine.scan({ values: false })].length, 300);
  await fill(engine, 400);
  await engine.compact();
  await engine.verify();
  assert.equal(engine.path, path);
  assert.equal(engine.stats().path, path);
  await engine.close();
  assert.ok(existsSync(join(path, 'epoch-000001', 'manifest.json')));
  // From now on it is a store like any other.
  const again = await openAt(t, path);
  assert.equal([...again.scan({ values: false })].length, 400);
  await again.close();
  await StorageEngine.repair(path);
  await StorageEngine.destroy(path);
  assert.equal(existsSync(path), false);
});

test('last seen before this kernel started, on a disk of this machine: nobody else has it', {
  skip: !IS_LINUX,
}, async (t) => {
  const path = await storeOfAnother(t, 0);
  const long = Number(readFileSync('/proc/uptime', 'latin1').split(' ')[0]) + 3600;
  const seen = Date.now() / 1000 - long;
  utimesSync(join(path, 'LOCK'), seen, seen);
  const engine = await openAt(t, path, { takeOverAfter: 2 ** 31 - 1 });
  await engine.close();
  assert.ok(!existsSync(join(path, 'epoch-000001')));
});

test('a container that no socket can reach is told by its signs of life, too', {
  skip: !IS_LINUX,
}, async (t) => {
  const { bootId } = describeSelf('', undefined);
  const path = await storeOfAnother(t, 3000, { bootId: bootId!, network: 'net:[1]' });
  await failsWith('STRATA_LOCKED', openAt(t, path));
  const engine = await openAt(t, path, { takeOverAfter: 0 });
  await engine.close();
});

test('the write that finds out that the store was taken over is refused as all after it are', {
  skip: !IS_LINUX,
}, async (t) => {
  const path = newPath(t);
  const engine = await openAt(t, path, { writeBufferSize: 4096 });
  await engine.put('a', '1');
  const successor = { ...describeSelf('00000000deadbeef', undefined), hostname: 'db-0.example' };
  writeFileSync(join(path, 'LOCK'), encodeRecord(successor));
  // In one step: no timer looks before the write that needs another log does.
  const refused = await Promise.allSettled(
    Array.from({ length: 8 }, async (_, i) => await engine.put(`b${i}`, Buffer.alloc(1000))),
  );
  const reasons = refused.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason] : []));
  assert.ok(reasons.length > 0, 'no write has looked');
  for (const reason of [...reasons, await failsWith('STRATA_READ_ONLY', engine.put('c', '1'))]) {
    assert.equal(reason.code, 'STRATA_READ_ONLY');
    assert.equal(reason.cause.code, 'STRATA_LOCKED');
    assert.match(reason.message, /was taken over by the process with pid \d+ on host "db-0\.example"/);
  }
});

/** A process that takes itself for one of another host: another name, another boot, other namespaces. */
async function startElsewhere(t: TestContext, path: string): Promise<Rival> {
  const bootId = join(dirname(path), 'boot_id');
  writeFileSync(bootId, `${OTHER_BOOT}\n`);
  const pretend = `hostname elsewhere && mount --bind ${bootId} /proc/sys/kernel/random/boot_id && exec "$@"`;
  return await startRival(t, path, { wrap: ['unshare', '-n', '-m', '-u', 'sh', '-c', pretend, 'sh'] });
}

/** As a host sees it that shares only the disk. */
function hideSockets(path: string): void {
  for (const name of readdirSync(path)) if (name.endsWith('.sock')) rmSync(join(path, name));
}

test('a paused owner that goes on after it was superseded harms nothing, and is told', {
  skip: skipRivals,
}, async (t) => {
  const path = newPath(t);
  const paused = await startElsewhere(t, path);
  assert.equal((await paused.ask('open')).outcome, 'held');
  assert.equal((await paused.ask('put 0 500')).outcome, 'done');
  assert.equal(parseRecord(readFileSync(join(path, 'LOCK'), 'utf8'))?.hostname, 'elsewhere');
  await failsWith('STRATA_LOCKED', openAt(t, path, { takeOverAfter: 0 }));
  paused.process.kill('SIGSTOP');
  hideSockets(path);
  const { message } = await failsWith('STRATA_LOCKED', openAt(t, path));
  assert.match(message, /on host "elsewhere"/);
  const engine = await openAt(t, path, { takeOverAfter: 0 });
  assert.equal(
    [...engine.scan({ gte: 'k', lt: 'l', values: false })].length,
    500,
    'all that it had acknowledged',
  );
  for (let i = 0; i < 300; i++) await engine.put(`n${i}`, 'new', { sync: true });
  paused.process.kill('SIGCONT');
  // Writes, a flush, a compaction: in whatever order it has them in mind.
  const late = await paused.ask('put 500 100000');
  assert.equal(late.outcome, 'STRATA_READ_ONLY');
  assert.match(late.message!, /was taken over by|was changed by somebody else/);
  assert.notEqual((await paused.ask('flush')).outcome, 'done');
  assert.notEqual((await paused.ask('compact')).outcome, 'done');
  await engine.flush();
  await engine.compact();
  await engine.verify();
  await paused.kill();
  await engine.close();
  const again = await openAt(t, path);
  assert.equal([...again.scan({ gte: 'n', lt: 'o', values: false })].length, 300);
  assert.ok([...again.scan({ gte: 'k', lt: 'l', values: false })].length >= 500);
  await again.verify();
});

test('a paused owner that flushes and compacts first thing when it goes on deletes nothing of its successor', {
  skip: skipRivals,
}, async (t) => {
  const path = newPath(t);
  const paused = await startElsewhere(t, path);
  await paused.ask('open');
  for (let i = 0; i < 4; i++) {
    await paused.ask(`put ${i * 200} 300`);
    await paused.ask('flush');
  }
  await paused.ask('put 1100 50');
  paused.process.kill('SIGSTOP');
  hideSockets(path);
  const engine = await openAt(t, path, { takeOverAfter: 0 });
  const count = [...engine.scan({ values: false })].length;
  const compacted = paused.ask('compact');
  paused.process.kill('SIGCONT');
  assert.notEqual((await compacted).outcome, 'done');
  await engine.verify();
  await engine.close();
  const again = await openAt(t, path);
  assert.equal([...again.scan({ values: false })].length, count);
  await again.verify();
});

test('a takeover that was killed in the midst of moving is finished by the next open', {
  skip: !IS_LINUX,
}, async (t) => {
  const path = await storeOfAnother(t, 3000);
  const next = join(path, 'epoch-000001');
  mkdirSync(next);
  const { renameSync } = await import('node:fs');
  const [first] = readdirSync(path).filter((name) => name.endsWith('.sst'));
  renameSync(join(path, first!), join(next, first!));
  writeFileSync(join(path, 'LOCK'), '');
  await failsWith('STRATA_READ_ONLY', openAt(t, path, { readOnly: true }));
  const engine = await openAt(t, path);
  assert.equal([...engine.scan({ values: false })].length, 300);
  await engine.close();
  assert.ok(existsSync(join(next, 'manifest.json')));
});

test('a paused owner hears of its successor even when that has come and gone', {
  skip: skipRivals,
}, async (t) => {
  const path = newPath(t);
  const paused = await startElsewhere(t, path);
  await paused.ask('open');
  await paused.ask('put 0 100');
  paused.process.kill('SIGSTOP');
  hideSockets(path);
  const engine = await openAt(t, path, { takeOverAfter: 0 });
  await engine.put('n', 'new');
  await engine.close();
  assert.equal(readFileSync(join(path, 'LOCK'), 'utf8'), '');
  paused.process.kill('SIGCONT');
  const late = await paused.ask('put 100 100000');
  assert.notEqual(late.outcome, 'done');
  assert.match(late.message!, /was taken over by another process/);
});

test('a takeover that ends before the files are moved leaves LOCK as it was: the next one has to move them', {
  skip: !IS_LINUX,
}, async (t) => {
  const path = await storeOfAnother(t, 3000);
  const before = readFileSync(join(path, 'LOCK'), 'utf8');
  const reader = await openAt(t, path, { readOnly: true, takeOverAfter: 0 });
  assert.equal([...reader.scan({ values: false })].length, 300);
  await reader.close();
  assert.equal(readFileSync(join(path, 'LOCK'), 'utf8'), before);
  await failsWith('STRATA_LOCKED', openAt(t, path));
});

describe('what takes its time, side by side', { concurrency: true }, () => {
  test('without a sign of life for so long the owner counts as dead, once it was watched', {
    skip: !IS_LINUX,
  }, async (t) => {
    const path = await storeOfAnother(t, 5000);
    const startedAt = performance.now();
    const engine = await openAt(t, path, { takeOverAfter: 4000 });
    assert.ok(performance.now() - startedAt >= 9000, 'clocks of hosts differ: two beats are waited for');
    assert.equal([...engine.scan({ values: false })].length, 300);
  });

  test('one that turns out to be alive while it is watched is refused', { skip: !IS_LINUX }, async (t) => {
    const path = await storeOfAnother(t, 50_000);
    const beat = setTimeout(() => utimesSync(join(path, 'LOCK'), new Date(), new Date()), 1000);
    t.after(() => clearTimeout(beat));
    await failsWith('STRATA_LOCKED', openAt(t, path, { takeOverAfter: 10_000 }));
  });

  test('an open store shows that it lives', { skip: !IS_LINUX }, async (t) => {
    const path = newPath(t);
    await openAt(t, path);
    const long = new Date(Date.now() - 3_600_000);
    utimesSync(join(path, 'LOCK'), long, long);
    const text = readFileSync(join(path, 'LOCK'), 'utf8');
    await new Promise((resolve) => setTimeout(resolve, 9000));
    const { statSync } = await import('node:fs');
    assert.ok(Date.now() - statSync(join(path, 'LOCK')).mtimeMs < 60_000);
    assert.equal(readFileSync(join(path, 'LOCK'), 'utf8'), text);
  });

  test('a LOCK whose time is yet to come keeps nobody out for ever', { skip: !IS_LINUX }, async (t) => {
    const path = await storeOfAnother(t, -86_400_000);
    const engine = await openAt(t, path, { takeOverAfter: 1000 });
    assert.equal([...engine.scan({ values: false })].length, 300);
  });
});
