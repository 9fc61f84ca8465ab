/** DeletionQueue: one file after the other, and none after the store has given up its lock. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DeletionQueue } from '../../../src/main/files/deletion-queue.ts';
import { emptyState } from '../../../src/main/manifest/manifest.ts';
import { VersionSet } from '../../../src/main/manifest/version-set.ts';
import { fileNumber, level } from '../../../src/shared/base/ids.ts';
import type { LeveledTable } from '../../../src/shared/base/version-edit.ts';
import type { FileSystem } from '../../../src/shared/files/file-system.ts';
import { nodeFileSystem } from '../../../src/shared/files/node-file-system.ts';
import { ControlBlock } from '../../../src/shared/threads/control-block.ts';
import { fill, newPath, openAt, tableFiles } from '../../helpers/engines.ts';
import { parseTable } from '../../helpers/table-meta.ts';
import { temporaryDirectory } from '../../helpers/temp-directory.ts';

test('done() waits for all deletions, which come in the order asked for; a failure stops none', async () => {
  const log: string[] = [];
  const disk: Partial<FileSystem> = {
    unlinkAsync: async (path) => {
      await new Promise((resolve) => setTimeout(resolve, 2));
      log.push(path.slice(-10));
      if (path.includes('2.')) throw new Error('stuck');
    },
  };
  const errors: string[] = [];
  const deleted: number[] = [];
  let isOurs = true;
  const queue = new DeletionQueue(disk as FileSystem, '/db', {
    mayDelete: () => isOurs,
    deleted: (number) => deleted.push(number),
    failed: (_, path) => errors.push(path.slice(-10)),
  });
  queue.remove({ tables: [fileNumber(1), fileNumber(2)] });
  queue.remove({ logs: [fileNumber(3)] });
  assert.deepEqual(log, []);
  await queue.done();
  assert.deepEqual(log, ['000001.sst', '000002.sst', '000003.log']);
  assert.deepEqual(errors, ['000002.sst']);
  assert.deepEqual(deleted, [1, 3]);
  isOurs = false;
  queue.remove({ tables: [fileNumber(4)] });
  await queue.done();
  assert.equal(log.length, 3, 'the directory is another one by now');
});

test('after close() nothing is left to delete: the directory may be another store by then', async (t) => {
  for (let round = 0; round < 5; round++) {
    const path = newPath(t);
    const engine = await openAt(t, path, { threads: 0 });
    await fill(engine, 400);
    await engine.compact();
    const live = engine.stats().levels.reduce((sum, level) => sum + level.files, 0);
    await engine.close();
    assert.equal(tableFiles(path).length, live);
  }
});

test('the tables of an edit become useless oldest data first: deepest level, then level 0 from its oldest', async (t) => {
  const obsolete: number[] = [];
  const state = { ...emptyState('01234567-89ab-4cde-8f01-23456789abcd'), nextFileNumber: 100 };
  const set = VersionSet.create(nodeFileSystem, temporaryDirectory(t), new ControlBlock(), state, {
    obsolete: (tables) => obsolete.push(...tables.map((table) => table.number)),
  });
  const at = (where: number, text: string): LeveledTable => ({
    level: level(where),
    table: parseTable(text),
  });
  const tables = [
    at(0, '9:[a-z]@30-39'),
    at(0, '5:[a-z]@20-29'),
    at(0, '7:[a-z]@10-19'),
    at(7, '3:[a-z]'),
    at(6, '4:[a-z]'),
  ];
  await set.apply({ added: tables, removed: [] }, { lastSequence: 40 });
  const removed = tables.map(({ level: from, table }) => ({ level: from, number: table.number }));
  await set.apply({ added: [], removed }, { lastSequence: 40 });
  assert.deepEqual(obsolete, [3, 4, 7, 5, 9]);
});
