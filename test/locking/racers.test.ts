/**
 * Many processes race for one store, which the first to come creates. Exactly one wins. It is killed with -9, and those that
 * are left race again at once: a dead owner must be in nobody's way, and never may two win.
 *
 * STRATA_RACERS processes, STRATA_RACE_ROUNDS rounds.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newPath, openAt } from '../helpers/engines.ts';
import { runBudget } from '../helpers/run-budget.ts';
import type { Answer } from './owner.ts';
import { type Rival, startRival } from './rivals.ts';

const RACERS = runBudget('STRATA_RACERS', 8);
/** A racer for each round dies in it. */
const ROUNDS: number = Math.min(RACERS - 2, runBudget('STRATA_RACE_ROUNDS', 3));

test(`of ${RACERS} racing processes exactly one opens the store, ${ROUNDS} times over`, async (t) => {
  const path = newPath(t);
  const started = Array.from({ length: RACERS }, () => startRival(t, path));
  let racers = await Promise.all(started);
  let doubleOwners = 0;
  let staleRefusals = 0;
  let refused = 0;
  for (let round = 1; round <= ROUNDS; round++) {
    const answers = await Promise.all(racers.map(async (racer) => [racer, await racer.ask('open')] as const));
    const winners = answers.filter(([, { outcome }]) => outcome === 'held');
    doubleOwners += Math.max(0, winners.length - 1);
    staleRefusals += winners.length === 0 ? 1 : 0;
    refused += checkRefusals(answers);
    assert.equal(winners.length, 1, `round ${round}: ${winners.length} winners`);
    const [[winner, { count }]] = winners as [readonly [Rival, Answer]];
    assert.equal(count, round, 'the owners before it are all counted');
    await winner.kill();
    racers = racers.filter((racer) => racer !== winner);
  }
  t.diagnostic(
    `FIGURE races=${ROUNDS} refused=${refused} double-owners=${doubleOwners} stale-refusals=${staleRefusals}`,
  );
  const engine = await openAt(t, path);
  assert.equal(engine.getSync('count')?.toString(), String(ROUNDS));
});

/** Whoever lost was told that the store is locked, and nothing else. */
function checkRefusals(answers: readonly (readonly [Rival, Answer])[]): number {
  const losers = answers.filter(([, { outcome }]) => outcome !== 'held');
  for (const [, { outcome, message }] of losers) {
    assert.equal(outcome, 'STRATA_LOCKED', message);
    assert.match(message!, /is locked by (?:the process with pid \d+|another process)$/);
  }
  return losers.length;
}
