/**
 * The benchmark's command line: sizes that follow from --quick, and what is refused.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseArguments } from '../../bench/arguments.ts';
import { reportStartup } from '../../bench/startup/startup.ts';
import { CATALOG, chooseWorkloads } from '../../bench/workloads/catalog.ts';

describe('parseArguments()', () => {
  test('has sizes of a full run, and smaller ones for --quick', () => {
    const full = parseArguments([]);
    const quick = parseArguments(['--quick']);
    assert.equal(full.records, 1_000_000);
    assert.ok(quick.records < full.records && quick.seconds < full.seconds);
    assert.equal(parseArguments(['--quick', '--records', '5_000']).records, 5000);
  });

  test('keeps our store among the chosen ones, in the order of the tables', () => {
    assert.deepEqual(parseArguments(['--stores', 'lmdb,classic-level']).stores, [
      'stratakv',
      'classic-level',
      'lmdb',
    ]);
    assert.ok(!parseArguments([]).stores.includes('lmdb-nosync'));
  });

  test('knows its modes', () => {
    assert.equal(parseArguments(['micro']).mode, 'micro');
    assert.equal(parseArguments(['--list']).mode, 'list');
    assert.equal(parseArguments(['reads']).mode, 'run');
  });

  for (const argv of [
    ['--rounds', '0'],
    ['--rounds', 'many'],
    ['--records', '10'],
    ['--stores', 'sqlite'],
    ['--unknown'],
    ['micro', 'reads'],
  ]) {
    test(`refuses ${argv.join(' ')}`, () => assert.throws(() => parseArguments(argv)));
  }
});

describe('chooseWorkloads()', () => {
  test('takes all, the quick ones, or those that are named', () => {
    assert.equal(chooseWorkloads([], false).length, CATALOG.length);
    assert.ok(chooseWorkloads([], true).length < CATALOG.length);
    assert.deepEqual(
      chooseWorkloads(['put-256', 'ycsb'], true).map(({ name }) => name),
      ['put-256', 'ycsb-a', 'ycsb-b', 'ycsb-c', 'ycsb-d', 'ycsb-e', 'ycsb-f'],
    );
    assert.throws(() => chooseWorkloads(['fillsideways'], false), /fillsideways/);
  });

  test('names are unique', () => {
    assert.equal(new Set(CATALOG.map(({ name }) => name)).size, CATALOG.length);
  });
});

test('the start-up benchmark holds its targets: a first put against the peer, on top of Node, and a get against Node', () => {
  const figures = { node: 100, 'first put': 150, get: 159, 'first put classic-level': 125 };
  const isHeld = (more: Partial<typeof figures>): boolean =>
    reportStartup({ medians: new Map(Object.entries({ ...figures, ...more })) }).isHeld;
  assert.equal(isHeld({}), true);
  assert.equal(isHeld({ get: 161 }), false);
  assert.equal(isHeld({ 'first put': 152 }), false);
});
