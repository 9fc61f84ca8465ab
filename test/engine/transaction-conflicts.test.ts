/**
 * Which transactions are committed: those of which nothing that they have read was written meanwhile, and all of those.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type StorageEngine,
  type Transaction,
  type TransactionOptions,
  WriteBatch,
} from '../../src/main/index.ts';
import { fill, keyOf, keysOf, openTiny, turn } from '../helpers/engines.ts';
import { openWithGate } from '../helpers/held-gate.ts';

const ONCE: TransactionOptions = { retries: 0 };

/** Whether a transaction commits that reads by `read`, while `meanwhile` writes. It writes to a key of its own. */
async function commits(
  engine: StorageEngine,
  read: (tx: Transaction) => unknown,
  meanwhile: () => unknown,
): Promise<boolean> {
  const before = engine.stats().transactions.conflicts;
  const outcome = engine.transaction(async (tx) => {
    await read(tx);
    tx.put('~own', String(Math.random()));
    await meanwhile();
  }, ONCE);
  const isCommitted = await outcome.then(
    () => true,
    (error: unknown) => {
      assert.equal((error as { code?: unknown }).code, 'STRATA_CONFLICT', String(error));
      return false;
    },
  );
  const { open, waiting, conflicts } = engine.stats().transactions;
  assert.deepEqual(
    { open, waiting, conflicts },
    { open: 0, waiting: 0, conflicts: before + (isCommitted ? 0 : 1) },
  );
  return isCommitted;
}

test('a key that was read conflicts with every write of it, and with no other', async (t) => {
  const engine = await openTiny(t);
  await fill(engine, 50);
  const reads: readonly ((tx: Transaction, key: string) => unknown)[] = [
    (tx, key) => tx.get(key),
    (tx, key) => tx.getSync(key),
    (tx, key) => tx.has(key),
    (tx, key) => tx.hasSync(key),
    (tx, key) => tx.getMany(['x', key]),
  ];
  for (const [i, read] of reads.entries()) {
    const key = keyOf(i);
    const value = engine.getSync(key)!;
    const look = (tx: Transaction): unknown => read(tx, key);
    assert.equal(await commits(engine, look, () => undefined), true, 'nothing written');
    assert.equal(await commits(engine, look, () => engine.put(`${key}x`, '1')), true, 'another key');
    assert.equal(await commits(engine, look, () => engine.put(key, value)), false, 'the same value');
    assert.equal(await commits(engine, look, () => void engine.put(key, value)), false, 'not awaited');
    assert.equal(await commits(engine, look, () => engine.delete(key)), false, 'deleted');
    assert.equal(await commits(engine, look, () => engine.delete(key)), false, 'deleted though absent');
    assert.equal(await commits(engine, look, () => engine.put(key, value)), false, 'made');
    assert.equal(await commits(engine, look, () => engine.ingest([[key, value]])), false, 'loaded');
    assert.equal(await commits(engine, look, () => engine.update(key, (v) => v)), false, 'updated');
    assert.equal(await commits(engine, look, () => engine.deleteRange({ prefix: key })), false, 'by a range');
    assert.equal(
      await commits(engine, look, () => engine.deleteRange({ gt: key, lt: `${key}~` })),
      true,
      'a range behind it',
    );
    assert.equal(await commits(engine, look, () => engine.flush()), true, 'a flush is no write');
  }
  const blind = (tx: Transaction): void => tx.put(keyOf(7), 'blind');
  assert.equal(
    await commits(engine, blind, () => engine.put(keyOf(7), '1')),
    true,
    'what is only written never conflicts',
  );
  const own = (tx: Transaction): unknown => {
    tx.put(keyOf(8), 'own');
    return tx.get(keyOf(8));
  };
  assert.equal(await commits(engine, own, () => engine.put(keyOf(8), '1')), true, 'its own write is no read');
});

test('a range that was read conflicts as far as the scan went', async (t) => {
  const engine = await openTiny(t);
  for (let i = 0; i < 100; i += 2) await engine.put(keyOf(i), 'v');
  const take =
    (count: number, options: object) =>
    (tx: Transaction): unknown =>
      tx.scan(options).nextMany(count);
  const each = (count: number, options: object) => async (tx: Transaction) => {
    let taken = 0;
    for await (const _ of tx.scan(options)) if (++taken === count) break;
  };
  const sync = (count: number, options: object) => (tx: Transaction) => {
    let taken = 0;
    for (const _ of tx.scan(options)) if (++taken === count) break;
  };
  // Which leaves the store as it is.
  const put = (i: number) => () => (i % 2 === 0 ? engine.put(keyOf(i), 'v') : engine.delete(keyOf(i)));
  for (const read of [take, each, sync]) {
    for (const own of [false, true]) {
      const reading = (count: number, options: object) => async (tx: Transaction) => {
        if (own) tx.put(keyOf(33), 'own');
        await read(count, options)(tx);
      };
      const range = { gte: keyOf(20), lt: keyOf(40) };
      const says = `${read.name} ${own}`;
      assert.equal(await commits(engine, reading(3, range), put(19)), true, says);
      assert.equal(await commits(engine, reading(3, range), put(21)), false, says);
      assert.equal(await commits(engine, reading(3, range), put(23)), false, says);
      assert.equal(
        await commits(engine, reading(3, range), put(25)),
        true,
        `${says}: behind the last one taken`,
      );
      assert.equal(await commits(engine, reading(99, range), put(39)), false, `${says}: the end was seen`);
      assert.equal(await commits(engine, reading(99, range), put(40)), true, says);
      assert.equal(
        await commits(engine, reading(99, { ...range, limit: 3 }), put(25)),
        true,
        `${says}: its limit`,
      );
      assert.equal(await commits(engine, reading(99, { ...range, limit: 3 }), put(24)), false, says);
      const back = { ...range, reverse: true };
      assert.equal(await commits(engine, reading(2, back), put(37)), false, `${says}: backwards`);
      assert.equal(await commits(engine, reading(2, back), put(31)), true, says);
      const empty = { gt: keyOf(200) };
      assert.equal(await commits(engine, reading(1, empty), put(201)), false, `${says}: a phantom`);
      assert.equal(await commits(engine, reading(1, { ...range, keys: false }), put(20)), false, says);
      assert.equal(await commits(engine, reading(1, { ...range, keys: false }), put(22)), true, says);
    }
  }
  assert.equal(
    await commits(engine, (tx) => void tx.scan({ gte: keyOf(20) }), put(20)),
    true,
    'nothing was taken',
  );
});

test('what was written meanwhile is found in tables, also a delete that hides nothing', async (t) => {
  const engine = await openTiny(t);
  await fill(engine, 200);
  const settle = async (): Promise<void> => {
    await engine.flush();
    await engine.compact();
  };
  const scan =
    (from: number, to: number) =>
    (tx: Transaction): unknown =>
      tx.scan({ gte: keyOf(from), lt: keyOf(to) }).nextMany(1000);
  const acts: readonly (readonly [string, () => Promise<void>])[] = [
    ['absent', () => engine.delete('absent')],
    [keyOf(5), () => engine.put(keyOf(5), 'x')],
    [keyOf(5), () => engine.delete(keyOf(5))],
    [keyOf(6), () => engine.ingest([[keyOf(6), 'y']]).then(() => undefined)],
    [keyOf(7), () => engine.deleteRange({ gte: keyOf(7), lt: keyOf(9) })],
    [keyOf(8), () => engine.deleteRange({ gte: keyOf(7), lt: keyOf(9) })],
    ['~~behind all', () => engine.deleteRange({ gte: '~~' })],
  ];
  for (const [key, act] of acts) {
    const write = async (): Promise<void> => {
      await act();
      await settle();
      await engine.put('other', '1');
      await settle();
    };
    assert.equal(await commits(engine, (tx) => tx.get(key), write), false, key);
    assert.equal(
      await commits(engine, (tx) => tx.scan({ gte: key }).nextMany(1), write),
      false,
      `${key}, by a scan`,
    );
    assert.equal(await commits(engine, (tx) => tx.get(keyOf(150)), write), true, 'unrelated');
    assert.equal(await commits(engine, scan(100, 190), write), true, 'unrelated, by a scan');
  }
  await settle();
  const entries = engine.stats().levels.reduce((sum, { tombstones }) => sum + tombstones, 0);
  assert.equal(entries, 0, 'nothing of it stays');
});

test('writes that are held count, and a transaction whose commit is held is one of them', async (t) => {
  const { engine, hold, release } = await openWithGate(t);
  await engine.put('a', '1');
  const conflicts = async (read: (tx: Transaction) => unknown, act: () => unknown): Promise<boolean> => {
    hold();
    let done!: Promise<boolean>;
    const acted = new Promise<void>((resolve) => {
      done = commits(engine, read, () => {
        void act();
        resolve();
      });
    });
    await acted;
    await turn();
    release();
    return !(await done);
  };
  assert.equal(
    await conflicts(
      (tx) => tx.get('a'),
      () => engine.put('a', '2'),
    ),
    true,
  );
  assert.equal(
    await conflicts(
      (tx) => tx.get('b'),
      () => engine.put('a', '2'),
    ),
    false,
  );
  assert.equal(
    await conflicts(
      (tx) => tx.scan({ lt: 'c' }).nextMany(9),
      () => engine.delete('bb'),
    ),
    true,
  );
  assert.equal(
    await conflicts(
      (tx) => tx.scan({ lt: 'b' }).nextMany(9),
      () => engine.delete('bb'),
    ),
    false,
  );
  assert.equal(
    await conflicts(
      (tx) => tx.get('a1'),
      () => engine.deleteRange({ prefix: 'a' }),
    ),
    true,
  );
  await engine.put('a', '2');
  assert.equal(
    await conflicts(
      (tx) => tx.scan({ gte: 'c' }).nextMany(9),
      () => engine.deleteRange({ gte: 'b', lte: 'c' }),
    ),
    true,
  );
  assert.equal(
    await conflicts(
      (tx) => tx.scan({ gte: 'c' }).nextMany(9),
      () => engine.deleteRange({ gte: 'b', lt: 'c' }),
    ),
    false,
  );
});

test('a transaction whose commit is held is one of the held writes, for updates and transactions behind it', async (t) => {
  const { engine, hold, release } = await openWithGate(t);
  await engine.put('a', '1');
  hold();
  const plus = (tx: Transaction): void => tx.put('a', String(Number(tx.getSync('a')) + 1));
  const all = Promise.all([engine.transaction(plus), engine.transaction(plus), engine.transaction(plus)]);
  const seen = engine.update('a', (value) => String(Number(value) + 1));
  await turn();
  assert.equal(engine.stats().stalls.heldWrites, 2, 'the first one, and the update that has seen it');
  release();
  await Promise.all([all, seen]);
  assert.equal(String(engine.getSync('a')), '5');
});

test('it runs again from a moment at which what it was refused for is visible', async (t) => {
  const { engine, gate, release } = await openWithGate(t);
  // Each group waits until those before it are paid for.
  gate.set('slow', 'level0', 20);
  await engine.put('large', Buffer.alloc(1000));
  const seen: (string | undefined)[] = [];
  await engine.transaction(
    (tx) => {
      seen.push(tx.getSync('a')?.toString());
      if (seen.length === 1) void engine.put('a', '1');
      tx.put('b', '1');
    },
    { retries: 1 },
  );
  release();
  assert.deepEqual(seen, [undefined, '1']);
});

test('one that commits while an ingestion takes its place comes before or behind it, not in between', async (t) => {
  const { engine, gate } = await openWithGate(t);
  for (let round = 0; round < 5; round++) {
    await engine.write(new WriteBatch().put('from', 'old').put('to', 'nothing'));
    const copied = engine.transaction(async (tx) => {
      const value = await tx.get('from');
      // From then on writes are held, until what is loaded is there.
      while (value?.toString() === 'old' && gate.reason !== 'ingest') await turn();
      tx.put('to', value!);
    });
    const source = [
      ['from', 'new'],
      ['to', 'loaded'],
    ] as const;
    await Promise.all([copied, engine.ingest(source)]);
    assert.match(String(engine.getSync('to')), /^(?:loaded|new)$/);
  }
});

test('64 read-modify-writes of one key at once all come through', async (t) => {
  const engine = await openTiny(t);
  const plus = async (tx: Transaction): Promise<void> => {
    const value = Number((await tx.get('count')) ?? 0);
    await turn();
    tx.put('count', String(value + 1));
  };
  await Promise.all(Array.from({ length: 64 }, () => engine.transaction(plus)));
  assert.equal(String(engine.getSync('count')), '64');
  assert.deepEqual(
    { open: engine.stats().transactions.open, waiting: engine.stats().transactions.waiting },
    { open: 0, waiting: 0 },
  );
});

test('those that come all the time do not keep one that runs again from coming through', async (t) => {
  const engine = await openTiny(t);
  let isOver = false;
  let slowRuns = 0;
  const plus = async (tx: Transaction): Promise<void> => {
    const value = Number((await tx.get('count')) ?? 0);
    tx.put('count', String(value + 1));
  };
  const lanes = Array.from({ length: 8 }, async () => {
    let count = 0;
    for (; !isOver; count++) {
      await engine.transaction(plus);
      await turn();
    }
    return count;
  });
  let others = 0;
  await engine.transaction(async (tx) => {
    slowRuns++;
    const value = Number((await tx.get('count')) ?? 0);
    for (let i = 0; i < 20; i++) {
      await turn();
      // What it has not read goes on meanwhile.
      if (i === 10) await engine.transaction((other) => other.put('other', String(++others)));
    }
    tx.put('count', String(value + 1));
  });
  isOver = true;
  const counts = await Promise.all(lanes);
  assert.equal(slowRuns, 2);
  assert.equal(others, 2);
  assert.equal(
    Number(engine.getSync('count')),
    counts.reduce((sum, count) => sum + count, 1),
  );
});

test('write skew: of two that read what the other writes one runs again', async (t) => {
  const engine = await openTiny(t);
  await engine.write(new WriteBatch().put('on-call:a', '1').put('on-call:b', '1'));
  const leave = (who: string) =>
    engine.transaction(async (tx) => {
      const onCall = tx.scan({ gte: 'on-call:', lt: 'on-call;' }).nextMany(9);
      await turn();
      if (onCall.length > 1) tx.delete(`on-call:${who}`);
    });
  await Promise.all([leave('a'), leave('b')]);
  assert.equal(keysOf(engine.scan()).length, 1);
});
