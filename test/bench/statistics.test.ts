/**
 * Medians, paired ratios, the rows' verdicts and the tables they are shown in.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Measurement, Outcome } from '../../bench/measure/measurement.ts';
import { RESULT_MARKS, replaceResults } from '../../bench/report/docs.ts';
import { geometricMean, median, pairedRatio, summarize } from '../../bench/report/statistics.ts';
import { rate, toMarkdown, toText, verdictTable, workloadTable } from '../../bench/report/tables.ts';
import { judge } from '../../bench/report/targets.ts';
import { parseDbBench } from '../../bench/stores/db-bench.ts';

const WORKLOAD = { name: 'put', group: 'writes', operation: 'a put' };

function outcome(store: string, round: number, opsPerSecond: number | undefined): Outcome {
  const measurement: Measurement | undefined =
    opsPerSecond === undefined
      ? undefined
      : {
          operations: 100,
          seconds: 100 / opsPerSecond,
          opsPerSecond,
          latencyUs: { p50: 1, p99: 2, p999: 3, max: 4 },
          loopDelayMs: { p99: 1, max: 2 },
          cpuSeconds: 1,
          userBytes: 1000,
          writtenBytes: 2500,
          diskBytes: 1200,
          peakMemoryBytes: 5000,
          settledSeconds: 200 / opsPerSecond,
          isCalm: true,
          series: [],
          extra: {},
        };
  const error = measurement === undefined ? 'out of luck' : undefined;
  return { workload: WORKLOAD.name, store, round, measurement, error };
}

test('median() takes the middle, or the mean of the middle two', () => {
  assert.equal(median([5, 1, 3]), 3);
  assert.equal(median([4, 1, 3, 2]), 2.5);
  assert.ok(Number.isNaN(median([])));
});

test('geometricMean() treats halves and doubles alike', () => {
  assert.ok(Math.abs(geometricMean([0.5, 2]) - 1) < 1e-12);
});

describe('summarize()', () => {
  test('pairs ratios within a round, so that a slow round cancels out', () => {
    const outcomes = [
      ...[outcome('stratakv', 0, 300), outcome('lmdb', 0, 100)],
      ...[outcome('stratakv', 1, 30), outcome('lmdb', 1, 10)],
      ...[outcome('stratakv', 2, 3000), outcome('lmdb', 2, 1000)],
    ];
    const [ours, theirs] = summarize(WORKLOAD, outcomes).stores;
    assert.equal(ours!.ratio, 1);
    assert.equal(theirs!.ratio, 3);
    assert.equal(theirs!.opsPerSecond, 100);
    assert.equal(theirs!.settledOpsPerSecond, 50);
    assert.equal(theirs!.amplification, 2.5);
  });

  test('leaves a failed round out and names the failure', () => {
    const outcomes = [outcome('stratakv', 0, 300), outcome('lmdb', 0, undefined)];
    const summary = summarize(WORKLOAD, outcomes);
    assert.equal(summary.stores[1]!.rounds, 0);
    assert.equal(summary.stores[1]!.ratio, null);
    assert.match(toText(workloadTable(summary)), /lmdb +failed: out of luck/);
  });

  test('pairedRatio() is null without a common round', () => {
    const outcomes = [outcome('stratakv', 0, 300), outcome('lmdb', 1, 100)];
    assert.equal(
      pairedRatio('lmdb', outcomes, (each) => each.opsPerSecond),
      null,
    );
  });
});

describe('judge()', () => {
  const verdictsFor = (ours: number, theirs: number): string =>
    toText(
      verdictTable(
        judge([summarize(WORKLOAD, [outcome('stratakv', 0, ours), outcome('classic-level', 0, theirs)])]),
      ),
    );

  test('says pass, fail, or that nothing was measured', () => {
    assert.match(verdictsFor(900, 100), /put, awaited one by one +classic-level +9\.00x +8x +pass/);
    assert.match(verdictsFor(100, 100), /put, awaited one by one +classic-level +1\.00x +8x +FAIL/);
    assert.match(verdictsFor(100, 100), /getSync +lmdb +- +1x +not measured/);
  });
});

test('toMarkdown() pads cells and lines up the rule', () => {
  const table = { head: ['store', 'ops/s'], rows: [['a|b', '1']] };
  assert.equal(toMarkdown(table), '| store | ops/s |\n| ----- | ----: |\n| a/b   |     1 |');
});

test('rate() is short for every size', () => {
  assert.deepEqual([12.34, 123.4, 12_345, 2_345_678].map(rate), ['12.3', '123', '12,345', '2.35M']);
});

test('replaceResults() changes what is between the marks and nothing else', () => {
  const page = `# A\n\n${RESULT_MARKS.begin}\n\nold\n\n${RESULT_MARKS.end}\n\nrest\n`;
  assert.equal(replaceResults(page, 'new', RESULT_MARKS), page.replace('old', 'new'));
  assert.throws(() => replaceResults('# A', 'new', RESULT_MARKS), /marks/);
});

test('parseDbBench() reads the line of a result', () => {
  const line =
    'fillrandom   :       5.464 micros/op 183001 ops/sec 5.465 seconds 1000000 operations;   20.2 MB/s';
  assert.deepEqual(parseDbBench(`keys: 16 bytes\n${line}\n`), { opsPerSecond: 183_001, seconds: 5.465 });
  assert.throws(() => parseDbBench('unknown benchmark'), /no result/);
});
