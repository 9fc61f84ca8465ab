/**
 * Repair, run on the mutants of the corruption sweep. Whatever was damaged, the repaired store opens and verifies; holds
 * nothing but what was written once; of each key a version at least as new as the newest in an undamaged file, deletions
 * included; loses no more than the damage explains; and a second repair finds nothing to do.
 *
 * `npm test` takes a sample; STRATA_SWEEP=full takes all.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { openEngine } from '../../src/main/engine.ts';
import type { RepairReport } from '../../src/main/index.ts';
import { repairStore } from '../../src/main/repair/repair-store.ts';
import { readU64 } from '../../src/shared/base/bytes.ts';
import { FOOTER_BYTES } from '../../src/shared/table/format.ts';
import { mountMemory } from '../helpers/fault/memory-file-system.ts';
import { seededRandom } from '../helpers/rng.ts';
import { runSeed } from '../helpers/run-budget.ts';
import { allMutants, lazyFiles, type Mutant, pickEvery, wholeFileMutants } from './mutants.ts';
import { makeSmallStore, SMALL, type SmallStore } from './small-store.ts';

const IS_FULL = process.env['STRATA_SWEEP'] === 'full';
const SAMPLE_STEP = 101;
const DIRECTORY = '/stratakv-repair/db';
/** A block of 128 bytes holds at most so many of the store's entries. */
const MAX_BLOCK_ENTRIES = 12;
/** A group of writes. */
const GROUP_ENTRIES = 3;

const scratch = mkdtempSync(join(tmpdir(), 'stratakv-repair-'));
let store: SmallStore;

before(async () => {
  store = await makeSmallStore(join(scratch, 'db'));
});

after(() => rmSync(scratch, { recursive: true }));

interface Repaired {
  readonly report: RepairReport;
  readonly found: ReadonlyMap<string, string>;
}

async function repairMutant(mutant: Mutant): Promise<Repaired> {
  const disk = mountMemory(DIRECTORY, lazyFiles(mutant.files));
  const internals = { fileSystem: disk.spec, threads: 0 };
  try {
    const report = await repairStore(DIRECTORY, {}, internals);
    assert.doesNotThrow(() => JSON.stringify(report));
    const second = await repairStore(DIRECTORY, {}, internals);
    assert.ok(second.isSound, `the second repair: ${JSON.stringify(second)}`);
    const engine = await openEngine(DIRECTORY, SMALL, { fileSystem: disk.spec });
    try {
      await engine.verify();
      const found = new Map<string, string>();
      for (const [key, value] of engine.scan()) found.set(key.toString(), value.toString());
      for (const key of store.keys) assert.equal((await engine.get(key))?.toString(), found.get(key), key);
      await engine.put('zzz', 'a write after the repair');
      await engine.compact();
      assert.equal((await engine.get('zzz'))?.toString(), 'a write after the repair');
      const after = new Map([...engine.scan()].map(([key, value]) => [key.toString(), value.toString()]));
      after.delete('zzz');
      assert.deepEqual(after, found, 'compaction changed what the repaired store holds');
      return { report, found };
    } finally {
      await engine.close();
    }
  } finally {
    disk.unmount();
  }
}

/** Only true facts, and none older than what is known for certain. Returns how many keys differ from what was there. */
function checkFacts(found: ReadonlyMap<string, string>, mutant: Mutant): number {
  const damaged = new Set(['replaced', ...mutant.file.split(' ')]);
  let lost = 0;
  for (const key of store.keys) {
    const everywhere = [...store.versions, ['replaced', store.replaced] as const].flatMap(
      ([file, versions]) =>
        versions.filter((version) => version.key === key).map((version) => ({ ...version, file })),
    );
    const certain = everywhere.filter(({ file }) => !damaged.has(file));
    const floor = Math.max(-1, ...certain.map(({ age }) => age));
    const value = found.get(key);
    const matching = everywhere.filter((version) => version.value === value && version.age >= floor);
    const isNeverWritten = value === undefined && floor < 0;
    assert.ok(matching.length > 0 || isNeverWritten, `WRONG DATA for ${key}: ${value ?? 'nothing'}`);
    if (value !== store.model.get(key)) lost++;
  }
  for (const key of found.keys()) assert.ok(store.keys.includes(key), `an invented key: ${key}`);
  return lost;
}

/** How many keys the mutation may cost. */
function mayLose(mutant: Mutant): number {
  const { what, file, offset } = mutant;
  if (file === 'manifest.json' || what.includes('swapped')) return 0;
  const isZeros = what.includes('zeros behind');
  // In the meta block of the newest table lie its deleted ranges, and what alone says how old its entries are.
  const newest = [...store.files.keys()]
    .filter((name) => name.endsWith('.sst'))
    .sort()
    .at(-1);
  if (file === newest && (isZeros || offset !== undefined)) return MAX_BLOCK_ENTRIES;
  if (isZeros) return 0;
  if (offset === undefined) return Number.POSITIVE_INFINITY;
  if (file.endsWith('.log')) return GROUP_ENTRIES;
  const bytes = store.files.get(file)!;
  return offset >= readU64(bytes, bytes.length - FOOTER_BYTES) ? 0 : MAX_BLOCK_ENTRIES;
}

async function check(mutants: Iterable<Mutant>): Promise<string> {
  let count = 0;
  let whole = 0;
  for (const mutant of mutants) {
    try {
      const { report, found } = await repairMutant(mutant);
      const lost = checkFacts(found, mutant);
      assert.ok(lost <= mayLose(mutant), `lost ${lost} keys: ${JSON.stringify(report)}`);
      if (lost > 0) assert.ok(report.warnings.length > 0, 'a loss without a word');
      count++;
      if (lost === 0) whole++;
    } catch (cause) {
      throw new Error(`${mutant.what}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    }
  }
  return `FIGURE mutants-repaired=${count} without-loss=${whole} invented=0`;
}

test('a sound store is left as it is', async () => {
  const { report, found } = await repairMutant({ what: 'nothing', file: '', files: store.files });
  assert.deepEqual([report.isSound, report.manifest, report.warnings], [true, 'kept', []]);
  assert.deepEqual(new Map([...found].sort()), new Map([...store.model].sort()));
  assert.deepEqual(
    report.files.map(({ outcome }) => outcome),
    report.files.map(() => 'kept'),
  );
});

test('after any changed byte or length, repair keeps what is true and loses what the damage explains', async (t) => {
  const offset = seededRandom(runSeed(t)).below(SAMPLE_STEP);
  const mutants = allMutants(store);
  t.diagnostic(await check(IS_FULL ? mutants : pickEvery(mutants, SAMPLE_STEP, offset)));
});

test('deleted, swapped, doubled and stale files are repaired as far as they can be', async (t) => {
  t.diagnostic(await check(wholeFileMutants(store)));
});
