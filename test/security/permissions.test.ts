/**
 * Who may read a store: its owner only, whatever the umask of the application says. Directory 0700, every file 0600.
 */
import assert from 'node:assert/strict';
import { lstatSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { StorageEngine } from '../../src/main/index.ts';
import { isSocket } from '../helpers/copy-store.ts';
import { fill, newPath, openAt } from '../helpers/engines.ts';

const needsModes = { skip: process.platform === 'win32' && 'has no such permissions' };

function modeOf(path: string): string {
  return (lstatSync(path).mode & 0o7777).toString(8);
}

/** Fails unless every file in `path` is its owner's alone; returns their kinds. */
function assertPrivate(path: string): Set<string> {
  const kinds = new Set<string>();
  for (const name of readdirSync(path)) {
    assert.equal(modeOf(join(path, name)), '600', name);
    // The socket of the owner is private like all the rest.
    if (!isSocket(name)) kinds.add(name.replace(/^\d+/, 'N'));
  }
  return kinds;
}

for (const umask of [0o022, 0, 0o077]) {
  test(
    `directory and files are their owner's alone under umask 0${umask.toString(8)}`,
    needsModes,
    async (t) => {
      const before = process.umask(umask);
      t.after(() => process.umask(before));
      const path = join(newPath(t), 'and', 'below');
      const engine = await openAt(t, path, { threads: 2 });
      await fill(engine, 500);
      await engine.flush();
      await fill(engine, 300, 40, 1);
      await engine.compact();
      await engine.put('logged', '1', { sync: true });
      assert.deepEqual([...assertPrivate(path)].sort(), ['LOCK', 'N.log', 'N.sst', 'manifest.json']);
      for (const directory of [path, join(path, '..'), join(path, '..', '..')])
        assert.equal(modeOf(directory), '700');
      await engine.close();
      writeFileSync(join(path, 'manifest.json'), 'damaged');
      assert.ok((await StorageEngine.repair(path)).files.length > 0);
      assert.ok(assertPrivate(path).has('manifest.json.set-aside'));
    },
  );
}

test('a directory that was there keeps the permissions that it was given', needsModes, async (t) => {
  const path = newPath(t);
  mkdirSync(path, { mode: 0o750 });
  const mode = modeOf(path);
  const engine = await openAt(t, path);
  await engine.put('a', '1');
  await engine.close();
  assert.equal(modeOf(path), mode);
  assertPrivate(path);
});
