/**
 * Takeovers: the owner is killed with -9, and the next one, which it had kept out until then, opens the store at its first
 * attempt. Every owner finds all that the ones before it had acknowledged.
 *
 * STRATA_TAKEOVERS of them. A process that waits is started while another owns the store, so that one takeover costs little
 * more than one process.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newPath } from '../helpers/engines.ts';
import { runBudget } from '../helpers/run-budget.ts';
import { type Rival, startRival } from './rivals.ts';

const TAKEOVERS = runBudget('STRATA_TAKEOVERS', 8);
/** Processes that start while others take over. */
const WAITING = 3;

test(`a killed owner is in nobody's way (${TAKEOVERS} takeovers)`, async (t) => {
  const path = newPath(t);
  const waiting = Array.from({ length: WAITING }, () => startRival(t, path));
  const next = (): Promise<Rival> => {
    waiting.push(startRival(t, path));
    return waiting.shift()!;
  };
  let owner = await next();
  assert.equal((await owner.ask('open')).outcome, 'held');
  let doubleOwners = 0;
  let staleRefusals = 0;
  const elapsed: number[] = [];
  for (let i = 1; i <= TAKEOVERS; i++) {
    const heir = await next();
    const early = await heir.ask('open');
    if (early.outcome === 'held') doubleOwners++;
    assert.equal(early.outcome, 'STRATA_LOCKED', `takeover ${i}: two owners`);
    assert.match(early.message!, new RegExp(`pid ${owner.pid}$`));
    await owner.kill();
    const { outcome, message, count, elapsedMs } = await heir.ask('open');
    if (outcome !== 'held') staleRefusals++;
    assert.equal(outcome, 'held', `takeover ${i}: refused although its owner is dead: ${message}`);
    assert.equal(count, i + 1, 'an acknowledged write of an owner before is missing');
    elapsed.push(elapsedMs!);
    owner = heir;
  }
  // Those that still start must not be killed by the end of the test before they can say so.
  await Promise.all(waiting);
  elapsed.sort((a, b) => a - b);
  const at = (share: number): string => elapsed[Math.floor((elapsed.length - 1) * share)]!.toFixed(1);
  t.diagnostic(
    `FIGURE takeovers=${TAKEOVERS} double-owners=${doubleOwners} stale-refusals=${staleRefusals} ` +
      `takeover-ms-p50=${at(0.5)} takeover-ms-max=${at(1)}`,
  );
});
