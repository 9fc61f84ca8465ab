/**
 * A scan whose signal is aborted gives back what it holds within the abort, and leaves nothing on a signal that lives on.
 */
import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import process from 'node:process';
import { test } from 'node:test';
import { createContext, runInContext } from 'node:vm';
import { attachHere } from '../helpers/clients.ts';
import { fill, keyOf, openTiny, tableFiles, turn, until } from '../helpers/engines.ts';
import { garbageCollector } from '../helpers/garbage.ts';

test('regression: an aborted scan goes on holding its tables until it is touched', async (t) => {
  const engine = await openTiny(t);
  await fill(engine, 500);
  await engine.flush();
  const abort = new AbortController();
  const scan = engine.scan({ signal: abort.signal });
  scan.nextMany(2);
  await fill(engine, 500, 40, 1);
  await engine.compact();
  const live = (): number => engine.stats().levels.reduce((sum, level) => sum + level.files, 0);
  assert.ok(tableFiles(engine.path).length > live(), 'the scan holds some');
  const reason = new Error('enough');
  abort.abort(reason);
  assert.equal(engine.stats().openScans, 0);
  await until(() => tableFiles(engine.path).length === live());
  assert.throws(
    () => scan.nextMany(1),
    (error) => error === reason,
  );
});

test('a scan with a signal that is aborted by then, of this turn or an earlier one, is closed at once', async (t) => {
  const engine = await openTiny(t);
  await fill(engine, 20);
  const aborted = engine.scan({ signal: AbortSignal.abort() });
  assert.equal(engine.stats().openScans, 0);
  assert.throws(() => aborted.nextMany(1), { name: 'AbortError' });
  const abort = new AbortController();
  const scans = [engine.scan({ signal: abort.signal }), engine.scan({ signal: abort.signal })];
  await turn();
  await turn();
  scans.push(engine.scan({ signal: abort.signal }));
  assert.equal(engine.stats().openScans, 3);
  abort.abort();
  assert.equal(engine.stats().openScans, 0);
  for (const scan of scans) assert.throws(() => [...scan], { name: 'AbortError' });
});

test('an abort in the middle of a loop ends it with the reason, for a client as well', async (t) => {
  const engine = await openTiny(t);
  await fill(engine, 200);
  await engine.flush();
  const client = await attachHere(t, engine);
  for (const reader of [engine, client]) {
    const abort = new AbortController();
    let seen = 0;
    assert.throws(
      () => {
        for (const _ of reader.scan({ signal: abort.signal })) if (++seen === 3) abort.abort();
      },
      { name: 'AbortError' },
    );
    assert.equal(seen, 3);
    const held = new AbortController();
    const scan = reader.scan({ signal: held.signal });
    scan.nextMany(1);
    assert.equal(reader.stats().openScans, 1);
    held.abort();
    assert.equal(reader.stats().openScans, 0);
  }
});

test('scans leave no listener on a signal that lives on, however they end, and many at once are no warning', async (t) => {
  const engine = await openTiny(t);
  await fill(engine, 20);
  const warnings: Error[] = [];
  const listen = (warning: Error): number => warnings.push(warning);
  process.on('warning', listen);
  t.after(() => process.off('warning', listen));
  const { signal } = new AbortController();
  const listeners = (): number => getEventListeners(signal, 'abort').length;
  const open = Array.from({ length: 30 }, () => engine.scan({ signal }));
  assert.equal(listeners(), 1, 'one for all');
  await turn();
  assert.deepEqual(warnings, []);
  open[0]!.close();
  Array.from(open[1]!);
  for (const _ of open[2]!) break;
  open[3]!.nextMany(100);
  Array.from(engine.scan({ signal, limit: 2 }));
  assert.equal(engine.stats().openScans, 26);
  assert.equal(listeners(), 1);
  open.length = 0;
  const collectGarbage = garbageCollector();
  await until(() => {
    collectGarbage();
    return listeners() === 0;
  });
  const last = engine.scan({ signal });
  await engine.close();
  assert.equal(listeners(), 0);
  assert.throws(() => last.nextMany(1), { code: 'STRATA_CLOSED' });
});

test('a signal of another realm ends a scan, too', async (t) => {
  const engine = await openTiny(t);
  await fill(engine, 20);
  const context = createContext({ AbortController });
  const abort = runInContext('new (class extends AbortController {})()', context) as AbortController;
  const scan = engine.scan({ signal: abort.signal, gte: keyOf(0) });
  scan.nextMany(1);
  abort.abort();
  assert.equal(engine.stats().openScans, 0);
});
