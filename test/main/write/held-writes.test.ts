/**
 * HeldWrites: in order, whole, at the price of their bytes; and who waits for room is told.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type HeldGroup, HeldWrites } from '../../../src/main/write/held-writes.ts';
import { StorageError } from '../../../src/shared/base/errors.ts';
import { MAX_UNIT_WRITES, unitBytes } from '../../../src/shared/base/write-unit.ts';
import { seededRandom } from '../../helpers/rng.ts';
import { freshSeed, reportSeed } from '../../helpers/run-budget.ts';

const MIB = 1024 * 1024;

/** Adds a write whose bytes are all `mark`. */
function add(held: HeldWrites, byteLength: number, mark: number): HeldGroup {
  const group = held.add(byteLength, 1, false);
  group.bytes.fill(mark, group.end - byteLength, group.end);
  return group;
}

test('HeldWrites gives groups back in order, each with the bytes that were put there, however they come and go', (t) => {
  const random = seededRandom(freshSeed());
  reportSeed(t, random.seed);
  const held = new HeldWrites(1024, 1 << 30);
  const expected: { readonly mark: number; readonly byteLength: number }[] = [];
  let mark = 0;
  for (let step = 0; step < 2500; step++) {
    if (random.chance(0.55)) {
      const byteLength = random.chance(0.01) ? 1 + random.below(1_200_000) : 8 + random.below(2000);
      mark = (mark + 1) % 251;
      add(held, byteLength, mark);
      expected.push({ mark, byteLength });
    } else {
      const group = held.first();
      if (group === undefined) continue;
      let at = group.start;
      const own = expected.splice(0, group.writeCount);
      for (const write of own) {
        const bytes = group.bytes.subarray(at, at + write.byteLength);
        assert.ok(
          bytes.every((byte) => byte === write.mark),
          'the bytes of a write that waits',
        );
        at += write.byteLength;
      }
      assert.equal(at, group.end);
      held.drop(group);
    }
    assert.equal(held.count, expected.length);
    assert.equal(
      held.byteLength,
      expected.reduce((sum, { byteLength }) => sum + byteLength, 0),
    );
  }
  held.rejectAll(new Error('over'));
  assert.deepEqual([held.count, held.byteLength], [0, 0]);
});

test('writes of a group share a promise, those that wait for the disk another, and a group is never larger than a unit', () => {
  const held = new HeldWrites(unitBytes(64 * MIB), 1 << 30);
  const groups = Array.from({ length: MAX_UNIT_WRITES * 2 + 1 }, () => add(held, 16, 1));
  assert.equal(new Set(groups).size, 3);
  assert.equal(groups[0]!.outcome.promise(false), groups[1]!.outcome.promise(false));
  assert.notEqual(groups[0]!.outcome.promise(false), groups[0]!.outcome.promise(true));
  assert.notEqual(groups[0]!.outcome.promise(false), groups.at(-1)!.outcome.promise(false));
  const large = [add(held, 60_000, 1), add(held, 60_000, 1), add(held, 16, 1)];
  assert.equal(new Set(large).size, 3, 'a unit holds 64 KiB');
  for (const group of [...groups, ...large])
    for (const sync of [true, false]) group.outcome.promise(sync).catch(() => undefined);
  held.rejectAll(new Error('over'));
});

test('what is entered takes no more writes, and what comes meanwhile stays behind it', () => {
  const held = new HeldWrites(1024, 1 << 30);
  add(held, 16, 1);
  const first = held.first()!;
  assert.equal(first.writeCount, 1);
  assert.notEqual(add(held, 16, 2), first);
  held.drop(first);
  held.drop(first);
  assert.equal(held.count, 1);
  assert.equal(held.letGo(), false);
  held.drop(held.first()!);
  assert.equal(held.letGo(), true, 'nothing keeps the process alive');
});

test('a held write costs its bytes and a few more, and all memory is given back after a while', async () => {
  const held = new HeldWrites(unitBytes(MIB), 1 << 30);
  for (let i = 0; i < 100_000; i++)
    void held
      .add(24, 1, false)
      .outcome.promise(false)
      .catch(() => undefined);
  assert.equal(held.byteLength, 2_400_000);
  assert.ok(held.memoryBytes <= held.byteLength + MIB, `${held.memoryBytes} bytes`);
  held.rejectAll(new Error('over'));
  while (held.memoryBytes > 0) await new Promise((resolve) => setTimeout(resolve, 50));
});

test('beyond maxHeldBytes there is no room, until half of it is free; clients wait for half', async () => {
  const held = new HeldWrites(64, 1000);
  const told: string[] = [];
  const note = (who: string) => (): number => told.push(who);
  const settle = async (): Promise<void> => void (await new Promise((resolve) => setImmediate(resolve)));
  for (let i = 0; i < 10; i++) add(held, 100, 1);
  held.checkRoom();
  await held.room();
  assert.ok(held.roomForClients() !== undefined);
  add(held, 100, 1);
  assert.throws(
    () => held.checkRoom(),
    (error) => error instanceof StorageError && error.code === 'STRATA_BUSY',
  );
  void held.room().then(note('owner'));
  void held.roomForClients()!.then(note('client'));
  const leave = async (count: number): Promise<void> => {
    for (let i = 0; i < count; i++) held.drop(held.first()!);
    held.letGo();
    await settle();
  };
  await leave(5);
  assert.deepEqual(told, []);
  await leave(1);
  assert.deepEqual(told.sort(), ['client', 'owner']);
  assert.equal(held.roomForClients(), undefined);
  held.rejectAll(new Error('over'));
});
