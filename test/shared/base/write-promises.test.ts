/** WritePromises: what the writers of a group are told. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WritePromises } from '../../../src/shared/base/deferred.ts';

/** What becomes of a promise by the time all microtasks are done. */
async function stateOf(promise: Promise<void>): Promise<string> {
  let state = 'pending';
  promise.then(
    () => {
      state = 'resolved';
    },
    (error: unknown) => {
      state = `rejected: ${error}`;
    },
  );
  await new Promise((resolve) => setImmediate(resolve));
  return state;
}

test('WritePromises: writers of a kind share a promise, and a write is done before it is synced', async () => {
  const group = new WritePromises();
  assert.equal(group.last, undefined);
  const written = group.promise(false);
  assert.equal(group.last, written);
  assert.equal(group.wantsSync, false);
  const synced = group.promise(true);
  assert.equal(group.last, synced);
  assert.equal(group.wantsSync, true);
  assert.equal(group.promise(false), written);
  assert.equal(group.promise(true), synced);
  group.written();
  assert.deepEqual([await stateOf(written), await stateOf(synced)], ['resolved', 'pending']);
  group.synced();
  assert.equal(await stateOf(synced), 'resolved');
});

test('WritePromises: who waits is told what becomes of the group that they entered, and only what they asked for', async () => {
  const group = new WritePromises();
  const [plain, both] = [new WritePromises(), new WritePromises()];
  plain.promise(false);
  both.promise(false);
  both.promise(true);
  plain.follow(group);
  assert.equal(group.wantsSync, false);
  both.follow(group);
  assert.equal(group.wantsSync, true);
  const states = [plain.promise(false), both.promise(false), both.promise(true)].map(stateOf);
  group.written();
  group.fail('no disk');
  assert.deepEqual(await Promise.all(states), ['resolved', 'resolved', 'rejected: no disk']);
});

test('WritePromises: a failure of what nobody awaits is no unhandled rejection', async (t) => {
  const seen: unknown[] = [];
  const listen = (reason: unknown): void => void seen.push(reason);
  process.on('unhandledRejection', listen);
  t.after(() => process.off('unhandledRejection', listen));
  new WritePromises().fail(new Error('no disk'));
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(seen, []);
});
