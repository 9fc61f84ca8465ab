/**
 * Disks and directories that refuse: full, read-only, without permission, not a directory. Always a StorageError, and
 * nothing acknowledged is lost.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, extname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { StorageEngine } from '../../src/main/index.ts';
import { systemErrorCode } from '../../src/shared/base/errors.ts';
import { failsWith, newPath, openAt, openTiny, TINY } from '../helpers/engines.ts';
import { temporaryDirectory } from '../helpers/temp-directory.ts';

const CHILD = fileURLToPath(
  new URL(`../helpers/small-disk-child${extname(import.meta.url)}`, import.meta.url),
);
/** Mounts of a user who is not root cannot be made read-only everywhere. */
function canDo(script: string): boolean {
  return process.platform === 'linux' && spawnSync('unshare', ['-Urm', 'sh', '-c', script]).status === 0;
}
const MOUNT = 'mount -t tmpfs -o size=64k tmpfs /tmp';
const needsMount = { skip: !canDo(MOUNT) && 'needs Linux and the right to mount a tmpfs in a namespace' };
const needsRemount = {
  skip: !canDo(`${MOUNT} && mount -o remount,ro /tmp`) && 'needs the right to make a mount read-only',
};

function onSmallDisk(t: TestContext, sizeKib: number, behaviour: string): Record<string, unknown> {
  const directory = temporaryDirectory(t);
  const script = `mount -t tmpfs -o size=${sizeKib}k tmpfs "$1" && exec "$2" "$3" "$1" "$4"`;
  const args = ['-Urm', 'sh', '-c', script, 'sh', directory, process.execPath, CHILD, behaviour];
  const child = spawnSync('unshare', args, { encoding: 'utf8', timeout: 50_000 });
  assert.equal(child.status, 0, `${child.stdout}${child.stderr}`);
  return JSON.parse(child.stdout) as Record<string, unknown>;
}

test(
  'a full disk: the write is refused, reads go on, and with room again nothing is lost',
  needsMount,
  (t) => {
    const { acknowledged, wasTold, outcome, closing, ...rest } = onSmallDisk(t, 1024, 'full');
    assert.ok((acknowledged as number) > 50, `${acknowledged}`);
    assert.equal(wasTold, true);
    assert.match(outcome as string, /^STRATA_(IO|READ_ONLY) ENOSPC$/);
    // To measure the logs for the next open takes room as well; without, they are read as after a crash.
    assert.match(closing as string, /^(ok|STRATA_IO ENOSPC)$/);
    assert.deepEqual(rest, {
      readsWhileFull: true,
      readsAfterwards: true,
      verify: 'ok',
      writes: 'ok',
      compact: 'ok',
    });
  },
);

test('a read-only disk: the store can be read, and every change is refused', needsRemount, (t) => {
  const { newStore, ...rest } = onSmallDisk(t, 2048, 'read-only');
  // Node's recursive mkdir says ENOENT on a read-only disk.
  assert.match(newStore as string, /^STRATA_IO E(ROFS|NOENT)$/);
  assert.deepEqual(rest, {
    reads: true,
    verify: 'ok',
    refused: 'STRATA_READ_ONLY',
    closing: 'ok',
    destroy: 'STRATA_IO EROFS',
    writable: 'ok',
    write: 'STRATA_IO EROFS',
    stillReads: true,
  });
});

test('a path that is a file, lies below a file, or is too long', async (t) => {
  const directory = temporaryDirectory(t);
  const file = join(directory, 'file');
  writeFileSync(file, 'precious');
  for (const path of [file, join(file, 'db'), join(file, 'a', 'b'), join(directory, 'x'.repeat(300))]) {
    await failsWith('STRATA_IO', StorageEngine.open(path));
    await failsWith('STRATA_IO', StorageEngine.open(path, { readOnly: true }));
    await failsWith('STRATA_IO', StorageEngine.destroy(path));
  }
  const dangling = join(directory, 'dangling');
  symlinkSync(join(directory, 'nowhere'), dangling);
  await failsWith('STRATA_IO', StorageEngine.open(dangling));
  assert.equal(readFileSync(file, 'utf8'), 'precious');
});

test('files of the store that are directories or links are refused, and their targets untouched', async (t) => {
  const path = newPath(t);
  const outside = join(dirname(path), 'outside');
  writeFileSync(outside, 'precious');
  mkdirSync(join(path, 'manifest.json'), { recursive: true });
  await failsWith('STRATA_IO', StorageEngine.open(path));
  const linked = join(dirname(path), 'linked');
  mkdirSync(linked);
  symlinkSync(outside, join(linked, 'manifest.json'));
  await failsWith('STRATA_IO', StorageEngine.open(linked));
  const withLock = join(dirname(path), 'locked');
  mkdirSync(withLock);
  symlinkSync(outside, join(withLock, 'LOCK'));
  // LOCK only informs: a link in its place is not followed, and keeps nobody out where the kernel does the locking.
  if (process.platform === 'linux') {
    const engine = await openAt(t, withLock);
    await engine.put('a', '1');
    await engine.close();
    await StorageEngine.destroy(withLock);
  }
  assert.equal(readFileSync(outside, 'utf8'), 'precious');
});

const isRoot = process.getuid?.() === 0;
const needsUser = { skip: (isRoot || process.platform === 'win32') && 'permissions do not bind this user' };

test('no permission for the directory or for a file of it', needsUser, async (t) => {
  const engine = await openTiny(t);
  await engine.put('a', '1');
  await engine.flush();
  await engine.close();
  const manifest = join(engine.path, 'manifest.json');
  for (const [target, mode] of [
    [manifest, 0o600],
    [engine.path, 0o700],
    [dirname(engine.path), 0o700],
  ] as const) {
    chmodSync(target, 0);
    try {
      const error = await failsWith('STRATA_IO', StorageEngine.open(engine.path, TINY));
      assert.equal(systemErrorCode(error), 'EACCES');
    } finally {
      chmodSync(target, mode);
    }
  }
  const again = await openAt(t, engine.path);
  assert.equal(again.getSync('a')?.toString(), '1');
});
