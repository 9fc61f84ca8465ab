/** lockTimeout: open waits for an owner that is about to go, and says who it is when that takes longer. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openEngine } from '../../src/main/engine.ts';
import { failsWith, newPath, openAt } from '../helpers/engines.ts';
import { startRival } from './rivals.ts';

test('open right after a close() that nobody awaited says that the store is closing', async (t) => {
  const path = newPath(t);
  const engine = await openAt(t, path);
  await engine.put('a', '1');
  const closed = engine.close();
  const { message } = await failsWith('STRATA_LOCKED', openAt(t, path));
  assert.match(
    message,
    /this process \(pid \d+\), which is closing it: await close\(\), or open with lockTimeout/,
  );
  await closed;
  const again = await openAt(t, path);
  assert.equal(again.getSync('a')?.toString(), '1');
});

test('with lockTimeout open waits until the owner has closed', async (t) => {
  const path = newPath(t);
  const engine = await openAt(t, path);
  await engine.put('a', '1');
  const closed = engine.close();
  const again = await openAt(t, path, { lockTimeout: 10_000 });
  assert.equal(again.getSync('a')?.toString(), '1');
  await closed;
});

test('with lockTimeout open waits for another process, however that ends', async (t) => {
  const path = newPath(t);
  const owner = await startRival(t, path);
  await owner.ask('open');
  const opening = openAt(t, path, { lockTimeout: 60_000 });
  const early = await Promise.race([opening, new Promise((resolve) => setTimeout(resolve, 300, 'waits'))]);
  assert.equal(early, 'waits');
  await owner.kill();
  const engine = await opening;
  assert.equal(engine.getSync('count')?.toString(), '1');
});

test('a lock that outlasts lockTimeout is told as ever, and nothing of the attempt stays', async (t) => {
  const path = newPath(t);
  const engine = await openAt(t, path);
  const startedAt = performance.now();
  const { message } = await failsWith('STRATA_LOCKED', openAt(t, path, { lockTimeout: 200 }));
  assert.ok(performance.now() - startedAt >= 200);
  assert.match(message, new RegExp(`locked by this process \\(pid ${process.pid}\\)$`));
  await engine.close();
  await (await openAt(t, path)).close();
});

for (const value of [-1, 1.5, Number.NaN, '100', 2 ** 31]) {
  test(`lockTimeout and takeOverAfter ${String(value)} (${typeof value}) are refused`, async (t) => {
    const path = newPath(t);
    await failsWith('STRATA_INVALID_ARGUMENT', openAt(t, path, { lockTimeout: value as number }));
    await failsWith('STRATA_INVALID_ARGUMENT', openAt(t, path, { takeOverAfter: value as number }));
  });
}

test('an open that fails on its last steps, by something unforeseen, gives its lock back', async (t) => {
  const path = newPath(t);
  const unforeseen = {
    get stallLimitMs(): number {
      throw new RangeError('unforeseen');
    },
  };
  await assert.rejects(openEngine(path, {}, unforeseen), /unforeseen/);
  await (await openAt(t, path)).close();
});
