/**
 * Stores whose manifest has pages, in the situations in which a manifest matters: reopened, damaged, put back, repaired, moved,
 * verified, destroyed.
 */
import assert from 'node:assert/strict';
import {
  copyFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { openEngine, type StorageEngine } from '../../src/main/engine.ts';
import { beginEpoch, findEpochs } from '../../src/main/files/epochs.ts';
import { StorageEngine as Engine, type EngineOptions } from '../../src/main/index.ts';
import { loadManifest } from '../../src/main/manifest/manifest.ts';
import { sealText } from '../../src/main/manifest/manifest-text.ts';
import { nodeFileSystem } from '../../src/shared/files/node-file-system.ts';
import { failsWith, newPath } from '../helpers/engines.ts';
import { SMALL_PAGES } from '../helpers/small-pages.ts';

const OPTIONS: EngineOptions = { threads: 0, maxFileSize: 4096, blockSize: 512, compression: 'none' };
const RECORDS = 600;

async function openPaged(t: TestContext, path: string, options: EngineOptions = {}): Promise<StorageEngine> {
  const engine = await openEngine(path, { ...OPTIONS, ...options }, { pageLimits: SMALL_PAGES });
  t.after(() => engine.close());
  return engine;
}

function keyOf(i: number): string {
  return `key${String(i).padStart(6, '0')}`;
}

/** A store of some dozen tables in a level, and a few above. */
async function pagedStore(t: TestContext): Promise<string> {
  const path = newPath(t);
  const engine = await openPaged(t, path);
  await engine.ingest(
    Array.from({ length: RECORDS }, (_, i): [string, string] => [keyOf(i), `value ${i} `.repeat(10)]),
  );
  for (let i = 0; i < RECORDS; i += 100) await engine.put(keyOf(i), 'newer');
  await engine.flush();
  await engine.close();
  assert.ok(loadManifest(nodeFileSystem, path)!.pages.length > 3, 'the manifest has no pages');
  return path;
}

async function checkContent(t: TestContext, path: string, options: EngineOptions = {}): Promise<void> {
  const engine = await openPaged(t, path, options);
  if (options.readOnly !== true) await engine.verify();
  let count = 0;
  for (const [key, value] of engine.scan()) {
    assert.equal(key.toString(), keyOf(count));
    const expected = count % 100 === 0 ? 'newer' : `value ${count} `.repeat(10);
    assert.equal(Buffer.from(value).toString(), expected);
    count++;
  }
  assert.equal(count, RECORDS);
  await engine.close();
}

function pagesOf(path: string): string[] {
  return readdirSync(path).filter((name) => name.endsWith('.tables'));
}

test('a store with pages is reopened, with other limits as well, compacted and verified', async (t) => {
  const path = await pagedStore(t);
  await checkContent(t, path, { readOnly: true });
  await checkContent(t, path);
  const engine = await Engine.open(path, OPTIONS);
  await engine.put('zzz', '1');
  await engine.flush();
  await engine.delete('zzz');
  await engine.compact();
  await engine.close();
  assert.deepEqual(pagesOf(path), [], 'a small level is in the root again');
  await checkContent(t, path);
});

test('a page that is damaged or missing: refused by open, named; repair brings all back, and its store opens', async (t) => {
  for (const damage of ['flipped', 'cut', 'missing', 'with the root'] as const) {
    const path = await pagedStore(t);
    const page = join(path, pagesOf(path)[1]!);
    const bytes = readFileSync(page);
    if (damage === 'missing') unlinkSync(page);
    else if (damage === 'cut') writeFileSync(page, bytes.subarray(0, bytes.length >> 1));
    else writeFileSync(page, bytes.with(bytes.length >> 1, bytes[bytes.length >> 1]! ^ 1));
    if (damage === 'with the root') {
      const root = readFileSync(join(path, 'manifest.json'));
      writeFileSync(join(path, 'manifest.json'), root.with(40, root[40]! ^ 1));
    } else {
      const { file } = await failsWith('STRATA_CORRUPTION', openPaged(t, path));
      assert.equal(file, page);
    }
    const report = await Engine.repair(path);
    assert.equal(report.isSound, false);
    await checkContent(t, path);
    assert.equal((await Engine.repair(path)).isSound, true);
  }
});

test('verify() reads the pages of the manifest', async (t) => {
  const path = await pagedStore(t);
  const engine = await openPaged(t, path);
  await engine.verify();
  const page = join(path, pagesOf(path)[0]!);
  const bytes = readFileSync(page);
  writeFileSync(page, bytes.with(99, bytes[99]! ^ 1));
  const { file } = await failsWith('STRATA_CORRUPTION', engine.verify());
  assert.equal(file, page);
  writeFileSync(page, bytes);
  await engine.verify();
});

test('repair of a damaged root with sound pages knows which tables were live, and brings nothing deleted back', async (t) => {
  const path = await pagedStore(t);
  const engine = await openPaged(t, path);
  // A table that a compaction replaces, put back as a crash may: what it holds was deleted.
  const old = readdirSync(path).filter((name) => name.endsWith('.sst'));
  const kept = new Map(old.map((name) => [name, readFileSync(join(path, name))]));
  await engine.delete(keyOf(5));
  await engine.compact();
  await engine.close();
  for (const [name, bytes] of kept) if (!existsSync(join(path, name))) writeFileSync(join(path, name), bytes);
  const root = readFileSync(join(path, 'manifest.json'));
  const at = root.indexOf('"lastTime"') + 12;
  writeFileSync(join(path, 'manifest.json'), root.with(at, 0x39));
  await Engine.repair(path);
  const again = await openPaged(t, path);
  assert.equal(await again.get(keyOf(5)), undefined);
  assert.equal([...again.scan()].length, RECORDS - 1);
  await again.close();
});

test('a root that is put back as it was before: its pages are gone or unknown ones are there, nothing is deleted', async (t) => {
  const path = await pagedStore(t);
  copyFileSync(join(path, 'manifest.json'), `${path}.before`);
  const engine = await openPaged(t, path);
  for (let i = 0; i < RECORDS; i += 50)
    await engine.put(keyOf(i), i % 100 === 0 ? 'newer' : `value ${i} `.repeat(10));
  await engine.compact();
  await engine.close();
  copyFileSync(`${path}.before`, join(path, 'manifest.json'));
  const before = readdirSync(path).filter((name) => /\.(sst|log|tables)$/.test(name));
  await failsWith('STRATA_CORRUPTION', openPaged(t, path));
  assert.deepEqual(
    readdirSync(path).filter((name) => /\.(sst|log|tables)$/.test(name)),
    before,
  );
  await Engine.repair(path);
  await checkContent(t, path);
});

test('a store with pages moves to its next epoch, also when a move before ended halfway', async (t) => {
  for (const moved of [0, 2]) {
    const path = await pagedStore(t);
    const next = join(path, 'epoch-000001');
    if (moved > 0) {
      nodeFileSystem.makeDirectory(next);
      for (const name of pagesOf(path).slice(0, moved))
        nodeFileSystem.rename(join(path, name), join(next, name));
    }
    const state = loadManifest(nodeFileSystem, path, next);
    const epoch = await beginEpoch(
      nodeFileSystem,
      path,
      findEpochs(nodeFileSystem, path),
      () => nodeFileSystem,
    );
    assert.deepEqual(epoch, { number: 1, directory: next });
    assert.deepEqual(pagesOf(path), []);
    assert.deepEqual(loadManifest(nodeFileSystem, next), state);
    await checkContent(t, path);
  }
});

test('destroy() deletes pages, and a page alone shows that there is a store', async (t) => {
  const path = await pagedStore(t);
  for (const name of readdirSync(path)) if (!name.endsWith('.tables')) unlinkSync(join(path, name));
  await failsWith('STRATA_CORRUPTION', openPaged(t, path));
  await Engine.destroy(path);
  assert.ok(!existsSync(path));
});

test('a manifest of format 2 is read, and written as 5 by the first edit', async (t) => {
  const path = newPath(t);
  let engine = await Engine.open(path, OPTIONS);
  await engine.put('a', '1');
  await engine.flush();
  await engine.close();
  const text = readFileSync(join(path, 'manifest.json'), 'utf8').slice(30);
  const old = text
    .replace('"formatVersion": 5', '"formatVersion": 2')
    .replace(/ {2}"(ownerEpoch|lastTime)": \d+,\n/g, '')
    .replace(/ {2}"epochs": \[\n.*\n {2}\],\n/, '')
    .replace(/ {2}"(obsoletePages|pages|keptLogs|keptLoads|keptTables)": \[\],\n/g, '');
  assert.equal(old.split('\n').length, text.split('\n').length - 10, 'format 2 lacks ten lines');
  writeFileSync(join(path, 'manifest.json'), sealText(old));
  engine = await Engine.open(path, OPTIONS);
  assert.equal(String(await engine.get('a')), '1');
  await engine.put('b', '2');
  await engine.flush();
  await engine.close();
  assert.match(
    readFileSync(join(path, 'manifest.json'), 'utf8'),
    /"formatVersion": 5,[\s\S]*"ownerEpoch": 1,/,
  );
});

test('each owner that writes has a higher epoch in the manifest', async (t) => {
  const path = newPath(t);
  const epochs: number[] = [];
  for (let i = 0; i < 3; i++) {
    const engine = await Engine.open(path, OPTIONS);
    await engine.put(`k${i}`, '1');
    await engine.flush();
    await engine.close();
    epochs.push(loadManifest(nodeFileSystem, path)!.ownerEpoch);
  }
  assert.deepEqual(epochs, [1, 2, 3]);
  await (await Engine.open(path, { ...OPTIONS, readOnly: true })).close();
  assert.equal(loadManifest(nodeFileSystem, path)!.ownerEpoch, 3);
  assert.ok(statSync(path).isDirectory());
});
