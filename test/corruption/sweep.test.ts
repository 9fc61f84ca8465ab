/**
 * The corruption sweep: every byte, every length, every file of a cleanly closed store, changed one at a time. Each change is
 * harmless (the very same data) or a clear error that names the file and, for damage inside one, the offset; from open, a
 * read or verify. Never wrong data, a short scan, another kind of failure, a hang, or memory out of proportion.
 *
 * `npm test` takes a sample; STRATA_SWEEP=full takes all.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { openEngine } from '../../src/main/engine.ts';
import { type StorageEngine, StorageError } from '../../src/main/index.ts';
import { mountMemory } from '../helpers/fault/memory-file-system.ts';
import { seededRandom } from '../helpers/rng.ts';
import { runSeed } from '../helpers/run-budget.ts';
import { allMutants, lazyFiles, type Mutant, pickEvery, wholeFileMutants } from './mutants.ts';
import { makeSmallStore, SMALL, type SmallStore } from './small-store.ts';

const IS_FULL = process.env['STRATA_SWEEP'] === 'full';
/** One in so many mutants, in the short run. */
const SAMPLE_STEP = 10;
const MAX_MS = 5000;
const MAX_GROWTH_BYTES: number = 256 * 1024 * 1024;

const DIRECTORY = '/stratakv-sweep/db';

type Outcome = 'exact' | 'error at open' | 'error at read' | 'error at verify';

async function outcomeOf(store: SmallStore, mutant: Mutant): Promise<Outcome> {
  const disk = mountMemory(DIRECTORY, lazyFiles(mutant.files));
  try {
    const engine = await attempt(() => openEngine(DIRECTORY, SMALL, { fileSystem: disk.spec }), mutant);
    if (engine === undefined) return 'error at open';
    try {
      // Each kind of read by itself: after an error in one of them the others must still be right or say so.
      const reads = [
        await attempt(() => checkScan(engine, store, mutant, false), mutant),
        await attempt(() => checkScan(engine, store, mutant, true), mutant),
        await attempt(() => checkGets(engine, store, mutant), mutant),
      ];
      const verified = await attempt(async () => await engine.verify(), mutant);
      if (reads.includes(undefined)) {
        assert.equal(verified, undefined, `${mutant.what}: verify passes what a read finds damaged`);
        return 'error at read';
      }
      return verified === undefined ? 'error at verify' : 'exact';
    } finally {
      await attempt(async () => await engine.close(), mutant);
    }
  } finally {
    disk.unmount();
  }
}

/** undefined when `run` failed as damage may. */
async function attempt<T>(run: () => Promise<T>, mutant: Mutant): Promise<T | undefined> {
  try {
    return await run();
  } catch (error) {
    if (error instanceof assert.AssertionError) throw error;
    if (!(error instanceof StorageError))
      throw new Error(`${mutant.what}: not a StorageError`, { cause: error });
    assert.equal(error.code, 'STRATA_CORRUPTION', `${mutant.what}: ${error.message}`);
    assert.ok(error.file, `${mutant.what}: no file in: ${error.message}`);
    const isWhole = /missing|does not fit|manifest\.json/.test(error.message);
    assert.ok(isWhole || error.offset !== undefined, `${mutant.what}: no offset in: ${error.message}`);
    return undefined;
  }
}

async function checkScan(
  engine: StorageEngine,
  store: SmallStore,
  mutant: Mutant,
  reverse: boolean,
): Promise<true> {
  const expected = [...store.model].sort(([a], [b]) => (a < b ? -1 : 1));
  if (reverse) expected.reverse();
  const found: [string, string][] = [];
  for (const [key, value] of engine.scan({ reverse })) {
    const at = expected[found.length];
    // Even what comes before an error must be right.
    assert.deepEqual([key.toString(), value.toString()], at, `${mutant.what}: WRONG DATA in a scan`);
    found.push(at!);
  }
  assert.equal(found.length, expected.length, `${mutant.what}: SHORT SCAN`);
  return true;
}

async function checkGets(engine: StorageEngine, store: SmallStore, mutant: Mutant): Promise<true> {
  let failed = 0;
  for (const key of store.keys) {
    const value = await attempt(async () => ({ is: await engine.get(key) }), mutant);
    if (value === undefined) failed++;
    else assert.equal(value.is?.toString(), store.model.get(key), `${mutant.what}: WRONG DATA for ${key}`);
  }
  if (failed > 0)
    throw new StorageError('STRATA_CORRUPTION', 'a get failed', { file: 'see above', offset: 0 });
  return true;
}

const scratch = mkdtempSync(join(tmpdir(), 'stratakv-sweep-'));
let store: SmallStore;

before(async () => {
  store = await makeSmallStore(join(scratch, 'db'));
});

after(() => rmSync(scratch, { recursive: true }));

async function sweep(mutants: Iterable<Mutant>): Promise<Map<Outcome, number>> {
  const counts = new Map<Outcome, number>();
  for (const mutant of mutants) {
    const startedAt = performance.now();
    const outcome = await outcomeOf(store, mutant);
    const elapsedMs = performance.now() - startedAt;
    assert.ok(elapsedMs < MAX_MS, `${mutant.what}: took ${Math.round(elapsedMs)} ms`);
    // After a clean close nothing but what lies behind the end of a log is without meaning.
    const isBehindLog = /^\d+ zeros behind .*\.log$/.test(mutant.what);
    if (outcome === 'exact') assert.ok(isBehindLog, `${mutant.what}: not noticed`);
    counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
  }
  return counts;
}

function show(counts: ReadonlyMap<Outcome, number>): string {
  const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
  const outcomes = [...counts].map(([outcome, count]) => `${outcome.replaceAll(' ', '-')}=${count}`);
  return `FIGURE mutants=${total} wrong-data=0 ${outcomes.join(' ')}`;
}

test('the store of the sweep is what it is meant to be, and reads as it should', async () => {
  const names = [...store.files.keys()];
  assert.equal(names.filter((name) => name.endsWith('.sst')).length, 3);
  assert.equal(names.filter((name) => name.endsWith('.log')).length, 2);
  assert.equal(store.versions.size, 5);
  const untouched: Mutant = { what: 'nothing', file: '', files: store.files };
  assert.equal(await outcomeOf(store, untouched), 'exact');
});

test('every changed byte and length is harmless or a clear error', async (t) => {
  const seed = runSeed(t);
  const offset = seededRandom(seed).below(SAMPLE_STEP);
  const mutants = allMutants(store, IS_FULL);
  const rssBefore = process.memoryUsage().rss;
  const counts = await sweep(IS_FULL ? mutants : pickEvery(mutants, SAMPLE_STEP, offset));
  t.diagnostic(show(counts));
  const growth = process.memoryUsage().rss - rssBefore;
  assert.ok(growth < MAX_GROWTH_BYTES, `memory grew by ${growth} bytes`);
});

test('deleted, swapped, doubled and stale files are clear errors', async (t) => {
  const counts = await sweep(wholeFileMutants(store));
  t.diagnostic(show(counts));
});
