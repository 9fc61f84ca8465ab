/**
 * One history of operations must give the same answers whatever the options: they decide about speed and space, never
 * about content. STRATA_METAMORPHIC_OPS operations in all, times option sets.
 *
 * A failing history is reduced and written to a file; replay.ts plays it again.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Piscina } from 'piscina';
import { storeDirectory } from '../helpers/fault/fast-directory.ts';
import { runBudget, runSeed } from '../helpers/run-budget.ts';
import { generateHistory } from './generator.ts';
import { expectedDigests } from './model-player.ts';
import { type History, type Operation, readHistory, writeHistory } from './operations.ts';
import { canMap, type OptionSet, optionSets, pairwise } from './option-sets.ts';
import { reduceHistory } from './reduce.ts';
import { type Divergence, findDivergence } from './run-history.ts';

/** Long enough for several levels under the small sets, short enough to be reduced. */
const HISTORY_OPERATIONS = 1000;
/** Sets played side by side: one waits for its threads while another computes. */
const LANES = 3;

/** Reduces the history, writes it to a file that stays, and fails. */
async function report(
  { origin, operations }: History,
  set: OptionSet,
  first: Divergence,
  root: string,
): Promise<never> {
  const upTo = operations.slice(0, first.at + 1);
  let last = first;
  const reduced = await reduceHistory(upTo, async (candidate) => {
    const divergence = await findDivergence(candidate, expectedDigests(candidate), set, root);
    if (divergence !== undefined) last = divergence;
    return divergence !== undefined;
  });
  const file = join(mkdtempSync(join(tmpdir(), 'stratakv-metamorphic-')), 'history.jsonl');
  writeFileSync(file, writeHistory({ origin: `${origin}, reduced under ${set.name}`, operations: reduced }));
  assert.fail(
    `${origin}, options ${set.name}: operation ${last.at} of ${reduced.length}, ${JSON.stringify(last.operation)}, ` +
      `gave\n  ${last.found}\ninstead of\n  ${last.wanted}\nreplay: node dist/test/metamorphic/replay.js ${file}`,
  );
}

async function playUnderAll(history: History, sets: readonly OptionSet[], root: string): Promise<void> {
  const expected = expectedDigests(history.operations);
  const queue = [...sets];
  const found: { readonly set: OptionSet; readonly divergence: Divergence }[] = [];
  const lane = async (): Promise<void> => {
    for (let set = queue.shift(); set !== undefined && found.length === 0; set = queue.shift()) {
      const divergence = await findDivergence(history.operations, expected, set, root);
      if (divergence !== undefined) found.push({ set, divergence });
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  const [failure] = found;
  if (failure !== undefined) await report(history, failure.set, failure.divergence, root);
}

test('one history is answered the same under every option set', async (t) => {
  const seed = runSeed(t);
  const root = storeDirectory(t, true);
  const pool = new Piscina({ minThreads: 0, maxThreads: 2, idleTimeout: 10_000 });
  t.after(() => pool.destroy());
  const sets = optionSets(pool, await canMap(join(root, 'probe')));
  assert.ok(sets.length >= 16);
  const budget = runBudget('STRATA_METAMORPHIC_OPS', 8_000);
  const rounds = Math.ceil(budget / (HISTORY_OPERATIONS * sets.length));
  for (let round = 0; round < rounds; round++)
    await playUnderAll(generateHistory((seed + round) >>> 0, HISTORY_OPERATIONS), sets, root);
  const total = rounds * HISTORY_OPERATIONS * sets.length;
  t.diagnostic(`FIGURE operations=${total} histories=${rounds} option-sets=${sets.length} divergences=0`);
});

test('every two choices of different options meet in some set', () => {
  const sizes = [3, 3, 4, 2, 3];
  const rows = pairwise(sizes, 5);
  for (const [i, size] of sizes.entries())
    for (let j = i + 1; j < sizes.length; j++)
      for (let a = 0; a < size; a++)
        for (let b = 0; b < sizes[j]!; b++)
          assert.ok(
            rows.some((row) => row[i] === a && row[j] === b),
            `${i}=${a} ${j}=${b}`,
          );
});

test('a history is the same from the same seed, and survives its file', () => {
  const history = generateHistory(7, 500);
  assert.deepEqual(generateHistory(7, 500), history);
  assert.notDeepEqual(generateHistory(8, 500).operations, history.operations);
  const back = readHistory(writeHistory(history));
  // JSON has no undefined: holes at the end are left out on both sides.
  assert.deepEqual(back, JSON.parse(JSON.stringify(history)));
});

test('a failing history is reduced to the operations that matter', async () => {
  const { operations } = generateHistory(3, 400);
  const marks = [operations[17], operations[200], operations[399]] as const;
  const fails = (candidate: readonly Operation[]): Promise<boolean> =>
    Promise.resolve(marks.every((mark) => candidate.includes(mark!)));
  assert.deepEqual(await reduceHistory(operations, fails), marks);
  let tried = 0;
  await reduceHistory(operations, () => Promise.resolve(++tried < 0), 20);
  assert.equal(tried, 20);
});

test('a wrong answer is found, wherever it comes from', async (t) => {
  const root = storeDirectory(t, true);
  const { operations } = generateHistory(11, 300);
  const set: OptionSet = { name: 'inline', optionsOf: () => ({ threads: 0, writeBufferSize: 8192 }) };
  const expected = expectedDigests(operations);
  assert.equal(await findDivergence(operations, expected, set, root), undefined);
  const at = operations.findLastIndex(([kind]) => kind === 'scan');
  const wrong = expected.with(at, expected[at]! + 1);
  assert.equal((await findDivergence(operations, wrong, set, root))?.at, at);
  // Without its puts a history is answered differently: an engine that lost them would be noticed.
  const withoutPuts = operations.map(
    (operation): Operation => (operation[0] === 'put' ? ['verify'] : operation),
  );
  assert.ok((await findDivergence(withoutPuts, expected, set, root)) !== undefined);
});
