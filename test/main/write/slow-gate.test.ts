/**
 * A group that waits for the debt of those before it is acknowledged as soon as the gate does not ask for it any more.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { WriteGate } from '../../../src/main/write/write-gate.ts';
import { openWithGate } from '../../helpers/held-gate.ts';

const LARGE = 'v'.repeat(100_000);

for (const [name, change] of [
  ['opens', (gate) => gate.set('open')],
  ['closes', (gate) => gate.set('closed', 'level0')],
  ['becomes fast', (gate) => gate.set('slow', 'level0', 1e9)],
] as readonly (readonly [string, (gate: WriteGate) => void])[])
  test(`regression: a put waits for a debt although the gate ${name} meanwhile`, async (t) => {
    const { engine, gate } = await openWithGate(t);
    // A byte a second: what waits would wait for as long as a debt may last.
    gate.set('slow', 'level0', 0.001);
    await engine.put('large', LARGE);
    let isIn = false;
    const put = engine.put('small', '1').then(() => {
      isIn = true;
    });
    await new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(isIn, false, 'it waits');
    change(gate);
    for (let turn = 0; turn < 5 && !isIn; turn++) await new Promise((resolve) => setImmediate(resolve));
    assert.equal(isIn, true, 'some turns of the event loop later it is in');
    await put;
    gate.set('open');
  });

test('a flush lets in what waits for a debt', async (t) => {
  const { engine, gate } = await openWithGate(t);
  gate.set('slow', 'level0', 0.001);
  await engine.put('large', LARGE);
  const put = engine.put('small', '1');
  gate.set('slow', 'level0', 0.002);
  await Promise.all([engine.flush(), put]);
  assert.equal(engine.stats().memtables.entries, 0);
});
