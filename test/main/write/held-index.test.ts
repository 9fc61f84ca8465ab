/** The index over held writes, against a model: whatever is held, and however much of it has left. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HeldIndex } from '../../../src/main/write/held-index.ts';
import { HeldWrites } from '../../../src/main/write/held-writes.ts';
import { Entry, givesValue } from '../../../src/shared/base/entry.ts';
import { WriteBatch } from '../../../src/shared/log/write-batch.ts';
import { seededRandom } from '../../helpers/rng.ts';
import { runBudget, runSeed } from '../../helpers/run-budget.ts';

const KEYS = 40;
const keyOf = (i: number): string => `k${String(i).padStart(2, '0')}`;

/** undefined: nothing of the key waits; else what it will be: a value, or 'gone'. */
type Held = string | undefined;

interface Operation {
  readonly from: number;
  readonly to: number;
  readonly value: string;
}

test('a lookup finds the last of the writes that wait, and a range any of them', (t) => {
  const random = seededRandom(runSeed(t));
  const held = new HeldWrites(400, 1e9);
  // What waits keeps the process alive.
  t.after(() => held.rejectAll(new Error('the end of the test')));
  const index = new HeldIndex(held);
  const entry = new Entry();
  /** By group: what waits. */
  const groups = new Map<object, Operation[]>();
  const add = (operation: Operation): void => {
    const batch = new WriteBatch();
    const { from, to, value } = operation;
    if (to > from + 1) batch.deleteRange({ gte: keyOf(from), lt: keyOf(to) });
    else if (value === 'gone') batch.delete(keyOf(from));
    else batch.put(keyOf(from), value);
    const group = held.add(batch.byteLength, 1, false);
    group.bytes.set(WriteBatch.encoded(batch), group.end - batch.byteLength);
    groups.set(group, [...(groups.get(group) ?? []), operation]);
  };
  const waiting = (): Operation[] => [...groups.values()].flat();
  const expected = (i: number): Held => waiting().findLast(({ from, to }) => from <= i && i < to)?.value;
  const found = (i: number): Held => {
    if (!index.lookup(Buffer.from(keyOf(i)), entry)) return undefined;
    if (!givesValue(entry.kind)) return 'gone';
    return Buffer.from(entry.valueBytes.subarray(entry.valueStart, entry.valueEnd)).toString();
  };
  for (let step = runBudget('STRATA_HELD_STEPS', 4000); step > 0; step--) {
    const from = random.below(KEYS);
    const kind = random.below(20);
    if (kind === 0) add({ from, to: from + random.between(2, 12), value: 'gone' });
    else if (kind < 5) add({ from, to: from + 1, value: 'gone' });
    else if (kind < 14) add({ from, to: from + 1, value: `v${step}` });
    else if (kind < 16) {
      for (let drops = random.below(random.pick([2, 2, 2, 50])); drops > 0; drops--) {
        const group = held.first();
        if (group === undefined) break;
        held.drop(group);
        groups.delete(group);
      }
    } else {
      assert.equal(found(from), expected(from), `key ${from}`);
      const to = from + random.between(1, 5);
      const range = { start: Buffer.from(keyOf(from)), end: Buffer.from(keyOf(to)) };
      const isTouched = waiting().some((one) => one.from < to && from < one.to);
      assert.equal(index.touches(range, entry), isTouched, `range ${from} to ${to}`);
    }
  }
});
