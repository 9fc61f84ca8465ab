/**
 * Nothing but the store's own, unneeded, regular files is ever deleted.
 */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  refuseUnknownFiles,
  removeObsoleteFiles,
  sortOutFiles,
} from '../../../src/main/files/deletion-queue.ts';
import { firstGroupIn } from '../../../src/main/files/file-identity.ts';
import { emptyState, type ManifestState } from '../../../src/main/manifest/manifest.ts';
import type { ObsoleteTable } from '../../../src/main/manifest/manifest-state.ts';
import { crc32 } from '../../../src/shared/base/checksum.ts';
import { ioError } from '../../../src/shared/base/errors.ts';
import { fileNumber } from '../../../src/shared/base/ids.ts';
import type { FileSystem } from '../../../src/shared/files/file-system.ts';
import { nodeFileSystem } from '../../../src/shared/files/node-file-system.ts';
import { START_RECORD_BYTES } from '../../../src/shared/log/log-format.ts';
import { openTiny } from '../../helpers/engines.ts';
import { parseTable } from '../../helpers/table-meta.ts';
import { temporaryDirectory } from '../../helpers/temp-directory.ts';

const STORE_ID = '01234567-89ab-4cde-8f01-23456789abcd';

function unexpected(error: unknown): never {
  throw error;
}

/** What is known of an empty file. */
function tableOf(number: number): ObsoleteTable {
  return { number, sizeBytes: 0, checksum: 0 };
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
    obsoleteTables: [tableOf(2)],
    obsoleteLogs: [{ number: 1, firstGroup: 0 }],
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

test('a table that is listed as obsolete, with another content, is another table: refused', (t) => {
  const directory = temporaryDirectory(t);
  const path = join(directory, '000002.sst');
  const listed = { number: 2, sizeBytes: 3, checksum: crc32(Buffer.from('old')) };
  const judge = (): void =>
    refuseUnknownFiles(nodeFileSystem, directory, stateOf({ obsoleteTables: [listed] }));
  writeFileSync(path, 'old');
  judge();
  for (const other of ['new', 'ol', 'older', '']) {
    writeFileSync(path, other);
    assert.throws(judge, { code: 'STRATA_CORRUPTION', message: /it does not know 000002\.sst/ });
  }
});

test('a log that is listed as obsolete, with other writes, is another log: refused', async (t) => {
  const make = async (value: string): Promise<{ readonly bytes: Buffer; readonly firstGroup: number }> => {
    const engine = await openTiny(t);
    await engine.put('a', value);
    const bytes = readFileSync(join(engine.path, '000001.log'));
    return { bytes, firstGroup: firstGroupIn(bytes) };
  };
  const [mine, other] = await Promise.all([make('1'), make('2')]);
  const directory = temporaryDirectory(t);
  const path = join(directory, '000001.log');
  const judge = (firstGroup: number): void =>
    refuseUnknownFiles(nodeFileSystem, directory, stateOf({ obsoleteLogs: [{ number: 1, firstGroup }] }));
  writeFileSync(path, mine.bytes);
  judge(mine.firstGroup);
  assert.throws(() => judge(other.firstGroup), {
    code: 'STRATA_CORRUPTION',
    message: /it does not know 000001\.log/,
  });
  assert.throws(() => judge(0), { code: 'STRATA_CORRUPTION' });
  // What a power cut leaves of it holds nothing that could be missed.
  for (const length of [0, 10, START_RECORD_BYTES]) {
    writeFileSync(path, mine.bytes.subarray(0, length));
    judge(other.firstGroup);
  }
});

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
  const state = stateOf({ obsoleteTables: [tableOf(7), tableOf(8)], obsoleteLogs: [] });
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
