/**
 * checkpoint(): a store of one moment in another directory, whatever goes on in this one. Disks that fail: test/fault.
 */
import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { type TestContext, test } from 'node:test';
import { captureSourceOf } from '../../src/main/copy/capture-source.ts';
import type { CheckpointReport } from '../../src/main/copy/checkpoint.ts';
import { type EngineOptions, type StorageEngine, WriteBatch } from '../../src/main/index.ts';
import {
  contentsOf,
  failsWith,
  fill,
  keyOf,
  newPath,
  openAt,
  openTiny,
  openWith,
  TINY,
  tableFiles,
  textsOf,
  until,
} from '../helpers/engines.ts';
import { storeDirectory } from '../helpers/fault/fast-directory.ts';
import { seededRandom } from '../helpers/rng.ts';
import { runBudget, runSeed } from '../helpers/run-budget.ts';
import { SMALL_PAGES } from '../helpers/small-pages.ts';

const KEYS = 50;

/** A path beside the store's, for a copy of it. */
function beside(engine: StorageEngine, name = 'copy'): string {
  return join(dirname(engine.path), name);
}

/** What the copy holds. It must be a store that is sound, that the report is right about, and that takes writes. */
async function contentOf(
  t: TestContext,
  path: string,
  report: CheckpointReport,
  options: EngineOptions = {},
): Promise<[string, string][]> {
  const files = readdirSync(path).map((name) => statSync(join(path, name)));
  assert.equal(report.files, files.length);
  assert.equal(
    report.bytes,
    files.reduce((sum, { size }) => sum + size, 0),
  );
  // The store may have dropped its own by now.
  assert.ok(report.linked >= files.filter(({ nlink }) => nlink > 1).length);
  const copy = await openAt(t, path, { createIfMissing: false, ...options });
  await copy.verify();
  const texts = textsOf(copy.scan());
  await copy.put('written to the copy', 'yes');
  await copy.delete('written to the copy');
  await copy.close();
  return texts;
}

/** One batch sets all keys to one round: what shows two rounds is no moment of the store. */
function writeRound(engine: StorageEngine, round: number): Promise<void> {
  const batch = new WriteBatch();
  for (let i = 0; i < KEYS; i++) batch.put(keyOf(i), `round ${round} `.padEnd(30, '.'));
  return engine.write(batch);
}

function roundOf(texts: readonly [string, string][]): number {
  assert.equal(texts.length, KEYS);
  assert.deepEqual([...new Set(texts.map(([, value]) => value))].length, 1, 'of one moment');
  return Number(/^round (\d+)/.exec(texts[0]![1])![1]);
}

test('of one moment, while a writer, compactions and ingestions go on; nothing acknowledged is missing', async (t) => {
  const random = seededRandom(runSeed(t));
  const engine = await openTiny(t);
  let acknowledged = 0;
  let submitted = 1;
  await writeRound(engine, 0);
  let isDone = false;
  const writer = (async () => {
    while (!isDone) {
      const round = submitted++;
      await writeRound(engine, round);
      acknowledged = round;
      if (random.chance(0.05)) await engine.compact();
      if (random.chance(0.05)) await engine.ingest([[keyOf(0), `round ${round} `.padEnd(30, '.')]]);
      if (random.chance(0.2)) await new Promise((resolve) => setImmediate(resolve));
    }
  })();
  let previous = 0;
  const positions = new Set<string>();
  for (let i = 0; i < runBudget('STRATA_CHECKPOINTS', 6); i++) {
    const before = acknowledged;
    const path = beside(engine, `copies/${i}`);
    const report = await engine.checkpoint(path);
    const after = submitted;
    const round = roundOf(await contentOf(t, path, report));
    assert.ok(round >= before && round < after, `${before} <= ${round} < ${after}`);
    assert.ok(round >= previous);
    previous = round;
    positions.add(report.position);
  }
  assert.ok(positions.size > 1);
  isDone = true;
  await writer;
  await engine.verify();
});

test('tables are hard links, and stay when the store has dropped or lost its own', async (t) => {
  const engine = await openTiny(t);
  await fill(engine, 300);
  await engine.compact();
  const texts = textsOf(engine.scan());
  const path = beside(engine);
  const report = await engine.checkpoint(path);
  const tables = tableFiles(path);
  assert.ok(tables.length > 2);
  assert.equal(report.linked, tables.length);
  for (const name of tables)
    assert.equal(statSync(join(path, name)).ino, statSync(join(engine.path, name)).ino);
  await fill(engine, 300, 40, 1);
  await engine.compact();
  await until(() => !tableFiles(engine.path).some((name) => tables.includes(name)));
  // All links of the copy are its own by now.
  assert.deepEqual(await contentOf(t, path, { ...report, linked: 0 }), texts);
});

test('on another file system tables are copied', async (t) => {
  const engine = await openTiny(t);
  await fill(engine, 300);
  const path = storeDirectory(t);
  if (statSync(dirname(dirname(dirname(path)))).dev === statSync(engine.path).dev)
    return t.skip('there is only one file system here');
  const report = await engine.checkpoint(path);
  assert.equal(report.linked, 0);
  assert.deepEqual(await contentOf(t, path, report), textsOf(engine.scan()));
});

test('the manifest of many tables has pages of its own', async (t) => {
  const engine = await openWith(t, newPath(t), TINY, { pageLimits: SMALL_PAGES });
  for (let i = 0; i < 140; i++) {
    await engine.put(keyOf(i), 'x'.repeat(6000));
    if (i % 8 === 7) await engine.flush();
  }
  await engine.compact();
  assert.ok(engine.stats().files.manifestPages > 0);
  assert.ok(tableFiles(engine.path).length > 60);
  const path = beside(engine);
  const report = await engine.checkpoint(path);
  assert.deepEqual(await contentOf(t, path, report), textsOf(engine.scan()));
});

test('the same place has the same position; a checkpoint of a checkpoint is one of the store', async (t) => {
  const engine = await openTiny(t);
  await fill(engine, 100);
  const first = await engine.checkpoint(beside(engine, '1'));
  const second = await engine.checkpoint(beside(engine, '2'));
  assert.deepEqual(second, first);
  const copy = await openAt(t, beside(engine, '1'), { readOnly: true });
  const third = await copy.checkpoint(beside(engine, '3'));
  assert.deepEqual(await contentOf(t, beside(engine, '3'), third), textsOf(engine.scan()));
});

test('of a read-only store, with what is in its logs', async (t) => {
  const path = newPath(t);
  const writer = await openAt(t, path, { writeBufferSize: 65_536 });
  await fill(writer, 100);
  await writer.flush();
  await fill(writer, 20, 40, 1);
  const texts = textsOf(writer.scan());
  await writer.close();
  const before = contentsOf(path);
  const reader = await openAt(t, path, { readOnly: true });
  const copy = beside(reader);
  const report = await reader.checkpoint(copy);
  // A log may be in the memory of the system only.
  assert.equal(report.linked, tableFiles(copy).length);
  assert.deepEqual(await contentOf(t, copy, report), texts);
  await reader.close();
  assert.deepEqual(Object.keys(contentsOf(path)), Object.keys(before));
});

test('an empty store has one as well', async (t) => {
  const engine = await openTiny(t);
  const report = await engine.checkpoint(beside(engine));
  assert.equal(report.files, 1);
  assert.deepEqual(await contentOf(t, beside(engine), report), []);
});

test('a target that exists is refused as it is, whatever it is', async (t) => {
  const engine = await openTiny(t);
  await fill(engine, 20);
  const parent = beside(engine, 'targets');
  mkdirSync(join(parent, 'empty'), { recursive: true });
  mkdirSync(join(parent, 'full', 'inner'), { recursive: true });
  writeFileSync(join(parent, 'file'), 'mine');
  symlinkSync('nowhere', join(parent, 'dangling'));
  symlinkSync('empty', join(parent, 'link'));
  for (const name of ['empty', 'full', 'file', 'dangling', 'link', 'empty/.', 'full/inner'])
    await failsWith('STRATA_EXISTS', engine.checkpoint(join(parent, name)));
  await failsWith('STRATA_EXISTS', engine.checkpoint(engine.path));
  assert.deepEqual(readdirSync(parent).sort(), ['dangling', 'empty', 'file', 'full', 'link']);
  const both = await Promise.allSettled([1, 2, 3].map(() => engine.checkpoint(join(parent, 'raced'))));
  assert.equal(both.filter(({ status }) => status === 'fulfilled').length, 1);
  for (const one of both) if (one.status === 'rejected') assert.equal(one.reason.code, 'STRATA_EXISTS');
  assert.equal(readdirSync(parent).length, 6);
});

test('parents are made; a path may be relative; long names fit', async (t) => {
  const engine = await openTiny(t);
  await fill(engine, 20);
  for (const name of ['a/b/c', 'ünïcode/é', `${'n'.repeat(255)}`]) {
    const path = beside(engine, name);
    const report = await engine.checkpoint(relative(process.cwd(), path));
    assert.deepEqual(await contentOf(t, path, report), textsOf(engine.scan()));
  }
  assert.deepEqual(readdirSync(beside(engine, 'a/b')), ['c']);
});

test('what can not be a target is refused, and makes nothing', async (t) => {
  const engine = await openTiny(t);
  await fill(engine, 20);
  const parent = dirname(engine.path);
  writeFileSync(join(parent, 'file'), 'mine');
  const before = readdirSync(parent).sort();
  for (const path of ['', 'a\0b', 1, null, undefined, {}] as never[])
    await failsWith('STRATA_INVALID_ARGUMENT', engine.checkpoint(path));
  // A store would take these for its own.
  for (const name of [
    'epoch-000001',
    '000001.sst',
    'epoch-000007/within',
    'db/epoch-000001',
    'db/000900.log',
  ])
    await failsWith('STRATA_INVALID_ARGUMENT', engine.checkpoint(join(parent, name)));
  await failsWith('STRATA_IO', engine.checkpoint(join(parent, 'file', 'within')));
  await failsWith('STRATA_IO', engine.checkpoint(join(parent, 'm'.repeat(256))));
  assert.deepEqual(readdirSync(parent).sort(), before);
  await engine.checkpoint(join(engine.path, 'within the store'));
  await engine.close();
  const again = await openAt(t, engine.path);
  assert.equal(textsOf(again.scan()).length, 20);
});

test('close() ends it, and it leaves nothing; a closed store makes none', async (t) => {
  const engine = await openTiny(t);
  await fill(engine, 500);
  await engine.compact();
  const path = beside(engine, 'parent/copy');
  const made = engine.checkpoint(path);
  const closed = engine.close();
  const [outcome] = await Promise.allSettled([made, closed]);
  await closed;
  if (outcome.status === 'rejected') {
    assert.equal(outcome.reason.code, 'STRATA_CLOSED');
    assert.equal(existsSync(dirname(path)), false);
  }
  await failsWith('STRATA_CLOSED', engine.checkpoint(beside(engine, 'late')));
});

test('of a store that was taken over once: its files lie in a directory of their own, those of the copy do not', async (t) => {
  const path = newPath(t);
  const writer = await openAt(t, path);
  await fill(writer, 300);
  await writer.close();
  const within = join(path, 'epoch-000001');
  mkdirSync(within);
  for (const name of readdirSync(path).filter((name) => /^(?:\d+\.|manifest)/.test(name)))
    renameSync(join(path, name), join(within, name));
  for (const readOnly of [false, true]) {
    const engine = await openAt(t, path, { readOnly });
    const target = beside(engine, `copy ${readOnly}`);
    const report = await engine.checkpoint(target);
    assert.deepEqual(await contentOf(t, target, report), textsOf(engine.scan()));
    await engine.close();
  }
});

/** The keys of all changes after a position, up to now. */
async function changedAfter(engine: StorageEngine, after: string): Promise<string[]> {
  const keys: string[] = [];
  const goal = engine.position;
  if (after === goal) return keys;
  for await (const { changes, position } of engine.changes({ after })) {
    for (const change of changes) keys.push(change.type === 'deleteRange' ? '*' : change.key.toString());
    if (position === goal) return keys;
  }
  return keys;
}

test('a consumer that begins with a checkpoint goes on from its position and misses nothing', async (t) => {
  const retainChanges = { bytes: 10_000_000 };
  const engine = await openTiny(t, { retainChanges });
  await fill(engine, 100);
  const { position } = await engine.checkpoint(beside(engine));
  await fill(engine, 200);
  await engine.compact();
  assert.deepEqual(
    await changedAfter(engine, position),
    Array.from({ length: 200 }, (_, i) => keyOf(i)),
  );
});

test('the copy takes positions from before it, as far as they are kept, and each side refuses what the other did later', async (t) => {
  const retainChanges = { bytes: 10_000_000 };
  const engine = await openTiny(t, { retainChanges });
  await fill(engine, 50);
  const early = engine.position;
  await engine.ingest([['loaded', '1']]);
  await fill(engine, 100);
  await engine.compact();
  await engine.flush();
  const path = beside(engine);
  const report = await engine.checkpoint(path);
  assert.equal(report.position, engine.position);
  const expected = await changedAfter(engine, early);
  assert.equal(expected.length, 101);
  await fill(engine, 10);
  const later = engine.position;
  for (const options of [{ readOnly: true }, { retainChanges }]) {
    const copy = await openAt(t, path, options);
    assert.equal(copy.position, report.position);
    assert.deepEqual(await changedAfter(copy, early), expected);
    await failsWith('STRATA_POSITION_LOST', async () => {
      for await (const _ of copy.changes({ after: later })) assert.fail();
    });
    if (options.readOnly !== true) {
      await copy.put('of the copy', '1');
      const ofCopy = copy.position;
      await failsWith('STRATA_POSITION_LOST', async () => {
        for await (const _ of engine.changes({ after: ofCopy })) assert.fail();
      });
      await copy.verify();
    }
    await copy.close();
  }
});

test('what is kept for changes() stays while it is copied, and goes when that is over', async (t) => {
  const engine = await openTiny(t, { retainChanges: { bytes: 20_000 } });
  await fill(engine, 300);
  await engine.flush();
  const capture = await captureSourceOf(engine)!.capture();
  const logs = capture.files.filter(({ kind }) => kind === 'log').map(({ path }) => path);
  assert.ok(logs.length > 1);
  for (let round = 1; round < 5; round++) await fill(engine, 300, 40, round);
  await engine.flush();
  for (const path of logs) assert.ok(existsSync(path));
  capture.release();
  await until(() => !logs.some((path) => existsSync(path)));
});
