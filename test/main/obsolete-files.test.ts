/**
 * Nothing but the store's own, unneeded, regular files is ever deleted.
 */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { removeObsoleteFiles, removeOrphans } from '../../src/main/obsolete-files.ts';
import { ioError } from '../../src/shared/errors.ts';
import type { FileSystem } from '../../src/shared/file-system.ts';
import { fileNumber } from '../../src/shared/ids.ts';
import { nodeFileSystem } from '../../src/shared/node-file-system.ts';
import { temporaryDirectory } from '../helpers/temp-directory.ts';

function unexpected(error: unknown): never {
  throw error;
}

test('removeOrphans() deletes what the manifest does not name, and tells the highest number', (t) => {
  const directory = temporaryDirectory(t);
  const names = ['000001.log', '000005.log', '000002.sst', '000003.sst', '000009.sst', 'manifest.json.tmp'];
  for (const name of [...names, 'manifest.json', 'LOCK']) writeFileSync(join(directory, name), '');
  const live = { liveTables: new Set([fileNumber(3)]), minLogNumber: fileNumber(5) };
  const report = removeOrphans(nodeFileSystem, directory, live, unexpected);
  assert.deepEqual([...report.removed].sort(), [
    '000001.log',
    '000002.sst',
    '000009.sst',
    'manifest.json.tmp',
  ]);
  assert.equal(report.highestNumber, 9);
  assert.deepEqual(readdirSync(directory).sort(), ['000003.sst', '000005.log', 'LOCK', 'manifest.json']);
});

test('removeOrphans() leaves foreign files, directories and links alone', (t) => {
  const directory = temporaryDirectory(t);
  const foreign = [
    '12.sst',
    '0000012.log',
    '000001.sst.bak',
    'a000001.sst',
    '000001.SST',
    'notes.txt',
    '.hidden',
  ];
  for (const name of foreign) writeFileSync(join(directory, name), 'precious');
  mkdirSync(join(directory, '000007.sst'));
  symlinkSync(join(directory, 'notes.txt'), join(directory, '000008.sst'));
  symlinkSync('/nonexistent', join(directory, 'manifest.json.tmp'));
  const before = readdirSync(directory).sort();
  const live = { liveTables: new Set<ReturnType<typeof fileNumber>>(), minLogNumber: fileNumber(100) };
  const report = removeOrphans(nodeFileSystem, directory, live, unexpected);
  assert.deepEqual(report.removed, []);
  assert.equal(report.highestNumber, 8);
  assert.deepEqual(readdirSync(directory).sort(), before);
});

test('removeObsoleteFiles() reports what it cannot delete, goes on, and does not mind what is gone', async (t) => {
  const directory = temporaryDirectory(t);
  for (const name of ['000001.sst', '000002.sst', '000003.log']) writeFileSync(join(directory, name), '');
  const fs: FileSystem = {
    ...nodeFileSystem,
    unlinkAsync: (path) =>
      path.endsWith('000001.sst')
        ? Promise.reject(ioError('delete', path, Object.assign(new Error('busy'), { code: 'EBUSY' })))
        : nodeFileSystem.unlinkAsync(path),
  };
  const failed: string[] = [];
  const files = { tables: [1, 2, 4].map(fileNumber), logs: [fileNumber(3)] };
  await removeObsoleteFiles(fs, directory, files, (_, path) => failed.push(path));
  assert.deepEqual(failed, [join(directory, '000001.sst')]);
  assert.deepEqual(readdirSync(directory), ['000001.sst']);
});
