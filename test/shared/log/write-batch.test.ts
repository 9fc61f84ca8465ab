/**
 * WriteBatch: copies what it is given, keeps its order, and is unchanged by what it refuses.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EntryKind } from '../../../src/shared/base/entry.ts';
import { StorageError } from '../../../src/shared/base/errors.ts';
import type { Bytes } from '../../../src/shared/base/input-bytes.ts';
import { entryEnd, entryKeyEnd, entryKeyStart, entryValueEnd } from '../../../src/shared/log/log-format.ts';
import { WriteBatch } from '../../../src/shared/log/write-batch.ts';

/** Its operations, as `key=value` or `key-`. */
function operations(batch: WriteBatch): string[] {
  const bytes = WriteBatch.encoded(batch);
  const found: string[] = [];
  for (let ref = 0; ref < bytes.length; ) {
    const keyStart = entryKeyStart(bytes, ref);
    const keyEnd = entryKeyEnd(bytes, ref, keyStart);
    const valueEnd = entryValueEnd(bytes, ref, keyEnd);
    const key = Buffer.from(bytes.subarray(keyStart, keyEnd)).toString();
    const value = Buffer.from(bytes.subarray(keyEnd, valueEnd)).toString();
    found.push(bytes[ref] === EntryKind.Delete ? `${key}-` : `${key}=${value}`);
    ref = entryEnd(ref, valueEnd);
  }
  return found;
}

test('operations stay in their order, with their kind, empty ones included', () => {
  const batch = new WriteBatch().put('a', '1').delete('a').put('', '').put('ü', 'ß').delete('');
  assert.deepEqual(operations(batch), ['a=1', 'a-', '=', 'ü=ß', '-']);
  assert.equal(batch.length, 5);
  assert.equal(batch.dataByteLength, 2 + 1 + 0 + 4 + 0);
  assert.equal(batch.byteLength, WriteBatch.encoded(batch).length);
});

test('what was handed in may change afterwards', () => {
  const key = Buffer.from('key');
  const value = Buffer.from('value');
  const batch = new WriteBatch().put(key, value).delete(key);
  key.fill('x');
  value.fill('y');
  assert.deepEqual(operations(batch), ['key=value', 'key-']);
});

test('a view into a larger array is taken as what it shows', () => {
  const large = Buffer.from('0123456789');
  const batch = new WriteBatch().put(
    large.subarray(2, 4),
    new Uint8Array(large.buffer, large.byteOffset + 5, 3),
  );
  assert.deepEqual(operations(batch), ['23=567']);
});

test('nothing is lost while it grows, whatever the size of what makes it grow', () => {
  for (const size of [0, 100, 500, 600, 5000, 70_000, 300_000]) {
    const batch = new WriteBatch();
    const expected: string[] = [];
    for (let i = 0; i < 40; i++) {
      batch.put(`k${i}`, String(i % 10).repeat(size));
      expected.push(`k${i}=${String(i % 10).repeat(size)}`);
    }
    assert.ok(operations(batch).join() === expected.join(), `values of ${size} bytes`);
  }
});

test('it grows, and a cleared one starts again', () => {
  const batch = new WriteBatch();
  for (let i = 0; i < 1000; i++) batch.put(`k${i}`, 'v'.repeat(i));
  assert.equal(batch.length, 1000);
  assert.equal(operations(batch).at(-1), `k999=${'v'.repeat(999)}`);
  assert.equal(batch.clear(), batch);
  assert.deepEqual([batch.length, batch.byteLength, batch.dataByteLength], [0, 0, 0]);
  assert.deepEqual(operations(batch.put('a', 'b')), ['a=b']);
});

test('a copy is independent, both ways', () => {
  const batch = new WriteBatch().put('a', '1');
  const copy = WriteBatch.copy(batch);
  batch.clear().put('changed', 'original');
  assert.deepEqual(operations(copy), ['a=1']);
  copy.put('b', '2');
  assert.deepEqual(operations(copy), ['a=1', 'b=2']);
  assert.deepEqual(operations(batch), ['changed=original']);
});

test('what is refused leaves the batch as it was', () => {
  const batch = new WriteBatch().put('a', '1');
  const wrong: readonly unknown[] = [
    undefined,
    null,
    1,
    {},
    [],
    '\ud800',
    new ArrayBuffer(3),
    new Uint16Array(2),
  ];
  const isInvalid = (error: unknown): boolean =>
    error instanceof StorageError && error.code === 'STRATA_INVALID_ARGUMENT';
  for (const input of wrong) {
    assert.throws(() => batch.put(input as Bytes, 'v'), isInvalid);
    assert.throws(() => batch.put('k', input as Bytes), isInvalid);
    assert.throws(() => batch.delete(input as Bytes), isInvalid);
  }
  assert.throws(() => batch.put('k'.repeat(65537), ''), isInvalid);
  assert.throws(() => batch.delete('k'.repeat(65537)), isInvalid);
  assert.deepEqual(operations(batch), ['a=1']);
  assert.equal(batch.put('k'.repeat(65536), '').length, 2);
});
