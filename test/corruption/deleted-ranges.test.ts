/**
 * Deleted ranges in damaged stores: what verify() counts, and what a repair keeps of them or says is lost.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type EngineOptions, StorageEngine } from '../../src/main/index.ts';
import { readU64 } from '../../src/shared/base/bytes.ts';
import { FOOTER_BYTES } from '../../src/shared/table/format.ts';
import { failsWith, fill, keyOf, newPath, openAt, tableFiles, textsOf } from '../helpers/engines.ts';
import { SMALL } from './small-store.ts';

const INLINE: EngineOptions = { ...SMALL, writeBufferSize: 1_000_000, maxFileSize: 1_000_000 };
const COUNT = 60;

interface Holes {
  readonly path: string;
  /** What it holds, as texts. */
  readonly content: [string, string][];
  /** Of the table with the ranges. */
  readonly newest: string;
}

/** Values at the bottom; above them a table with a deleted range, a tombstone outside of it and a value put into it later. */
async function storeWithHoles(t: TestContext, isFlushed = true): Promise<Holes> {
  const path = newPath(t);
  const engine = await openAt(t, path, INLINE);
  await fill(engine, COUNT, 40, 0);
  await engine.compact();
  await engine.put(keyOf(1), 'newer');
  await engine.deleteRange({ gte: keyOf(10), lt: keyOf(20) });
  await engine.put(keyOf(15), 'back');
  await engine.delete(keyOf(30));
  // Last, so that the entries alone do not have all sequences that the table says it has.
  await engine.deleteRange({ gte: keyOf(40) });
  if (isFlushed) await engine.flush();
  const content = textsOf(engine.scan());
  assert.equal(content.length, COUNT - 10 - (COUNT - 40) + 1 - 1);
  await engine.close();
  return { path, content, newest: join(path, tableFiles(path).at(-1)!) };
}

async function contentOf(t: TestContext, path: string): Promise<[string, string][]> {
  const engine = await openAt(t, path, INLINE);
  await engine.verify();
  const texts = textsOf(engine.scan());
  // Compaction must come to the same.
  await engine.compact();
  assert.deepEqual(textsOf(engine.scan()), texts);
  await engine.close();
  return texts;
}

function flip(path: string, offset: number): void {
  const bytes = readFileSync(path);
  bytes[offset]! ^= 0x10;
  writeFileSync(path, bytes);
}

test('verify() counts the deleted ranges of tables, and finds each changed byte of them', async (t) => {
  const { path, newest } = await storeWithHoles(t);
  const engine = await openAt(t, path, INLINE);
  assert.equal((await engine.verify()).rangeDeletes, 2);
  assert.equal(
    engine.stats().levels.reduce((sum, { rangeDeletes }) => sum + rangeDeletes, 0),
    2,
  );
  await engine.close();
  const sound = readFileSync(newest);
  const metaAt = readU64(sound, sound.length - FOOTER_BYTES);
  for (let at = metaAt; at < sound.length; at += 7) {
    flip(newest, at);
    const damaged = await openAt(t, path, { ...INLINE, readOnly: true });
    await failsWith('STRATA_CORRUPTION', damaged.verify());
    await damaged.close();
    writeFileSync(newest, sound);
  }
});

test('a lost manifest: deleted ranges hide what older tables hold, and not what is newer', async (t) => {
  const { path, content } = await storeWithHoles(t);
  rmSync(join(path, 'manifest.json'));
  const report = await StorageEngine.repair(path);
  assert.equal(report.manifest, 'rebuilt');
  assert.deepEqual(await contentOf(t, path), content);
});

test('a damaged block: the deleted ranges of its table stay, with the manifest and without', async (t) => {
  for (const hasManifest of [true, false]) {
    const { path, content, newest } = await storeWithHoles(t);
    flip(newest, 3);
    if (!hasManifest) rmSync(join(path, 'manifest.json'));
    const report = await StorageEngine.repair(path);
    assert.doesNotMatch(report.warnings.join('\n'), /ranges of keys/);
    const kept = new Map(await contentOf(t, path));
    // Its one block had these.
    const expected = new Map(content);
    expected.set(keyOf(1), kept.get(keyOf(1))!);
    expected.set(keyOf(30), kept.get(keyOf(30))!);
    expected.delete(keyOf(15));
    assert.deepEqual([...kept].sort(), [...expected].sort());
  }
});

test('a damaged meta block: repair keeps the entries and says that deleted ranges are lost', async (t) => {
  const { path, newest } = await storeWithHoles(t);
  const sound = readFileSync(newest);
  const metaAt = readU64(sound, sound.length - FOOTER_BYTES);
  // Within the last section, so that the properties can still be read.
  flip(newest, sound.length - FOOTER_BYTES - 2);
  assert.ok(sound.length - FOOTER_BYTES - 2 > metaAt);
  const report = await StorageEngine.repair(path);
  assert.match(report.warnings.join('\n'), /2 deleted ranges are lost/);
  const kept = new Map(await contentOf(t, path));
  assert.equal(kept.get(keyOf(1)), 'newer');
  assert.equal(kept.get(keyOf(15)), 'back');
  assert.equal(kept.has(keyOf(30)), false, 'its tombstone is kept');
  assert.equal(kept.has(keyOf(12)), true, 'what the range deleted is back, as the warning says');
});

test('a damaged log: its deleted ranges go into tables, those without an end as well', async (t) => {
  const { path, content } = await storeWithHoles(t, false);
  const log = readdirSync(path).find((name) => name.endsWith('.log'))!;
  flip(join(path, log), 5);
  const report = await StorageEngine.repair(path);
  assert.deepEqual(
    report.files.filter(({ kind }) => kind === 'log').map(({ outcome }) => outcome),
    ['salvaged'],
  );
  assert.deepEqual(await contentOf(t, path), content);
});
