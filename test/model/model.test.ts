/**
 * Random operations against a sorted map, under every option set; STRATA_MODEL_OPS operations over all sets together.
 */
import { test } from 'node:test';
import { seededRandom } from '../helpers/rng.ts';
import { runBudget, runSeed } from '../helpers/run-budget.ts';
import { temporaryDirectory } from '../helpers/temp-directory.ts';
import { ModelRun } from './model-run.ts';
import { OPTION_SETS } from './option-sets.ts';

const operations = runBudget('STRATA_MODEL_OPS', 3_000);
const totalWeight = OPTION_SETS.reduce((sum, set) => sum + set.weight, 0);

for (const [index, set] of OPTION_SETS.entries()) {
  test(`a store answers as a sorted map does: ${set.name}`, async (t) => {
    const seed = runSeed(t);
    const run = new ModelRun(seededRandom(seed + index), set, temporaryDirectory(t));
    try {
      const count = Math.ceil((operations * set.weight) / totalWeight);
      await run.run(count);
      t.diagnostic(`FIGURE operations=${count} option-sets=1 wrong=0`);
    } catch (error) {
      const where = `seed ${seed}, option set "${set.name}", operation ${run.opIndex}`;
      const what = error instanceof Error ? (error.stack ?? error.message) : String(error);
      throw new Error(`${where}; the last operations:\n  ${run.history()}\n${what}`, { cause: error });
    }
  });
}
