/**
 * Files reached through the descriptor of their directory: what becomes of the path does not matter, and a descriptor that was
 * closed leads nowhere, whoever has its number by then.
 */
import assert from 'node:assert/strict';
import { mkdirSync, openSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { nameOf, placeOf } from '../../../src/shared/files/directory-anchor.ts';
import { holdAgain, holdDirectory } from '../../../src/shared/files/lock-files.ts';
import { createNodeFileSystem } from '../../../src/shared/files/node-file-system.ts';
import { temporaryDirectory } from '../../helpers/temp-directory.ts';

const skip = process.platform === 'linux' ? false : 'directories are held by path elsewhere';

test('paths in the directory become places, all others stay', () => {
  const anchors = [{ directory: '/data/db', place: '/proc/self/fd/7', device: 1, inode: 2 }];
  assert.equal(placeOf('/data/db/LOCK', anchors), '/proc/self/fd/7/LOCK');
  assert.equal(placeOf('/data/db', anchors), '/proc/self/fd/7');
  for (const path of ['/data/db2/LOCK', '/data/db/a/b', '/data', '/'])
    assert.equal(placeOf(path, anchors), path);
  assert.equal(nameOf("ENOENT: open '/proc/self/fd/7/LOCK'", anchors), "ENOENT: open '/data/db/LOCK'");
});

test('a directory that was moved is followed, one in its place is not touched', { skip }, async (t) => {
  const path = join(temporaryDirectory(t), 'db');
  mkdirSync(path);
  const held = holdDirectory(path);
  t.after(() => held.close());
  const fs = createNodeFileSystem([held.anchor!]);
  fs.createExclusive(join(path, '1')).close();
  renameSync(path, `${path}.moved`);
  mkdirSync(path);
  writeFileSync(join(path, '1'), 'precious');
  fs.rename(join(path, '1'), join(path, '2'));
  await fs.renameAsync(join(path, '2'), join(path, '3'));
  fs.createExclusive(join(path, '4')).close();
  await fs.unlinkAsync(join(path, '4'));
  fs.syncDirectory(path);
  await fs.syncDirectoryAsync(path);
  assert.deepEqual(fs.list(path), ['3']);
  assert.equal(fs.stat(join(path, '1')), undefined);
  assert.equal(fs.openRead(join(path, '3')).path, join(path, '3'));
  assert.deepEqual([readdirSync(path), readdirSync(`${path}.moved`)], [['1'], ['3']]);
});

test('a directory that was removed takes no more files, and the error names what the caller meant', {
  skip,
}, (t) => {
  const path = join(temporaryDirectory(t), 'db');
  mkdirSync(path);
  const held = holdDirectory(path);
  t.after(() => held.close());
  const fs = createNodeFileSystem([held.anchor!]);
  rmSync(path, { recursive: true });
  mkdirSync(path);
  assert.throws(
    () => fs.createExclusive(join(path, '1')),
    (error: Error & { cause?: NodeJS.ErrnoException }) =>
      error.message.includes(`open '${join(path, '1')}'`) &&
      error.cause?.code === 'ENOENT' &&
      error.cause.path === join(path, '1'),
  );
  assert.deepEqual(readdirSync(path), []);
});

test('once its descriptor is closed a directory is out of reach, whatever has the number by then', {
  skip,
}, (t) => {
  const home = temporaryDirectory(t);
  for (const name of ['db', 'other']) mkdirSync(join(home, name));
  const path = join(home, 'db');
  const held = holdDirectory(path);
  const shared = structuredClone(held.anchor!);
  const fs = createNodeFileSystem([held.anchor!]);
  const again = holdAgain(shared);
  assert.equal(again?.inode, held.inode);
  held.close();
  const number = openSync(join(home, 'other'), 'r');
  assert.ok(shared.place.endsWith(`/${number}`), 'the number is used again');
  assert.throws(() => fs.createExclusive(join(path, '1')), { code: 'STRATA_IO' });
  // Another thread, which has a copy of where it was, finds that it is not that any more.
  assert.equal(holdAgain(shared), undefined);
  assert.deepEqual(readdirSync(join(home, 'other')), []);
  // One that had opened its own goes on.
  createNodeFileSystem([again.anchor!]).createExclusive(join(path, '2')).close();
  assert.deepEqual(readdirSync(path), ['2']);
  again.close();
});
