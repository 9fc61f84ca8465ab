/**
 * Repair of stores with deleted ranges: whatever was damaged, what was deleted stays deleted, or the report says that it may
 * not.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type EngineOptions, type RepairReport, StorageEngine } from '../../src/main/index.ts';
import { readU64 } from '../../src/shared/base/bytes.ts';
import { FOOTER_BYTES, SECTION_HEADER_BYTES } from '../../src/shared/table/format.ts';
import { failsWith, fill, keyOf, newPath, openAt, tableFiles, textsOf } from '../helpers/engines.ts';
import { SMALL } from './small-store.ts';

const OPTIONS: EngineOptions = { ...SMALL, writeBufferSize: 1_000_000, compression: 'none' };
const LATER = 3_600_000;

type Content = [string, string][];

async function written(
  t: TestContext,
  path: string,
  work: (engine: StorageEngine) => Promise<void>,
): Promise<void> {
  const engine = await openAt(t, path, OPTIONS);
  await work(engine);
  await engine.close();
}

async function contentOf(t: TestContext, path: string): Promise<Content> {
  const engine = await openAt(t, path, OPTIONS);
  await engine.verify();
  const texts = textsOf(engine.scan());
  assert.deepEqual(
    Array.from({ length: 60 }, (_, i) => engine.getSync(keyOf(i))?.toString()).filter((value) => value),
    texts.map(([, value]) => value),
    'lookups and scans agree',
  );
  await engine.close();
  return texts;
}

interface RangeStore {
  readonly path: string;
  readonly content: Content;
  /** The table of level 0, with the ranges. */
  readonly table: string;
  readonly log: string;
  /** What the log adds: of what came before, this is there. */
  readonly withoutLog: Content;
}

/**
 * 60 keys at the bottom, above them a table that deletes from 10 to 20 and from 40 to 55, and a log that deletes from 30 to 35
 * and all from 50 on: more than it has keys of its own.
 */
async function makeStore(t: TestContext): Promise<RangeStore> {
  const path = newPath(t);
  await written(t, path, async (engine) => {
    await fill(engine, 60, 40, 0);
    await engine.compact();
  });
  const before = tableFiles(path);
  await written(t, path, async (engine) => {
    await engine.deleteRange({ gte: keyOf(10), lt: keyOf(20) });
    await engine.deleteRange({ gte: keyOf(40), lt: keyOf(55) });
    await engine.put(keyOf(15), 'newer');
    await engine.put(keyOf(50), 'newer');
    await engine.flush();
  });
  const table = tableFiles(path).find((name) => !before.includes(name))!;
  const withoutLog = await contentOf(t, path);
  await written(t, path, async (engine) => {
    await engine.put(keyOf(1), 'logged');
    await engine.deleteRange({ gte: keyOf(30), lt: keyOf(35) });
    await engine.put(keyOf(32), 'in the log');
    await engine.deleteRange({ gte: keyOf(50) });
    await engine.put(keyOf(52), 'expires', { ttl: LATER });
    await engine.put(keyOf(2), 'last');
  });
  const log = readdirSync(path).findLast((name) => name.endsWith('.log'))!;
  const content = await contentOf(t, path);
  assert.equal(content.length, 10 + 1 + 10 + 1 + 5 + 1, 'what the ranges leave');
  return { path, content, table, log, withoutLog };
}

function edit(path: string, change: (bytes: Buffer) => void): void {
  const bytes = readFileSync(path);
  change(bytes);
  writeFileSync(path, bytes);
}

/** Repairs, and checks that a second repair finds nothing to do. */
async function repaired(path: string): Promise<RepairReport> {
  const report = await StorageEngine.repair(path);
  assert.ok(!report.isSound);
  const second = await StorageEngine.repair(path);
  assert.ok(second.isSound, JSON.stringify(second));
  return report;
}

/** Also once compactions have brought the ranges down. */
async function holds(t: TestContext, path: string, content: Content, what: string): Promise<void> {
  assert.deepEqual(await contentOf(t, path), content, what);
  await written(t, path, async (engine) => await engine.compact());
  assert.deepEqual(await contentOf(t, path), content, `${what}, compacted`);
}

test('deleted ranges outlast a lost manifest, and one of which only the list of tables is left', async (t) => {
  const lost = await makeStore(t);
  rmSync(join(lost.path, 'manifest.json'));
  assert.equal((await repaired(lost.path)).manifest, 'rebuilt');
  await holds(t, lost.path, lost.content, 'without a manifest');

  const listed = await makeStore(t);
  edit(join(listed.path, 'manifest.json'), (bytes) => {
    bytes[60]! ^= 0x10;
  });
  const { warnings } = await repaired(listed.path);
  assert.ok(!warnings.some((text) => text.includes('nothing says which')), warnings.join('\n'));
  await holds(t, listed.path, listed.content, 'by the list');
});

test('deleted ranges outlast damage to every block of their table', async (t) => {
  for (const isManifestLost of [false, true]) {
    const { path, table, content } = await makeStore(t);
    edit(join(path, table), (bytes) => {
      const metaAt = readU64(bytes, bytes.length - FOOTER_BYTES);
      bytes.fill(0xee, 0, metaAt);
    });
    if (isManifestLost) rmSync(join(path, 'manifest.json'));
    const report = await repaired(path);
    const file = report.files.find(({ name }) => name === table)!;
    assert.deepEqual([file.outcome, file.entries, file.lostRangeDeletes], ['salvaged', 0, 0]);
    assert.ok(file.lostEntries! > 0);
    // Both newer puts went with the blocks; the log deletes from 50 on.
    const left = content.filter(([key]) => key !== keyOf(15));
    await holds(t, path, left, `manifest ${isManifestLost ? 'lost' : 'kept'}`);
  }
});

test('a table whose meta block is damaged says that its deleted ranges are lost', async (t) => {
  for (const isManifestLost of [false, true])
    for (const damage of ['footer', 'sections'] as const) {
      const { path, table, content } = await makeStore(t);
      edit(join(path, table), (bytes) => {
        const metaAt = readU64(bytes, bytes.length - FOOTER_BYTES);
        if (damage === 'footer') bytes[bytes.length - 1]! ^= 0x10;
        else bytes.fill(0xee, metaAt + SECTION_HEADER_BYTES + 1, bytes.length - FOOTER_BYTES);
      });
      if (isManifestLost) rmSync(join(path, 'manifest.json'));
      const report = await repaired(path);
      const what = `${damage}, manifest ${isManifestLost ? 'lost' : 'kept'}: ${JSON.stringify(report)}`;
      const file = report.files.find(({ name }) => name === table)!;
      const isKnown = damage === 'footer' || !isManifestLost;
      assert.equal(file.lostRangeDeletes, isKnown ? 2 : undefined, what);
      assert.match(
        report.warnings.join('\n'),
        isKnown ? /2 deleted ranges are lost: what they deleted may be back/ : /deleted keys .* may be back/,
      );
      // What it had of entries is there, as long as their age is known.
      const after = new Map(await contentOf(t, path));
      if (damage === 'footer') assert.equal(after.get(keyOf(15)), 'newer', what);
      for (const [key, value] of content)
        if (key !== keyOf(15)) assert.equal(after.get(key), value, `${key}: ${what}`);
    }
});

test('the end of a log that is damaged in front keeps its deleted ranges, those without an end too', async (t) => {
  for (const isManifestLost of [false, true]) {
    const { path, log, content, withoutLog } = await makeStore(t);
    edit(join(path, log), (bytes) => {
      bytes[bytes.indexOf('logged')]! ^= 0x10;
    });
    if (isManifestLost) rmSync(join(path, 'manifest.json'));
    else await failsWith('STRATA_CORRUPTION', StorageEngine.open(path));
    const report = await repaired(path);
    const file = report.files.find(({ name }) => name === log)!;
    assert.deepEqual([file.outcome, file.entries, file.lostRangeDeletes], ['salvaged', 5, undefined]);
    const engine = await openAt(t, path, OPTIONS);
    const left = (await engine.expiresAt(keyOf(52)))! - Date.now();
    assert.ok(left > 0 && left <= LATER, 'it expires when it would have');
    await engine.close();
    const base = new Map(withoutLog).get(keyOf(1))!;
    const expected = content.map(([key, value]): [string, string] => [key, key === keyOf(1) ? base : value]);
    await holds(t, path, expected, `manifest ${isManifestLost ? 'lost' : 'kept'}`);
  }
});

test('a log cut short loses its last ranges only, and a table of nothing but ranges is put together', async (t) => {
  const { path, log, withoutLog } = await makeStore(t);
  await written(t, path, async (engine) => {
    await engine.deleteRange({ gte: keyOf(0), lt: keyOf(5) });
    await engine.flush();
    await engine.deleteRange({ gte: keyOf(5), lt: keyOf(7) });
    await engine.flush();
  });
  const before = await contentOf(t, path);
  assert.ok(before.length < withoutLog.length);
  rmSync(join(path, 'manifest.json'));
  for (const name of readdirSync(path)) if (name.endsWith('.log') && name !== log) rmSync(join(path, name));
  await repaired(path);
  await holds(t, path, before, 'ranges alone');
});
