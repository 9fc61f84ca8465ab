/**
 * zeroCopy: memory of the store where it never changes, copies elsewhere, the same bytes everywhere.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openTiny } from '../helpers/engines.ts';

const ZERO_COPY = { zeroCopy: true } as const;

test('a value that is in no table yet is handed out without a copy, and stays what it was', async (t) => {
  const engine = await openTiny(t);
  await engine.put('k', 'first');
  const view = engine.getSync('k', ZERO_COPY)!;
  assert.ok(view.buffer instanceof SharedArrayBuffer);
  assert.equal(view.buffer, engine.getSync('k', ZERO_COPY)!.buffer);
  assert.equal(view.toString(), 'first');
  await engine.put('k', 'other');
  await engine.flush();
  await engine.compact();
  assert.equal(view.toString(), 'first');
  assert.equal(engine.getSync('k')?.toString(), 'other');
  await engine.close();
  assert.equal(view.toString(), 'first');
});

test('a value in a table is a copy that no other read touches', async (t) => {
  const engine = await openTiny(t);
  for (let i = 0; i < 200; i++) await engine.put(`k${i}`, `value ${i}`);
  await engine.flush();
  const kept = Array.from({ length: 200 }, (_, i) => engine.getSync(`k${i}`, ZERO_COPY)!);
  for (const [i, value] of kept.entries()) {
    assert.ok(value.buffer instanceof ArrayBuffer);
    assert.equal(value.toString(), `value ${i}`);
  }
  kept[0]!.fill(0);
  assert.equal(engine.getSync('k0')?.toString(), 'value 0');
});

test('get and getMany take zeroCopy, without it nothing is shared, and it must be a boolean', async (t) => {
  const engine = await openTiny(t);
  await engine.put('a', '1');
  await engine.put('empty', '');
  assert.ok((await engine.get('a', ZERO_COPY))!.buffer instanceof SharedArrayBuffer);
  const [value, empty, none] = await engine.getMany(['a', 'empty', 'none'], ZERO_COPY);
  assert.ok(value!.buffer instanceof SharedArrayBuffer);
  assert.equal(empty!.length, 0);
  assert.equal(none, undefined);
  assert.ok(engine.getSync('a')!.buffer instanceof ArrayBuffer);
  assert.ok(engine.getSync('a', { zeroCopy: false })!.buffer instanceof ArrayBuffer);
  assert.throws(() => engine.getSync('a', { zeroCopy: 1 as never }), { code: 'STRATA_INVALID_ARGUMENT' });
  await assert.rejects(engine.getMany(['a'], { zeroCopy: 'yes' as never }), {
    code: 'STRATA_INVALID_ARGUMENT',
  });
});
