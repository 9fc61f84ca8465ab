/**
 * Snapshots: exactly one moment, over flush, compaction, file deletion and anything written since.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Snapshot, StorageEngine, WriteBatch } from '../../src/main/index.ts';
import {
  failsWith,
  fill,
  keyOf,
  keysOf,
  newPath,
  openTiny,
  TINY,
  tableFiles,
  textsOf,
  until,
  valueFor,
} from '../helpers/engines.ts';
import { seededRandom } from '../helpers/rng.ts';
import { freshSeed, reportSeed } from '../helpers/run-budget.ts';

test('a snapshot sees its moment over overwrites, deletes, flush, compaction and file deletion', async (t) => {
  const engine = await openTiny(t);
  await fill(engine, 200);
  const expected = textsOf(engine.scan());
  const snapshot = engine.snapshot();
  const check = (when: string): void => {
    assert.deepEqual(textsOf(engine.scan({ snapshot })), expected, when);
    assert.deepEqual(textsOf(engine.scan({ snapshot, reverse: true })), expected.toReversed(), when);
    assert.equal(engine.getSync(keyOf(3), { snapshot })?.toString(), valueFor(3), when);
    assert.equal(engine.hasSync('new', { snapshot }), false, when);
  };
  await engine.put('new', '1');
  for (let i = 0; i < 200; i += 2) await engine.delete(keyOf(i));
  await fill(engine, 50, 40, 1);
  check('in the memtable');
  await engine.flush();
  check('flushed');
  const before = tableFiles(engine.path);
  await engine.compact();
  check('compacted');
  await until(() => !tableFiles(engine.path).some((name) => before.includes(name)));
  check('the old files are gone');
  await fill(engine, 200, 40, 2);
  await engine.compact();
  check('compacted again');
  const values = await engine.getMany([keyOf(0), 'new', keyOf(199)], { snapshot });
  assert.deepEqual(values.map(String), [valueFor(0), 'undefined', valueFor(199)]);
  snapshot.close();
});

test('100 snapshots of one key each see their version, and closing them lets the versions go', async (t) => {
  const engine = await openTiny(t);
  const snapshots: Snapshot[] = [];
  for (let i = 0; i < 100; i++) {
    // Every tenth version is a deletion.
    if (i % 10 === 9) await engine.delete('k');
    else await engine.put('k', `version ${i}`);
    snapshots.push(engine.snapshot());
    if (i % 23 === 0) await engine.flush();
  }
  assert.equal(engine.stats().openSnapshots, 100);
  const check = (open: readonly Snapshot[]): void => {
    for (const snapshot of open) {
      const i = snapshots.indexOf(snapshot);
      const expected = i % 10 === 9 ? undefined : `version ${i}`;
      assert.equal(engine.getSync('k', { snapshot })?.toString(), expected, `snapshot ${i}`);
      assert.deepEqual(keysOf(engine.scan({ snapshot })), expected === undefined ? [] : ['k']);
      assert.deepEqual(keysOf(engine.scan({ snapshot, reverse: true })), expected === undefined ? [] : ['k']);
    }
  };
  check(snapshots);
  await engine.compact();
  check(snapshots);
  const kept = snapshots.filter((_, i) => i % 3 === 0);
  for (const snapshot of snapshots) if (!kept.includes(snapshot)) snapshot.close();
  await engine.put('k', 'last');
  await engine.compact();
  check(kept);
  for (const snapshot of kept) snapshot.close();
  assert.equal(engine.stats().openSnapshots, 0);
  await engine.put('k', 'really last');
  await engine.compact();
  const entries = engine.stats().levels.reduce((sum, level) => sum + level.entries, 0);
  assert.equal(entries, 1, 'only the newest version is left');
});

test('snapshots at random moments of random writes see what a copied map sees', async (t) => {
  const seed = freshSeed();
  reportSeed(t, seed);
  const random = seededRandom(seed);
  const engine = await openTiny(t);
  const model = new Map<string, string>();
  const moments: { snapshot: Snapshot; model: Map<string, string> }[] = [];
  for (let i = 0; i < 1500; i++) {
    const key = keyOf(random.below(40));
    if (random.chance(0.3)) {
      await engine.delete(key);
      model.delete(key);
    } else {
      await engine.put(key, valueFor(i));
      model.set(key, valueFor(i));
    }
    if (random.chance(0.02)) moments.push({ snapshot: engine.snapshot(), model: new Map(model) });
    if (random.chance(0.005)) await engine.flush();
    if (random.chance(0.003)) await engine.compact();
    if (moments.length > 10) moments.splice(random.below(moments.length), 1)[0]?.snapshot.close();
    const moment = moments[random.below(Math.max(1, moments.length))];
    if (moment === undefined || i % 10 !== 0) continue;
    const expected = [...moment.model].sort(([a], [b]) => (a < b ? -1 : 1));
    const reverse = random.chance(0.5);
    const { snapshot } = moment;
    const seen = textsOf(engine.scan({ snapshot, reverse }));
    assert.deepEqual(seen, reverse ? expected.reverse() : expected, `write ${i}, seed ${seed}`);
  }
});

test('a snapshot does not see the pending writes of its own turn', async (t) => {
  const engine = await openTiny(t);
  await engine.put('k', 'old');
  const pending = engine.write(new WriteBatch().put('k', 'new').put('l', 'new'));
  const snapshot = engine.snapshot();
  await pending;
  assert.equal(engine.getSync('k', { snapshot })?.toString(), 'old');
  assert.equal(engine.hasSync('l', { snapshot }), false);
  assert.equal(engine.getSync('k')?.toString(), 'new');
});

test('a snapshot of an empty store stays empty', async (t) => {
  const engine = await openTiny(t);
  const snapshot = engine.snapshot();
  await fill(engine, 100);
  await engine.compact();
  assert.deepEqual(keysOf(engine.scan({ snapshot })), []);
  assert.equal(engine.getSync(keyOf(1), { snapshot }), undefined);
});

test('a closed snapshot is refused with STRATA_CLOSED, and closing it twice releases once', async (t) => {
  const engine = await openTiny(t);
  await engine.put('k', '1');
  const first = engine.snapshot();
  const second = engine.snapshot();
  assert.equal(engine.stats().openSnapshots, 2);
  first.close();
  first.close();
  assert.equal(first.isClosed, true);
  assert.equal(engine.stats().openSnapshots, 1, 'two at one moment are two');
  await failsWith('STRATA_CLOSED', engine.get('k', { snapshot: first }));
  await failsWith('STRATA_CLOSED', () => engine.getSync('k', { snapshot: first }));
  await failsWith('STRATA_CLOSED', engine.has('k', { snapshot: first }));
  await failsWith('STRATA_CLOSED', engine.getMany(['k'], { snapshot: first }));
  await failsWith('STRATA_CLOSED', () => engine.scan({ snapshot: first }));
  assert.equal(engine.getSync('k', { snapshot: second })?.toString(), '1');
});

test("another store's snapshot is refused, even of the same store opened before", async (t) => {
  const path = newPath(t);
  const other = await openTiny(t);
  const foreign = other.snapshot();
  const before = await StorageEngine.open(path, TINY);
  const stale = before.snapshot();
  await before.close();
  const engine = await StorageEngine.open(path, TINY);
  t.after(() => engine.close());
  for (const snapshot of [foreign, stale, {} as Snapshot, null as never, 'x' as never]) {
    await failsWith('STRATA_INVALID_ARGUMENT', engine.get('k', { snapshot }));
    await failsWith('STRATA_INVALID_ARGUMENT', () => engine.scan({ snapshot }));
  }
  stale.close();
  await engine.close();
});

test('an open scan over a snapshot outlives the closing of the snapshot', async (t) => {
  const engine = await openTiny(t);
  await fill(engine, 300);
  await engine.flush();
  const snapshot = engine.snapshot();
  const scan = engine.scan({ snapshot });
  assert.equal(scan.nextMany(10).length, 10);
  snapshot.close();
  await fill(engine, 300, 40, 1);
  await engine.compact();
  await engine.compact();
  const rest = textsOf(scan);
  assert.equal(rest.length, 290);
  rest.forEach(([key, value], i) => {
    assert.deepEqual([key, value], [keyOf(i + 10), valueFor(i + 10)]);
  });
});
