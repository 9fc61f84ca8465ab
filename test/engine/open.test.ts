/**
 * open and destroy: options, what is created and what is refused, the lock, read-only stores.
 */
import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { Piscina } from 'piscina';
import { type EngineOptions, StorageEngine } from '../../src/main/index.ts';
import { isCodecAvailable } from '../../src/shared/table/compression.ts';
import {
  contentsOf,
  failsWith,
  fill,
  keyOf,
  keysOf,
  newPath,
  openAt,
  openTiny,
  reopen,
  TINY,
  textsOf,
  valueFor,
} from '../helpers/engines.ts';

test('open creates the directory, its parents included; path is absolute', async (t) => {
  const path = join(newPath(t), 'deep', 'er');
  const engine = await openAt(t, relative(process.cwd(), path));
  assert.equal(engine.path, path);
  assert.equal(engine.status, 'open');
  await engine.put('a', '1');
});

test('createIfMissing: false refuses a store that does not exist, and makes nothing', async (t) => {
  const path = newPath(t);
  const error = await failsWith('STRATA_NO_DATABASE', StorageEngine.open(path, { createIfMissing: false }));
  assert.match(error.message, /does not exist/);
  assert.ok(!existsSync(path));
  mkdirSync(path);
  writeFileSync(join(path, 'notes.txt'), 'mine');
  await failsWith('STRATA_NO_DATABASE', StorageEngine.open(path, { createIfMissing: false }));
  assert.deepEqual(readdirSync(path), ['notes.txt']);
  await (await openAt(t, path)).close();
  await (await openAt(t, path, { createIfMissing: false })).close();
});

test('errorIfExists refuses a store that exists, and creates one that does not', async (t) => {
  const path = newPath(t);
  await (await openAt(t, path, { errorIfExists: true })).close();
  const before = contentsOf(path);
  const error = await failsWith('STRATA_EXISTS', StorageEngine.open(path, { errorIfExists: true }));
  assert.match(error.message, /exists/);
  assert.deepEqual(contentsOf(path), before);
});

test('readOnly reads everything, refuses every change and changes nothing on disk', async (t) => {
  const path = newPath(t);
  const engine = await openAt(t, path);
  await fill(engine, 200);
  await engine.flush();
  await fill(engine, 30, 40, 1);
  const expected = textsOf(engine.scan());
  await engine.close();
  writeFileSync(join(path, '009999.sst.new'), 'an orphan');
  const before = contentsOf(path);
  const reader = await openAt(t, path, { readOnly: true });
  assert.equal(reader.status, 'read-only');
  assert.deepEqual(textsOf(reader.scan()), expected);
  assert.equal(reader.getSync(keyOf(5))?.toString(), valueFor(5, 40, 1));
  await reader.verify();
  const snapshot = reader.snapshot();
  assert.equal(reader.hasSync(keyOf(5), { snapshot }), true);
  await failsWith('STRATA_READ_ONLY', reader.put('a', '1'));
  await failsWith('STRATA_READ_ONLY', reader.delete('a'));
  await failsWith('STRATA_READ_ONLY', reader.flush());
  await failsWith('STRATA_READ_ONLY', reader.compact());
  await reader.close();
  await failsWith('STRATA_CLOSED', reader.put('a', '1'));
  assert.deepEqual(contentsOf(path), before);
  await failsWith('STRATA_NO_DATABASE', StorageEngine.open(newPath(t), { readOnly: true }));
});

test('a second open in this process is refused with our pid, by any path, also of two at once', async (t) => {
  const path = newPath(t);
  const engine = await openAt(t, path);
  const link = join(dirname(path), 'link');
  symlinkSync(path, link, 'junction');
  for (const other of [path, `${path}/`, join(path, '..', 'db'), link]) {
    const error = await failsWith('STRATA_LOCKED', StorageEngine.open(other, TINY));
    assert.match(error.message, new RegExp(`\\b${process.pid}\\b`));
  }
  await failsWith('STRATA_LOCKED', StorageEngine.destroy(path));
  await engine.put('a', '1');
  await engine.close();
  const racers = await Promise.allSettled(Array.from({ length: 8 }, () => StorageEngine.open(path, TINY)));
  const winners = racers.flatMap((racer) => (racer.status === 'fulfilled' ? [racer.value] : []));
  assert.equal(winners.length, 1);
  assert.equal(winners[0]!.getSync('a')?.toString(), '1');
  await winners[0]!.close();
});

test('a store held by a worker thread is refused, and free when the thread is terminated', async (t) => {
  const path = newPath(t);
  const index = new URL('../../src/main/index.js', import.meta.url).href;
  const source = `import(${JSON.stringify(index)}).then(async ({ StorageEngine }) => {
    const engine = await StorageEngine.open(${JSON.stringify(path)});
    await engine.put('from', 'the thread');
    require('node:worker_threads').parentPort.postMessage('open');
    setInterval(() => engine, 60_000);
  });`;
  const worker = new Worker(source, { eval: true });
  await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
  await failsWith('STRATA_LOCKED', StorageEngine.open(path, TINY));
  await worker.terminate();
  const engine = await openAt(t, path);
  assert.equal(engine.getSync('from')?.toString(), 'the thread');
});

const OPTION_SETS: readonly EngineOptions[] = [
  { createIfMissing: true, errorIfExists: false, readOnly: false, sync: true, writeBufferSize: 1 },
  { cacheSize: 0, blockSize: 1, blockRestartInterval: 1, maxFileSize: 1, maxOpenFiles: 1, threads: 0 },
  { compression: 'none', bloomBitsPerKey: 0, blockRestartInterval: 256, blockSize: 65536, threads: 3 },
  { compression: 'lz4', bloomBitsPerKey: 64, cacheSize: 1, mmap: false, threads: 1 },
  { compression: 'snappy', maxOpenFiles: 8, maxFileSize: 4096, blockSize: 64, cacheSize: 4096 },
];

for (const [number, options] of OPTION_SETS.entries()) {
  const needsLz4 = options.compression === 'lz4' && !isCodecAvailable('lz4');
  test(`option set ${number + 1} works, and the next one reads what it wrote`, {
    skip: needsLz4 && 'lz4-napi is not installed',
  }, async (t) => {
    let engine = await openTiny(t, options);
    for (let round = 0; round < 3; round++) await fill(engine, 150, 60, round);
    for (let i = 0; i < 150; i += 5) await engine.delete(keyOf(i));
    await engine.flush();
    const check = (): void => {
      const kept = Array.from({ length: 150 }, (_, i) => i).filter((i) => i % 5 !== 0);
      const expected = kept.map((i) => [keyOf(i), valueFor(i, 60, 2)]);
      assert.deepEqual(textsOf(engine.scan()), expected);
      assert.deepEqual(textsOf(engine.scan({ reverse: true })), expected.toReversed());
      for (const i of kept) assert.equal(engine.getSync(keyOf(i))?.toString(), valueFor(i, 60, 2));
      assert.equal(engine.getSync(keyOf(5)), undefined);
    };
    check();
    const { threads: _, ...next } = OPTION_SETS[(number + 2) % OPTION_SETS.length]!;
    engine = await reopen(t, engine, next.compression === 'lz4' ? {} : next);
    check();
    await engine.compact();
    check();
    await engine.verify();
  });
}

test("the application's own piscina does the work, and is left running", async (t) => {
  const pool = new Piscina({ minThreads: 1, maxThreads: 2 });
  t.after(() => pool.destroy());
  const engines = [await openTiny(t, { pool }), await openTiny(t, { pool })];
  await Promise.all(engines.map((engine) => fill(engine, 500)));
  await Promise.all(engines.map((engine) => engine.compact()));
  await Promise.all(engines.map((engine) => engine.verify()));
  assert.ok(pool.completed > 6, `${pool.completed} jobs ran there`);
  for (const engine of engines) {
    assert.equal(keysOf(engine.scan()).length, 500);
    await engine.close();
  }
  assert.ok(pool.threads.length > 0, 'closing the stores does not end the pool');
});

test('opening and closing starts no thread', async (t) => {
  const path = newPath(t);
  for (let i = 0; i < 3; i++) {
    const engine = await openAt(t, path);
    await engine.put('a', '1');
    assert.equal(engine.getSync('a')?.toString(), '1');
    await engine.close();
    assert.ok(!process.getActiveResourcesInfo().includes('MessagePort'), 'a worker has a message port');
  }
});

test('destroy deletes the files of a store and the directory, and is content with nothing there', async (t) => {
  const engine = await openTiny(t);
  await fill(engine, 300);
  await engine.flush();
  await engine.put('in the log', '1');
  await failsWith('STRATA_LOCKED', StorageEngine.destroy(engine.path));
  assert.equal(engine.getSync('in the log')?.toString(), '1');
  await engine.close();
  await StorageEngine.destroy(engine.path);
  assert.ok(!existsSync(engine.path));
  await StorageEngine.destroy(engine.path);
  const again = await openAt(t, engine.path, { errorIfExists: true });
  assert.deepEqual(keysOf(again.scan()), []);
});

test('destroy leaves what is not ours: foreign names, directories, links', async (t) => {
  const engine = await openTiny(t);
  await fill(engine, 100);
  await engine.flush();
  await engine.close();
  const { path } = engine;
  const outside = join(dirname(path), 'outside.sst');
  writeFileSync(outside, 'outside');
  const foreign = [
    'notes.txt',
    '1.sst',
    '0000001.log',
    '000001.SST',
    '000001.sst.bak',
    '.hidden',
    'MANIFEST',
  ];
  for (const name of foreign) writeFileSync(join(path, name), name);
  mkdirSync(join(path, '000777.sst'));
  writeFileSync(join(path, '000777.sst', 'inner'), 'inner');
  symlinkSync(outside, join(path, '000888.sst'));
  await StorageEngine.destroy(path);
  assert.deepEqual(readdirSync(path).sort(), [...foreign, '000777.sst', '000888.sst'].sort());
  assert.equal(readFileSync(outside, 'utf8'), 'outside');
  assert.equal(readFileSync(join(path, '000777.sst', 'inner'), 'utf8'), 'inner');
});

test('destroy and open leave directories of other programs alone, though names are alike', async (t) => {
  const path = newPath(t);
  mkdirSync(path);
  // A web application's manifest; LevelDB's log and lock.
  const files = {
    'manifest.json': '{"name":"an app"}',
    '000003.log': 'levels',
    LOCK: 'somebody',
    '000005.sst': 'x',
  };
  for (const [name, content] of Object.entries(files)) writeFileSync(join(path, name), content);
  const before = contentsOf(path);
  await StorageEngine.destroy(path);
  assert.deepEqual(contentsOf(path), before);
  for (const options of [{}, { createIfMissing: false }, { readOnly: true }])
    await failsWith('STRATA_CORRUPTION', StorageEngine.open(path, options));
  assert.deepEqual(contentsOf(path), before);
  rmSync(join(path, 'manifest.json'));
  await StorageEngine.destroy(path);
  await failsWith('STRATA_CORRUPTION', StorageEngine.open(path));
  assert.deepEqual(readdirSync(path).sort(), ['000003.log', '000005.sst', 'LOCK']);
  assert.equal(readFileSync(join(path, 'LOCK'), 'utf8'), 'somebody');
});

test('destroy gets rid of a store whose manifest is lost or damaged', async (t) => {
  for (const damage of ['lost', 'damaged']) {
    const engine = await openTiny(t);
    await fill(engine, 50);
    if (damage === 'lost') await engine.flush();
    await engine.close();
    const manifest = join(engine.path, 'manifest.json');
    if (damage === 'lost') rmSync(manifest);
    else writeFileSync(manifest, readFileSync(manifest).subarray(0, 100));
    await failsWith('STRATA_CORRUPTION', StorageEngine.open(engine.path));
    await StorageEngine.destroy(engine.path);
    assert.ok(!existsSync(engine.path), damage);
  }
});
