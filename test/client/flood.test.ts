/**
 * Clients that do not await their writes: held back in their own thread, refused there, and never the owner's burden.
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { StorageClient } from '../../src/client/index.ts';
import { StorageError, WriteBatch } from '../../src/main/index.ts';
import { attachHere } from '../helpers/clients.ts';
import { failsWith, keyOf, keysOf, openTiny } from '../helpers/engines.ts';
import { type HeldGate, openWithGate } from '../helpers/held-gate.ts';

const MIB = 1024 * 1024;
const MAX_HELD: number = 2 * MIB;
/** What a client may have on its way, and one parcel more. */
const MOST_SENT: number = 5 * MIB;
const VALUE = 'v'.repeat(1000);

/** A store that holds all writes for now, and a client of it. */
async function stuck(t: TestContext): Promise<HeldGate & { readonly client: StorageClient }> {
  const held = await openWithGate(t, { maxHeldBytes: MAX_HELD });
  const client = await attachHere(t, held.engine);
  held.hold();
  return { ...held, client };
}

/** Puts without awaiting, a hundred in a turn, until one is refused; those that were taken. */
async function flood(client: StorageClient): Promise<Promise<unknown>[]> {
  const taken: Promise<unknown>[] = [];
  for (;;) {
    for (let i = 0; i < 100; i++) {
      const isFull = client.stats().heldBytes > MAX_HELD;
      const write = client.put(keyOf(taken.length), VALUE);
      if (isFull) {
        await failsWith('STRATA_BUSY', write);
        return taken;
      }
      taken.push(write);
    }
    const { sentBytes, heldBytes } = client.stats();
    assert.ok(sentBytes <= MOST_SENT, `${sentBytes} bytes on their way`);
    assert.ok(heldBytes <= MAX_HELD + 2000, `${heldBytes} bytes wait`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

test('a client that floods a store that is behind is held back, then refused; all that was taken is stored', async (t) => {
  const { engine, release, client } = await stuck(t);
  const taken = await flood(client);
  const { heldBytes, queuedClientBytes } = engine.stats().stalls;
  assert.ok(heldBytes <= MAX_HELD / 2 + 1.1 * MIB, `${heldBytes} bytes are held by the owner`);
  assert.ok(queuedClientBytes > 0 && queuedClientBytes <= MOST_SENT, `${queuedClientBytes} bytes wait there`);
  const owners = engine.put('owner', '1');
  release();
  await client.writable();
  taken.push(client.put('later', '1'));
  await Promise.all([...taken, owners]);
  assert.equal(keysOf(engine.scan()).length, taken.length + 1);
  const { sentBytes, heldWrites } = client.stats();
  assert.deepEqual([sentBytes, heldWrites, engine.stats().stalls.queuedClientBytes], [0, 0, 0]);
});

test('what a client asks for next comes after its writes that wait, and close() waits for them', async (t) => {
  const { engine, release, client } = await stuck(t);
  const taken = await flood(client);
  const flushed = client.flush();
  release();
  await flushed;
  assert.equal(keysOf(engine.scan()).length, taken.length, 'they were in before the flush');
  await Promise.all(taken);
  const more = Array.from({ length: 7000 }, (_, i) => client.put(`more-${i}`, VALUE));
  assert.ok(client.stats().heldWrites > 0, 'some wait');
  await client.close();
  await Promise.all(more);
  assert.equal(keysOf(engine.scan({ gte: 'more' })).length, 7000);
});

test('when the owner closes, each write of a flood settles, as a prefix that is stored and a rest that is not', async (t) => {
  const { engine, client } = await stuck(t);
  const taken = await flood(client);
  const room = client.writable().catch((error: unknown) => error);
  const outcomes = Promise.allSettled(taken);
  await engine.close();
  const settled = await outcomes;
  const stored = settled.filter(({ status }) => status === 'fulfilled').length;
  assert.ok(stored > 0 && stored < taken.length);
  assert.ok(
    settled.every(({ status }, i) => (status === 'fulfilled') === i < stored),
    'in order',
  );
  for (const outcome of settled)
    if (outcome.status === 'rejected') assert.ok(outcome.reason instanceof StorageError);
  assert.ok((await room) instanceof StorageError || (await room) === undefined);
  await failsWith('STRATA_CLOSED', client.writable());
});

test('a client is not refused for what others hold: maxHeldBytes of the owner, with many writes in a message', async (t) => {
  const engine = await openTiny(t, { writeBufferSize: 4096, maxHeldBytes: 1000 });
  const clients = [await attachHere(t, engine), await attachHere(t, engine)];
  const writes: Promise<void>[] = [];
  for (let round = 0; round < 60; round++)
    for (const [who, client] of clients.entries()) {
      await client.writable();
      for (let i = 0; i < 10; i++) writes.push(client.put(`${who}-${keyOf(round * 10 + i)}`, 'v'.repeat(60)));
    }
  await Promise.all(writes);
  assert.equal(keysOf(engine.scan()).length, 1200);
});

test('plain writes, syncing ones and batches of a turn arrive in the order of the calls, each with its own outcome', async (t) => {
  const engine = await openTiny(t, { writeBufferSize: 65536 });
  const client = await attachHere(t, engine);
  const writes: Promise<void>[] = [];
  for (let i = 0; i < 1000; i++) {
    if (i % 7 === 0) writes.push(client.write(new WriteBatch().put('k', `${i}`).put(`b${i}`, `${i}`)));
    else writes.push(client.put('k', `${i}`, { sync: i % 5 === 0 }));
    if (i % 100 === 0) await failsWith('STRATA_INVALID_ARGUMENT', client.put('x', 5 as never));
  }
  await Promise.all(writes);
  assert.equal(client.getSync('k')?.toString(), '999');
  assert.equal(keysOf(engine.scan({ gte: 'b', lt: 'c' })).length, 143);
});
