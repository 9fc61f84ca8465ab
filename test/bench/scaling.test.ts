/**
 * The law that speeds by threads are fitted to: found again where it made the numbers, and sober where there are few.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  fitScaling,
  lawOfShares,
  type ScalingLaw,
  type ScalingPoint,
  speedup,
} from '../../bench/report/scaling.ts';

function pointsOf(law: ScalingLaw, counts: readonly number[]): ScalingPoint[] {
  return counts.map((threads) => ({ threads, speed: 250_000 * speedup(law, threads) }));
}

function near(actual: number | undefined, expected: number): void {
  assert.ok(Math.abs(actual! - expected) < 1e-9, `${actual} is not ${expected}`);
}

describe('speedup()', () => {
  test('is Amdahl without crosstalk: never above one over the serial part', () => {
    assert.equal(speedup({ serial: 0, crosstalk: 0 }, 16), 16);
    assert.equal(speedup({ serial: 1, crosstalk: 0 }, 16), 1);
    near(speedup({ serial: 0.1, crosstalk: 0 }, 16), 1 / (0.1 + 0.9 / 16));
    assert.ok(speedup({ serial: 0.1, crosstalk: 0 }, 1e6) < 10);
  });

  test('falls again with crosstalk', () => {
    const law = { serial: 0, crosstalk: 0.01 };
    assert.ok(speedup(law, 10) > speedup(law, 40));
  });
});

describe('fitScaling()', () => {
  test('finds the law that made the speeds', () => {
    for (const law of [
      { serial: 0.05, crosstalk: 0.002 },
      { serial: 0, crosstalk: 0.01 },
      { serial: 0.2, crosstalk: 0 },
    ]) {
      for (const counts of [
        [1, 2, 4],
        [1, 2, 4, 8, 16],
      ]) {
        const found = fitScaling(pointsOf(law, counts), 16);
        near(found?.serial, law.serial);
        near(found?.crosstalk, law.crosstalk);
      }
    }
  });

  test('with two counts alone it is Amdahl', () => {
    const found = fitScaling(
      [
        { threads: 1, speed: 100 },
        { threads: 2, speed: 170 },
      ],
      2,
    );
    near(found?.serial, 2 / 1.7 - 1);
    assert.equal(found?.crosstalk, 0);
  });

  test('leaves out what had fewer cores than threads, and the thread of the owner', () => {
    const points = pointsOf({ serial: 0.1, crosstalk: 0 }, [1, 2]);
    const found = fitScaling([...points, { threads: 0, speed: 9 }, { threads: 4, speed: 1 }], 2);
    near(found?.serial, 0.1);
  });

  test('promises no more than n threads for n', () => {
    const points = [
      { threads: 1, speed: 100 },
      { threads: 2, speed: 215 },
      { threads: 4, speed: 440 },
    ];
    for (const cores of [2, 4]) {
      const found = fitScaling(points, cores);
      assert.deepEqual(found, { serial: 0, crosstalk: 0 });
    }
  });

  test('has no negative part when the other explains more than there is', () => {
    const better = fitScaling([...pointsOf({ serial: 0.2, crosstalk: -0.01 }, [1, 2, 4])], 4);
    assert.equal(better?.crosstalk, 0);
    assert.ok(better!.serial > 0);
    const worse = fitScaling([...pointsOf({ serial: -0.02, crosstalk: 0.05 }, [1, 2, 4])], 4);
    assert.equal(worse?.serial, 0);
    assert.ok(worse!.crosstalk > 0);
  });

  test('says nothing without a single thread, or without more', () => {
    assert.equal(fitScaling([], 16), undefined);
    assert.equal(fitScaling([{ threads: 1, speed: 100 }], 16), undefined);
    assert.equal(fitScaling([{ threads: 2, speed: 100 }], 16), undefined);
    assert.equal(fitScaling(pointsOf({ serial: 0, crosstalk: 0 }, [1, 2]), 1), undefined);
  });
});

describe('lawOfShares()', () => {
  test("takes the owner's share of the processor time as the serial part", () => {
    assert.deepEqual(lawOfShares(1, 4), { serial: 0.25, crosstalk: 0 });
    assert.deepEqual(lawOfShares(5, 4), { serial: 1, crosstalk: 0 });
    assert.equal(lawOfShares(0, 0), undefined);
    assert.equal(lawOfShares(Number.NaN, 1), undefined);
  });
});
