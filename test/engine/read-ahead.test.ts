/**
 * What awaited scans read ahead: windows that grow and are one read each, in both directions and over the ends of tables; within
 * bounds, and nothing of it is left when the scan ends, however it does.
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { Scan, StorageEngine } from '../../src/main/index.ts';
import { ColdDisk } from '../helpers/cold-disk.ts';
import { fill, keyOf, newPath, openOn, turn, until } from '../helpers/engines.ts';

const COUNT = 3000;
const VALUE_BYTES = 1000;
const WINDOW_BYTES = 512 * 1024;
const SCAN_BYTES = 8 * 1024 * 1024;

async function coldStore(t: TestContext): Promise<{ disk: ColdDisk; engine: StorageEngine }> {
  const path = newPath(t);
  const disk = new ColdDisk(t);
  const options = {
    compression: 'none',
    writeBufferSize: 1 << 20,
    maxFileSize: 1 << 20,
    blockSize: 4096,
  } as const;
  const writer = await openOn(t, disk.spec, options, path);
  await fill(writer, COUNT, VALUE_BYTES);
  await writer.compact();
  await writer.close();
  const engine = await openOn(t, disk.spec, options, path);
  disk.forget();
  return { disk, engine };
}

for (const reverse of [false, true]) {
  test(`an awaited scan reads ahead in few large reads, none twice, over the ends of tables: reverse ${reverse}`, async (t) => {
    const { disk, engine } = await coldStore(t);
    let count = 0;
    let most = 0;
    for await (const [key] of engine.scan({ reverse })) {
      assert.equal(key.toString(), keyOf(reverse ? COUNT - 1 - count : count));
      count++;
      most = Math.max(most, engine.stats().diskReads.aheadBytes);
    }
    assert.equal(count, COUNT);
    assert.equal(disk.inCall, 0, 'no read held the thread');
    const tables = new Set(disk.steps.map(({ file }) => file)).size;
    assert.ok(tables > 2, 'several tables');
    const lengths = disk.blockReads.map(({ length }) => length);
    assert.ok(lengths.length < 30, `${lengths.length} reads for ${COUNT} entries`);
    assert.ok(Math.max(...lengths) > 100_000 && Math.max(...lengths) <= WINDOW_BYTES, 'windows grow');
    const places = disk.blockReads.map(({ file, offset }) => `${file}@${offset}`);
    assert.equal(new Set(places).size, places.length, 'no window is read twice');
    assert.ok(most > 0 && most <= SCAN_BYTES, `${most} bytes ahead`);
    assert.equal(engine.stats().diskReads.aheadBytes, 0);
  });
}

test('windows grow again behind one that could not be read', async (t) => {
  const { disk, engine } = await coldStore(t);
  await engine.get(keyOf(200));
  const { file, offset, length } = disk.blockReads[0]!;
  disk.forget();
  let failures = 0;
  disk.failWith = (step) => {
    const isThere = step.file === file && step.offset <= offset && offset < step.offset + step.length;
    if (!isThere || step.length <= length) return undefined;
    failures++;
    return 'EIO';
  };
  let count = 0;
  for await (const _ of engine.scan()) count++;
  assert.equal(count, COUNT, 'the block can be read alone');
  assert.ok(failures > 0);
  assert.ok(disk.blockReads.length < 60, `${disk.blockReads.length} reads`);
});

test('nothing is read ahead when memory has all', async (t) => {
  const { disk, engine } = await coldStore(t);
  disk.isResident = () => true;
  for await (const _ of engine.scan({ limit: 500 })) assert.equal(engine.stats().diskReads.aheadBytes, 0);
  assert.equal(disk.blockReads.length, 0);
});

const ENDINGS: Readonly<Record<string, (scan: Scan, abort: AbortController) => unknown>> = {
  closed: (scan) => scan.close(),
  aborted: (_, abort) => abort.abort(),
  'left early': (scan) => scan[Symbol.asyncIterator]().return?.(),
};

for (const [how, end] of Object.entries(ENDINGS)) {
  test(`what a scan that is ${how} has read ahead is let go of, and what was not begun is not read`, async (t) => {
    const { disk, engine } = await coldStore(t);
    const abort = new AbortController();
    const scan = engine.scan({ signal: abort.signal });
    const iterator = scan[Symbol.asyncIterator]();
    for (let i = 0; i < 200; i++) await iterator.next();
    disk.hold('read');
    const next = (async () => {
      for (let i = 0; i < COUNT; i++) await iterator.next();
    })();
    const ended = next.then(
      () => 'done',
      (error: Error) => error.name,
    );
    await until(() => disk.heldCount > 0);
    assert.ok(engine.stats().diskReads.aheadBytes > 0);
    end(scan, abort);
    assert.equal(engine.stats().diskReads.aheadBytes, 0);
    assert.equal(await ended, how === 'aborted' ? 'AbortError' : 'done');
    disk.calm();
    for (let i = 0; i < 5; i++) await turn();
    const { underWay, queued, waiting } = engine.stats().diskReads;
    assert.deepEqual({ underWay, queued, waiting }, { underWay: 0, queued: 0, waiting: 0 });
    assert.equal(engine.stats().files.pinnedVersions, 0);
    await engine.close();
    await until(() => disk.openFiles === 0);
  });
}

test('a scan of everything leaves the blocks that lookups use in the cache', async (t) => {
  const { engine } = await coldStore(t);
  const hot = Array.from({ length: 50 }, (_, i) => keyOf(i * 60));
  await engine.getMany(hot);
  await engine.getMany(hot);
  const before = engine.stats().cache;
  let count = 0;
  for await (const _ of engine.scan()) count++;
  assert.equal(count, COUNT);
  const between = engine.stats().cache;
  await engine.getMany(hot);
  const after = engine.stats().cache;
  assert.ok(between.bytes - before.bytes < 64 * 4500, 'a scan offers 32 blocks');
  assert.equal(after.misses, between.misses, 'all are here still');
});
