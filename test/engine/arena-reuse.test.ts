/**
 * Memory of memtables is used again while everybody reads: no scan, snapshot or lent value ever changes.
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { openEngine } from '../../src/main/engine.ts';
import type { Scan, StorageEngine } from '../../src/main/index.ts';
import { attachHere } from '../helpers/clients.ts';
import { keyOf, newPath, openTiny, TINY, until } from '../helpers/engines.ts';
import { reportSeed, seededRandom } from '../helpers/rng.ts';

const KEYS = 120;

interface OpenScan {
  readonly scan: Scan;
  readonly expected: readonly (readonly [string, string])[];
  at: number;
}

/** Takes some entries; true: it has come to its end, where the model's is. */
function advance(open: OpenScan, count: number): boolean {
  const entries = open.scan.nextMany(count);
  for (const [key, value] of entries)
    assert.deepEqual([key.toString(), value.toString()], open.expected[open.at++]);
  if (entries.length === count) return false;
  assert.equal(open.at, open.expected.length);
  return true;
}

async function writeSome(engine: StorageEngine, model: Map<string, string>, from: number): Promise<void> {
  for (let i = 0; i < 60; i++) {
    const key = keyOf((from * 31 + i * 7) % KEYS);
    const value = `${from}-${i}`.padEnd(50, '.');
    model.set(key, value);
    await engine.put(key, value);
  }
}

const sorted = (model: Map<string, string>): [string, string][] =>
  [...model].sort(([a], [b]) => (a < b ? -1 : 1));

async function readWhileReused(t: TestContext, reader: 'engine' | 'client'): Promise<void> {
  const seed = Number(process.env['STRATA_SEED'] ?? 11);
  reportSeed(t, seed);
  const random = seededRandom(seed);
  const engine = await openTiny(t);
  const source = reader === 'engine' ? engine : await attachHere(t, engine);
  const model = new Map<string, string>();
  const scans: OpenScan[] = [];
  const lent: { readonly view: Buffer; readonly text: string }[] = [];
  for (let round = 0; round < 150; round++) {
    await writeSome(engine, model, round);
    if (scans.length < 5) scans.push({ scan: source.scan(), expected: sorted(model), at: 0 });
    if (random.chance(0.1)) await engine.flush();
    for (const open of [...scans])
      if (random.chance(0.4) && advance(open, 1 + random.below(60))) scans.splice(scans.indexOf(open), 1);
    const key = keyOf(random.below(KEYS));
    assert.equal(source.getSync(key)?.toString(), model.get(key));
    if (random.chance(0.1)) {
      const view = source.getSync(key, { zeroCopy: true });
      if (view !== undefined) lent.push({ view, text: view.toString() });
    }
    if (random.chance(0.05)) scans.splice(random.below(scans.length), 1)[0]?.scan.close();
  }
  for (const { scan } of scans) scan.close();
  for (const { view, text } of lent) assert.equal(view.toString(), text, 'a lent value has changed');
  await engine.flush();
  await until(() => engine.stats().arenas.scanBytes + engine.stats().arenas.clientBytes === 0);
  const { arenas } = engine.stats();
  assert.ok(arenas.reused > 20, `memory was used again ${arenas.reused} times`);
  assert.ok(arenas.freeBytes <= 3 * 8192);
}

test('what the engine reads stays what it was', (t) => readWhileReused(t, 'engine'));
test('what a client reads stays what it was', (t) => readWhileReused(t, 'client'));

test('stats() tells who keeps memory, and a store that rests keeps only what is in use', async (t) => {
  const engine = await openEngine(newPath(t), TINY, { arenaRestMs: 50 });
  await engine.put('k', 'first');
  const scan = engine.scan();
  const client = await attachHere(t, engine);
  const snapshot = client.snapshot();
  await engine.flush();
  assert.equal(engine.stats().arenas.memtableBytes, 0);
  assert.equal(engine.stats().arenas.scanBytes, 8192);
  assert.equal(engine.stats().clientViews.kept, 1);
  assert.deepEqual(scan.nextMany(5).map(String), ['k,first']);
  await until(() => engine.stats().arenas.clientBytes === 8192);
  assert.equal(engine.stats().arenas.scanBytes, 0);
  snapshot.close();
  await until(() => engine.stats().clientViews.kept === 0);
  await until(() => engine.stats().arenas.bytes === 0);
  await engine.put('k', 'second');
  assert.equal(engine.stats().arenas.bytes, 8192);
  await engine.close();
});
