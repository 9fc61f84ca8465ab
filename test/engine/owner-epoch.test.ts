/**
 * What tells one opening of a store from another, and its time: an epoch that rises with each owner that writes, whether or
 * not the one before came to write a manifest, and a clock that does not go back over an opening.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadManifest, saveManifest } from '../../src/main/manifest/manifest.ts';
import { nodeFileSystem } from '../../src/shared/files/node-file-system.ts';
import { type LogStart, RECORD_HEADER_BYTES, readStart } from '../../src/shared/log/log-format.ts';
import { copyOpenStore } from '../helpers/copy-store.ts';
import { newPath, openAt } from '../helpers/engines.ts';

/** The start record of the newest log in `path`. */
function newestStart(path: string): LogStart {
  const name = readdirSync(path)
    .filter((file) => file.endsWith('.log'))
    .sort()
    .at(-1)!;
  return readStart(readFileSync(join(path, name)), RECORD_HEADER_BYTES);
}

test('the epoch of the owner rises with each opening that writes, also after a crash before any manifest', async (t) => {
  const path = newPath(t);
  let engine = await openAt(t, path);
  await engine.put('a', '1');
  await engine.flush();
  await engine.put('b', '1');
  const first = newestStart(path).epoch;
  assert.equal(loadManifest(nodeFileSystem, path)!.ownerEpoch, first);
  await engine.close();
  engine = await openAt(t, path);
  await engine.put('c', '1');
  const second = newestStart(path).epoch;
  assert.ok(second > first);
  // As after a kill: only the log knows of the second owner.
  const crashed = newPath(t);
  copyOpenStore(path, crashed);
  assert.equal(loadManifest(nodeFileSystem, crashed)!.ownerEpoch, first);
  const third = await openAt(t, crashed);
  await third.put('d', '1');
  assert.ok(newestStart(crashed).epoch > second);
  assert.deepEqual(third.getSync('c')?.toString(), '1');
});

test('a store whose files say a later time than the clock goes on from there', async (t) => {
  const path = newPath(t);
  const engine = await openAt(t, path);
  await engine.put('a', '1');
  const begun = newestStart(path).startedAtMs;
  await engine.flush();
  await engine.close();
  const state = loadManifest(nodeFileSystem, path)!;
  assert.ok(state.lastTime >= begun);
  const future = Date.now() + 3_600_000;
  await saveManifest(nodeFileSystem, path, { ...state, lastTime: future });
  const later = await openAt(t, path);
  await later.put('b', '1');
  assert.ok(newestStart(path).startedAtMs >= future);
  await later.flush();
  await later.close();
  assert.ok(loadManifest(nodeFileSystem, path)!.lastTime >= future);
});
