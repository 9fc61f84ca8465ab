/**
 * The directory of an open store is removed, moved or replaced: by a test's clean-up, a restore, a deploy. The owner hears of it
 * within a second of writing and stops; nothing that it does reaches what is at the path by then.
 */
import assert from 'node:assert/strict';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { StorageEngine } from '../../src/main/index.ts';
import { failsWith, fill, newPath, openAt } from '../helpers/engines.ts';
import { startRival } from './rivals.ts';

const IS_LINUX = process.platform === 'linux';
/** A second is promised; the rest is for a busy machine. */
const PATIENCE_MS = 60_000;

/** Writes until it is refused, as a service would; returns what it was told. */
async function writeUntilRefused(engine: StorageEngine): Promise<Error> {
  const end = performance.now() + PATIENCE_MS;
  while (performance.now() < end) {
    try {
      await engine.put('old', 'x');
    } catch (error) {
      return error as Error;
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.fail('the owner writes on and is told nothing');
}

function chainOf(error: unknown): string {
  const messages: string[] = [];
  for (let at: unknown = error; at instanceof Error; at = at.cause) messages.push(at.message);
  return messages.join('; ');
}

/** Another owner fills a store at the path. */
async function newStoreAt(t: TestContext, path: string): Promise<StorageEngine> {
  const engine = await openAt(t, path);
  await fill(engine, 300);
  await engine.flush();
  await engine.compact();
  return engine;
}

async function holdsAll(t: TestContext, path: string): Promise<void> {
  const engine = await openAt(t, path, { createIfMissing: false });
  assert.equal([...engine.scan({ values: false })].length, 300);
  await engine.verify();
  await engine.close();
}

/** As a clean-up does it that is told of files that come in meanwhile: once more. */
function removeWhole(path: string): void {
  for (let attempt = 1; existsSync(path); attempt++) {
    try {
      rmSync(path, { recursive: true });
    } catch (error) {
      if (attempt === 20) throw error;
    }
  }
}

const ACCIDENTS: readonly { readonly what: string; readonly happen: (path: string) => void }[] = [
  { what: 'removed', happen: removeWhole },
  { what: 'moved', happen: (path) => renameSync(path, `${path}.old`) },
  {
    what: 'replaced by a copy of itself',
    happen: (path) => {
      renameSync(path, `${path}.old`);
      mkdirSync(path);
    },
  },
];

for (const { what, happen } of ACCIDENTS) {
  test(`the directory is ${what} while a store writes: the new store at the path keeps all it has`, async (t) => {
    const path = newPath(t);
    const old = await openAt(t, path);
    await fill(old, 500);
    happen(path);
    const fresh = await newStoreAt(t, path);
    const told = await writeUntilRefused(old);
    assert.match(
      chainOf(told),
      /the directory .* was (removed or moved|replaced by another one) while the store/,
    );
    assert.equal(old.status, 'read-only');
    for (const act of [() => old.flush(), () => old.compact(), () => old.put('a', 'b')])
      await failsWith('STRATA_READ_ONLY', act);
    await old.close();
    await fresh.close();
    await holdsAll(t, path);
  });

  test(`the directory is ${what}: flush, compact and close of the old owner change nothing at the path`, async (t) => {
    const path = newPath(t);
    const old = await openAt(t, path);
    await fill(old, 500);
    happen(path);
    const fresh = await newStoreAt(t, path);
    await fresh.close();
    const before = contentOf(path);
    const outcome = await old.flush().then(
      () => undefined,
      (error: unknown) => error,
    );
    assert.match(chainOf(outcome), /the directory .* was/);
    await old.compact().catch(() => undefined);
    await old.close().catch(() => undefined);
    assert.deepEqual(contentOf(path), before);
    await holdsAll(t, path);
  });
}

test('an owner that writes nothing finds out with its next write', async (t) => {
  const path = newPath(t);
  const old = await openAt(t, path);
  renameSync(path, `${path}.old`);
  assert.match(chainOf(await writeUntilRefused(old)), /was removed or moved/);
  await failsWith('STRATA_READ_ONLY', () => old.put('a', 'b'));
});

test('the link to the directory leads elsewhere by now: the owner stops, the other store is untouched', async (t) => {
  const path = newPath(t);
  const folder = dirname(path);
  for (const name of ['one', 'two']) mkdirSync(join(folder, name));
  symlinkSync('one', path);
  const old = await openAt(t, path);
  await old.put('a', '1');
  rmSync(path);
  symlinkSync('two', path);
  const fresh = await newStoreAt(t, path);
  await writeUntilRefused(old);
  await old.close();
  await fresh.close();
  await holdsAll(t, join(folder, 'two'));
});

test('an earlier copy is put into the directory of an open store: it is not overwritten', async (t) => {
  const path = newPath(t);
  const before = await newStoreAt(t, path);
  await before.close();
  cpSync(path, `${path}.backup`, { recursive: true });
  const engine = await openAt(t, path);
  await fill(engine, 200);
  await engine.flush();
  for (const name of readdirSync(path))
    if (!name.startsWith('LOCK')) rmSync(join(path, name), { force: true });
  cpSync(`${path}.backup`, path, { recursive: true, filter: (from) => !from.includes('LOCK') });
  await engine.put('b', '2').catch(() => undefined);
  const told = await engine.flush().then(
    () => undefined,
    (error: unknown) => error,
  );
  assert.match(chainOf(told), /manifest\.json was changed by somebody else while the store was open/);
  await engine.close().catch(() => undefined);
  for (const name of readdirSync(`${path}.backup`))
    if (/\.sst$|manifest/.test(name)) assert.ok(existsSync(join(path, name)), `${name} was deleted`);
  assert.deepEqual(
    readFileSync(join(path, 'manifest.json')),
    readFileSync(join(`${path}.backup`, 'manifest.json')),
  );
});

const REMOVED: readonly { readonly what: string; readonly remove: (path: string) => void }[] = [
  {
    what: 'all files',
    remove: (path) => {
      for (const name of readdirSync(path)) rmSync(join(path, name), { force: true });
    },
  },
  { what: 'the manifest', remove: (path) => rmSync(join(path, 'manifest.json')) },
  {
    what: 'the newest log',
    remove: (path) =>
      rmSync(
        join(
          path,
          readdirSync(path)
            .filter((name) => name.endsWith('.log'))
            .sort()
            .at(-1)!,
        ),
      ),
  },
];

for (const { what, remove } of REMOVED)
  test(`${what} of an open store: deleted, and its owner hears of it while it only writes`, {
    skip: !IS_LINUX,
  }, async (t) => {
    const engine = await openAt(t, newPath(t), { writeBufferSize: 1 << 20 });
    await fill(engine, 100);
    remove(engine.path);
    assert.match(
      chainOf(await writeUntilRefused(engine)),
      /was changed by somebody else while the store was open/,
    );
    await engine.close().catch(() => undefined);
  });

test('a LOCK that was deleted is made anew, and is no sign of another owner', {
  skip: !IS_LINUX,
}, async (t) => {
  const engine = await openAt(t, newPath(t));
  await engine.put('a', '1');
  rmSync(join(engine.path, 'LOCK'));
  await new Promise((resolve) => setTimeout(resolve, 700));
  await engine.put('a', '2');
  await engine.flush();
  assert.match(readFileSync(join(engine.path, 'LOCK'), 'utf8'), new RegExp(`^{"pid":${process.pid},`));
  await engine.close();
  assert.equal(readFileSync(join(engine.path, 'LOCK'), 'utf8'), '');
});

test('a table that somebody puts where the next one is to come is not replaced', async (t) => {
  const engine = await openAt(t, newPath(t));
  await engine.put('a', '1');
  const restored = Array.from({ length: 20 }, (_, i) =>
    join(engine.path, `${String(i + 1).padStart(6, '0')}.sst`),
  );
  for (const path of restored) writeFileSync(path, 'restored');
  const told = await engine.flush().then(
    () => undefined,
    (error: unknown) => error,
  );
  assert.match(chainOf(told), /\.sst was changed by somebody else/);
  for (const path of restored) assert.equal(readFileSync(path, 'utf8'), 'restored');
});

test('under load, across processes: what both acknowledged is where it was written', {
  skip: !IS_LINUX,
}, async (t) => {
  const path = newPath(t);
  const [old, fresh] = await Promise.all([startRival(t, path), startRival(t, path)]);
  await old.ask('open');
  assert.equal((await old.ask('put 0 300')).outcome, 'done');
  renameSync(path, `${path}.old`);
  const late = old.ask('put 300 100000');
  assert.equal((await fresh.ask('open')).count, 1, 'another store is at the path');
  assert.equal((await fresh.ask('put 0 1000')).outcome, 'done');
  assert.equal((await fresh.ask('flush')).outcome, 'done');
  const { outcome, message } = await late;
  assert.notEqual(outcome, 'done');
  assert.match(message!, /was removed or moved|was replaced/);
  await old.kill();
  await fresh.kill();
  const kept = await openAt(t, path);
  assert.equal([...kept.scan({ gte: 'k', lt: 'l', values: false })].length, 1000);
  // Where it was moved to, the old store is whole as well.
  const moved = await openAt(t, `${path}.old`);
  assert.ok([...moved.scan({ gte: 'k', lt: 'l', values: false })].length >= 300);
  await moved.verify();
});

function contentOf(path: string): Record<string, string> {
  const files = readdirSync(path).sort();
  return Object.fromEntries(files.map((name) => [name, readFileSync(join(path, name)).toString('base64')]));
}
