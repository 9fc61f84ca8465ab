/**
 * Damage: verify() finds it and says where; reads of damaged data reject and never give anything else.
 */
import assert from 'node:assert/strict';
import { readFileSync, truncateSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { CorruptionError, StorageEngine, type VerifyProgress } from '../../src/main/index.ts';
import {
  contentsOf,
  failsWith,
  fill,
  keyOf,
  newPath,
  openAt,
  openTiny,
  reopen,
  TINY,
  tableFiles,
  turn,
  valueFor,
} from '../helpers/engines.ts';
import { seededRandom } from '../helpers/rng.ts';
import { freshSeed, reportSeed } from '../helpers/run-budget.ts';

const COUNT = 300;

/** A closed store with one table of 300 entries in some 60 blocks; returns the path of the table. */
async function storeWithOneTable(t: TestContext): Promise<{ path: string; table: string }> {
  const path = newPath(t);
  const engine = await openAt(t, path, { writeBufferSize: 1 << 20, maxFileSize: 1 << 20 });
  await fill(engine, COUNT);
  await engine.flush();
  await engine.close();
  const tables = tableFiles(path);
  assert.equal(tables.length, 1);
  return { path, table: join(path, tables[0]!) };
}

function flip(file: string, offset: number): void {
  const bytes = readFileSync(file);
  bytes[offset]! ^= 0x10;
  writeFileSync(file, bytes);
}

test('verify of a sound store counts everything it holds', async (t) => {
  const engine = await openTiny(t);
  const empty = await engine.verify();
  assert.deepEqual([empty.tables, empty.blocks, empty.entries, empty.logs, empty.bytes], [0, 0, 0, 0, 0]);
  await fill(engine, COUNT);
  await engine.flush();
  await engine.put('in the log', '1');
  const progress: VerifyProgress[] = [];
  const report = await engine.verify({ onProgress: (p) => progress.push(p) });
  const { levels, tableBytes } = engine.stats();
  assert.equal(
    report.tables,
    levels.reduce((sum, level) => sum + level.files, 0),
  );
  assert.equal(
    report.entries,
    levels.reduce((sum, level) => sum + level.entries, 0),
  );
  assert.equal(report.logs, 1);
  assert.ok(report.blocks >= report.tables && report.bytes > tableBytes);
  assert.equal(progress.at(-1)?.doneBytes, tableBytes);
  for (const { doneBytes, totalBytes } of progress)
    assert.ok(doneBytes <= totalBytes && totalBytes === tableBytes);
  assert.deepEqual(JSON.parse(JSON.stringify(report)), report);
});

test('verify reads a large log a piece at a time, with turns of the event loop in between', async (t) => {
  const engine = await openTiny(t, { writeBufferSize: 1 << 25 });
  // One record of 3 MiB, and others of many sizes.
  await engine.put('large', Buffer.alloc(3 << 20, 1));
  for (let i = 0; i < 100; i++) await engine.put(keyOf(i), Buffer.alloc(i * 1000, i));
  let turns = 0;
  let isDone = false;
  const count = (): void => {
    turns++;
    if (!isDone) setImmediate(count);
  };
  setImmediate(count);
  const report = await engine.verify();
  isDone = true;
  assert.equal(report.logs, 1);
  assert.ok(report.bytes > 7 << 20);
  // A piece has 256 KiB at most.
  assert.ok(turns >= report.bytes / 262_144, `${turns} turns`);
});

test('verify while writes, flushes and compactions go on', async (t) => {
  const engine = await openTiny(t, { threads: 2 });
  await fill(engine, COUNT);
  const work = [fill(engine, 1000, 40, 1), engine.compact(), engine.flush()];
  for (let i = 0; i < 5; i++) {
    const verified = engine.verify();
    // Encoded, but not in the log yet, at every point at which verify looks at the logs.
    for (let j = 0; j < 50; j++) await Promise.race([engine.put('busy', `${j}`), Promise.resolve()]);
    await verified;
  }
  await Promise.all(work);
  await engine.verify();
});

test('a flipped bit anywhere in a table is found by verify, named by file, and never read as data', async (t) => {
  const seed = freshSeed();
  reportSeed(t, seed);
  const random = seededRandom(seed);
  const { path, table } = await storeWithOneTable(t);
  const sound = readFileSync(table);
  const offsets = Array.from({ length: 40 }, () => random.below(sound.length));
  for (const offset of [0, sound.length - 1, sound.length - 20, ...offsets]) {
    flip(table, offset);
    const message = `offset ${offset} of ${sound.length}, seed ${seed}`;
    const engine = await StorageEngine.open(path, { ...TINY, threads: 0 });
    const error = await failsWith('STRATA_CORRUPTION', engine.verify());
    assert.ok(error instanceof CorruptionError, message);
    assert.equal(error.file, table, message);
    assert.equal(typeof error.offset, 'number', message);
    assert.ok(
      error.offset! <= offset,
      `${message}: the damage begins at or before it, not at ${error.offset}`,
    );
    for (let i = 0; i < COUNT; i += 3) checkGet(engine, i, message);
    checkScan(engine, false, message);
    checkScan(engine, true, message);
    await engine.close();
    writeFileSync(table, sound);
  }
});

/** The right value or an error, nothing else. */
function checkGet(engine: StorageEngine, i: number, message: string): void {
  let value: Buffer | undefined;
  try {
    value = engine.getSync(keyOf(i));
  } catch (error) {
    assert.ok(error instanceof CorruptionError, message);
    return;
  }
  assert.equal(value?.toString(), valueFor(i), message);
}

/** All entries, or right ones up to an error: never fewer without one. */
function checkScan(engine: StorageEngine, reverse: boolean, message: string): void {
  const expected = Array.from({ length: COUNT }, (_, i) => (reverse ? COUNT - 1 - i : i));
  let count = 0;
  try {
    for (const [key, value] of engine.scan({ reverse })) {
      const i = expected[count++]!;
      assert.deepEqual([key.toString(), value.toString()], [keyOf(i), valueFor(i)], message);
    }
  } catch (error) {
    if (!(error instanceof CorruptionError)) throw error;
    return;
  }
  assert.equal(count, COUNT, `${message}: the scan ended early`);
}

test('a scan over a damaged block rejects where the damage is, and closes', async (t) => {
  const { path, table } = await storeWithOneTable(t);
  const middle = Math.floor(readFileSync(table).length / 2);
  flip(table, middle);
  const engine = await openAt(t, path);
  for (const reverse of [false, true]) {
    let count = 0;
    const error = await failsWith('STRATA_CORRUPTION', async () => {
      for await (const _ of engine.scan({ reverse })) count++;
    });
    assert.ok(count > 0 && count < COUNT, `${count} entries before the damage`);
    assert.equal(error.file, table);
    assert.ok(error.offset! <= middle && error.offset! > 0);
    const scan = engine.scan({ reverse });
    await failsWith('STRATA_CORRUPTION', () => scan.nextMany(COUNT));
    assert.equal(engine.stats().openScans, 0);
  }
  // What lies elsewhere can still be read.
  assert.equal(engine.getSync(keyOf(0))?.toString(), valueFor(0));
  assert.equal(engine.getSync(keyOf(COUNT - 1))?.toString(), valueFor(COUNT - 1));
});

test('errors hold no bytes of keys or values', async (t) => {
  const { path, table } = await storeWithOneTable(t);
  flip(table, 1000);
  const engine = await openAt(t, path);
  const error = await failsWith('STRATA_CORRUPTION', engine.verify());
  assert.doesNotMatch(`${error.message}${error.stack}${String(error.cause)}`, /key-|aaa|bbb/);
  const refused = await failsWith('STRATA_INVALID_ARGUMENT', engine.put('secret', { secret: 1 } as never));
  assert.doesNotMatch(refused.message, /secret/);
});

test('compact of a damaged table rejects and loses nothing; other data goes on', async (t) => {
  const { path, table } = await storeWithOneTable(t);
  flip(table, 5000);
  const engine = await openAt(t, path);
  await engine.put('other', '1');
  // More than a move: the damaged table meets another one.
  await engine.put(keyOf(0), 'newer');
  await failsWith('STRATA_CORRUPTION', engine.compact());
  await turn();
  assert.ok(tableFiles(path).includes(table.slice(path.length + 1)), 'the damaged table is still there');
  assert.equal(engine.getSync('other')?.toString(), '1');
  await engine.put('more', '2');
  assert.equal(engine.status, 'open');
  flip(table, 5000);
  const repaired = await reopen(t, engine);
  await repaired.compact();
  assert.equal(Array.from(repaired.scan()).length, COUNT + 2);
});

test('damage in one table does not keep writers from writing and flushing', async (t) => {
  const { path, table } = await storeWithOneTable(t);
  flip(table, 5000);
  const engine = await openAt(t, path);
  for (let round = 1; round < 8; round++) await fill(engine, 200, 40, round);
  await engine.flush();
  assert.equal(engine.getSync(keyOf(100))?.toString(), valueFor(100, 40, 7));
});

test('a missing, shorter or longer table is refused when the store is opened, and nothing changes', async (t) => {
  const { path, table } = await storeWithOneTable(t);
  const sound = readFileSync(table);
  const damages: [string, () => void][] = [
    ['missing', () => unlinkSync(table)],
    ['empty', () => writeFileSync(table, '')],
    ['shorter', () => truncateSync(table, sound.length - 1)],
    ['longer', () => writeFileSync(table, Buffer.concat([sound, Buffer.alloc(1)]))],
  ];
  for (const [name, damage] of damages) {
    damage();
    const before = contentsOf(path);
    const error = await failsWith('STRATA_CORRUPTION', StorageEngine.open(path, TINY));
    assert.equal(error.file, table, name);
    assert.deepEqual(contentsOf(path), before, name);
    writeFileSync(table, sound);
  }
  await (await StorageEngine.open(path, TINY)).verify();
});

test('two tables swapped, each intact, are found out', async (t) => {
  const path = newPath(t);
  const engine = await openAt(t, path, { compression: 'none' });
  await fill(engine, 50);
  await engine.flush();
  await fill(engine, 50, 40, 1);
  await engine.flush();
  await engine.close();
  const [first, second] = tableFiles(path).map((name) => join(path, name));
  const bytes = [readFileSync(first!), readFileSync(second!)];
  assert.equal(bytes[0]!.length, bytes[1]!.length, 'same size, so that only their content can tell');
  writeFileSync(first!, bytes[1]!);
  writeFileSync(second!, bytes[0]!);
  const swapped = await openAt(t, path);
  await failsWith('STRATA_CORRUPTION', swapped.get(keyOf(3)));
  await failsWith('STRATA_CORRUPTION', () => Array.from(swapped.scan()));
  await failsWith('STRATA_CORRUPTION', swapped.verify());
});

test('a damaged log of a closed store is refused, with file and offset, and nothing changes', async (t) => {
  const path = newPath(t);
  const engine = await openAt(t, path, { writeBufferSize: 1 << 20 });
  for (let i = 0; i < 20; i++) await engine.put(keyOf(i), valueFor(i));
  await engine.close();
  const log = Object.keys(contentsOf(path)).find((name) => name.endsWith('.log'));
  const file = join(path, log!);
  const size = readFileSync(file).length;
  for (const offset of [0, 30, Math.floor(size / 2), size - 1]) {
    flip(file, offset);
    const before = contentsOf(path);
    const error = await failsWith('STRATA_CORRUPTION', StorageEngine.open(path, TINY));
    assert.equal(error.file, file);
    assert.ok(error.offset! <= offset);
    assert.deepEqual(contentsOf(path), before);
    flip(file, offset);
  }
  truncateSync(file, size - 1);
  await failsWith('STRATA_CORRUPTION', StorageEngine.open(path, TINY));
});
