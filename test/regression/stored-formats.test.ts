/**
 * Stores that releases have left behind, in test/testdata/stores: they open, hold what they held, verify, and go on.
 *
 *   tables-1-log-2   manifest 3, tables 1, logs 2: before deleted ranges and values that expire
 *   tables-2-log-2   manifest 4, tables 2, logs 2: with both, in tables and in the log
 *   manifest-5       tables 2, logs 2: the id of each opening, batches and times in logs; logs and an ingestion that are kept
 *
 * The first two have a table at the bottom, one in level 0, and a log. Their changes begin where they are opened.
 */
import assert from 'node:assert/strict';
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { StorageEngine } from '../../src/main/index.ts';
import { failsWith, newPath, openWith, textsOf } from '../helpers/engines.ts';
import { batchesUntilNow } from '../helpers/feed.ts';
import { SettableClock } from '../helpers/settable-clock.ts';

/** Compiled tests run from a build directory below the project's root. */
const STORES = join(process.cwd(), 'test', 'testdata', 'stores');
const COUNT = 30;

const keyOf = (i: number): string => `key-${String(i).padStart(3, '0')}`;

interface Stored {
  readonly path: string;
  readonly clock: SettableClock;
  readonly engine: StorageEngine;
}

/** The store from before expiry notes the time at which it was written: no clock of an opening may be behind it. */
const FAR_MS = Date.UTC(2100);

async function openStored(t: TestContext, name: string, ms: number): Promise<Stored> {
  const path = newPath(t);
  cpSync(join(STORES, name), path, { recursive: true });
  const clock = new SettableClock(ms);
  return { path, clock, engine: await openWith(t, path, { threads: 0 }, { clock }) };
}

function expected(textOf: (i: number) => string | undefined): [string, string][] {
  return Array.from({ length: COUNT }, (_, i): [string, string | undefined] => [keyOf(i), textOf(i)]).filter(
    (entry): entry is [string, string] => entry[1] !== undefined,
  );
}

test('a store from before deleted ranges and expiry opens, and goes on with both', async (t) => {
  const { path, clock, engine } = await openStored(t, 'tables-1-log-2', FAR_MS);
  const held = expected((i) => {
    if (i === 1 || i % 3 === 0) return undefined;
    if (i % 3 === 1) return `newer ${i}`;
    return i % 6 === 2 ? `logged ${i}` : `table ${i}`;
  });
  assert.deepEqual(textsOf(engine.scan()), held);
  for (const [key, value] of held) assert.equal(engine.getSync(key)?.toString(), value);
  await engine.verify();
  await engine.deleteRange({ gte: keyOf(10), lt: keyOf(20) });
  await engine.put(keyOf(15), 'short', { ttl: 10 });
  await engine.close();
  const again = await openWith(t, path, { threads: 0 }, { clock });
  const left = held.filter(([key]) => key < keyOf(10) || key >= keyOf(20));
  assert.equal(again.getSync(keyOf(15))?.toString(), 'short');
  clock.pass(10);
  assert.deepEqual(textsOf(again.scan()), left);
  await again.compact();
  assert.deepEqual(textsOf(again.scan()), left);
  await again.verify();
});

test('a store with deleted ranges and values that expire, in tables and the log, is read as it was written', async (t) => {
  const { clock, engine } = await openStored(t, 'tables-2-log-2', 1_000_000);
  const textOf = (i: number): string | undefined => {
    if (i === 0) return undefined;
    if (i === 7) return 'again';
    if (i === 8) return 'logged';
    if (i === 20) return 'later';
    if (i === 27) return 'after';
    return (i >= 5 && i < 10) || i >= 25 ? undefined : `table ${i}`;
  };
  assert.deepEqual(textsOf(engine.scan()), expected(textOf));
  assert.equal(await engine.expiresAt(keyOf(8)), 1_002_000);
  assert.equal(await engine.expiresAt(keyOf(20)), 1_005_000);
  assert.equal(await engine.expiresAt(keyOf(11)), 1_001_011);
  assert.equal(await engine.expiresAt(keyOf(12)), undefined);
  await engine.verify();
  clock.set(1_003_000);
  const left = expected((i) => (i === 7 || i === 27 || (i % 2 === 0 && i !== 8) ? textOf(i) : undefined));
  assert.deepEqual(textsOf(engine.scan()), left);
  await engine.compact();
  assert.deepEqual(textsOf(engine.scan()), left);
  assert.equal(
    engine.stats().levels.reduce((sum, { entries }) => sum + entries, 0),
    left.length,
  );
  await engine.verify();
});

/** Given out when the store was made: behind each of its writes, the first one before them. */
const POSITIONS: readonly string[] = [
  'p1V5DVmkEAinxZHv7hQ6rKm4jNrfC68u5-NBb0NSJlN3la98CJ',
  'p1z2lvYzbbFMF-SaVio_cbokJLxECchQSU9kuUObUN6HnSgFtT',
  'p1sm5KIY1EyaQnmkhm740YLxKURkgbLyYMEUJlW5usRTgX_Yyj',
  'p1q2ePK1rM2QVoXL5N0qxyoSdbNzOhHXKco0d9EVnLY3COG8MS',
  'p1hqg2BaZndm9NN3kez2wrF0TYjx55XYCjzfX7FxlU4OGFsL5K',
  'p1Za-5iwbDiCtvVyxkgKgvM-IlI3o6wEFWAE6Tw5CeYdQzAfCd',
  'p1_WuwiW8jXL7BqD188ruMG4VJ9h9PIcommNXL13SaLnYC_y7s',
  'p1z3k6nMEgKETJeFo1yaOgWsjyAdZFQOaUl_-NeJk8KOH5rmik',
];

test('a store with what is kept for changes() gives them from the positions that it gave out', async (t) => {
  const path = newPath(t);
  cpSync(join(STORES, 'manifest-5'), path, { recursive: true });
  const clock = new SettableClock(3_000_000);
  const retainChanges = { bytes: 1 << 20 };
  const engine = await openWith(t, path, { threads: 0, retainChanges }, { clock });
  assert.deepEqual(textsOf(engine.scan()), [
    ['b', '2'],
    ['c', '3'],
    ['d', '4'],
    ['e', '5'],
    ['i1', 'x'],
    ['i3', 'z'],
    ['t', 'short'],
  ]);
  assert.equal(engine.position, POSITIONS.at(-1));
  const batches = await batchesUntilNow(engine, POSITIONS[0]!);
  assert.deepEqual(
    batches.map(({ position }) => position),
    POSITIONS.slice(1),
  );
  const counts = batches.map(({ changes }) => changes.map(({ type }) => type).join(' '));
  assert.deepEqual(counts, ['put', 'put delete', 'put', 'put put put', 'deleteRange', 'put', 'put put']);
  for (const [i, after] of POSITIONS.entries())
    assert.equal((await batchesUntilNow(engine, after)).length, POSITIONS.length - 1 - i);
  await engine.verify();
});

test('a store from before positions has one where it is opened, and nothing before that', async (t) => {
  const { path, engine } = await openStored(t, 'tables-2-log-2', 1_000_000);
  const { position } = engine;
  await engine.put('more', '1');
  assert.equal((await batchesUntilNow(engine, position)).length, 1);
  await engine.flush();
  await engine.close();
  const again = await openWith(t, path, { threads: 0 }, { clock: new SettableClock(1_000_000) });
  await failsWith('STRATA_POSITION_LOST', again.changes({ after: position }).next());
});
