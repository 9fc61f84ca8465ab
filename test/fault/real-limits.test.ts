/**
 * Limits of the real system, in processes of their own: a full disk, a file size limit, too few descriptors.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { storeDirectory } from '../helpers/fault/fast-directory.ts';
import type { LimitsReport } from '../helpers/fault/limits-child.ts';

const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
const CHILD = fileURLToPath(new URL(`../helpers/fault/limits-child.${extension}`, import.meta.url));
const LIMIT_MS = 60_000;

test('a disk of 1 MiB runs full: a flush goes on when there is room, and nothing acknowledged is lost', (t) => {
  const reason = whyNoMount();
  if (reason !== undefined) return t.skip(reason);
  const directory = storeDirectory(t, true);
  const report = run('unshare', ['-m', process.execPath, CHILD, 'disk', directory]);
  assert.equal(report.codes[0], 'STRATA_IO', 'the flush that found no room says so');
  assert.equal(report.causes[0], 'ENOSPC');
  assert.deepEqual(report.statuses.slice(0, 2), ['open', 'open'], 'a flush without room ends nothing');
  assert.ok(report.events.includes('flush will be tried again'));
  assert.ok(report.codes.length > 1, 'the disk never ran full');
  assert.ok(report.acknowledged > 200);
  assert.deepEqual([report.missing, report.missingAfterReopening], [0, 0]);
});

test('a log at the largest size a file may have (ulimit -f) ends writing, not reading, and loses nothing', (t) => {
  if (process.platform === 'win32') return t.skip('no ulimit on Windows');
  const report = limited(t, 'ulimit -f 64', 'file-size');
  assert.deepEqual(report.codes, ['STRATA_IO']);
  assert.deepEqual(report.causes, ['EFBIG']);
  assert.deepEqual(report.statuses, ['read-only']);
  assert.ok(report.acknowledged > 20 && report.acknowledged < 200);
  assert.deepEqual([report.missing, report.missingAfterReopening], [0, 0]);
});

test('more tables than descriptors (ulimit -n): every one is read, and writing goes on', (t) => {
  if (process.platform === 'win32') return t.skip('no ulimit on Windows');
  const report = limited(t, 'ulimit -n 128', 'descriptors');
  assert.deepEqual(report.codes, []);
  assert.deepEqual(report.statuses, ['open']);
  assert.equal(report.acknowledged, 200);
  assert.deepEqual([report.missing, report.missingAfterReopening], [0, 0]);
});

function limited(t: TestContext, limit: string, what: string): LimitsReport {
  const directory = storeDirectory(t, true);
  return run('bash', ['-c', `${limit} && exec "$@"`, 'bash', process.execPath, CHILD, what, directory]);
}

function run(command: string, args: readonly string[]): LimitsReport {
  const child = spawnSync(command, args, { timeout: LIMIT_MS, encoding: 'utf8' });
  assert.equal(child.status, 0, `${child.signal ?? ''} ${child.stderr.slice(-2000)}`);
  return JSON.parse(child.stdout) as LimitsReport;
}

/** Mounting takes Linux, root, and a kernel that lets us. */
function whyNoMount(): string | undefined {
  if (process.platform !== 'linux') return 'tmpfs is mounted on Linux only';
  if (process.getuid?.() !== 0) return 'mounting takes root';
  const probe = spawnSync('unshare', ['-m', 'sh', '-c', 'mount -t tmpfs -o size=1m none /mnt'], {
    encoding: 'utf8',
  });
  return probe.status === 0 ? undefined : `cannot mount here: ${probe.stderr?.trim()}`;
}
