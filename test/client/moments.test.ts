/**
 * A client's scan or snapshot is one moment, whatever becomes of the files; and nothing is kept for a client longer than it
 * reads with it.
 */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import type { StorageEngine } from '../../src/main/index.ts';
import { attachHere, startClient } from '../helpers/clients.ts';
import {
  failsWith,
  fill,
  keyOf,
  openTiny,
  tableFiles,
  textsOf,
  until,
  valueFor,
} from '../helpers/engines.ts';

/** Waits until every file that no version needs is gone. */
async function untilTidy(engine: StorageEngine): Promise<void> {
  const wanted = (): number => engine.stats().levels.reduce((sum, { files }) => sum + files, 0);
  await until(() => tableFiles(engine.path).length === wanted());
}

function contents(round: number): [string, string][] {
  return Array.from({ length: 300 }, (_, i) => [keyOf(i), valueFor(i, 40, round)]);
}

test('a scan and a snapshot stay what they were across flush, compaction and deletion', async (t) => {
  const engine = await openTiny(t);
  await fill(engine, 300);
  await engine.compact();
  await untilTidy(engine);
  const client = await attachHere(t, engine);
  const old = tableFiles(engine.path);
  const snapshot = client.snapshot();
  const [forward, backward] = [client.scan(), client.scan({ reverse: true })];
  const begun = forward.nextMany(10).map(([key, value]) => [key.toString(), value.toString()]);
  for (let round = 1; round <= 3; round++) {
    await fill(engine, 300, 40, round);
    await engine.compact();
  }
  for (let i = 0; i < 300; i += 2) await engine.delete(keyOf(i));
  await engine.compact();
  assert.deepEqual(
    old.filter((name) => !tableFiles(engine.path).includes(name)),
    [],
    'a table that a client reads was deleted',
  );
  assert.deepEqual([...begun, ...textsOf(forward)], contents(0));
  assert.deepEqual(textsOf(backward).reverse(), contents(0));
  assert.deepEqual(textsOf(client.scan({ snapshot })), contents(0));
  assert.equal(client.getSync(keyOf(0), { snapshot })?.toString(), valueFor(0));
  assert.equal(client.getSync(keyOf(0)), undefined);
  assert.equal(client.stats().openScans, 0);
  snapshot.close();
  await untilTidy(engine);
  assert.equal(textsOf(client.scan()).length, 150);
});

test('a snapshot of what was in memory only stays readable', async (t) => {
  const engine = await openTiny(t, { writeBufferSize: 1 << 20 });
  await fill(engine, 300);
  const client = await attachHere(t, engine);
  const snapshot = client.snapshot();
  const scan = client.scan();
  await fill(engine, 300, 40, 1);
  await engine.flush();
  await fill(engine, 300, 40, 2);
  await engine.compact();
  assert.deepEqual(textsOf(scan), contents(0));
  assert.deepEqual(textsOf(client.scan({ snapshot })), contents(0));
  assert.deepEqual(textsOf(client.scan()), contents(2));
});

test('an idle client keeps no files, nor does one that is closed or terminated with a scan open', async (t) => {
  const engine = await openTiny(t);
  await fill(engine, 300);
  await engine.flush();
  const idle = await attachHere(t, engine);
  idle.getSync(keyOf(1));
  const closing = await attachHere(t, engine);
  closing.scan().nextMany(1);
  const worker = await startClient(t, engine, { behaviour: 'hold' });
  await new Promise((resolve) => worker.once('message', resolve));
  await fill(engine, 300, 40, 1);
  await engine.compact();
  assert.equal(engine.stats().clients, 3);
  const live = engine.stats().levels.reduce((sum, { files }) => sum + files, 0);
  assert.ok(tableFiles(engine.path).length > live, 'nothing was kept for the open scans');
  await closing.close();
  await worker.terminate();
  await untilTidy(engine);
  await until(() => engine.stats().clients === 1);
  assert.deepEqual(textsOf(idle.scan()), contents(1));
});

test('what a client has open of a deleted table it closes', async (t) => {
  const engine = await openTiny(t, { mmap: false });
  await fill(engine, 300);
  await engine.flush();
  const client = await attachHere(t, engine);
  const openFiles = (): number => readdirSync('/proc/self/fd').length;
  for (let round = 1; round <= 5; round++) {
    await fill(engine, 300, 40, round);
    await engine.compact();
    assert.deepEqual(textsOf(client.scan()), contents(round));
  }
  await untilTidy(engine);
  const live = engine.stats().levels.reduce((sum, { files }) => sum + files, 0);
  await until(() => client.stats().openTables <= live);
  if (process.platform === 'linux') assert.ok(openFiles() < 200);
});

test('forgotten scans and snapshots end with the client', async (t) => {
  const engine = await openTiny(t);
  await fill(engine, 200);
  const client = await attachHere(t, engine);
  const scan = client.scan();
  scan.nextMany(1);
  const [unread, snapshot] = [client.scan(), client.snapshot()];
  await client.close();
  await failsWith('STRATA_CLOSED', () => scan.nextMany(1));
  await failsWith('STRATA_CLOSED', () => [...unread]);
  await failsWith('STRATA_CLOSED', () => client.getSync('k', { snapshot }));
  snapshot.close();
  await until(() => engine.stats().clients === 0);
});
