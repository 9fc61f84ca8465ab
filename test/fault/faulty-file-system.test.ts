/**
 * The faulty file system does what the fault tests rely on, on every thread: it injects, counts, delays, corrupts, traces
 * and keeps the ledger. A wrapper that did nothing would let every other test here pass.
 */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { openEngine } from '../../src/main/engine.ts';
import type { StorageFile } from '../../src/shared/files/file-system.ts';
import { storeDirectory } from '../helpers/fault/fast-directory.ts';
import { FaultControl } from '../helpers/fault/fault-control.ts';
import { createFileSystem, faultySpec } from '../helpers/fault/faulty-file-system.ts';
import { Trace } from '../helpers/fault/trace.ts';

test('faults hit the n-th match, one or all from there on, by kind and type; rates hit their share', (t) => {
  const directory = storeDirectory(t, true);
  const control = new FaultControl();
  const fs = createFileSystem({ control: control.buffer });
  const outcomes = (): boolean[] =>
    Array.from({ length: 5 }, () => {
      try {
        fs.stat(directory);
        return true;
      } catch (error) {
        assert.equal((error as { code?: string }).code, 'STRATA_IO');
        return false;
      }
    });
  control.arm({ fault: 'EIO', at: 2, kinds: ['stat'] });
  fs.list(directory);
  assert.deepEqual(outcomes(), [true, true, false, true, true]);
  assert.deepEqual(control.injectedPlaces(), ['stat of a directory']);
  control.arm({ fault: 'EMFILE', at: 1, lasting: true, types: ['directory'] });
  assert.deepEqual(outcomes(), [true, false, false, false, false]);
  control.arm({ fault: 'EIO', at: 0, types: ['log'] });
  assert.deepEqual(outcomes(), [true, true, true, true, true]);
  control.arm({ fault: 'EIO', perMillion: 250_000, seed: 3 });
  for (let i = 0; i < 200; i++) outcomes();
  assert.ok(control.injectedCount > 150 && control.injectedCount < 350, `${control.injectedCount} of 1000`);
});

test('reads off the thread fail, come out short, find a truncated file, or hang until they are let go', async (t) => {
  const directory = storeDirectory(t, true);
  const path = join(directory, '000001.sst');
  writeFileSync(path, Buffer.alloc(1000, 7));
  const control = new FaultControl();
  const fs = createFileSystem({ control: control.buffer });
  const file = await fs.openReadAsync!(path);
  const into = new Uint8Array(100);
  const read = (): Promise<number> => file.readAtAsync!(into, 10);
  for (const [fault, count] of [['short-read', 50] as const, ['truncated', 0] as const]) {
    control.arm({ fault, at: 0, lasting: true, types: ['table'] });
    assert.equal(await read(), count);
    assert.equal(file.readAt(into, 10), count);
  }
  for (const fault of ['EIO', 'ESTALE'] as const) {
    control.arm({ fault, at: 1, kinds: ['read'] });
    assert.equal(await read(), 100);
    await assert.rejects(read(), { code: 'STRATA_IO', message: new RegExp(fault) });
  }
  control.arm({ fault: 'EMFILE', at: 0, kinds: ['open'] });
  await assert.rejects(fs.openReadAsync!(path), { code: 'STRATA_IO' });
  control.arm({ fault: 'hang', at: 0, lasting: true, types: ['table'] });
  assert.equal(file.readAt(into, 0), 100, 'what is synchronous never hangs');
  let landed = 0;
  const hanging = [read(), fs.openReadAsync!(path)].map((promise) => promise.finally(() => landed++));
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.deepEqual([landed, control.injectedPlaces()], [0, ['open of a table', 'read of a table']]);
  control.disarm();
  const [, opened] = await Promise.all(hanging);
  (opened as StorageFile).close();
  control.setLatency({ ms: 20, kinds: ['read'] });
  const slow = Promise.all([read(), read(), read()]).then(() => 'read');
  control.setLatency(undefined);
  assert.equal(await Promise.race([slow, read()]), 100, 'those that wait are overtaken');
  assert.equal(await slow, 'read');
  file.close();
  assert.deepEqual(control.openHandles(), {});
});

test('a corrupted read is an error that names the file, on the reading thread and on a worker', async (t) => {
  const directory = storeDirectory(t);
  const control = new FaultControl();
  const fileSystem = faultySpec({ control: control.buffer });
  const options = { threads: 1, cacheSize: 0, compression: 'none', mmap: false } as const;
  const engine = await openEngine(directory, options, { fileSystem });
  for (let i = 0; i < 300; i++) await engine.put(`key ${i}`, `value ${i}`);
  await engine.flush();
  for (let at = 0; at < 4; at++) {
    control.corruptRead(at, ['table']);
    // Opening for an awaited read reads more of the end of a table than it needs: there, not every damage matters.
    await assert.rejects(async () => {
      for (let i = 0; i < 300; i++)
        if (at === 0) engine.getSync(`key ${i}`);
        else await engine.get(`key ${i}`);
    }, isDamage);
    assert.equal(control.corruptedReadCount, 1);
    control.corruptRead(at, ['table']);
    await assert.rejects(engine.verify(), isDamage);
  }
  await engine.verify();
  await engine.close();
});

test('the trace has the bytes of every file, the order of all threads, and no handle stays open', async (t) => {
  const directory = storeDirectory(t);
  const control = new FaultControl();
  const trace = new Trace(8 * 1024 * 1024);
  const fileSystem = faultySpec({ control: control.buffer, trace: trace.buffer });
  const engine = await openEngine(directory, { threads: 1 }, { fileSystem });
  await engine.put('key', 'value', { sync: true });
  const acknowledged = trace.tick();
  await engine.flush();
  await engine.put('key', 'other');
  await engine.close();
  const records = trace.records();
  const ticks = records.flatMap(({ start, end }) => [start, end]);
  assert.equal(new Set(ticks).size, ticks.length, 'no two moments are the same');
  assert.ok(records.every(({ start, end }) => start < end));
  const sync = records.find(({ kind, path }) => kind === 'datasync' && path.endsWith('.log'));
  assert.ok(
    sync !== undefined && sync.end < acknowledged,
    'the log was synced before the write was acknowledged',
  );
  const table = records.find(({ kind, path }) => kind === 'write' && path.endsWith('.sst.new'));
  assert.ok(table !== undefined && table.start > acknowledged, 'the worker wrote after that');
  assert.deepEqual(Buffer.from(table.bytes), readFileSync(table.path.replace(/\.new$/, '')));
  assert.ok(control.everOpenedCount >= 4);
  assert.deepEqual(control.openHandles(), {});
});

test('scribbling notices bytes that change while they are written, and the store has none', async (t) => {
  const base = storeDirectory(t, true);
  const control = new FaultControl();
  control.setScribble(true);
  const fs = createFileSystem({ control: control.buffer });
  const file = fs.createExclusive(join(base, '000001.log'));
  const bytes = new Uint8Array(100_000);
  const writing = file.writeAtAsync(bytes, 0);
  bytes[0] = 1;
  await writing;
  file.close();
  assert.equal(control.changedBufferCount, 1);

  const directory = join(dirname(base), 'other');
  mkdirSync(directory);
  const watched = new FaultControl();
  watched.setScribble(true);
  watched.setLatency({ ms: 1, kinds: ['write'], types: ['log'] });
  const engine = await openEngine(
    directory,
    { threads: 1 },
    { fileSystem: faultySpec({ control: watched.buffer }) },
  );
  const mine = Buffer.alloc(60_000, 'a');
  const writes: Promise<void>[] = [];
  for (let i = 0; i < 20; i++) {
    mine.fill(i);
    writes.push(engine.put(`key ${i}`, mine));
    if (i % 3 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  mine.fill(0xff);
  await Promise.all(writes);
  await engine.close();
  assert.equal(watched.changedBufferCount, 0);
  const again = await openEngine(directory, { threads: 0 }, {});
  for (let i = 0; i < 20; i++) assert.deepEqual(again.getSync(`key ${i}`), Buffer.alloc(60_000, i));
  await again.close();
});

function isDamage(error: unknown): boolean {
  const { code, file } = error as { code?: string; file?: string };
  return code === 'STRATA_CORRUPTION' && file?.endsWith('.sst') === true;
}
