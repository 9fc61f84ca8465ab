/**
 * kill -9 among transfers between accounts: no half of one is there, and none that was acknowledged is lost.
 *
 * Each transfer takes from one account, gives to another and counts itself, in one transaction. So the accounts come to the same
 * sum, and the counts to what was acknowledged, or begun at most.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { StorageEngine, WriteBatch } from '../../src/main/index.ts';
import { TINY } from '../helpers/engines.ts';
import { seededRandom } from '../helpers/rng.ts';
import { runBudget, runSeed } from '../helpers/run-budget.ts';
import { temporaryDirectory } from '../helpers/temp-directory.ts';
import { randomOptions } from './crash-plan.ts';
import { runUntilKilled } from './kill-round.ts';
import { ACCOUNTS, accountKey, BALANCE, LANES, laneKey } from './transfer-plan.ts';

/** What the accounts hold, and how many transfers are there, all of one moment. */
async function totals(engine: StorageEngine): Promise<{ readonly sum: number; readonly count: number }> {
  return await engine.transaction(async (tx) => {
    const total = (values: readonly (Buffer | undefined)[]): number =>
      values.reduce((sum, value) => sum + Number(value ?? 0), 0);
    return {
      sum: total(await tx.getMany(Array.from({ length: ACCOUNTS }, (_, i) => accountKey(i)))),
      count: total(await tx.getMany(Array.from({ length: LANES }, (_, i) => laneKey(i)))),
    };
  });
}

test('no transfer is torn by kill -9, and none that was acknowledged is lost', async (t) => {
  const rounds = runBudget('STRATA_TRANSFER_ROUNDS', 4);
  const seed = runSeed(t);
  const random = seededRandom(seed);
  const directory = join(temporaryDirectory(t), 'store');
  const first = await StorageEngine.open(directory, TINY);
  const batch = new WriteBatch();
  for (let i = 0; i < ACCOUNTS; i++) batch.put(accountKey(i), String(BALANCE));
  await first.write(batch, { sync: true });
  await first.close();
  let known = 0;
  for (let round = 0; round < rounds; round++) {
    const killAfter = random.chance(0.4) ? random.between(1, 300) : 0;
    const plan = { directory, seed, round, killAfter, firstBatch: 1, options: randomOptions(random) };
    const kill = { since: 'open', delayMs: random.below(400) } as const;
    const life = await runUntilKilled(plan, kill, 'transfer-child');
    assert.equal(life.error, undefined);
    const engine = await StorageEngine.open(directory, randomOptions(random));
    const { sum, count } = await totals(engine);
    await engine.close();
    const says = `round ${round}: ${count} transfers, ${life.acknowledged} of ${life.submitted} acknowledged behind ${known}`;
    assert.equal(sum, ACCOUNTS * BALANCE, says);
    assert.ok(count >= known + life.acknowledged && count <= known + life.submitted, says);
    known = count;
  }
  t.diagnostic(`FIGURE transfer-kills=${rounds} transfers=${known} torn=0`);
});
