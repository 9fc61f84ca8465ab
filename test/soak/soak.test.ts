/**
 * The soak itself: its verdict finds what grows and only that, its workload answers as its model says.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newPath } from '../helpers/engines.ts';
import { seededRandom } from '../helpers/rng.ts';
import { runBudget, runSeed } from '../helpers/run-budget.ts';
import { BOUNDS, GAUGES, type Gauge, judge, type Sample } from './gauges.ts';
import { SoakWorkload } from './workload.ts';

const ROUNDS = runBudget('STRATA_SOAK_ROUNDS', 1600);
const FLAT: Sample = {
  seconds: 0,
  rssBytes: 2e8,
  bufferBytes: 5e7,
  handles: 60,
  threads: 12,
  diskBytes: 4e7,
  files: 30,
};

/** Noise around a level, which is reached in the first fifth; `grow` adds to one gauge from there on. */
function series(grow: Partial<Record<Gauge, number>>): Sample[] {
  const random = seededRandom(7);
  return Array.from({ length: 100 }, (_, i) => {
    const sample: Record<string, number> = { seconds: i };
    for (const gauge of GAUGES) {
      const noise = 0.9 + random.next() * 0.2;
      const warmth = Math.min(1, i / 20);
      const growth = Math.max(0, i - 20) * ((grow[gauge] ?? 0) / 60);
      sample[gauge] = FLAT[gauge]! * noise * warmth + growth;
    }
    return sample as unknown as Sample;
  });
}

test('the verdict passes what is noisy, warming up, or flat', () => {
  assert.deepEqual(
    judge(series({})).filter(({ problem }) => problem !== undefined),
    [],
  );
  const falling = series({}).map((sample) => ({
    ...sample,
    rssBytes: sample.rssBytes - sample.seconds * 1e5,
  }));
  assert.deepEqual(
    judge(falling).filter(({ problem }) => problem !== undefined),
    [],
  );
});

for (const gauge of GAUGES) {
  test(`the verdict finds a leak of ${gauge}`, () => {
    const { rise, name } = BOUNDS[gauge];
    const problems = judge(series({ [gauge]: rise * 2 })).flatMap(({ problem }) => problem ?? []);
    assert.equal(problems.length, 1, problems.join('; '));
    assert.match(problems[0]!, new RegExp(`^${name} rises by`));
    const peaks = judge(series({}), { [gauge]: FLAT[gauge]! * 0.95 }).flatMap(({ problem }) => problem ?? []);
    assert.match(peaks.join('; '), new RegExp(`^${name} reaches`));
  });
}

test('the verdict takes no few samples for many', () => {
  assert.throws(() => judge(series({}).slice(0, 5)), /too few/);
});

test(`the workload finds what its model says, for ${ROUNDS} rounds with a reopening`, async (t) => {
  const workload = new SoakWorkload(newPath(t), seededRandom(runSeed(t)));
  t.after(() => workload.close());
  await workload.open();
  for (let i = 0; i < ROUNDS; i++) await workload.round();
  await workload.engine.verify();
  await workload.close();
});
