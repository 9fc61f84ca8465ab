/**
 * Keys and values as handed in: a string is its UTF-8 bytes on every path, and what has none is refused.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runInNewContext } from 'node:vm';
import { StorageError } from '../../../src/shared/base/errors.ts';
import {
  type Bytes,
  InputBytes,
  lookupKeyBytes,
  ownedKeyBytes,
} from '../../../src/shared/base/input-bytes.ts';
import { seededRandom } from '../../helpers/rng.ts';
import { runSeed } from '../../helpers/run-budget.ts';

function bytesOf(input: InputBytes): Buffer {
  return Buffer.from(input.bytes.slice(0, input.end));
}

function assertInvalid(action: () => unknown): void {
  assert.throws(
    action,
    (error: unknown) => error instanceof StorageError && error.code === 'STRATA_INVALID_ARGUMENT',
  );
}

test('a string means its UTF-8 bytes, short or long, ASCII or not', (t) => {
  const random = seededRandom(runSeed(t));
  const input = new InputBytes();
  const alphabet = ['a', 'Z', '\0', '\x7f', '\x80', 'é', '€', '\uffff', '😀', '𐀀'];
  for (let i = 0; i < 2000; i++) {
    const length = random.pick([0, 1, 5, 95, 96, 97, 300, 5000]);
    const few = alphabet.slice(0, random.between(1, alphabet.length));
    const text = Array.from({ length }, () => random.pick(few)).join('');
    const expected = Buffer.from(text, 'utf8');
    input.setValue(text);
    assert.deepEqual(bytesOf(input), expected);
    if (expected.length > 65536) continue;
    input.setKey(text);
    assert.deepEqual(bytesOf(input), expected);
    assert.deepEqual(Buffer.from(lookupKeyBytes(text)), expected);
    assert.deepEqual(Buffer.from(ownedKeyBytes(text)), expected);
  }
});

test('one non-ASCII character at any place of a short string is encoded whole', () => {
  const input = new InputBytes();
  for (let at = 0; at < 96; at++) {
    const text = `${'x'.repeat(at)}é${'y'.repeat(95 - at)}`;
    input.setKey(text);
    assert.deepEqual(bytesOf(input), Buffer.from(text));
  }
});

test('lone surrogates are refused wherever they stand', () => {
  const input = new InputBytes();
  for (const bad of ['\ud800', '\udc00', '\udc00\ud800'])
    for (const text of [bad, `a${bad}`, `${bad}a`, `${'x'.repeat(200)}${bad}`, `😀${bad}`]) {
      assertInvalid(() => input.setKey(text));
      assertInvalid(() => input.setValue(text));
      assertInvalid(() => lookupKeyBytes(text));
    }
});

test('arrays are taken as they are, from other realms too, and other things are not taken', () => {
  const input = new InputBytes();
  const foreign = runInNewContext('new Uint8Array([1, 2, 3])') as Uint8Array;
  input.setKey(foreign);
  assert.deepEqual(bytesOf(input), Buffer.from([1, 2, 3]));
  const wrong: readonly unknown[] = [
    undefined,
    null,
    0,
    1n,
    true,
    Symbol('s'),
    {},
    [1],
    () => 'k',
    new Date(0),
    new ArrayBuffer(1),
    new DataView(new ArrayBuffer(1)),
    new Uint16Array(1),
    new Uint8ClampedArray(1),
    { length: 1, 0: 1 },
    Object.create(Uint8Array.prototype),
  ];
  for (const value of wrong) {
    if (value instanceof Uint8Array) continue;
    assertInvalid(() => input.setKey(value as Bytes));
    assertInvalid(() => input.setValue(value as Bytes));
  }
});

test('keys end at 64 KiB, counted in bytes; the message says how long, not what', () => {
  const input = new InputBytes();
  input.setKey('k'.repeat(65536));
  input.setKey(new Uint8Array(65536));
  input.setKey('é'.repeat(32768));
  for (const key of ['k'.repeat(65537), new Uint8Array(65537), 'é'.repeat(32769)]) {
    assertInvalid(() => input.setKey(key));
    assertInvalid(() => lookupKeyBytes(key));
    assertInvalid(() => ownedKeyBytes(key));
    assert.throws(
      () => input.setKey(key),
      (error: Error) => error.message.length < 100 && /6553[78]/.test(error.message),
    );
  }
});

test('a bound is a private copy, even of the scratch that the next call uses', () => {
  const key = Buffer.from('bound');
  const owned = ownedKeyBytes(key);
  const fromString = ownedKeyBytes('string');
  key.fill(0);
  ownedKeyBytes('another');
  assert.equal(Buffer.from(owned).toString(), 'bound');
  assert.equal(Buffer.from(fromString).toString(), 'string');
});

test('a scratch grown for a huge string is not written beyond by a longer one', () => {
  const input = new InputBytes();
  for (const length of [10, 5000, 100, 3_000_000, 50, 200_000, 4097]) {
    const text = 'ä'.repeat(length);
    input.setValue(text);
    assert.equal(input.end, 2 * length);
    assert.ok(bytesOf(input).equals(Buffer.from(text)));
  }
});
