/** How far behind a client is, and when that is too far. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Unread } from '../../../src/main/share/unread-changes.ts';

const LIMITS = { changes: 10, bytes: 5000, strandedBytes: 1000 };
const CHANGE = { kind: 'removed', number: 0, id: 1 } as const;

test('changes count until the client has got to them', () => {
  const unread = new Unread(2 ** 31 - 3);
  for (let i = 0; i < 10; i++) unread.add(CHANGE);
  assert.equal(unread.problem(LIMITS), undefined);
  unread.add(CHANGE);
  assert.match(unread.problem(LIMITS)!, /11 changes/);
  assert.equal(unread.read(2 ** 31 - 1), true);
  assert.equal(unread.count, 9);
  assert.equal(unread.problem(LIMITS), undefined);
  // Across the wrap, and nonsense changes nothing.
  assert.equal(unread.read(-(2 ** 31)), true);
  for (const nonsense of [Number.NaN, 0.5, 2 ** 31 - 3, 2 ** 40, '5', undefined, 1000])
    assert.equal(unread.read(nonsense), false);
  assert.equal(unread.count, 8);
});

test('bytes of tables and memory that is stranded count, too, until all is read', () => {
  const unread = new Unread(0);
  unread.strand(5000);
  assert.equal(unread.problem(LIMITS), undefined, 'nothing waits that could keep it');
  unread.add(CHANGE);
  unread.strand(1001);
  assert.notEqual(unread.problem(LIMITS), undefined);
  assert.equal(unread.read(1), true);
  assert.equal(unread.problem(LIMITS), undefined);
  const table = { smallestKey: new Uint8Array(3000), largestKey: new Uint8Array(3000) };
  const added = [{ level: 0, table }] as never;
  unread.add({ kind: 'edited', number: 2, edit: { added, removed: [] } });
  assert.notEqual(unread.problem(LIMITS), undefined);
  unread.read(2);
  assert.equal(unread.problem(LIMITS), undefined);
});
