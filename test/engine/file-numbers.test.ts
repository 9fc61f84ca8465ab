/**
 * File numbers: about as many are spent as files are made; and whatever runs out of them, wherever it is by then, is refused
 * with a code, leaves no file behind and a store that can be read, now and after reopening.
 */
import assert from 'node:assert/strict';
import { cpSync, readdirSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { type StorageEngine, StorageError, WriteBatch } from '../../src/main/index.ts';
import { loadManifest, saveManifest } from '../../src/main/manifest/manifest.ts';
import { MAX_FILE_NUMBER } from '../../src/shared/base/ids.ts';
import { nodeFileSystem } from '../../src/shared/files/node-file-system.ts';
import { attachHere } from '../helpers/clients.ts';
import { fill, keyOf, newPath, openAt, until, valueFor } from '../helpers/engines.ts';

const ENTRIES = 400;
/** Three versions of each key, in tables that all overlap: to compact them makes about ten tables. */
const ROUNDS = 3;
/** Above what any step needs at once. */
const PLENTY = 1000;

const nextFileNumber = (path: string): number => loadManifest(nodeFileSystem, path)!.nextFileNumber;
const records = (round: number): [string, string][] =>
  Array.from({ length: ENTRIES }, (_, i) => [keyOf(i), valueFor(i, 200, round)]);

async function template(t: TestContext): Promise<string> {
  const path = newPath(t);
  const engine = await openAt(t, path, { writeBufferSize: 1024 * 1024 });
  for (let round = 0; round < ROUNDS; round++) {
    await fill(engine, ENTRIES, 200, round);
    await engine.flush();
  }
  await engine.close();
  return path;
}

/** A copy of the store in which so many numbers are left. */
async function withNumbersLeft(t: TestContext, from: string, left: number): Promise<string> {
  const path = newPath(t);
  cpSync(from, path, { recursive: true });
  const state = loadManifest(nodeFileSystem, path)!;
  await saveManifest(nodeFileSystem, path, { ...state, nextFileNumber: MAX_FILE_NUMBER - left });
  return path;
}

/** What each key may hold: the value of the template, or the one that `way` writes. */
function checkContent(engine: StorageEngine, hasWritten: boolean | undefined): void {
  const found = new Map(Array.from(engine.scan(), ([key, value]) => [key.toString(), value.toString()]));
  assert.equal(found.size, ENTRIES);
  const isNew = [...found].map(([key, value], i) => {
    assert.equal(key, keyOf(i));
    assert.ok([valueFor(i, 200, ROUNDS - 1), valueFor(i, 200, ROUNDS)].includes(value), key);
    return value === valueFor(i, 200, ROUNDS);
  });
  // What is written is written as a whole.
  assert.equal(new Set(isNew).size, 1);
  if (hasWritten !== undefined) assert.equal(isNew[0], hasWritten);
}

interface Way {
  readonly name: string;
  readonly writes: boolean;
  readonly run: (engine: StorageEngine, t: TestContext) => Promise<unknown>;
}

const WAYS: readonly Way[] = [
  {
    name: 'write',
    writes: true,
    run: (engine) =>
      engine.write(records(ROUNDS).reduce((batch, [key, value]) => batch.put(key, value), new WriteBatch())),
  },
  { name: 'compact', writes: false, run: (engine) => engine.compact() },
  { name: 'ingest', writes: true, run: (engine) => engine.ingest(records(ROUNDS)) },
  {
    name: "a client's ingest",
    writes: true,
    run: async (engine, t) => (await attachHere(t, engine)).ingest(records(ROUNDS)),
  },
];

/** 256 more: what a client's load is given at once. */
const LEFT = [0, 1, 3, 8, 256, 262, PLENTY];

for (const threads of [0, 1])
  for (const { name, writes, run } of WAYS)
    test(`${name} for which file numbers do not suffice is refused, and the store is as sound as before (threads: ${threads})`, async (t) => {
      const from = await template(t);
      let refusals = 0;
      for (const left of LEFT) {
        const path = await withNumbersLeft(t, from, left);
        const engine = await openAt(t, path, { threads });
        const error: unknown = await run(engine, t).then(
          () => undefined,
          (reason: unknown) => reason,
        );
        const what = `${left} left`;
        if (error !== undefined) {
          assert.ok(error instanceof StorageError, what);
          assert.equal(error.code, 'STRATA_READ_ONLY', what);
          refusals++;
        }
        checkContent(engine, writes ? error === undefined : false);
        // Background work has come to rest, and left nothing half made.
        await until(() => engine.stats().jobs.running + engine.stats().jobs.queued === 0);
        await engine.verify();
        await engine.close();
        const names = readdirSync(path).filter((file) => /\.(?:new|run)$/.test(file));
        assert.deepEqual(names, [], what);
        const again = await openAt(t, path, { threads });
        checkContent(again, writes ? error === undefined : false);
        await again.verify();
        await again.close();
        if (left === PLENTY) assert.equal(error, undefined);
      }
      assert.ok(refusals > 0);
    });

test('a store whose file numbers end while it is written to refuses writes, and loads fail as a whole', async (t) => {
  const path = await withNumbersLeft(t, await template(t), 60);
  const engine = await openAt(t, path, { threads: 1 });
  const refused = async (work: Promise<unknown>): Promise<boolean> =>
    await work.then(
      () => false,
      (error: unknown) => {
        assert.ok(error instanceof StorageError);
        assert.equal(error.code, 'STRATA_READ_ONLY', error.message);
        return true;
      },
    );
  let loads = 0;
  const loading = (async () => {
    while (!(await refused(engine.ingest([['load', `${loads}`]])))) loads++;
  })();
  let puts = 0;
  while (puts < 100_000 && !(await refused(engine.put('put', `${puts}`)))) puts++;
  await loading;
  assert.equal(engine.status, 'read-only');
  await engine.flush().catch((error: StorageError) => assert.equal(error.code, 'STRATA_READ_ONLY'));
  await engine.close();
  const again = await openAt(t, path);
  assert.equal(again.getSync('put')?.toString(), `${puts - 1}`);
  assert.equal(again.getSync('load')?.toString(), loads === 0 ? undefined : `${loads - 1}`);
  await again.verify();
  await again.close();
});

test('loads, flushes and compactions spend about as many file numbers as they make files', async (t) => {
  const path = await template(t);
  const engine = await openAt(t, path, { threads: 1 });
  const client = await attachHere(t, engine);
  let files = 0;
  engine.on('flush', () => {
    files += 2;
  });
  engine.on('compaction', ({ isMove, outputTables }) => {
    if (!isMove) files += outputTables;
  });
  const before = nextFileNumber(path);
  for (let i = 0; i < 20; i++) {
    // Runs are files, too, and each load needs one at least.
    files += 1 + (await engine.ingest([['k', `${i}`]])).tables;
    files += 1 + (await client.ingest([['k', `${i}`]])).tables;
    await engine.put('p', `${i}`);
    await engine.flush();
  }
  await engine.compact();
  await engine.close();
  const spent = nextFileNumber(path) - before;
  // A client's load is given 256 at once; what it leaves is for the next one.
  const granted = 256;
  assert.ok(spent <= 1.5 * files + granted, `${spent} numbers for ${files} files`);
});

test('openings with nothing to do spend no file numbers', async (t) => {
  const path = await template(t);
  const before = nextFileNumber(path);
  for (let i = 0; i < 5; i++) await (await openAt(t, path)).close();
  assert.equal(nextFileNumber(path), before);
});
