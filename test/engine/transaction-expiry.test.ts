/**
 * Values that expire, in updates and transactions: by the time of a transaction's moment, and what expires until it commits.
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { openEngine } from '../../src/main/engine.ts';
import type { StorageEngine, Transaction } from '../../src/main/index.ts';
import { attachHere } from '../helpers/clients.ts';
import { failsWith, keysOf, newPath, TINY } from '../helpers/engines.ts';
import { SettableClock } from '../helpers/settable-clock.ts';

async function openWithClock(
  t: TestContext,
): Promise<{ readonly engine: StorageEngine; readonly clock: SettableClock }> {
  const clock = new SettableClock(1_000_000);
  let opened: StorageEngine | undefined;
  t.after(() => opened?.close());
  const engine = await openEngine(newPath(t), TINY, { clock });
  opened = engine;
  return { engine, clock };
}

test('update() takes a ttl, and takes one away; what has expired is not there', async (t) => {
  const { engine, clock } = await openWithClock(t);
  const plusOne = (value: Buffer | undefined): string => String(Number(value ?? 0) + 1);
  assert.equal(String(await engine.update('a', plusOne, { ttl: 1000 })), '1');
  assert.equal(await engine.expiresAt('a'), 1_001_000);
  assert.equal(String(await engine.update('a', plusOne, { ttl: 500 })), '2');
  clock.pass(500);
  assert.equal(String(await engine.update('a', plusOne)), '1', 'it had expired');
  assert.equal(await engine.expiresAt('a'), undefined);
  for (const ttl of [0, -1, 1.5, Number.NaN, '5'])
    await failsWith('STRATA_INVALID_ARGUMENT', engine.update('a', plusOne, { ttl: ttl as number }));
  assert.equal(String(engine.getSync('a')), '1');
});

test('a transaction reads by the time of its moment; its own values are there as long as it runs', async (t) => {
  const { engine, clock } = await openWithClock(t);
  await engine.put('a', '1', { ttl: 1000 });
  for (const store of [engine, await attachHere(t, engine)]) {
    await store.transaction(async (tx) => {
      tx.put('own', 'x', { ttl: 10 });
      clock.pass(400);
      assert.equal(String(tx.getSync('own')), 'x');
      assert.deepEqual(keysOf(tx.scan()), ['a', 'own']);
      assert.equal(String(tx.scan({ gte: 'own' }).nextMany(1)[0]?.[1]), 'x');
      assert.equal((await tx.getMany(['a', 'own'])).length, 2);
    });
    assert.equal((await engine.expiresAt('own'))! > clock.ms, true);
    await engine.delete('own');
  }
  await engine.transaction(async (tx) => {
    clock.pass(1000);
    assert.equal(String(await tx.get('a')), '1');
    assert.equal(engine.getSync('a'), undefined);
  });
  await failsWith(
    'STRATA_INVALID_ARGUMENT',
    engine.transaction((tx) => tx.put('a', '1', { ttl: 0 })),
  );
});

test('what it read and has expired until the commit is a conflict, and nothing else that expires is', async (t) => {
  const { engine, clock } = await openWithClock(t);
  const client = await attachHere(t, engine);
  for (const [where, settle] of [
    ['memory', async () => undefined],
    ['tables', () => engine.flush()],
  ] as const) {
    const commits = async (
      store: Pick<StorageEngine, 'transaction'>,
      read: (tx: Transaction) => unknown,
      passed: number,
    ): Promise<boolean> => {
      await engine.deleteRange({ all: true });
      await engine.put('a', '1', { ttl: 1000 });
      await engine.put('b', '1', { ttl: 100 });
      await engine.put('c', '1');
      await engine.put('d', '1', { ttl: 10 });
      await settle();
      clock.pass(10);
      const outcome = store.transaction(
        async (tx) => {
          await read(tx);
          tx.put('own', '1');
          clock.pass(passed);
        },
        { retries: 0 },
      );
      return await outcome.then(
        () => true,
        (error: { code?: string }) => {
          assert.equal(error.code, 'STRATA_CONFLICT', String(error));
          return false;
        },
      );
    };
    for (const store of [engine, client]) {
      assert.equal(await commits(store, (tx) => tx.get('b'), 89), true, where);
      assert.equal(await commits(store, (tx) => tx.get('b'), 90), false, where);
      assert.equal(await commits(store, (tx) => tx.has('b'), 90), false, where);
      assert.equal(await commits(store, (tx) => tx.getMany(['c', 'b']), 90), false, where);
      assert.equal(await commits(store, (tx) => tx.get('a'), 500), true, `${where}: not yet`);
      assert.equal(await commits(store, (tx) => tx.get('c'), 5000), true, `${where}: never`);
      assert.equal(await commits(store, (tx) => tx.get('d'), 5000), true, `${where}: it had expired before`);
      assert.equal(
        await commits(store, (tx) => tx.scan().nextMany(1), 500),
        true,
        `${where}: only a was read`,
      );
      assert.equal(await commits(store, (tx) => tx.scan().nextMany(2), 500), false, where);
      assert.equal(await commits(store, (tx) => tx.scan({ gte: 'b1' }).nextMany(9), 5000), true, where);
    }
  }
});

test('an expiry that compaction has carried out is a conflict as well', async (t) => {
  const { engine, clock } = await openWithClock(t);
  await engine.put('a', '1', { ttl: 100 });
  await engine.put('b', '1');
  let runs = 0;
  await engine.transaction(async (tx) => {
    runs++;
    const found = await tx.get('a');
    assert.equal(found?.toString(), runs === 1 ? '1' : undefined);
    clock.pass(100);
    await engine.put('z', '1');
    await engine.compact();
    assert.equal(tx.hasSync('a'), runs === 1);
    tx.put('own', '1');
  });
  assert.equal(runs, 2);
});
