/**
 * Readers (`readOnly`) take no lock and write no file: any number at once, of a store that nobody owns. An owner that comes later
 * is not kept out, and what the reader then says is the moment that it was opened at, or STRATA_CLOSED.
 */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type EngineOptions, StorageEngine, StorageError, WriteBatch } from '../../src/main/index.ts';
import { attachHere } from '../helpers/clients.ts';
import {
  contentsOf,
  failsWith,
  fill,
  keyOf,
  newPath,
  openAt,
  openTiny,
  tableFiles,
  textsOf,
  until,
  valueFor,
} from '../helpers/engines.ts';
import { seededRandom } from '../helpers/rng.ts';
import { runBudget, runSeed } from '../helpers/run-budget.ts';
import { startRival } from './rivals.ts';

const READ_ONLY: EngineOptions = { readOnly: true };
const COUNT = 300;

/** A closed store of several tables, and a little in its log. */
async function closedStore(t: TestContext): Promise<string> {
  const engine = await openTiny(t);
  await fill(engine, COUNT);
  await engine.flush();
  await engine.put('in the log', 'only');
  await engine.close();
  return engine.path;
}

/** What `read` gives; undefined: STRATA_CLOSED, and no other failure. */
async function readOrClosed<T>(read: () => T | Promise<T>): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    assert.ok(error instanceof StorageError && error.code === 'STRATA_CLOSED', String(error));
    return undefined;
  }
}

/** Every key has its old value, or can't be told. Returns how many can't. */
async function countClosed(get: (key: string) => Promise<Buffer | undefined>): Promise<number> {
  let closed = 0;
  for (let i = 0; i < COUNT; i++) {
    const value = await readOrClosed(async () => String(await get(keyOf(i))));
    if (value === undefined) closed++;
    else assert.equal(value, valueFor(i));
  }
  return closed;
}

test('any number at once, in several processes; no file is made or changed', async (t) => {
  const path = await closedStore(t);
  rmSync(join(path, 'LOCK'));
  const before = contentsOf(path);
  const { mtimeMs } = statSync(path);
  const readers = await Promise.all([1, 2, 3].map(() => openAt(t, path, READ_ONLY)));
  const elsewhere = await startRival(t, path);
  assert.deepEqual(await elsewhere.ask('read'), { outcome: 'done', count: COUNT + 1 });
  for (const reader of readers) {
    assert.equal(textsOf(reader.scan()).length, COUNT + 1);
    await reader.verify();
  }
  await readers[0]!.close();
  assert.equal(readers[1]!.getSync('in the log')?.toString(), 'only');
  const client = await attachHere(t, readers[1]!);
  assert.equal((await client.get(keyOf(7)))?.toString(), valueFor(7));
  await Promise.all(readers.map((reader) => reader.close()));
  assert.deepEqual(contentsOf(path), before);
  assert.equal(statSync(path).mtimeMs, mtimeMs);
});

test('refused while an owner runs; lockTimeout waits for it to go', async (t) => {
  const path = await closedStore(t);
  const owner = await openAt(t, path);
  const error = await failsWith('STRATA_LOCKED', StorageEngine.open(path, READ_ONLY));
  assert.match(error.message, new RegExp(`pid ${process.pid}`));
  const waiting = openAt(t, path, { ...READ_ONLY, lockTimeout: 30_000 });
  await owner.put('last', 'words');
  await owner.close();
  assert.equal((await waiting).getSync('last')?.toString(), 'words');
});

test('a reader keeps nobody out: owners, repair and destroy', async (t) => {
  const path = await closedStore(t);
  const reader = await openAt(t, path, READ_ONLY);
  const owner = await openAt(t, path);
  await owner.put('a', '1');
  await owner.close();
  await StorageEngine.repair(path);
  await StorageEngine.destroy(path);
  assert.equal(existsSync(path), false);
  await countClosed((key) => reader.get(key));
  await reader.close();
});

test('an owner that comes later: the old moment or STRATA_CLOSED, by every way to read', async (t) => {
  const path = await closedStore(t);
  const reader = await openAt(t, path, { ...READ_ONLY, maxOpenFiles: 8, cacheSize: 0 });
  const client = await attachHere(t, reader, { maxOpenFiles: 8, cacheSize: 0 });
  assert.ok(tableFiles(path).length > 3);
  assert.equal(await countClosed((key) => reader.get(key)), 0);
  const scan = reader.scan({ snapshot: reader.snapshot() });
  const first = scan.nextMany(2).length;
  const owner = await openAt(t, path);
  // Its mere presence changes nothing.
  assert.equal(await countClosed((key) => reader.get(key)), 0);
  await fill(owner, COUNT, 40, 1);
  await owner.compact();
  await owner.deleteRange({ all: true });
  await owner.flush();
  await countClosed((key) => reader.get(key));
  await countClosed(async (key) => reader.getSync(key));
  assert.ok((await countClosed((key) => client.get(key))) > 0, 'not all of it was open');
  const rest = await readOrClosed(() => scan.nextMany(COUNT * 2).length);
  assert.ok(rest === undefined || rest + first === COUNT + 1);
  assert.equal(reader.getSync('in the log')?.toString(), 'only');
  assert.equal(await readOrClosed(() => reader.verify()), undefined);
  assert.equal(await readOrClosed(() => reader.checkpoint(join(dirname(path), 'copy'))), undefined);
  assert.deepEqual(readdirSync(dirname(path)), ['db']);
  await readOrClosed(() => reader.approximateSize({}));
  assert.equal(owner.getSync(keyOf(1)), undefined);
  await reader.close();
  await owner.close();
});

test('another store with the same file names in the same directory is not taken for this one', async (t) => {
  const path = await closedStore(t);
  // It keeps the directory there.
  writeFileSync(join(path, 'mine'), '');
  const reader = await openAt(t, path, { ...READ_ONLY, maxOpenFiles: 8, cacheSize: 0 });
  const names = tableFiles(path);
  await StorageEngine.destroy(path);
  const other = await openAt(t, path);
  await fill(other, COUNT, 40, 1);
  await other.flush();
  await other.close();
  assert.ok(tableFiles(path).some((name) => names.includes(name)));
  assert.ok((await countClosed((key) => reader.get(key))) > 0);
  assert.equal(await readOrClosed(() => reader.verify()), undefined);
  assert.equal(await readOrClosed(() => reader.checkpoint(join(dirname(path), 'copy'))), undefined);
});

test('a store whose files an owner elsewhere has taken over, into a newer epoch', async (t) => {
  const path = await closedStore(t);
  const reader = await openAt(t, path, { ...READ_ONLY, maxOpenFiles: 8, cacheSize: 0 });
  const next = join(path, 'epoch-000001');
  mkdirSync(next);
  for (const name of readdirSync(path).filter((file) => /^\d+\./.test(file)))
    renameSync(join(path, name), join(next, name));
  assert.ok((await countClosed((key) => reader.get(key))) > 0);
  assert.equal(await readOrClosed(() => reader.verify()), undefined);
});

test('a table that is gone although nobody has changed the store is damage', async (t) => {
  const path = await closedStore(t);
  const reader = await openAt(t, path, READ_ONLY);
  for (const name of tableFiles(path)) rmSync(join(path, name));
  await failsWith('STRATA_CORRUPTION', async () => await reader.get(keyOf(1)));
});

test('readers that open while owners come and go see one moment, or are refused', async (t) => {
  const random = seededRandom(runSeed(t));
  const path = newPath(t);
  let isDone = false;
  let acknowledged = -1;
  let seen = 0;
  let refused = 0;
  const owners = (async () => {
    for (let round = 0; round < runBudget('STRATA_OWNERS', 25); round++) {
      const owner = await StorageEngine.open(path, {
        threads: 0,
        writeBufferSize: 8192,
        lockTimeout: 30_000,
      });
      const batch = new WriteBatch();
      for (let i = 0; i < 20; i++) batch.put(keyOf(i), `${round}`.padEnd(100));
      await owner.write(batch);
      acknowledged = round;
      if (random.chance(0.5)) await owner.flush();
      if (random.chance(0.3)) await owner.compact();
      await owner.close();
      const before = seen;
      if (random.chance(0.5)) await until(() => seen > before);
      else await new Promise((resolve) => setTimeout(resolve, random.below(20)));
    }
    isDone = true;
  })();
  await until(() => acknowledged >= 0);
  const read = async (): Promise<void> => {
    while (!isDone) {
      const before = acknowledged;
      try {
        const reader = await StorageEngine.open(path, { ...READ_ONLY, threads: 0 });
        const texts = await readOrClosed(() => textsOf(reader.scan()));
        await reader.close();
        if (texts === undefined) continue;
        seen++;
        assert.equal(texts.length, 20);
        assert.equal(new Set(texts.map(([, value]) => value)).size, 1, 'of one moment');
        assert.ok(Number(texts[0]![1]) >= before, 'nothing acknowledged is missing');
      } catch (error) {
        assert.ok(error instanceof StorageError && error.code === 'STRATA_LOCKED', String(error));
        refused++;
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  await Promise.all([owners, read(), read()]);
  t.diagnostic(`FIGURE moments-read=${seen} refused=${refused}`);
  assert.ok(seen > 0 && refused > 0);
});
