/**
 * A manifest that does not belong to the directory as it is: put back as it was before, by a backup tool or a sync client, or
 * another store's. Nothing is opened with it, nothing is deleted, and repair takes in what is there.
 */
import assert from 'node:assert/strict';
import { copyFileSync, cpSync, existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { StorageEngine } from '../../src/main/index.ts';
import { failsWith, fill, newPath, openAt } from '../helpers/engines.ts';

const keep = (path: string): void => copyFileSync(join(path, 'manifest.json'), `${path}.manifest`);
const putBack = (path: string): void => copyFileSync(`${path}.manifest`, join(path, 'manifest.json'));
const filesOf = (path: string): string[] => readdirSync(path).filter((name) => /\.(sst|log)$/.test(name));
const countAt = async (t: TestContext, path: string): Promise<number> => {
  const engine = await openAt(t, path);
  const { length } = [...engine.scan({ values: false })];
  await engine.verify();
  await engine.close();
  return length;
};

const CHANGES: readonly {
  readonly what: string;
  readonly change: (engine: StorageEngine) => Promise<unknown>;
}[] = [
  { what: 'a flush', change: (engine) => engine.put('z', '1').then(() => engine.flush()) },
  { what: 'an ingestion', change: (engine) => engine.ingest([['z', '1']]) },
  {
    what: 'a flush and a compaction of all',
    change: (engine) => engine.put('z', '1').then(() => engine.compact()),
  },
  {
    what: 'many flushes and an unflushed write',
    change: async (engine) => {
      for (let i = 0; i < 6; i++) {
        await engine.put(`y${i}`, '1');
        await engine.flush();
      }
      await engine.put('z', '1');
    },
  },
];

for (const { what, change } of CHANGES) {
  test(`manifest.json is put back as it was before ${what}: refused, nothing deleted, repair has it all`, async (t) => {
    const path = newPath(t);
    let engine = await openAt(t, path);
    await fill(engine, 300);
    await engine.compact();
    await engine.close();
    keep(path);
    engine = await openAt(t, path);
    await change(engine);
    const { length } = [...engine.scan({ values: false })];
    await engine.close();
    putBack(path);
    const before = filesOf(path);
    for (const options of [{}, { readOnly: true }])
      await failsWith('STRATA_CORRUPTION', openAt(t, path, options));
    assert.deepEqual(filesOf(path), before);
    const report = await StorageEngine.repair(path);
    assert.equal(report.isSound, false);
    assert.equal(await countAt(t, path), length);
  });
}

test('a manifest of another store: refused; repair takes the tables in that it does not know, and names them', async (t) => {
  const path = newPath(t);
  const engine = await openAt(t, path);
  await fill(engine, 1000);
  await engine.flush();
  await engine.close();
  const other = newPath(t);
  const stranger = await openAt(t, other);
  for (let i = 0; i < 5; i++) {
    await fill(stranger, 400);
    await stranger.flush();
  }
  await stranger.delete('no such key');
  await stranger.compact();
  for (const key of [...stranger.scan({ values: false })].map(([key]) => key)) await stranger.delete(key);
  await stranger.compact();
  await stranger.close();
  copyFileSync(join(other, 'manifest.json'), join(path, 'manifest.json'));
  const before = filesOf(path);
  await failsWith('STRATA_CORRUPTION', openAt(t, path));
  const report = await StorageEngine.repair(path);
  const text = JSON.stringify(report);
  for (const name of before.filter((name) => name.endsWith('.sst')))
    assert.ok(text.includes(name), `${name} is not named`);
  assert.equal(await countAt(t, path), 1000);
});

test('a table of somebody else with a free number is neither read nor deleted', async (t) => {
  const path = newPath(t);
  const engine = await openAt(t, path);
  await fill(engine, 300);
  await engine.flush();
  await engine.close();
  const [table] = filesOf(path).filter((name) => name.endsWith('.sst'));
  copyFileSync(join(path, table!), join(path, '004711.sst'));
  const { message } = await failsWith('STRATA_CORRUPTION', openAt(t, path));
  assert.match(message, /it does not know 004711\.sst/);
  assert.ok(existsSync(join(path, '004711.sst')));
  await StorageEngine.repair(path);
  assert.equal(await countAt(t, path), 300);
});

test('two copies of one store that went their own ways: the manifest of one deletes nothing of the other', async (t) => {
  const path = newPath(t);
  const made = await openAt(t, path);
  await fill(made, 100);
  await made.close();
  const other = newPath(t);
  cpSync(path, other, { recursive: true });
  const work = async (at: string, value: string): Promise<StorageEngine> => {
    const engine = await openAt(t, at);
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < 200; i++) await engine.put(`k${i}`, `${value}${round}`);
      await engine.flush();
    }
    await engine.put('last', value);
    return engine;
  };
  await (await work(path, 'a')).close();
  // The same work with other values, after which everything goes.
  const engine = await work(other, 'b');
  for (const [key] of [...engine.scan({ values: false })]) await engine.delete(key);
  await engine.compact();
  await engine.close();
  copyFileSync(join(other, 'manifest.json'), join(path, 'manifest.json'));
  const before = filesOf(path);
  await failsWith('STRATA_CORRUPTION', openAt(t, path));
  assert.deepEqual(filesOf(path), before);
  assert.equal((await StorageEngine.repair(path)).isSound, false);
  assert.equal(await countAt(t, path), 301);
});
