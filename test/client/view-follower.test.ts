/** A view and a sequence of one moment, whatever the owner does between two steps of a refresh. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { MessageChannel } from 'node:worker_threads';
import { ViewFollower } from '../../src/client/view-follower.ts';
import { fileNumber, level, sequenceNumber } from '../../src/shared/base/ids.ts';
import type { VersionEdit } from '../../src/shared/base/version-edit.ts';
import { ControlBlock } from '../../src/shared/threads/control-block.ts';
import type { ViewChange } from '../../src/shared/threads/share-protocol.ts';
import { ViewSlots } from '../../src/shared/threads/view-slots.ts';
import { turn, until } from '../helpers/engines.ts';
import { tableMeta } from '../helpers/table-meta.ts';

const NO_EDIT: VersionEdit = { added: [], removed: [] };
const LEVELS = Array.from({ length: 8 }, () => []);

/** An owner that does something whenever the client has loaded the visible sequence. */
class Interrupter extends ControlBlock {
  afterLoad: () => void = () => {};
  beforeLoad: () => void = () => {};

  override get visibleSequence(): ReturnType<typeof sequenceNumber> {
    this.beforeLoad();
    const sequence = super.visibleSequence;
    this.afterLoad();
    return sequence;
  }
}

interface Pair {
  readonly control: Interrupter;
  readonly slots: ViewSlots;
  readonly follower: ViewFollower;
  /** Announces view `number` and publishes `sequence`, as the owner does. */
  move(number: number, sequence: number, edit?: VersionEdit): void;
  /** Numbers of the tables that no view has any more. */
  readonly obsolete: number[];
  /** What the client has told the owner. */
  readonly told: number[];
}

function pair(t: TestContext, first = 0): Pair {
  const { port1, port2 } = new MessageChannel();
  t.after(() => port1.close());
  const control = new Interrupter();
  control.announceView(first);
  const told: number[] = [];
  port1.on('message', (view: number) => told.push(view));
  port1.unref();
  const state = { number: first, memtables: [], levels: LEVELS };
  const slots = new ViewSlots();
  const obsolete: number[] = [];
  const host = {
    obsolete: (numbers: readonly number[]) => void obsolete.push(...numbers),
    reclaim: () => {},
    ended: () => {},
  };
  const follower = new ViewFollower(port2, control, slots, state, host);
  const move = (number: number, sequence: number, edit: VersionEdit = NO_EDIT): void => {
    port1.postMessage({ kind: 'edited', number, edit } satisfies ViewChange);
    control.announceView(number);
    control.publishSequence(sequenceNumber(sequence));
  };
  return { control, slots, follower, move, obsolete, told };
}

test('a sequence is loaded with the current view, and never before it', (t) => {
  const { control, follower, move } = pair(t);
  move(1, 10);
  const views: number[] = [];
  control.beforeLoad = () => views.push(follower.view.number);
  follower.beginRead();
  assert.deepEqual(views, [1]);
  assert.equal(follower.sequence, 10);
});

test('a view that changes while the sequence is loaded is taken, and the sequence loaded again', (t) => {
  const { control, follower, move } = pair(t);
  let left = 3;
  control.afterLoad = () => {
    if (left-- > 0) move(3 - left, 30 - left);
  };
  follower.beginRead();
  assert.equal(follower.view.number, 3);
  assert.equal(follower.sequence, 30);
});

test('a change that was posted and not yet announced does no harm', async (t) => {
  const { control, follower, move } = pair(t);
  move(1, 5);
  control.announceView(0);
  await new Promise((resolve) => setImmediate(resolve));
  await new Promise((resolve) => setImmediate(resolve));
  follower.beginRead();
  assert.equal(follower.view.number, 1);
  control.announceView(1);
  follower.beginRead();
  assert.equal(follower.view.number, 1);
});

test('numbers of views wrap', (t) => {
  const { follower, move } = pair(t, 2 ** 31 - 2);
  move(2 ** 31 - 1, 1);
  move(-(2 ** 31), 2);
  follower.beginRead();
  assert.equal(follower.view.number, -(2 ** 31));
  assert.equal(follower.sequence, 2);
});

test('a view is in the slots as long as something reads with it, and no longer', async (t) => {
  const { follower, slots, move, told } = pair(t);
  const used = (): number[] => [0, 1, 2].filter((view) => slots.inUse()(view));
  assert.deepEqual(used(), []);
  follower.beginRead();
  assert.deepEqual(used(), [0]);
  const release = follower.pin(follower.view);
  follower.endRead();
  assert.deepEqual(used(), [0]);
  move(1, 1);
  follower.beginRead();
  assert.deepEqual(used(), [0, 1]);
  follower.endRead();
  move(2, 2);
  // No read comes by: it hears of the change by its event loop.
  await until(() => follower.view.number === 2);
  assert.deepEqual(used(), [0]);
  await until(() => told.at(-1) === 2);
  release();
  release();
  assert.deepEqual(used(), []);
  await until(() => told.length === 3);
  for (let i = 0; i < 5; i++) await turn();
  assert.deepEqual(told, [1, 2, 2]);
});

test('the view of a read is in the slots before the last look at the current one', (t) => {
  const { control, follower, slots, move } = pair(t);
  const seen: boolean[] = [];
  let left = 2;
  control.beforeLoad = () => seen.push(slots.inUse()(follower.view.number));
  control.afterLoad = () => {
    if (left-- > 0) move(2 - left, 1);
  };
  follower.beginRead();
  assert.deepEqual(seen, [true, true, true]);
  assert.deepEqual(
    [0, 1, 2].filter((view) => slots.inUse()(view)),
    [2],
  );
});

test('tables are given up with the last view that has them; one that moves to another level stays', (t) => {
  const { follower, move, obsolete } = pair(t);
  const [low, high] = [level(1), level(2)];
  const add = (at: number, ...numbers: number[]): VersionEdit['added'] =>
    numbers.map((number) => ({ level: level(at), table: tableMeta(number, `${number}a`, `${number}b`) }));
  const remove = (from: typeof low, number: number) => ({ level: from, number: fileNumber(number) });
  const read = (): void => {
    follower.beginRead();
    follower.endRead();
  };
  const pin = (): (() => void) => {
    follower.beginRead();
    const release = follower.pin(follower.view);
    follower.endRead();
    return release;
  };
  move(1, 1, { added: add(1, 3, 4, 5), removed: [] });
  const first = pin();
  move(2, 2, { added: add(2, 3), removed: [remove(low, 3), remove(low, 4)] });
  const second = pin();
  const again = follower.pin(follower.view);
  move(3, 3);
  move(4, 4, { added: add(1, 6), removed: [remove(high, 3), remove(low, 5)] });
  read();
  assert.deepEqual(obsolete, []);
  first();
  assert.deepEqual(obsolete.splice(0), [4]);
  second();
  assert.deepEqual(obsolete, []);
  again();
  assert.deepEqual(obsolete.splice(0).sort(), [3, 5]);
  move(5, 5, { added: [], removed: [remove(low, 6)] });
  read();
  assert.deepEqual(obsolete, [6], 'without a pin: at once');
});
