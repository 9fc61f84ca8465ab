/**
 * A client's transactions: read in its thread, judged and written by the owner, with everybody else's.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Transaction } from '../../src/client/index.ts';
import {
  ACCOUNTS,
  accountKey,
  attachHere,
  BALANCE,
  said,
  startClient,
  TRANSFERS,
} from '../helpers/clients.ts';
import { failsWith, fill, keyOf, keysOf, openTiny, textsOf, turn, until } from '../helpers/engines.ts';
import { freshSeed, reportSeed } from '../helpers/run-budget.ts';

test('it reads its moment and its own writes, and commits all of them at once', async (t) => {
  const engine = await openTiny(t);
  await fill(engine, 200);
  await engine.flush();
  const client = await attachHere(t, engine);
  const value = await client.transaction(async (tx) => {
    assert.equal(engine.stats().transactions.open, 1);
    await engine.put(keyOf(300), 'later');
    tx.put(keyOf(100), 'own');
    tx.deleteRange({ gte: keyOf(10), lt: keyOf(90) });
    tx.put(keyOf(20), 'own');
    tx.delete(keyOf(0));
    assert.equal(String(await tx.get(keyOf(100))), 'own');
    assert.equal(tx.getSync(keyOf(50)), undefined);
    assert.equal(await tx.has(keyOf(1)), true);
    assert.equal(tx.hasSync(keyOf(0)), false);
    const many = await tx.getMany([keyOf(20), keyOf(30), keyOf(5)]);
    assert.deepEqual(
      many.map((one) => one?.toString().slice(0, 3)),
      ['own', undefined, '5/0'],
    );
    const keys = [...Array.from({ length: 9 }, (_, i) => i + 1), 20].map(keyOf);
    assert.deepEqual(keysOf(tx.scan({ lt: keyOf(90) })), keys);
    assert.deepEqual(keysOf(tx.scan({ lt: keyOf(90), reverse: true })), keys.toReversed());
    const awaited: string[] = [];
    for await (const [key] of tx.scan({ gte: keyOf(150), limit: 3 })) awaited.push(String(key));
    assert.deepEqual(awaited, [150, 151, 152].map(keyOf));
    assert.equal(engine.hasSync(keyOf(50)), true, 'nobody else sees it');
    return 5;
  });
  assert.equal(value, 5);
  assert.deepEqual([engine.hasSync(keyOf(50)), String(engine.getSync(keyOf(20)))], [false, 'own']);
  await until(() => engine.stats().transactions.open === 0);
  assert.deepEqual([client.stats().openScans, client.stats().openSnapshots], [0, 0]);
});

test('what it read conflicts with whoever writes it, in memory and in tables, and with nothing else', async (t) => {
  const engine = await openTiny(t);
  await fill(engine, 100);
  const [client, other] = [await attachHere(t, engine), await attachHere(t, engine)];
  const commits = async (read: (tx: Transaction) => unknown, act: () => unknown): Promise<boolean> => {
    const outcome = client.transaction(
      async (tx) => {
        await read(tx);
        tx.put('~own', '1');
        await act();
      },
      { retries: 0 },
    );
    const code = await outcome.then(
      () => 'none',
      (error: unknown) => (error as { code?: string }).code,
    );
    assert.ok(code === 'none' || code === 'STRATA_CONFLICT', code);
    return code === 'none';
  };
  const settle = async (): Promise<void> => {
    await engine.flush();
    await engine.compact();
  };
  const get = (key: string) => (tx: Transaction) => tx.get(key);
  const scan = (count: number) => (tx: Transaction) => tx.scan({ gte: keyOf(10) }).nextMany(count);
  assert.equal(await commits(get(keyOf(1)), () => engine.put(keyOf(2), 'x')), true);
  assert.equal(await commits(get(keyOf(1)), () => engine.put(keyOf(1), 'x')), false);
  assert.equal(await commits(get(keyOf(1)), () => other.put(keyOf(1), 'x')), false);
  assert.equal(await commits(get(keyOf(1)), () => client.put(keyOf(1), 'x')), false);
  assert.equal(await commits(get('absent'), () => other.delete('absent').then(settle)), false);
  assert.equal(await commits(scan(3), () => other.delete(keyOf(12))), false);
  assert.equal(await commits(scan(3), () => other.delete(keyOf(50)).then(settle)), true);
  assert.equal(await commits(scan(999), () => other.deleteRange({ gte: 'z' }).then(settle)), false);
  assert.equal(
    await commits(
      () => undefined,
      () => other.put('~own', 'x'),
    ),
    true,
    'it read nothing',
  );
  assert.equal(engine.stats().transactions.conflicts, 6);
});

test('many at once from two clients and the owner all come through', async (t) => {
  const engine = await openTiny(t);
  const stores = [engine, await attachHere(t, engine), await attachHere(t, engine)];
  const plus = async (tx: Transaction): Promise<void> => {
    const value = Number((await tx.get('count')) ?? 0);
    await turn();
    tx.put('count', String(value + 1));
  };
  await Promise.all(Array.from({ length: 45 }, (_, i) => stores[i % 3]!.transaction(plus)));
  assert.equal(String(engine.getSync('count')), '45');
});

test('two threads transfer between accounts, with the owner: the sum holds at every moment', async (t) => {
  const seed = freshSeed();
  reportSeed(t, seed);
  const engine = await openTiny(t);
  for (let i = 0; i < ACCOUNTS; i++) await engine.put(accountKey(i), String(BALANCE));
  const workers = await Promise.all(
    [0, 1].map((index) => startClient(t, engine, { behaviour: 'transfer', seed: seed + index })),
  );
  const outcomes = workers.map((worker) => said<{ reads: number }>(worker));
  for (let i = 0; i < TRANSFERS; i++) {
    await engine.transaction(
      async (tx) => {
        const [from, to] = [accountKey(i % ACCOUNTS), accountKey((i * 5 + 1) % ACCOUNTS)];
        tx.put(from, String(Number(await tx.get(from)) - 1));
        tx.put(to, String(Number(await tx.get(to)) + 1));
      },
      { retries: 1000 },
    );
    if (i % 20 === 0) await engine.flush();
  }
  for (const { reads } of await Promise.all(outcomes)) assert.ok(reads > 0);
  const sum = textsOf(engine.scan({ prefix: 'account-' })).reduce(
    (total, [, value]) => total + Number(value),
    0,
  );
  assert.equal(sum, ACCOUNTS * BALANCE);
});

test('wrong arguments, ends and closing are as on the engine', async (t) => {
  const engine = await openTiny(t);
  const client = await attachHere(t, engine);
  await failsWith('STRATA_INVALID_ARGUMENT', client.transaction(undefined as never));
  await failsWith(
    'STRATA_INVALID_ARGUMENT',
    client.transaction(() => 1, { retries: -1 }),
  );
  const thrown = new Error('no');
  await assert.rejects(
    client.transaction((tx) => {
      tx.put('a', '1');
      throw thrown;
    }),
    (error) => error === thrown,
  );
  let kept: Transaction | undefined;
  await client.transaction((tx) => {
    kept = tx;
  });
  await failsWith('STRATA_CLOSED', kept!.get('a'));
  await failsWith('STRATA_CLOSED', () => kept!.put('a', '1'));
  let begun = (): void => undefined;
  const hasBegun = new Promise<void>((resolve) => {
    begun = resolve;
  });
  const hanging = client.transaction(async (tx) => {
    tx.put('a', '1');
    begun();
    await new Promise(() => undefined);
  });
  await hasBegun;
  assert.equal(engine.stats().transactions.open, 1);
  await Promise.all([client.close(), failsWith('STRATA_CLOSED', hanging)]);
  await failsWith(
    'STRATA_CLOSED',
    client.transaction(() => 1),
  );
  await until(() => engine.stats().transactions.open === 0);
  assert.equal(engine.hasSync('a'), false);
});
