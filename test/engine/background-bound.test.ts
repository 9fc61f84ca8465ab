/**
 * `backgroundBytesPerSecond`: it is checked, shown, keeps writers moving, and holds up neither close() nor the end of a store
 * whose jobs run on the application's thread.
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { StorageEngine } from '../../src/main/index.ts';
import { failsWith, fill, newPath, openAt, openTiny, reopen } from '../helpers/engines.ts';
import { openWithGate } from '../helpers/held-gate.ts';

for (const value of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, '1', null, true])
  test(`backgroundBytesPerSecond ${String(value)} (${typeof value}) is refused`, async (t) => {
    const options = { backgroundBytesPerSecond: value as number };
    await failsWith('STRATA_INVALID_ARGUMENT', openAt(t, newPath(t), options));
  });

test('stats() has the bound, what is below the least is rounded up, and without the option there is none', async (t) => {
  const given = async (backgroundBytesPerSecond: number | undefined): Promise<number> => {
    const options = backgroundBytesPerSecond === undefined ? {} : { backgroundBytesPerSecond };
    return (await openTiny(t, options)).stats().background.bytesPerSecond;
  };
  assert.equal(await given(undefined), 0);
  assert.equal(await given(1), 65_536);
  assert.equal(await given(10_000_000), 10_000_000);
});

test('stats() counts what jobs read and wrote', async (t) => {
  const engine = await openTiny(t);
  for (let round = 0; round < 3; round++) await fill(engine, 500, 40, round);
  await engine.compact();
  const { background, bytesWritten, compactionBytesRead } = engine.stats();
  assert.ok(background.bytesWritten >= bytesWritten.flush + bytesWritten.compaction);
  assert.ok(background.bytesRead >= compactionBytesRead && compactionBytesRead > 0);
  assert.equal(background.standsBack, false);
});

/** A store whose bucket is in debt for days. */
async function openInDebt(t: TestContext, threads: number): Promise<StorageEngine> {
  const { engine, store } = await openWithGate(t, { threads, backgroundBytesPerSecond: 65_536 });
  store.control.diskUse.reserve(2 ** 40, false);
  return engine;
}

for (const threads of [0, 1])
  test(`close() waits for no bound: a flush and a compaction under way, threads ${threads}`, async (t) => {
    const engine = await openInDebt(t, threads);
    const value = 'v'.repeat(1000);
    for (let i = 0; i < 2000; i++) await engine.put(`key${i}`, value);
    const flushed = engine.flush();
    const compacted = engine.compact().then(
      () => 'done',
      (error: { code: string }) => error.code,
    );
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal(engine.stats().memtables.entries, 2000, 'the flush waits');
    await engine.close();
    await flushed;
    assert.equal(await compacted, 'STRATA_CLOSED');
    const again = await reopen(t, engine);
    assert.equal((await again.get('key1999'))?.length, 1000);
    assert.ok(again.stats().levels[0]!.files > 0);
  });

test('with memtables waiting for the bound, writers are slowed and not held', async (t) => {
  const { engine, store } = await openWithGate(t, {
    writeBufferSize: 16_384,
    backgroundBytesPerSecond: 1_000_000_000,
  });
  store.control.diskUse.reserve(2 ** 50, false);
  const value = 'v'.repeat(100);
  const isIn = true;
  for (let i = 0; store.memtables.frozen.length < 2 && isIn; i++) await engine.put(`key${i}`, value);
  assert.deepEqual([engine.stats().stalls.state, engine.stats().stalls.reason], ['slow', 'memtables']);
  await engine.put('one more', value);
});
