/**
 * The real disk behaves as file-system.ts promises.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { StorageError, systemErrorCode } from '../../../src/shared/base/errors.ts';
import { readFully, writeFully, writeFullyAsync } from '../../../src/shared/files/file-system.ts';
import { loadFileSystem, nodeFileSystem } from '../../../src/shared/files/node-file-system.ts';
import { temporaryDirectory } from '../../helpers/temp-directory.ts';

const IS_UNIX = process.platform !== 'win32';

function ioErrorWith(code: string): (error: unknown) => boolean {
  return (error) =>
    error instanceof StorageError &&
    error.code === 'STRATA_IO' &&
    systemErrorCode(error) === code &&
    error.file !== undefined;
}

test('createExclusive() and openRead() write and read back at any position', async (t) => {
  const path = join(temporaryDirectory(t), 'file');
  const file = nodeFileSystem.createExclusive(path);
  writeFully(file, Buffer.from('hello'), 0);
  await writeFullyAsync(file, Buffer.from(' world'), 5);
  file.datasync();
  await file.datasyncAsync();
  assert.equal(file.size(), 11);
  const back = Buffer.alloc(20);
  assert.equal(readFully(file, back, 0), 11);
  file.close();
  file.close();
  const reader = nodeFileSystem.openRead(path);
  assert.equal(readFully(reader, back, 6), 5);
  assert.equal(back.toString('latin1', 0, 5), 'world');
  assert.equal(reader.readAt(back, 11), 0);
  reader.close();
  assert.throws(() => reader.readAt(back, 0), { code: 'STRATA_IO' });
});

test('createExclusive() refuses what exists, links included, and gives nobody else access', {
  skip: !IS_UNIX,
}, (t) => {
  const directory = temporaryDirectory(t);
  nodeFileSystem.createExclusive(join(directory, 'file')).close();
  assert.equal(statSync(join(directory, 'file')).mode & 0o777, 0o600);
  assert.throws(() => nodeFileSystem.createExclusive(join(directory, 'file')), ioErrorWith('EEXIST'));
  symlinkSync(join(directory, 'elsewhere'), join(directory, 'link'));
  assert.throws(() => nodeFileSystem.createExclusive(join(directory, 'link')), ioErrorWith('EEXIST'));
  assert.equal(nodeFileSystem.stat(join(directory, 'elsewhere')), undefined);
});

test('openRead() refuses links, directories and pipes, and says that a file is missing', {
  skip: !IS_UNIX,
}, (t) => {
  const directory = temporaryDirectory(t);
  writeFileSync(join(directory, 'file'), '');
  symlinkSync(join(directory, 'file'), join(directory, 'link'));
  execFileSync('mkfifo', [join(directory, 'pipe')]);
  assert.throws(() => nodeFileSystem.openRead(join(directory, 'link')), ioErrorWith('ELOOP'));
  assert.throws(() => nodeFileSystem.openRead(directory), {
    code: 'STRATA_IO',
    message: /not a regular file/,
  });
  assert.throws(() => nodeFileSystem.openRead(join(directory, 'pipe')), { message: /not a regular file/ });
  assert.throws(() => nodeFileSystem.openRead(join(directory, 'missing')), ioErrorWith('ENOENT'));
});

test('openRead() keeps no descriptor when it refuses', { skip: process.platform !== 'linux' }, (t) => {
  const directory = temporaryDirectory(t);
  const count = (): number => nodeFileSystem.list('/proc/self/fd').length;
  const before = count();
  for (let i = 0; i < 20; i++) assert.throws(() => nodeFileSystem.openRead(directory));
  assert.equal(count(), before);
});

test('stat() tells files, directories and everything else apart, and nothing from an error', {
  skip: !IS_UNIX,
}, (t) => {
  const directory = temporaryDirectory(t);
  writeFileSync(join(directory, 'file'), 'abc');
  symlinkSync(join(directory, 'file'), join(directory, 'link'));
  const { kind, sizeBytes } = nodeFileSystem.stat(join(directory, 'file'))!;
  assert.deepEqual({ kind, sizeBytes }, { kind: 'file', sizeBytes: 3 });
  assert.equal(nodeFileSystem.stat(directory)!.kind, 'directory');
  assert.equal(nodeFileSystem.stat(join(directory, 'link'))!.kind, 'other');
  assert.equal(nodeFileSystem.stat(join(directory, 'missing')), undefined);
  assert.throws(() => nodeFileSystem.stat(join(directory, 'x'.repeat(300))), ioErrorWith('ENAMETOOLONG'));
  assert.equal(nodeFileSystem.realPath(join(directory, 'link')), join(directory, 'file'));
});

test('makeDirectory() makes one directory, for the owner only, and says whether it did', {
  skip: !IS_UNIX,
}, (t) => {
  const path = join(temporaryDirectory(t), 'a');
  assert.throws(() => nodeFileSystem.makeDirectory(join(path, 'b')), ioErrorWith('ENOENT'));
  assert.equal(nodeFileSystem.makeDirectory(path), true);
  assert.equal(nodeFileSystem.makeDirectory(path), false);
  assert.equal(statSync(path).mode & 0o777, 0o700);
  nodeFileSystem.removeDirectory(path);
  assert.equal(nodeFileSystem.stat(path), undefined);
});

test('rename(), unlink() and syncDirectory() work in both forms and report what is missing', async (t) => {
  const directory = temporaryDirectory(t);
  const [a, b] = [join(directory, 'a'), join(directory, 'b')];
  writeFileSync(a, 'content');
  nodeFileSystem.rename(a, b);
  nodeFileSystem.syncDirectory(directory);
  await nodeFileSystem.renameAsync(b, a);
  await nodeFileSystem.syncDirectoryAsync(directory);
  assert.equal(readFileSync(a, 'utf8'), 'content');
  await nodeFileSystem.unlinkAsync(a);
  assert.throws(() => nodeFileSystem.unlink(a), ioErrorWith('ENOENT'));
  assert.throws(() => nodeFileSystem.rename(a, b), ioErrorWith('ENOENT'));
  await assert.rejects(nodeFileSystem.unlinkAsync(a), ioErrorWith('ENOENT'));
  await assert.rejects(nodeFileSystem.renameAsync(a, b), ioErrorWith('ENOENT'));
  await assert.rejects(nodeFileSystem.syncDirectoryAsync(a), ioErrorWith('ENOENT'));
  mkdirSync(a);
  assert.throws(() => nodeFileSystem.list(b), ioErrorWith('ENOENT'));
  assert.deepEqual(nodeFileSystem.list(directory), ['a']);
});

test('loadFileSystem() gives the real disk without a spec, and builds what a spec names', async () => {
  assert.equal(await loadFileSystem(undefined), nodeFileSystem);
  const source = 'export const createFileSystem = (options) => ({ spec: { options } });';
  const fs = await loadFileSystem({ module: `data:text/javascript,${source}`, options: 7 });
  assert.deepEqual(fs.spec, { options: 7 });
  await assert.rejects(loadFileSystem({ module: 'data:text/javascript,' }), {
    code: 'STRATA_INVALID_ARGUMENT',
  });
});
