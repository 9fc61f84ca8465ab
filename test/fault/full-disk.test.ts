/**
 * A disk that is full for a while, in one process: what waits goes on when there is room, without a restart; what failed
 * for good is told and leaves nothing half done.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openEngine, type StorageEngine } from '../../src/main/engine.ts';
import type { EngineEvents } from '../../src/main/store/events.ts';
import type { EngineOptions } from '../../src/main/store/open-request.ts';
import { systemErrorCode } from '../../src/shared/base/errors.ts';
import { storeDirectory } from '../helpers/fault/fast-directory.ts';
import { FaultControl } from '../helpers/fault/fault-control.ts';
import { faultySpec } from '../helpers/fault/faulty-file-system.ts';

const OPTIONS: EngineOptions = { threads: 1, writeBufferSize: 16_384, maxFileSize: 8192, cacheSize: 0 };
/** Of every wait here; far above what any takes. */
const LIMIT_MS = 30_000;

test('a flush without room is tried again when there is some, and lets the held writers in', async (t) => {
  const control = new FaultControl();
  const engine = await open(storeDirectory(t), control);
  control.arm({
    fault: 'ENOSPC',
    at: 0,
    lasting: true,
    types: ['table'],
    kinds: ['create', 'write', 'datasync'],
  });
  const failed = next(engine, 'backgroundError');
  const writes = Array.from({ length: 120 }, (_, i) => engine.put(key(i), value(i)));
  const event = await failed;
  assert.deepEqual([event.operation, event.willRetry], ['flush', true]);
  assert.equal(systemErrorCode(event.error), 'ENOSPC');
  assert.equal(engine.status, 'open');
  assert.ok(engine.stats().stalls.count > 0, 'no writer was held');
  assert.equal((await engine.get(key(0)))?.equals(value(0)), true, 'reads go on');
  control.disarm();
  await Promise.all(writes);
  for (let i = 0; i < writes.length; i++) assert.deepEqual(engine.getSync(key(i)), value(i));
  await engine.flush();
  assert.equal((await engine.verify()).logs, 0);
  await engine.close();
  assert.deepEqual(control.openHandles(), {});
});

test('a compaction without room is tried again when there is some; reads and writes go on meanwhile', async (t) => {
  const control = new FaultControl();
  const engine = await open(storeDirectory(t), control);
  for (let round = 0; round < 4; round++) {
    // The fourth flush makes one table; the compaction it starts finds no room for its first.
    if (round === 3)
      control.arm({ fault: 'ENOSPC', at: 1, lasting: true, types: ['table'], kinds: ['create'] });
    for (let i = 0; i < 20; i++) await engine.put(key(i), value(round * 100 + i));
    if (round === 3) break;
    await engine.flush();
  }
  const failed = next(engine, 'backgroundError');
  await engine.flush();
  const event = await failed;
  assert.deepEqual([event.operation, event.willRetry], ['compaction', true]);
  await engine.put(key(1), value(1), { sync: true });
  assert.equal(engine.status, 'open');
  const compacted = next(engine, 'compaction');
  control.disarm();
  await compacted;
  for (let i = 2; i < 20; i++) assert.deepEqual(engine.getSync(key(i)), value(300 + i));
  await engine.verify();
  await engine.close();
  assert.deepEqual(control.openHandles(), {});
});

for (const kind of ['write', 'datasync'] as const) {
  test(`a ${kind} of the log that fails while the store closes rejects its writer and damages nothing`, async (t) => {
    const directory = storeDirectory(t);
    const control = new FaultControl();
    const engine = await open(directory, control);
    await engine.put(key(1), value(1), { sync: true });
    control.setLatency({ ms: 5, kinds: ['datasync'], types: ['log'] });
    control.arm({ fault: 'EIO', at: 0, kinds: [kind], types: ['log'] });
    const late = engine.put(key(2), value(2), { sync: true });
    const outcome = assert.rejects(late, { code: 'STRATA_IO' });
    await Promise.all([engine.close(), outcome]);
    assert.equal(control.injectedCount, 1);
    control.disarm();
    // A second fsync of the same file may report success for pages that are lost: what failed must not be vouched for.
    assert.match(readFileSync(join(directory, 'manifest.json'), 'utf8'), /"sealedLogs": \[\]/);
    const again = await open(directory, new FaultControl());
    assert.deepEqual(again.getSync(key(1)), value(1));
    const found = again.getSync(key(2));
    assert.ok(found === undefined || found.equals(value(2)), 'the write may be there or not, but whole');
    await again.close();
  });
}

test('flush() waits for the writes that were held when it was called', async (t) => {
  const directory = storeDirectory(t);
  const control = new FaultControl();
  const engine = await open(directory, control);
  control.setLatency({ ms: 20, kinds: ['create'], types: ['table'] });
  const writes = Array.from({ length: 120 }, (_, i) => engine.put(key(i), value(i)));
  assert.ok(engine.stats().stalls.count > 0, 'no writer was held');
  await engine.flush();
  // Everything handed in before the call is in tables now, so no log is needed.
  assert.equal((await engine.verify()).logs, 0);
  await Promise.all(writes);
  await engine.close();
});

async function open(directory: string, control: FaultControl): Promise<StorageEngine> {
  return await openEngine(directory, OPTIONS, { fileSystem: faultySpec({ control: control.buffer }) });
}

/** The next event of that name. Background work keeps no process alive, so this does. */
function next<K extends keyof EngineEvents>(engine: StorageEngine, name: K): Promise<EngineEvents[K][0]> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no ${name} event`)), LIMIT_MS);
    engine.once(name as 'flush', (event) => {
      clearTimeout(timer);
      resolve(event as EngineEvents[K][0]);
    });
  });
}

function key(i: number): string {
  return `key ${String(i).padStart(5, '0')}`;
}

function value(i: number): Buffer {
  return Buffer.from(`${i} `.repeat(100 + (i % 50)));
}
