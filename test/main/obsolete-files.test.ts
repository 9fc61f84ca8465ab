/**
 * Nothing but the store's own, unneeded, regular files is ever deleted.
 */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { emptyState, type ManifestState } from '../../src/main/manifest.ts';
import { refuseUnknownFiles, removeObsoleteFiles, sortOutFiles } from '../../src/main/obsolete-files.ts';
import { ioError } from '../../src/shared/errors.ts';
import type { FileSystem } from '../../src/shared/file-system.ts';
import { fileNumber } from '../../src/shared/ids.ts';
import { nodeFileSystem } from '../../src/shared/node-file-system.ts';
import { parseTable } from '../helpers/table-meta.ts';
import { temporaryDirectory } from '../helpers/temp-directory.ts';

const STORE_ID = '01234567-89ab-4cde-8f01-23456789abcd';

function unexpected(error: unknown): never {
  throw error;
}

/** Table 3 is live, logs count from 5 on; 2 and 1 are listed as obsolete. */
function stateOf(changes: Partial<ManifestState> = {}): ManifestState {
  const levels = emptyState(STORE_ID).levels.map((tables, i) =>
    i === 0 ? [parseTable('3:[a-b]@1-1')] : tables,
  );
  return {
    ...emptyState(STORE_ID),
    levels,
    nextFileNumber: 100,
    lastSequence: 10,
    logNumber: 5,
    obsoleteTables: [2],
    obsoleteLogs: [1],
    ...changes,
  };
}

test('sortOutFiles() deletes what the manifest lists, and tells the highest number', (t) => {
  const directory = temporaryDirectory(t);
  const names = ['000001.log', '000005.log', '000002.sst', '000003.sst', '000009.sst.new', '000011.run'];
  for (const name of [...names, 'manifest.json.tmp', 'manifest.json', 'LOCK'])
    writeFileSync(join(directory, name), '');
  const sorted = sortOutFiles(nodeFileSystem, directory, stateOf(), unexpected);
  assert.deepEqual([...sorted.removed].sort(), [
    '000001.log',
    '000002.sst',
    '000009.sst.new',
    '000011.run',
    'manifest.json.tmp',
  ]);
  assert.equal(sorted.highestNumber, 11);
  assert.deepEqual([...sorted.goneNumbers].sort(), [1, 2]);
  assert.deepEqual(readdirSync(directory).sort(), ['000003.sst', '000005.log', 'LOCK', 'manifest.json']);
});

test('a table that the manifest names gets its name for good, if a crash kept it from that', (t) => {
  const directory = temporaryDirectory(t);
  writeFileSync(join(directory, '000003.sst.new'), 'the table');
  sortOutFiles(nodeFileSystem, directory, stateOf(), unexpected);
  assert.deepEqual(readdirSync(directory), ['000003.sst']);
});

for (const name of ['000004.sst', '000009.sst', '000002.log', '000004.log']) {
  test(`a manifest that does not know ${name} is refused, and the file stays`, (t) => {
    const directory = temporaryDirectory(t);
    writeFileSync(join(directory, name), 'perhaps precious');
    assert.throws(() => refuseUnknownFiles(nodeFileSystem, directory, stateOf()), {
      code: 'STRATA_CORRUPTION',
      message: new RegExp(`it does not know ${name}`),
    });
    sortOutFiles(nodeFileSystem, directory, stateOf(), unexpected);
    assert.deepEqual(readdirSync(directory), [name]);
  });
}

test('sortOutFiles() leaves foreign files, directories and links alone', (t) => {
  const directory = temporaryDirectory(t);
  const foreign = [
    '12.sst',
    '0000012.log',
    '000001.sst.bak',
    'a000001.sst',
    '000001.SST',
    'notes.txt',
    '.hidden',
    '000009.sst.new.old',
    'LOCK-1.sock',
    'epoch-1',
  ];
  for (const name of foreign) writeFileSync(join(directory, name), 'precious');
  mkdirSync(join(directory, '000007.sst'));
  symlinkSync(join(directory, 'notes.txt'), join(directory, '000008.sst'));
  symlinkSync('/nonexistent', join(directory, 'manifest.json.tmp'));
  const before = readdirSync(directory).sort();
  const state = stateOf({ obsoleteTables: [7, 8], obsoleteLogs: [] });
  refuseUnknownFiles(nodeFileSystem, directory, state);
  const sorted = sortOutFiles(nodeFileSystem, directory, state, unexpected);
  assert.deepEqual(sorted.removed, []);
  assert.equal(sorted.highestNumber, 8);
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
