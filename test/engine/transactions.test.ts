/**
 * transaction(): one moment and its own writes, retries, ends, wrong arguments.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Transaction, type TransactionOptions, WriteBatch } from '../../src/main/index.ts';
import { failsWith, fill, keyOf, keysOf, openTiny, reopen, textsOf, turn } from '../helpers/engines.ts';

const ONCE: TransactionOptions = { retries: 0 };

test('reads one moment and its own writes, which nobody else sees before the commit', async (t) => {
  const engine = await openTiny(t);
  await engine.write(new WriteBatch().put('a', '1').put('b', '2').put('c', '3'));
  const result = await engine
    .transaction(
      async (tx) => {
        await engine.put('d', 'new');
        await engine.delete('c');
        assert.equal(String(tx.getSync('a')), '1');
        assert.equal(tx.getSync('d'), undefined, 'what others write later is not seen');
        assert.equal(String(await tx.get('c')), '3');
        tx.put('a', 'mine');
        tx.put('e', 'mine, too');
        tx.delete('b');
        assert.equal(String(tx.getSync('a')), 'mine');
        assert.equal(String(await tx.get('e')), 'mine, too');
        assert.equal(await tx.has('b'), false);
        assert.equal(tx.hasSync('e'), true);
        assert.deepEqual(
          (await tx.getMany(['b', 'c', 'a', 'x', 'e'])).map((value) => value?.toString()),
          [undefined, '3', 'mine', undefined, 'mine, too'],
        );
        assert.equal(String(engine.getSync('a')), '1', 'nobody else sees it');
        return 'done';
      },
      { retries: 0 },
    )
    .catch((error: unknown) => error);
  assert.equal((result as { code?: unknown }).code, 'STRATA_CONFLICT', 'c was read and deleted meanwhile');
  assert.deepEqual(textsOf(engine.scan()), [
    ['a', '1'],
    ['b', '2'],
    ['d', 'new'],
  ]);
  const value = await engine.transaction((tx) => {
    tx.put('a', 'x');
    tx.delete('b');
    return 5;
  });
  assert.equal(value, 5);
  assert.deepEqual(textsOf(engine.scan()), [
    ['a', 'x'],
    ['d', 'new'],
  ]);
  const again = await reopen(t, engine);
  assert.deepEqual(textsOf(again.scan()), [
    ['a', 'x'],
    ['d', 'new'],
  ]);
});

test('scans see the moment with its own writes, in every way that a scan is read', async (t) => {
  const engine = await openTiny(t);
  for (let i = 0; i < 300; i += 3) await engine.put(keyOf(i), `base ${i}`);
  await engine.flush();
  await engine.put(keyOf(1), 'base 1');
  let runs = 0;
  const outcome = engine.transaction(async (tx) => {
    await engine.put(keyOf(299), 'others');
    // The next sequence of all, in a table.
    await engine.flush();
    runs++;
    const expected = new Map<string, string>([[keyOf(1), 'base 1']]);
    for (let i = 0; i < 300; i += 3) expected.set(keyOf(i), `base ${i}`);
    const open = tx.scan();
    for (let i = 0; i < 300; i += 7) {
      tx.put(keyOf(i), `own ${i}`);
      expected.set(keyOf(i), `own ${i}`);
    }
    for (let i = 0; i < 300; i += 11) {
      tx.delete(keyOf(i));
      expected.delete(keyOf(i));
    }
    const all = [...expected].sort(([a], [b]) => (a < b ? -1 : 1));
    assert.deepEqual(textsOf(tx.scan()), all);
    assert.deepEqual(textsOf(tx.scan({ reverse: true })), all.toReversed());
    const awaited: [string, string][] = [];
    for await (const [key, value] of tx.scan({ gt: keyOf(20) })) awaited.push([String(key), String(value)]);
    assert.deepEqual(
      awaited,
      all.filter(([key]) => key > keyOf(20)),
    );
    const inSteps = tx.scan({ gte: keyOf(50), lt: keyOf(200), limit: 40 });
    const stepped: string[] = [];
    for (let entries = inSteps.nextMany(7); entries.length > 0; entries = inSteps.nextMany(7))
      stepped.push(...entries.map(([key]) => String(key)));
    assert.deepEqual(
      stepped,
      all
        .map(([key]) => key)
        .filter((key) => key >= keyOf(50) && key < keyOf(200))
        .slice(0, 40),
    );
    const values = tx.scan({ keys: false, limit: 2 }).nextMany(9);
    assert.deepEqual(
      values.map(([key, value]) => [key, String(value)]),
      all.slice(0, 2).map(([, value]) => [undefined, value]),
    );
    assert.equal(keysOf(open).length, 101, 'one that was made before sees what was written before');
  }, ONCE);
  await failsWith('STRATA_CONFLICT', outcome);
  assert.equal(runs, 1);
  assert.equal(engine.stats().openScans, 0);
});

test('deleteRange() in a transaction hides what was there, its own writes before it too, and not those after it', async (t) => {
  const engine = await openTiny(t);
  await fill(engine, 60);
  await engine.flush();
  await engine.put(keyOf(60), 'in memory');
  await engine.transaction(async (tx) => {
    tx.put(keyOf(31), 'own, before');
    tx.put(keyOf(5), 'own, outside');
    tx.deleteRange({ gte: keyOf(10), lt: keyOf(50) });
    tx.put(keyOf(20), 'own, after');
    tx.deleteRange({ gte: keyOf(58) });
    tx.put(keyOf(70), 'own, behind all');
    assert.equal(tx.getSync(keyOf(31)), undefined);
    assert.equal(await tx.get(keyOf(40)), undefined);
    assert.equal(tx.hasSync(keyOf(60)), false);
    assert.equal(String(tx.getSync(keyOf(20))), 'own, after');
    assert.deepEqual(
      (await tx.getMany([keyOf(9), keyOf(10), keyOf(49), keyOf(50)])).map((v) => v !== undefined),
      [true, false, false, true],
    );
    const left = [...Array.from({ length: 10 }, (_, i) => i), 20, 50, 51, 52, 53, 54, 55, 56, 57, 70].map(
      keyOf,
    );
    assert.deepEqual(keysOf(tx.scan()), left);
    assert.deepEqual(keysOf(tx.scan({ reverse: true })), left.toReversed());
    assert.deepEqual(keysOf(tx.scan({ gte: keyOf(15), lt: keyOf(52) })), [20, 50, 51].map(keyOf));
    assert.equal(engine.hasSync(keyOf(40)), true, 'nobody else sees it');
  });
  assert.equal(keysOf(engine.scan()).length, 20);
  await failsWith(
    'STRATA_INVALID_ARGUMENT',
    engine.transaction((tx) => tx.deleteRange({ prefix: undefined })),
  );
});

test('one that wrote nothing never conflicts, and is not run again', async (t) => {
  const engine = await openTiny(t);
  await engine.put('a', '1');
  let runs = 0;
  const sum = await engine.transaction(async (tx) => {
    runs++;
    const before = Number(await tx.get('a'));
    await engine.put('a', '2');
    return before + Number(tx.getSync('a'));
  });
  assert.deepEqual([sum, runs], [2, 1]);
});

test('retries: as many as asked for, ten by default, then STRATA_CONFLICT; a throw is not run again', async (t) => {
  const engine = await openTiny(t);
  for (const [options, expected] of [
    [{}, 11],
    [{ retries: 0 }, 1],
    [{ retries: 3 }, 4],
  ] as const) {
    let runs = 0;
    await failsWith(
      'STRATA_CONFLICT',
      engine.transaction(async (tx) => {
        runs++;
        await tx.get('a');
        await engine.put('a', String(runs));
        tx.put('b', '1');
      }, options),
    );
    assert.equal(runs, expected);
  }
  assert.equal(engine.hasSync('b'), false);
  let runs = 0;
  const thrown = new Error('no');
  for (const fn of [
    () => {
      runs++;
      throw thrown;
    },
    async (tx: Transaction) => {
      runs++;
      tx.put('b', '1');
      await engine.put('a', 'x');
      throw thrown;
    },
  ])
    await assert.rejects(engine.transaction(fn), (error) => error === thrown);
  assert.equal(runs, 2);
  assert.equal(engine.hasSync('b'), false);
});

test('used after its end, a transaction and its scans are closed', async (t) => {
  const engine = await openTiny(t);
  await fill(engine, 100);
  const kept: { tx?: Transaction; scan?: ReturnType<Transaction['scan']> } = {};
  await engine.transaction((tx) => {
    kept.tx = tx;
    kept.scan = tx.scan();
    kept.scan.nextMany(2);
    tx.put('z', '1');
  });
  const { tx, scan } = kept as Required<typeof kept>;
  await failsWith('STRATA_CLOSED', tx.get('a'));
  await failsWith('STRATA_CLOSED', tx.has('a'));
  await failsWith('STRATA_CLOSED', tx.getMany(['a']));
  for (const act of [
    () => tx.getSync('a'),
    () => tx.hasSync('a'),
    () => tx.scan(),
    () => tx.put('a', '1'),
    () => tx.delete('a'),
    () => scan.nextMany(1),
  ])
    await failsWith('STRATA_CLOSED', act);
  assert.deepEqual([engine.stats().openScans, engine.stats().openSnapshots], [0, 0]);
});

test('one inside another is independent, and does not wait for it for ever', async (t) => {
  const engine = await openTiny(t);
  let outer = 0;
  await engine.transaction(async (tx) => {
    outer++;
    await tx.get('a');
    if (outer === 1) await engine.put('a', '1');
    // The second run of the outer one holds the turn that the inner one needs for its own second run.
    let inner = 0;
    await engine.transaction(async (itx) => {
      inner++;
      await itx.get('b');
      if (inner === 1) await engine.put('b', '1');
      itx.put('c', String(outer));
    });
    tx.put('d', String(outer));
  });
  assert.deepEqual(textsOf(engine.scan({ gte: 'c' })), [
    ['c', '2'],
    ['d', '2'],
  ]);
});

test('wrong arguments are refused at the call, by a promise', async (t) => {
  const engine = await openTiny(t);
  for (const fn of [undefined, null, 'x', {}])
    await failsWith('STRATA_INVALID_ARGUMENT', engine.transaction(fn as never));
  for (const options of [
    null,
    5,
    { retries: -1 },
    { retries: 1.5 },
    { retries: '1' },
    { sync: 1 },
    { snapshot: 1 },
  ])
    await failsWith(
      'STRATA_INVALID_ARGUMENT',
      engine.transaction(() => assert.fail('it ran'), options as never),
    );
  await engine.transaction(async (tx) => {
    const snapshot = engine.snapshot();
    await failsWith('STRATA_INVALID_ARGUMENT', tx.get('a', { snapshot } as never));
    await failsWith('STRATA_INVALID_ARGUMENT', () => tx.scan({ snapshot } as never));
    snapshot.close();
    await failsWith('STRATA_INVALID_ARGUMENT', tx.get(5 as never));
    await failsWith('STRATA_INVALID_ARGUMENT', () => tx.put('a', 5 as never));
    await failsWith('STRATA_INVALID_ARGUMENT', tx.getMany('a' as never));
    await failsWith('STRATA_INVALID_ARGUMENT', () => tx.scan({ limit: -5 }));
  });
  await engine.update('k', () => {
    void failsWith(
      'STRATA_INVALID_ARGUMENT',
      engine.transaction(() => assert.fail('it ran')),
    );
    return undefined;
  });
});

test('closing the store rejects what runs, and what is written first ends well', async (t) => {
  const engine = await openTiny(t);
  const hanging = engine.transaction(async (tx) => {
    tx.put('never', '1');
    await new Promise(() => undefined);
  });
  const written = engine.transaction((tx) => tx.put('a', '1'), { sync: true });
  const late = engine.transaction(async (tx) => {
    await turn();
    tx.put('late', '1');
  });
  const outcomes = Promise.allSettled([hanging, written, late]);
  await engine.close();
  assert.deepEqual(
    (await outcomes).map(({ status }) => status),
    ['rejected', 'fulfilled', 'rejected'],
  );
  await failsWith('STRATA_CLOSED', hanging);
  await failsWith(
    'STRATA_CLOSED',
    engine.transaction(() => 1),
  );
  const again = await reopen(t, engine, { readOnly: true });
  assert.equal(
    await again.transaction((tx) => String(tx.getSync('a'))),
    '1',
    'a read-only store has them as well',
  );
  await failsWith(
    'STRATA_READ_ONLY',
    again.transaction((tx) => tx.put('a', '2')),
  );
});
