/**
 * update(): read, decide and write in one call, whatever else is under way.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WriteBatch } from '../../src/main/index.ts';
import { failsWith, fill, keyOf, openTiny, reopen, until } from '../helpers/engines.ts';
import { openWithGate } from '../helpers/held-gate.ts';

const plusOne = (current: Buffer | undefined): string => String(Number(current ?? 0) + 1);

test('ten thousand updates of one counter that nobody awaits count to ten thousand', async (t) => {
  const engine = await openTiny(t, { writeBufferSize: 65_536 });
  const updates = Array.from({ length: 10_000 }, () => engine.update('count', plusOne));
  const stored = await Promise.all(updates);
  assert.deepEqual(
    stored.map(String),
    Array.from({ length: 10_000 }, (_, i) => String(i + 1)),
  );
  assert.equal(String(engine.getSync('count')), '10000');
  const again = await reopen(t, engine);
  assert.equal(String(again.getSync('count')), '10000', 'after reopening, too');
});

test('updates that are held see each other, and all that was held before them', async (t) => {
  const { engine, hold, release } = await openWithGate(t);
  await engine.put('a', '5');
  await engine.put('b', '5');
  hold();
  const held: Promise<unknown>[] = [];
  for (let i = 0; i < 2000; i++) {
    held.push(engine.update('a', plusOne));
    if (i % 10 === 0) held.push(engine.put(keyOf(i), 'x'), engine.delete('c'), engine.update('c', plusOne));
  }
  held.push(engine.write(new WriteBatch().put('b', '70').delete('d').put('b', '71')));
  held.push(engine.update('b', plusOne));
  held.push(engine.put('r1', '5'), engine.deleteRange({ prefix: 'r' }), engine.put('r2', '7'));
  held.push(engine.update('r1', plusOne), engine.update('r2', plusOne), engine.update('r3', plusOne));
  assert.equal(engine.stats().stalls.heldWrites, held.length);
  assert.equal(String(engine.getSync('a')), '5', 'nothing of it is visible yet');
  release();
  await Promise.all(held);
  assert.equal(String(engine.getSync('a')), '2005');
  assert.equal(String(engine.getSync('b')), '72');
  assert.deepEqual(
    ['r1', 'r2', 'r3'].map((key) => String(engine.getSync(key))),
    ['1', '8', '1'],
  );
  assert.equal(String(engine.getSync('c')), '1', 'a delete that is held counts');
  hold();
  const last = engine.update('a', plusOne);
  release();
  assert.equal(String(await last), '2006', 'what was noted before is of no use any more');
});

test('an update sees what was written before it, in memory and in tables, and deletes with undefined', async (t) => {
  const engine = await openTiny(t);
  await fill(engine, 400);
  await engine.flush();
  const seen: (string | undefined)[] = [];
  const look = (next: string | undefined) => (current: Buffer | undefined) => {
    seen.push(current?.toString().slice(0, 4));
    return next;
  };
  void engine.put(keyOf(7), 'seven');
  const outcomes = [
    engine.update(keyOf(3), look('new')),
    engine.update(keyOf(3), look(undefined)),
    engine.update(keyOf(3), look('')),
    engine.update(keyOf(7), look('8')),
    engine.update(new Uint8Array([0]), look('first')),
  ];
  assert.deepEqual(seen, ['3/0:', 'new', undefined, 'seve', undefined]);
  assert.deepEqual((await Promise.all(outcomes)).map(String), ['new', 'undefined', '', '8', 'first']);
  assert.equal(engine.getSync(keyOf(3))?.length, 0);
});

test('the stored value, the current one and the key belong to the caller', async (t) => {
  const engine = await openTiny(t);
  await engine.put('k', 'old');
  const key = Buffer.from('k');
  const next = Buffer.from('new');
  const updated = engine.update(key, (current) => {
    current?.fill(0);
    key[0] = 0;
    return next;
  });
  next.fill(0);
  const stored = await updated;
  assert.equal(String(stored), 'new');
  stored?.fill(0);
  assert.equal(String(engine.getSync('k')), 'new');
});

test('what fn throws rejects, and what it should not return is refused; nothing is written', async (t) => {
  const engine = await openTiny(t);
  await engine.put('k', 'v');
  const { sequence } = engine.stats();
  const thrown = new Error('no');
  await assert.rejects(
    engine.update('k', () => {
      throw thrown;
    }),
    (error) => error === thrown,
  );
  const wrong: readonly unknown[] = [null, 5, true, {}, ['a'], Promise.resolve('x'), '\ud800'];
  for (const value of wrong)
    await failsWith(
      'STRATA_INVALID_ARGUMENT',
      engine.update('k', () => value as string),
    );
  for (const fn of [undefined, null, 'x', {}])
    await failsWith('STRATA_INVALID_ARGUMENT', engine.update('k', fn as never));
  await failsWith('STRATA_INVALID_ARGUMENT', engine.update(5 as never, plusOne));
  await failsWith('STRATA_INVALID_ARGUMENT', engine.update('k', plusOne, { retries: 1 } as never));
  assert.equal(engine.stats().sequence, sequence);
  assert.equal(String(engine.getSync('k')), 'v');
});

test('every write from inside fn is refused, and the update goes on', async (t) => {
  const engine = await openTiny(t);
  const refused: Promise<unknown>[] = [];
  const updated = engine.update('k', () => {
    refused.push(
      failsWith('STRATA_INVALID_ARGUMENT', engine.put('k', '1')),
      failsWith('STRATA_INVALID_ARGUMENT', engine.delete('k')),
      failsWith('STRATA_INVALID_ARGUMENT', engine.write(new WriteBatch().put('k', '1'))),
      failsWith('STRATA_INVALID_ARGUMENT', engine.update('k', plusOne)),
      failsWith('STRATA_INVALID_ARGUMENT', engine.ingest([['k', '1']])),
    );
    assert.equal(engine.getSync('k'), undefined, 'reads are not');
    return 'done';
  });
  await Promise.all(refused);
  assert.equal(String(await updated), 'done');
  await engine.put('k', 'later');
});

test('a store that is closed, also from inside fn, refuses', async (t) => {
  const engine = await openTiny(t);
  await failsWith(
    'STRATA_CLOSED',
    engine.update('k', () => {
      void engine.close();
      return 'x';
    }),
  );
  await until(() => engine.status === 'closed');
  await failsWith('STRATA_CLOSED', engine.update('k', plusOne));
});
