/**
 * close() of a store whose disk answers nobody: reads that wait are told at once, long before it gives up on the log, and the
 * lock stays until the log is done.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openEngine } from '../../src/main/engine.ts';
import { StorageEngine } from '../../src/main/index.ts';
import { ColdDisk } from '../helpers/cold-disk.ts';
import { failsWith, fill, keyOf, newPath, openAt, until } from '../helpers/engines.ts';

const COUNT = 300;
const CLOSE_LIMIT_MS = 300;

test('close() that reaches its limit has ended what waits for the disk before', async (t) => {
  const path = newPath(t);
  const writer = await openAt(t, path);
  await fill(writer, COUNT);
  await writer.compact();
  await writer.close();
  const disk = new ColdDisk(t);
  const internals = { fileSystem: disk.spec, closeLimitMs: CLOSE_LIMIT_MS };
  const engine = await openEngine(path, { threads: 0 }, internals);
  const releases = [disk.hold('read'), disk.hold('sync')];
  const told: string[] = [];
  const note = (name: string) => (error: { code?: string }) => told.push(`${name} ${error.code}`);
  const scan = engine.scan()[Symbol.asyncIterator]();
  const written = engine.put('new', '1', { sync: true });
  written.catch(note('put'));
  const reads = [
    engine.get(keyOf(5)).catch(note('get')),
    engine.getMany([keyOf(6), keyOf(200)]).catch(note('getMany')),
    scan.next().catch(note('scan')),
  ];
  await until(() => disk.heldCount > 2);
  const closing = engine.close();
  closing.catch(note('close'));
  await Promise.all(reads);
  assert.deepEqual([...told].sort(), ['get STRATA_CLOSED', 'getMany STRATA_CLOSED', 'scan STRATA_CLOSED']);
  await failsWith('STRATA_IO', closing);
  assert.equal(engine.status, 'closed');
  await failsWith('STRATA_CLOSED', scan.next());
  await failsWith('STRATA_CLOSED', engine.get(keyOf(5)));
  await failsWith('STRATA_LOCKED', StorageEngine.open(path));
  for (const release of releases) release();
  await until(() => disk.underWay === 0 && disk.openFiles === 0);
  for (;;) {
    const again = await openAt(t, path).catch(() => undefined);
    if (again === undefined) continue;
    assert.equal(String(again.getSync(keyOf(5))?.subarray(0, 1)), '5');
    break;
  }
});
