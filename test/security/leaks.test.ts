/**
 * Where bytes must not go: memory of the process into files, deleted values into files that are written later, keys and
 * values into errors and events.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { inspect } from 'node:util';
import { type EngineOptions, StorageEngine, StorageError, WriteBatch } from '../../src/main/index.ts';
import { isSocket } from '../helpers/copy-store.ts';
import { fill, newPath, openAt, openOn, openTiny } from '../helpers/engines.ts';
import { FailingDisk } from '../helpers/failing-disk.ts';

const SECRET = 'hunter2-correct-horse-battery-staple';
/** Uncompressed, so that what is in a file can be found in it. */
const PLAIN: EngineOptions = { compression: 'none', threads: 1 };

/** Each way in which a text may stand in a file or a message. */
function spellings(text: string): string[] {
  const bytes = Buffer.from(text);
  // Base64 depends on the position in a group of three: the middle is common to none, so all three are looked for.
  const base64 = [0, 1, 2].map((skip) => bytes.subarray(skip, skip + 24).toString('base64'));
  return [
    text,
    bytes.toString('hex'),
    ...base64,
    bytes.toString('latin1'),
    [...bytes].join(', '),
    [...bytes].join(','),
  ];
}

function filesWith(path: string, text: string): string[] {
  const wanted = spellings(text);
  return readdirSync(path).filter((name) => {
    if (isSocket(name)) return false;
    const content = readIfThere(join(path, name));
    return wanted.some((spelling) => content.includes(spelling));
  });
}

/** Obsolete files are deleted in the background: one may go between being listed and being read. */
function readIfThere(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return Buffer.alloc(0);
    throw error;
  }
}

/** Leaves the secret in memory that is free again: in Node's pool, in buffers of every size, in the heap. */
function litterMemory(): void {
  for (let size = 64; size <= 1 << 20; size *= 2) {
    for (let i = 0; i < 8; i++) Buffer.allocUnsafe(size).fill(SECRET);
  }
  for (let i = 0; i < 2000; i++) Buffer.from(SECRET.repeat(1 + (i % 40)));
  (globalThis as { gc?: () => void }).gc?.();
}

test('no file holds memory that nobody put into the store', async (t) => {
  litterMemory();
  const engine = await openTiny(t, PLAIN);
  for (let round = 0; round < 4; round++) {
    litterMemory();
    await fill(engine, 400, 30 + round * 500, round);
    await engine.flush();
    litterMemory();
    await engine.compact();
    await engine.put('synced', 'x'.repeat(round), { sync: true });
    assert.deepEqual(filesWith(engine.path, SECRET), [], `round ${round}`);
  }
  await engine.close();
  assert.deepEqual(filesWith(engine.path, SECRET), []);
  const bytes = readdirSync(engine.path).reduce(
    (sum, name) => sum + statSync(join(engine.path, name)).size,
    0,
  );
  t.diagnostic(`FIGURE searched-bytes=${bytes} leaks=0`);
});

test('a secret that was deleted and compacted away is in no file, and comes into none written later', async (t) => {
  const engine = await openTiny(t, PLAIN);
  await fill(engine, 200);
  for (let i = 0; i < 50; i++) {
    await engine.put(`key-${i}-${SECRET}`, SECRET.repeat(1 + (i % 20)));
    await engine.put('secret', SECRET.repeat(i));
  }
  assert.notEqual(filesWith(engine.path, SECRET).length, 0, 'the search finds it where it is');
  await engine.flush();
  for (let i = 0; i < 50; i++) await engine.delete(`key-${i}-${SECRET}`);
  await engine.delete('secret');
  await engine.compact();
  // Files go in the background; close waits for them.
  await engine.close();
  const again = await openAt(t, engine.path, PLAIN);
  await fill(again, 600, 200, 1);
  await again.flush();
  await fill(again, 600, 300, 2);
  await again.compact();
  await fill(again, 50, 40, 3);
  assert.deepEqual(filesWith(engine.path, SECRET), []);
  await again.close();
  assert.deepEqual(filesWith(engine.path, SECRET), []);
});

const KEY = `kkkkkkkk-${SECRET}-kkkkkkkk`;
const VALUE = `vvvvvvvv-${SECRET}-vvvvvvvv`;

/** Everything that an application may print of it. */
function assertSilent(told: unknown, what: string): void {
  const shown = [inspect(told, { depth: 20, showHidden: true, maxStringLength: null, maxArrayLength: null })];
  for (let error = told; error instanceof Error; error = error.cause)
    shown.push(error.message, error.stack ?? '', JSON.stringify(error), String(error));
  shown.push(JSON.stringify(told) ?? '');
  for (const spelling of spellings(SECRET))
    for (const text of shown) assert.ok(!text.includes(spelling), `${what} tells: ${text.slice(0, 300)}`);
}

async function errorOf(run: () => unknown): Promise<StorageError> {
  try {
    await run();
  } catch (error) {
    assert.ok(error instanceof StorageError, String(error));
    return error;
  }
  assert.fail(`no error: ${run.toString()}`);
}

test('errors of wrong calls name no key and no value', async (t) => {
  const engine = await openTiny(t);
  const huge = Buffer.alloc(70_000, SECRET);
  const broken = `${SECRET}\ud800`;
  const untyped = (value: unknown): never => value as never;
  const closed = await openTiny(t);
  await closed.close();
  const calls: (() => unknown)[] = [
    () => engine.put(huge, VALUE),
    () => engine.get(huge),
    () => engine.put(broken, VALUE),
    () => engine.put(KEY, broken),
    () => engine.put(untyped([KEY]), VALUE),
    () => engine.put(KEY, untyped({ value: VALUE })),
    () => engine.put(KEY, untyped(new Uint16Array(Buffer.from(VALUE)))),
    () => engine.put(untyped(Object(KEY)), VALUE),
    () => engine.put(KEY, VALUE, untyped({ sync: VALUE })),
    () => engine.put(KEY, VALUE, untyped(VALUE)),
    () => engine.write(untyped([{ type: 'put', key: KEY, value: VALUE }])),
    () => new WriteBatch().put(broken, VALUE),
    () => engine.scan({ gte: untyped([KEY]) }),
    () => engine.scan({ limit: untyped(VALUE) }),
    () => engine.compact({ start: untyped({ KEY }) }),
    () => closed.put(KEY, VALUE),
    () => closed.get(KEY),
  ];
  for (const call of calls) assertSilent(await errorOf(call), call.toString());
});

/** A closed store full of the secret; its directory. */
async function secretStore(t: TestContext): Promise<string> {
  const engine = await openAt(t, newPath(t), PLAIN);
  for (let i = 0; i < 60; i++) await engine.put(`${KEY}${i}`, VALUE);
  await engine.flush();
  await engine.put(KEY, VALUE);
  await engine.close();
  return engine.path;
}

test('errors of damaged files name no key and no value', async (t) => {
  const path = await secretStore(t);
  let errors = 0;
  for (const name of readdirSync(path)) {
    const sound = readFileSync(join(path, name));
    for (let at = 0; at < sound.length; at += Math.ceil(sound.length / 16)) {
      const damaged = Buffer.from(sound);
      damaged[at]! ^= 0x40;
      writeFileSync(join(path, name), damaged);
      let engine: StorageEngine | undefined;
      const told: unknown[] = [];
      const note = (error: unknown): void => void told.push(error);
      await StorageEngine.open(path, { threads: 0, readOnly: true }).then(
        (opened) => (engine = opened),
        note,
      );
      await engine?.get(KEY).catch(note);
      await engine?.verify().catch(note);
      await engine?.close().catch(note);
      if (errors % 8 === 0) told.push(await StorageEngine.repair(path, { dryRun: true }));
      for (const each of told) assertSilent(each, `${name} damaged at ${at}`);
      errors += told.length;
    }
    writeFileSync(join(path, name), sound);
  }
  t.diagnostic(`FIGURE searched-errors=${errors} leaks=0`);
});

test('events, stats and background errors name no key and no value', async (t) => {
  const disk = new FailingDisk();
  const engine = await openOn(t, disk.spec, PLAIN);
  const told: unknown[] = [];
  for (const name of ['flush', 'compaction', 'stall', 'backgroundError'] as const)
    engine.on(name, (event: unknown) => told.push(event));
  const write = async (): Promise<void> => {
    for (let i = 0; i < 200; i++) await engine.put(`${KEY}${i % 50}`, VALUE.repeat(5));
  };
  await write();
  await engine.compact();
  told.push(engine.stats(), engine, await engine.verify());
  const scan = engine.scan();
  scan.nextMany(1);
  told.push(engine.snapshot());
  scan.close();
  disk.fail('createTable', 'EIO');
  const failures = await Promise.allSettled([write(), engine.flush()]);
  disk.fail('writeLog', 'ENOSPC');
  failures.push(...(await Promise.allSettled([engine.put(KEY, VALUE), engine.put(KEY, VALUE)])));
  await engine.close().catch((error: unknown) => told.push(error));
  told.push(...failures);
  assert.ok(
    told.some((each) => inspect(each).includes('EIO')),
    'the disk has failed',
  );
  for (const each of told) assertSilent(each, 'an event');
});
