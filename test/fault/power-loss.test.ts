/**
 * Power loss: whatever a POSIX disk may show after it, at any moment of a run, the store opens and holds every write it
 * promised, a prefix of all writes, and batches whole.
 *
 * STRATA_CRASH_STATES=100000 looks at that many states; SEED=n at the runs of that seed.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { searchCrashes } from '../helpers/fault/crash-search.ts';
import { traceRun } from '../helpers/fault/traced-run.ts';
import { freshSeed, reportSeed } from '../helpers/rng.ts';
import { storeDirectory } from '../helpers/fault/fast-directory.ts';

const BUDGET = Number(process.env['STRATA_CRASH_STATES'] ?? 6000);
const STATES_PER_RUN = Math.max(1500, Math.min(10_000, Math.ceil(BUDGET / 4)));
const WRITES = 220;

test(`power loss at any moment loses nothing that was promised (${BUDGET} states)`, async (t) => {
  const seed = freshSeed();
  reportSeed(t, seed);
  let states = 0;
  let distinct = 0;
  let runs = 0;
  let operations = 0;
  for (; states < BUDGET; runs++) {
    const run = await traceRun({ directory: storeDirectory(t), seed: seed + runs, writes: WRITES });
    assert.deepEqual(run.leaks, {}, 'handles stayed open');
    assert.equal(run.changedBuffers, 0, 'bytes changed while they were being written');
    const result = await searchCrashes(run, {
      scratch: storeDirectory(t, true),
      seed: seed + runs,
      states: Math.min(STATES_PER_RUN, BUDGET - states),
    });
    states += result.states;
    distinct += result.distinct;
    operations += run.operations;
    assert.deepEqual(result.violations.slice(0, 5), [], `${result.violations.length} states are wrong, run ${runs}`);
  }
  t.diagnostic(`${states} crash states (${distinct} different) of ${runs} runs with ${operations} operations on files`);
});
