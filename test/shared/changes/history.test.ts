/**
 * Positions and the epochs they name: one text per place, and a place that was lost is none of a later history.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GENESIS, History, idBeforeEpochs, MAX_EPOCHS } from '../../../src/shared/changes/history.ts';
import { decodePosition, encodePosition } from '../../../src/shared/changes/position.ts';
import { seededRandom } from '../../helpers/rng.ts';
import { runSeed } from '../../helpers/run-budget.ts';

const STORE_ID = '01234567-89ab-4cde-8f01-23456789abcd';
const [A, B, C] = ['00000000000000a1', 'b2b2b2b2b2b2b2b2', 'ffffffffffffffff'] as const;

function opened(
  epochs: readonly { readonly id: string; readonly end: number }[],
  lastSequence: number,
  logs: readonly { readonly id: string; readonly end: number }[],
  id: string,
): History {
  return History.atOpening({ storeId: STORE_ID, epochs, lastSequence }, logs, id);
}

test('a position is printable, the same for the same place, and says what it was made of', () => {
  for (const sequence of [0, 1, 255, 2 ** 32, Number.MAX_SAFE_INTEGER]) {
    const place = { storeId: STORE_ID, epochId: A, sequence };
    const text = encodePosition(place);
    assert.match(text, /^p1[-\w]{48}$/);
    assert.equal(text, encodePosition({ ...place }));
    assert.deepEqual(decodePosition(text), place);
  }
});

test('no order can be read from positions', () => {
  const texts = Array.from({ length: 100 }, (_, i) =>
    encodePosition({ storeId: STORE_ID, epochId: A, sequence: i + 1 }),
  );
  const rising = texts.filter((text, i) => i > 0 && text > texts[i - 1]!).length;
  assert.ok(rising > 20 && rising < 80, `${rising} of 99 rise`);
  assert.equal(new Set(texts.map((text) => text.slice(0, 8))).size, 100);
});

test('whatever is not the text of a position is refused', (t) => {
  const text = encodePosition({ storeId: STORE_ID, epochId: A, sequence: 77 });
  const others: unknown[] = [
    undefined,
    null,
    77,
    {},
    [text],
    '',
    'p1',
    `${text} `,
    text.slice(1),
    `${text}A`,
  ];
  others.push(text.replace('p1', 'p2'), 'p1'.padEnd(50, '-'), Buffer.from(text));
  const random = seededRandom(runSeed(t));
  for (let i = 0; i < 300; i++) {
    const at = random.between(2, text.length - 1);
    const other = random.pick([...'ABCXYZabcxyz0189-_'].filter((one) => one !== text[at]));
    others.push(text.slice(0, at) + other + text.slice(at + 1));
  }
  for (const other of others)
    assert.throws(() => decodePosition(other), { code: 'STRATA_INVALID_ARGUMENT' }, String(other));
});

test('a sequence is named by the opening that wrote it, whichever opening asks', () => {
  const first = opened([], 0, [], A);
  assert.equal(first.idAt(0), GENESIS);
  assert.equal(first.idAt(5), A);
  const second = opened(first.upTo(5), 5, [{ id: A, end: 9 }], B);
  assert.deepEqual(
    [0, 5, 9, 10].map((sequence) => second.idAt(sequence)),
    [GENESIS, A, A, B],
  );
  const third = opened(second.upTo(9), 9, [{ id: B, end: 12 }], C);
  for (const sequence of [0, 5, 9, 12]) assert.deepEqual(third.placeAt(sequence), second.placeAt(sequence));
  assert.equal(third.openedAt, 12);
});

test('an opening that left nothing leaves no trace', () => {
  const first = opened([{ id: A, end: 9 }], 9, [], B);
  assert.deepEqual(first.upTo(9), [{ id: A, end: 9 }]);
  const second = opened(first.upTo(9), 9, [], C);
  assert.deepEqual(second.placeAt(9), first.placeAt(9));
  assert.deepEqual(second.closed, [{ id: A, end: 9 }]);
});

test('what an opening gave out and lost is no place of the history after it', () => {
  const before = opened([{ id: A, end: 9 }], 9, [], B);
  const given = [11, 14, 20].map((sequence) => before.placeAt(sequence));
  // Power failure: recovery finds writes up to 14 only, and others take the numbers behind it.
  const after = opened(before.upTo(9), 9, [{ id: B, end: 14 }], C);
  assert.deepEqual(
    given.map((place) => after.holds(place)),
    [true, true, false],
  );
  const later = opened(after.upTo(30), 30, [], 'd4d4d4d4d4d4d4d4');
  assert.deepEqual(
    given.map((place) => later.holds(place)),
    [true, true, false],
  );
});

test('copies share what was before the fork, and nothing after it', () => {
  const parent = opened([{ id: A, end: 9 }], 9, [], B);
  const copy = opened(parent.upTo(12), 12, [], C);
  assert.ok(copy.holds(parent.placeAt(12)));
  assert.ok(parent.holds(copy.placeAt(12)));
  assert.ok(!copy.holds(parent.placeAt(13)));
  assert.ok(!parent.holds(copy.placeAt(13)));
  assert.ok(!copy.holds({ ...parent.placeAt(9), storeId: STORE_ID.replace('0', '1') }));
});

test('a store from before epochs has one up to where it was found', () => {
  const id = idBeforeEpochs(STORE_ID);
  const first = opened([], 40, [{ id: '', end: 50 }], A);
  assert.deepEqual(first.closed, [{ id, end: 50 }]);
  assert.equal(first.idAt(51), A);
  assert.deepEqual(opened(first.upTo(50), 50, [{ id: A, end: 60 }], B).placeAt(45), first.placeAt(45));
  assert.notEqual(id, idBeforeEpochs(STORE_ID.replace('0', '1')));
});

test('the oldest of too many epochs are dropped, and their positions with them', () => {
  const epochs = Array.from({ length: MAX_EPOCHS }, (_, i) => ({
    id: (i + 1).toString(16).padStart(16, '0'),
    end: 2 * (i + 1),
  }));
  const history = opened(epochs, 2 * MAX_EPOCHS, [], A);
  const oldest = history.placeAt(1);
  const after = opened(history.upTo(2 * MAX_EPOCHS + 5), 2 * MAX_EPOCHS + 5, [], B);
  assert.equal(after.closed.length, MAX_EPOCHS);
  assert.ok(!after.holds(oldest));
  assert.ok(after.holds(history.placeAt(3)));
});
