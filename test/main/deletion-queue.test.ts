/** DeletionQueue: one file after the other, and none after the store has given up its lock. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DeletionQueue } from '../../src/main/obsolete-files.ts';
import type { FileSystem } from '../../src/shared/file-system.ts';
import { fileNumber } from '../../src/shared/ids.ts';
import { fill, newPath, openAt, tableFiles } from '../helpers/engines.ts';

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
  const queue = new DeletionQueue(disk as FileSystem, '/db', (_, path) => errors.push(path.slice(-10)));
  queue.remove({ tables: [fileNumber(1), fileNumber(2)] });
  queue.remove({ logs: [fileNumber(3)] });
  assert.deepEqual(log, []);
  await queue.done();
  assert.deepEqual(log, ['000001.sst', '000002.sst', '000003.log']);
  assert.deepEqual(errors, ['000002.sst']);
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
