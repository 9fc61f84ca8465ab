/**
 * The power-loss search tested itself: with one kind of sync left out (reported done, never carried out; the engine is as
 * it is), it must find states that break a promise. An engine whose sync is left out would be noticed alike.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { searchCrashes } from '../helpers/fault/crash-search.ts';
import { storeDirectory } from '../helpers/fault/fast-directory.ts';
import { OMISSIONS } from '../helpers/fault/fault-control.ts';
import { traceRun } from '../helpers/fault/traced-run.ts';

const RUNS = 6;
const STATES_PER_RUN = 1500;

for (const omission of OMISSIONS) {
  if (omission === 'none') continue;
  test(`left out, the ${omission} is caught`, async (t) => {
    for (let i = 0; i < RUNS; i++) {
      const seed = 1000 + i;
      const run = await traceRun({ directory: storeDirectory(t), seed, writes: 120, omission });
      const { states, violations } = await searchCrashes(run, {
        scratch: storeDirectory(t, true),
        seed,
        states: STATES_PER_RUN,
        onlyEntryMoments: omission !== 'sync of a log',
        stopEarly: true,
      });
      const [violation] = violations;
      if (violation === undefined) continue;
      t.diagnostic('FIGURE omissions-caught=1');
      t.diagnostic(`run ${i}, state ${states}: ${violation.slice(0, 160)}`);
      return;
    }
    assert.fail(`${RUNS} runs of ${STATES_PER_RUN} states each showed nothing`);
  });
}
