/**
 * Scans and snapshots that the application forgot: given up when they are collected, with one warning of each kind; what is in
 * use is not.
 */
import assert from 'node:assert/strict';
import process from 'node:process';
import { type TestContext, test } from 'node:test';
import type { Snapshot } from '../../src/main/index.ts';
import { attachHere } from '../helpers/clients.ts';
import { fill, keyOf, keysOf, openTiny, turn, until, valueFor } from '../helpers/engines.ts';
import { garbageCollector } from '../helpers/garbage.ts';

/** Codes of the warnings from now on that name `path`. */
function warningsOf(t: TestContext, path: string): string[] {
  const codes: string[] = [];
  const listen = (warning: Error & { code?: string }): void => {
    if (warning.message.includes(path)) codes.push(warning.code ?? 'none');
  };
  process.on('warning', listen);
  t.after(() => process.off('warning', listen));
  return codes;
}

/** Nothing of what `make` makes is kept by the caller's frame. */
function forget(make: () => unknown): void {
  (() => void make())();
}

async function collect(isDone: () => boolean): Promise<void> {
  const collectGarbage = garbageCollector();
  await until(() => {
    collectGarbage();
    return isDone();
  });
  await turn();
}

test('forgotten scans and snapshots are given up once they are collected, with a warning of each kind', async (t) => {
  const engine = await openTiny(t);
  await fill(engine, 50);
  const warnings = warningsOf(t, engine.path);
  for (let i = 0; i < 20; i++) {
    forget(() => engine.snapshot());
    forget(() => engine.scan().nextMany(1));
  }
  assert.equal(engine.stats().openSnapshots, 20);
  assert.equal(engine.stats().openScans, 20);
  await collect(() => engine.stats().openSnapshots === 0 && engine.stats().openScans === 0);
  assert.deepEqual(warnings.sort(), ['STRATAKV_FORGOTTEN_SCAN', 'STRATAKV_FORGOTTEN_SNAPSHOT']);
});

test('a client warns of what was forgotten in its thread, too', async (t) => {
  const engine = await openTiny(t);
  await fill(engine, 50);
  const client = await attachHere(t, engine);
  const warnings = warningsOf(t, engine.path);
  for (let i = 0; i < 5; i++) {
    forget(() => client.snapshot());
    forget(() => client.scan().nextMany(1));
  }
  await collect(() => client.stats().openSnapshots === 0 && client.stats().openScans === 0);
  assert.deepEqual(warnings.sort(), ['STRATAKV_FORGOTTEN_SCAN', 'STRATAKV_FORGOTTEN_SNAPSHOT']);
});

test('what was closed, or is closed with the engine, is nobody’s mistake', async (t) => {
  const engine = await openTiny(t);
  await fill(engine, 50);
  const warnings = warningsOf(t, engine.path);
  const seen = { collected: 0 };
  const registry = new FinalizationRegistry(() => seen.collected++);
  const track = <T extends object>(made: T): T => {
    registry.register(made, 0);
    return made;
  };
  forget(() => track(engine.snapshot()).close());
  forget(() => track(engine.scan()).close());
  forget(() => track(engine.snapshot()));
  forget(() => track(engine.scan()));
  await engine.close();
  await collect(() => seen.collected === 4);
  await turn();
  assert.deepEqual(warnings, []);
});

test('a snapshot in use is not collected, by whoever holds it or by a scan of its moment', async (t) => {
  const engine = await openTiny(t);
  await fill(engine, 200);
  const kept: Snapshot = engine.snapshot();
  const scan = engine.scan({ snapshot: engine.snapshot() });
  assert.equal(scan.nextMany(5).length, 5);
  forget(() => engine.snapshot());
  await collect(() => engine.stats().openSnapshots === 2);
  await fill(engine, 200, 40, 1);
  await engine.delete(keyOf(150));
  await engine.compact();
  const rest = scan.nextMany(1000);
  assert.deepEqual(
    rest.map(([key, value]) => [key.toString(), value.toString()]),
    Array.from({ length: 195 }, (_, i) => [keyOf(i + 5), valueFor(i + 5)]),
  );
  assert.equal(engine.stats().openSnapshots, 2);
  assert.equal(engine.getSync(keyOf(150), { snapshot: kept })?.toString(), valueFor(150));
  assert.equal(keysOf(engine.scan({ snapshot: kept })).length, 200);
  kept.close();
  scan.close();
});
