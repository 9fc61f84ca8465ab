/**
 * What waits while flush or compaction is behind is bounded: STRATA_BUSY, writable(), and what becomes of either.
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { type StorageEngine, WriteBatch } from '../../src/main/index.ts';
import { failsWith, keyOf, keysOf, openOn, openTiny, reopen, until, valueFor } from '../helpers/engines.ts';
import { FailingDisk } from '../helpers/failing-disk.ts';
import { type HeldGate, openWithGate } from '../helpers/held-gate.ts';

const MAX_HELD = 20_000;

/** A store that holds all writes for now. */
async function stuck(t: TestContext, maxHeldBytes: number = MAX_HELD): Promise<HeldGate> {
  const held = await openWithGate(t, { maxHeldBytes });
  held.hold();
  return held;
}

/** Puts without awaiting until one is refused; how many were taken. */
async function flood(engine: StorageEngine, outcomes: Promise<unknown>[]): Promise<number> {
  for (let i = 0; ; i++) {
    const { heldBytes } = engine.stats().stalls;
    const write = engine.put(keyOf(i), valueFor(i, 60));
    if (heldBytes > MAX_HELD) {
      await failsWith('STRATA_BUSY', write);
      return i;
    }
    outcomes.push(write);
  }
}

test('when more than maxHeldBytes wait, writes of all kinds are refused, and nothing of them is stored', async (t) => {
  const { engine, release } = await stuck(t);
  const outcomes: Promise<unknown>[] = [];
  const taken = await flood(engine, outcomes);
  const { heldBytes, heldWrites, heldMemoryBytes } = engine.stats().stalls;
  assert.ok(heldBytes > MAX_HELD && heldBytes < MAX_HELD + 200, `${heldBytes}`);
  assert.ok(heldMemoryBytes >= heldBytes);
  const { userBytes } = engine.stats();
  await failsWith('STRATA_BUSY', engine.put('refused', '1', { sync: true }));
  await failsWith('STRATA_BUSY', engine.delete(keyOf(0)));
  await failsWith('STRATA_BUSY', engine.write(new WriteBatch().put('refused', '1').delete(keyOf(1))));
  assert.equal(engine.stats().stalls.heldWrites, heldWrites);
  assert.equal(engine.stats().userBytes, userBytes, 'what was refused was not written');
  release();
  await Promise.all(outcomes);
  await engine.put('later', '1');
  assert.equal(keysOf(engine.scan()).length, taken + 1);
  assert.equal(engine.hasSync('refused'), false);
  await until(() => engine.stats().stalls.heldBytes === 0);
  const again = await reopen(t, engine);
  assert.equal(keysOf(again.scan()).length, taken + 1, 'after reopening, too');
});

test('writable() resolves at once while there is room, and after a refusal when a write is taken again', async (t) => {
  const { engine, release } = await stuck(t);
  await engine.writable();
  const outcomes: Promise<unknown>[] = [];
  await flood(engine, outcomes);
  let isWritable = false;
  const room = Promise.all([engine.writable(), engine.writable()]).then(() => {
    isWritable = true;
    assert.ok(engine.stats().stalls.heldBytes <= MAX_HELD);
    outcomes.push(engine.put('next', '1'));
  });
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(isWritable, false);
  release();
  await room;
  await Promise.all(outcomes);
  assert.equal(engine.hasSync('next'), true);
});

test('writable() rejects with what a write would be told: read-only, closed', async (t) => {
  const disk = new FailingDisk();
  const engine = await openOn(t, disk.spec, { writeBufferSize: 4096, maxHeldBytes: MAX_HELD });
  engine.on('backgroundError', () => {});
  disk.fail('createTable', 'EIO');
  const outcomes: Promise<unknown>[] = [];
  await flood(engine, outcomes);
  const held = Promise.allSettled(outcomes);
  // The flush fails again, and ends all writing.
  await failsWith('STRATA_READ_ONLY', engine.writable());
  await held;
  await failsWith('STRATA_READ_ONLY', engine.writable());
  await engine.close();
  await failsWith('STRATA_CLOSED', engine.writable());
});

test('writers that ask for room are never refused, and all they wrote is there', async (t) => {
  const engine = await openTiny(t, { writeBufferSize: 4096, maxHeldBytes: 2000 });
  const writes: Promise<void>[] = [];
  let most = 0;
  for (let i = 0; i < 1500; i++) {
    await engine.writable();
    writes.push(engine.put(keyOf(i), valueFor(i, 60)));
    most = Math.max(most, engine.stats().stalls.heldBytes);
  }
  await Promise.all(writes);
  assert.ok(most > 0 && most < 2200, `${most} bytes were held`);
  assert.equal(keysOf(engine.scan()).length, 1500);
});

test('with maxHeldBytes: 0 one write waits, and the next is refused', async (t) => {
  const { engine, release } = await stuck(t, 0);
  const outcomes: Promise<unknown>[] = [];
  outcomes.push(engine.put(keyOf(0), valueFor(0, 60)));
  await failsWith('STRATA_BUSY', engine.put('a', '1'));
  release();
  await engine.writable();
  await engine.put('a', '1');
  await Promise.all(outcomes);
});

test('maxHeldBytes is a whole number of bytes from 0', async (t) => {
  for (const maxHeldBytes of [-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, '1', null])
    await failsWith('STRATA_INVALID_ARGUMENT', openTiny(t, { maxHeldBytes: maxHeldBytes as never }));
});

test('a write from a listener, while held ones enter, does not overtake them', async (t) => {
  const engine = await openTiny(t, { writeBufferSize: 4096 });
  const writes: Promise<unknown>[] = [];
  let fromListener = 0;
  let last = '';
  const put = (value: string): void => {
    last = value;
    writes.push(engine.put('same', value));
  };
  engine.on('stall', ({ state }) => {
    if (fromListener < 20) put(`listener ${++fromListener} ${state}`);
  });
  for (let i = 0; i < 800; i++) put(`${i} `.padEnd(80));
  while (writes.length > 0) await Promise.all(writes.splice(0));
  assert.ok(fromListener > 0);
  assert.equal(engine.getSync('same')?.toString(), last);
});
