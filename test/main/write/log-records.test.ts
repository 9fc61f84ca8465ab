/**
 * What the log says of writes besides their entries: where each begins and ends, when it was, and in which opening.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { StorageClient } from '../../../src/client/index.ts';
import { type StorageEngine, WriteBatch } from '../../../src/main/index.ts';
import { logFacts } from '../../../src/main/inspect/log-facts.ts';
import type { FileNumber } from '../../../src/shared/base/ids.ts';
import { logName } from '../../../src/shared/files/file-names.ts';
import { nodeFileSystem } from '../../../src/shared/files/node-file-system.ts';
import { RECORD_HEADER_BYTES, readStart } from '../../../src/shared/log/log-format.ts';
import { newPath, openWith } from '../../helpers/engines.ts';
import { openWithGate } from '../../helpers/held-gate.ts';
import { SettableClock } from '../../helpers/settable-clock.ts';

/** The records of a log: `time`, or the number of entries, with a `b` for a batch. */
function recordsOf(path: string, number = 1): string[] {
  const file = nodeFileSystem.openRead(join(path, logName(number as FileNumber)));
  try {
    return [...logFacts(file, number)].flatMap((fact) => {
      assert.notEqual(fact.kind, 'fault');
      if (fact.kind !== 'record' || fact.record === 'start') return [];
      if (fact.record === 'note') return [`at ${fact.timeMs}`];
      return [`${fact.puts + fact.deletes}${fact.record === 'batch' ? 'b' : ''}`];
    });
  } finally {
    file.close();
  }
}

async function open(t: TestContext): Promise<{ path: string; clock: SettableClock; engine: StorageEngine }> {
  const path = newPath(t);
  const clock = new SettableClock(1000);
  return { path, clock, engine: await openWith(t, path, { threads: 0 }, { clock }) };
}

const batchOf = (...keys: string[]): WriteBatch =>
  keys.reduce((batch, key) => batch.put(key, 'value'), new WriteBatch());

test('writes of one entry share a record; batches, transactions and what is around them have their own', async (t) => {
  const { path, engine } = await open(t);
  const writes = [engine.put('a', '1'), engine.write(batchOf('b')), engine.delete('a')];
  writes.push(engine.write(batchOf('b', 'c')), engine.write(batchOf('d', 'e', 'f')));
  writes.push(engine.put('g', '1'), engine.deleteRange({ prefix: 'x' }));
  await Promise.all(writes);
  await engine.transaction((tx) => {
    tx.put('h', '1');
    tx.delete('b');
  });
  assert.deepEqual(recordsOf(path), ['3', '2b', '3b', '2', '2b']);
});

test('a note says so when the clock has moved on, and no more often', async (t) => {
  const { path, clock, engine } = await open(t);
  await engine.put('a', '1');
  await engine.put('b', '1');
  clock.pass(1);
  await engine.put('c', '1');
  await engine.write(batchOf('d', 'e'));
  clock.pass(7);
  await engine.write(batchOf('f', 'g'));
  assert.deepEqual(recordsOf(path), ['1', '1', 'at 1001', '1', '2b', 'at 1008', '2b']);
  // Within one turn batches are told apart, and a long row of puts is.
  const written = [engine.write(batchOf('h', 'i'))];
  clock.pass(1);
  written.push(engine.write(batchOf('j', 'k')), engine.put('l', '1'));
  clock.pass(1);
  for (let i = 0; i < 40; i++) written.push(engine.put(`m${i}`, '1'));
  await Promise.all(written);
  assert.deepEqual(recordsOf(path).slice(7), ['2b', 'at 1009', '2b', '16', 'at 1010', '25']);
});

test('writes that were held are told apart as they were made', async (t) => {
  const { engine, hold, release } = await openWithGate(t);
  await engine.put('first', '1');
  hold();
  const writes = [engine.put('a', '1'), engine.put('b', '1'), engine.write(batchOf('c', 'd'))];
  writes.push(engine.write(batchOf('e', 'f')), engine.put('g', '1'));
  release();
  await Promise.all(writes);
  const records = recordsOf(engine.path).filter((record) => !record.startsWith('at'));
  assert.deepEqual(records, ['1', '2', '2b', '2b', '1']);
});

test('so are those of a client', async (t) => {
  const { path, engine } = await open(t);
  const client = await StorageClient.attach(engine.share());
  await Promise.all([
    client.put('a', '1'),
    client.put('b', '1'),
    client.write(batchOf('c', 'd')),
    client.write(batchOf('e', 'f')),
    client.put('g', '1'),
    client.write(batchOf('h')),
  ]);
  await client.transaction((tx) => {
    tx.put('i', '1');
    tx.put('j', '1');
  });
  assert.deepEqual(recordsOf(path), ['2', '2b', '2b', '2', '2b']);
  await client.close();
});

test('a log bears the id of its opening, another one each time', async (t) => {
  const { path, engine } = await open(t);
  await engine.put('a', '1');
  const idOf = (number: number): string =>
    readStart(readFileSync(join(path, logName(number as FileNumber))), RECORD_HEADER_BYTES).epochId;
  const first = idOf(1);
  assert.match(first, /^[0-9a-f]{16}$/);
  await engine.close();
  const again = await openWith(t, path, { threads: 0 }, {});
  await again.put('b', '1');
  assert.notEqual(idOf(2), first);
  assert.match(idOf(2), /^[0-9a-f]{16}$/);
});
