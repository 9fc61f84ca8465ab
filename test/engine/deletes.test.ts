/**
 * Deleted keys stay deleted and compaction gets rid of what nobody can read.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EngineStats, StorageEngine } from '../../src/main/index.ts';
import { failsWith, fill, keyOf, keysOf, openTiny, reopen } from '../helpers/engines.ts';

type Step = 'flush' | 'compact' | 'reopen' | 'nothing';
const STEPS: readonly Step[] = ['flush', 'compact', 'reopen', 'nothing'];

function total(stats: EngineStats, of: 'entries' | 'tombstones' | 'files'): number {
  return stats.levels.reduce((sum, level) => sum + level[of], 0);
}

test('a deleted key stays deleted through every order of flush, compact and reopen', async (t) => {
  // One store for all orders: each has its own key, and the work for one is disturbance for the others.
  let engine = await openTiny(t);
  const orders = STEPS.flatMap((a) => STEPS.flatMap((b) => STEPS.map((c) => [a, b, c] as const)));
  const carryOut = async (step: Step): Promise<void> => {
    if (step === 'flush') await engine.flush();
    if (step === 'compact') await engine.compact();
    if (step === 'reopen') engine = await reopen(t, engine);
  };
  const check = (deleted: readonly string[], alive: readonly string[], message: string): void => {
    for (const key of deleted) {
      assert.equal(engine.getSync(key), undefined, `${key}, ${message}`);
      assert.equal(engine.hasSync(key), false, `${key}, ${message}`);
    }
    assert.deepEqual(keysOf(engine.scan()), [...alive].sort(), message);
    assert.deepEqual(keysOf(engine.scan({ reverse: true })), [...alive].sort().reverse(), message);
  };
  const deleted: string[] = [];
  const alive: string[] = [];
  for (const [afterPut, afterDelete, later] of orders) {
    const name = `${afterPut}-${afterDelete}-${later}`;
    await engine.put(`${name}:gone`, 'old');
    await engine.put(`${name}:back`, 'old');
    await carryOut(afterPut);
    await engine.delete(`${name}:gone`);
    await engine.delete(`${name}:back`);
    await carryOut(afterDelete);
    await engine.put(`${name}:back`, 'new');
    await carryOut(later);
    deleted.push(`${name}:gone`);
    alive.push(`${name}:back`);
    check(deleted, alive, name);
  }
  for (const key of alive) assert.equal(engine.getSync(key)?.toString(), 'new');
});

test('a tombstone in level 0 hides a value that lies levels deeper', async (t) => {
  const engine = await openTiny(t);
  await fill(engine, 300);
  await engine.compact();
  const deepest = engine.stats().levels.findLastIndex((level) => level.files > 0);
  assert.ok(deepest > 1, `the values are in level ${deepest}`);
  for (let i = 0; i < 300; i += 3) await engine.delete(keyOf(i));
  await engine.flush();
  const left = Array.from({ length: 300 }, (_, i) => i).filter((i) => i % 3 !== 0);
  assert.deepEqual(keysOf(engine.scan()), left.map(keyOf));
  assert.equal(engine.getSync(keyOf(3)), undefined);
});

test('compact leaves no tombstone, no shadowed version and, of an emptied store, no table', async (t) => {
  const engine = await openTiny(t);
  await fill(engine, 300);
  await engine.flush();
  await fill(engine, 300, 40, 1);
  for (let i = 0; i < 300; i += 2) await engine.delete(keyOf(i));
  await engine.flush();
  assert.ok(total(engine.stats(), 'tombstones') > 0);
  await engine.compact();
  assert.deepEqual(
    [total(engine.stats(), 'entries'), total(engine.stats(), 'tombstones')],
    [150, 0],
    'after the first',
  );
  for (let i = 1; i < 300; i += 2) await engine.delete(keyOf(i));
  await engine.compact();
  assert.deepEqual([total(engine.stats(), 'files'), engine.stats().tableBytes], [0, 0]);
  assert.deepEqual(keysOf(engine.scan()), []);
  assert.equal(keysOf((await reopen(t, engine)).scan()).length, 0);
});

test('deletes of keys that never were leave nothing behind', async (t) => {
  const engine = await openTiny(t);
  for (let i = 0; i < 300; i++) await engine.delete(keyOf(i));
  await engine.compact();
  assert.equal(total(engine.stats(), 'files'), 0);
});

test('a snapshot keeps what it sees through compact; once closed, compact takes it away', async (t) => {
  const engine = await openTiny(t);
  await fill(engine, 100);
  const snapshot = engine.snapshot();
  for (let i = 0; i < 100; i++) await engine.delete(keyOf(i));
  await engine.compact();
  assert.equal(keysOf(engine.scan({ snapshot })).length, 100);
  assert.deepEqual(keysOf(engine.scan()), []);
  snapshot.close();
  await engine.compact();
  assert.equal(total(engine.stats(), 'files'), 0);
});

test('compact of a range does that range, both ends included, and leaves the rest', async (t) => {
  const engine = await openTiny(t);
  await fill(engine, 600);
  await engine.compact();
  for (let i = 0; i < 600; i++) await engine.delete(keyOf(i));
  await engine.flush();
  await engine.compact({ start: keyOf(0), end: keyOf(299) });
  assert.ok(total(engine.stats(), 'entries') <= 620, 'the first half is gone');
  assert.deepEqual(keysOf(engine.scan()), []);
  await engine.compact({ start: keyOf(300) });
  assert.equal(total(engine.stats(), 'files'), 0);
});

test('compact of a range that holds nothing, is upside down or is one key, does no harm', async (t) => {
  const engine = await openTiny(t);
  await engine.compact();
  await fill(engine, 200);
  await engine.compact({ start: 'x', end: 'z' });
  await engine.compact({ start: 'z', end: 'a' });
  await engine.compact({ start: keyOf(7), end: keyOf(7) });
  await engine.compact({ end: '' });
  await engine.compact({ start: Uint8Array.of(255) });
  assert.equal(keysOf(engine.scan()).length, 200);
  await failsWith('STRATA_INVALID_ARGUMENT', engine.compact({ from: 'a' } as never));
  await failsWith('STRATA_INVALID_ARGUMENT', engine.compact(null as never));
  await failsWith('STRATA_INVALID_ARGUMENT', engine.compact({ start: 7 as never }));
});

test('several compact and flush calls at once all resolve, while writes go on', async (t) => {
  const engine = await openTiny(t, { threads: 2 });
  const work: Promise<unknown>[] = [];
  for (let round = 0; round < 5; round++) {
    work.push(fill(engine, 300, 40, round));
    work.push(engine.compact(), engine.flush(), engine.compact({ start: keyOf(100), end: keyOf(200) }));
  }
  await Promise.all(work);
  assert.equal(keysOf(engine.scan()).length, 300);
  await engine.compact();
  assert.equal(total(engine.stats(), 'entries'), 300);
});

test('keys deleted and written again by many flushes never show an old value', async (t) => {
  const engine: StorageEngine = await openTiny(t);
  for (let round = 0; round < 12; round++) {
    for (let i = 0; i < 60; i++) {
      const isDeleted = (i + round) % 3 === 0;
      if (isDeleted) await engine.delete(keyOf(i));
      else await engine.put(keyOf(i), `round ${round}`);
    }
    if (round % 2 === 0) await engine.flush();
    for (let i = 0; i < 60; i++) {
      const expected = (i + round) % 3 === 0 ? undefined : `round ${round}`;
      assert.equal(engine.getSync(keyOf(i))?.toString(), expected, `round ${round}, key ${i}`);
    }
  }
});
