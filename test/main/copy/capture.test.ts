/**
 * captureStore(): one moment of a store as files, whatever goes on meanwhile.
 *
 * Each write of these tests takes one sequence and sets one key, so what a capture of sequence S must hold is known: the first S
 * writes.
 */
import assert from 'node:assert/strict';
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Capture } from '../../../src/main/copy/capture.ts';
import { captureSourceOf } from '../../../src/main/copy/capture-source.ts';
import { type AwaitedMoment, type HeldMoment, TableMoments } from '../../../src/main/copy/moments.ts';
import type { StorageEngine } from '../../../src/main/engine.ts';
import { crc32 } from '../../../src/shared/base/checksum.ts';
import {
  failsWith,
  keyOf,
  newPath,
  openAt,
  openTiny,
  textsOf,
  until,
  valueFor,
} from '../../helpers/engines.ts';
import { seededRandom } from '../../helpers/rng.ts';
import { runBudget, runSeed } from '../../helpers/run-budget.ts';

const KEYS = 60;

function captureOf(engine: StorageEngine): Promise<Capture> {
  return captureSourceOf(engine)!.capture();
}

/** Makes the store that a capture describes; every file must be what it says. */
function place(capture: Capture, directory: string): void {
  mkdirSync(directory);
  for (const { path, name, sizeBytes, checksum } of capture.files) {
    copyFileSync(path, join(directory, name));
    const bytes = readFileSync(path).subarray(0, sizeBytes);
    assert.equal(bytes.length, sizeBytes, name);
    if (checksum !== undefined) assert.equal(crc32(bytes), checksum, name);
  }
  writeFileSync(join(directory, 'manifest.json'), capture.manifest());
}

async function contentOf(t: TestContext, capture: Capture): Promise<[string, string][]> {
  const path = newPath(t);
  place(capture, path);
  const copy = await openAt(t, path, { createIfMissing: false });
  await copy.verify();
  const texts = textsOf(copy.scan());
  await copy.close();
  return texts;
}

/** After the first `count` writes of {@link writeNumber}. */
function modelAt(count: number): [string, string][] {
  const model = new Map<string, string>();
  for (let i = 0; i < count; i++) model.set(keyOf((i * 7) % KEYS), valueFor(i));
  return [...model].sort(([a], [b]) => (a < b ? -1 : 1));
}

function writeNumber(engine: StorageEngine, i: number): Promise<void> {
  return engine.put(keyOf((i * 7) % KEYS), valueFor(i));
}

test('a capture holds the first writes up to its sequence, while others go on', async (t) => {
  const random = seededRandom(runSeed(t));
  const engine = await openTiny(t);
  let made = 0;
  let acknowledged = 0;
  let isDone = false;
  const writer = (async () => {
    while (!isDone) {
      const burst: Promise<void>[] = [];
      for (let count = random.between(1, 40); count > 0; count--)
        burst.push(writeNumber(engine, made++).then(() => void acknowledged++));
      await Promise.all(burst);
      if (random.chance(0.1)) await engine.compact();
      if (random.chance(0.3)) await new Promise((resolve) => setImmediate(resolve));
    }
  })();
  for (let round = runBudget('STRATA_CAPTURES', 6); round > 0; round--) {
    const goal = made + random.below(200);
    await until(() => made >= goal);
    const before = acknowledged;
    const capture = await captureOf(engine);
    assert.ok(capture.sequence >= before, 'what was acknowledged is in it');
    assert.ok(capture.sequence <= made);
    // Whatever is merged and deleted from now on: its files stay.
    const later = made + random.below(300);
    await until(() => made >= later);
    assert.deepEqual(await contentOf(t, capture), modelAt(capture.sequence));
    capture.release();
    capture.release();
  }
  isDone = true;
  await writer;
});

test('what is flushed already is captured without another flush, and of an empty store nothing', async (t) => {
  const engine = await openTiny(t);
  const empty = await captureOf(engine);
  assert.deepEqual([empty.files, empty.sequence], [[], 0]);
  assert.deepEqual(await contentOf(t, empty), []);
  empty.release();
  await writeNumber(engine, 0);
  await engine.flush();
  const [first, second] = [await captureOf(engine), await captureOf(engine)];
  assert.equal(engine.stats().jobs.flushes, 1);
  assert.equal(first.position, second.position);
  assert.deepEqual(first.files, second.files);
  assert.deepEqual(await contentOf(t, first), modelAt(1));
  first.release();
  second.release();
});

test('files stay until the release, and go after it', async (t) => {
  const engine = await openTiny(t);
  for (let i = 0; i < 50; i++) await writeNumber(engine, i);
  const capture = await captureOf(engine);
  const [{ path }] = capture.files as [Capture['files'][number]];
  for (let i = 50; i < 100; i++) await writeNumber(engine, i);
  await engine.compact();
  assert.ok(existsSync(path));
  assert.equal(engine.stats().files.pinnedVersions, 1);
  capture.release();
  await until(() => !existsSync(path));
});

test('of a read-only store: its tables, and its logs as far as they count', async (t) => {
  const path = newPath(t);
  const writer = await openAt(t, path, { writeBufferSize: 65_536 });
  for (let i = 0; i < 40; i++) await writeNumber(writer, i);
  await writer.flush();
  for (let i = 40; i < 60; i++) await writeNumber(writer, i);
  await writer.close();
  const reader = await openAt(t, path, { readOnly: true });
  const capture = await captureOf(reader);
  assert.deepEqual(
    capture.files.map(({ kind }) => kind),
    ['table', 'log'],
  );
  assert.equal(capture.sequence, 60);
  assert.deepEqual(await contentOf(t, capture), modelAt(60));
  capture.release();
});

test('recovered writes, a bulk load and deleted ranges are in it', async (t) => {
  const path = newPath(t);
  const writer = await openAt(t, path, { writeBufferSize: 65_536 });
  for (let i = 0; i < 20; i++) await writeNumber(writer, i);
  await writer.close();
  const engine = await openAt(t, path, { writeBufferSize: 65_536 });
  const recovered = await captureOf(engine);
  assert.deepEqual(await contentOf(t, recovered), modelAt(20));
  await engine.ingest([['loaded', 'now']]);
  const loaded = await captureOf(engine);
  assert.deepEqual(await contentOf(t, loaded), [...modelAt(20), ['loaded', 'now']]);
  await engine.deleteRange({ prefix: 'key-' });
  const emptied = await captureOf(engine);
  assert.deepEqual(await contentOf(t, emptied), [['loaded', 'now']]);
  for (const capture of [recovered, loaded, emptied]) capture.release();
  const positions = new Set([recovered, loaded, emptied].map(({ position }) => position));
  assert.equal(positions.size, 3);
});

test('a closed store is not captured', async (t) => {
  const engine = await openTiny(t);
  await engine.close();
  await failsWith('STRATA_CLOSED', () => captureOf(engine));
});

test('moments: a version that was asked for is pinned when it comes, not after the next one', () => {
  let version = 0;
  const released: number[] = [];
  const hold = (): HeldMoment => {
    const held = version;
    return { version: held, kept: undefined, release: () => released.push(held) } as unknown as HeldMoment;
  };
  const moments = new TableMoments(hold, 10);
  const versionOf = (moment: AwaitedMoment): unknown => moment.held?.version;
  const install = (through?: number): void => {
    version++;
    moments.installed({ added: [], removed: [], ...(through === undefined ? {} : { through }) });
  };
  const now = moments.at(10);
  assert.equal(versionOf(now), 0);
  const next = moments.at(20);
  const given = moments.at(20);
  given.release();
  install();
  assert.equal(next.held, undefined);
  install(20);
  install(30);
  assert.equal(versionOf(next), 2);
  assert.equal(given.held, undefined);
  assert.equal(moments.through, 30);
  next.release();
  now.release();
  assert.deepEqual(released, [2, 0]);
});
