/**
 * What is picked: scenarios in testdata/compaction-picker.txt, and stores of random tables compacted to rest.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  advanceCursor,
  type BusyTables,
  busyTables,
  type CompactionOptions,
  type CompactionPlan,
  compactionScore,
  initialPickerState,
  pendingCompactionBytes,
  pickCompaction,
} from '../../../src/main/compaction/compaction-picker.ts';
import { planFor } from '../../../src/main/compaction/compaction-plan.ts';
import { levelTargets } from '../../../src/main/compaction/compaction-score.ts';
import { planManualCompaction } from '../../../src/main/compaction/manual-compaction.ts';
import { level, type SequenceNumber } from '../../../src/shared/base/ids.ts';
import type { Version } from '../../../src/shared/read/version.ts';
import { runScenarios, type Scenario } from '../../helpers/datadriven.ts';
import { checkPlan, planEdit, showPlan } from '../../helpers/plans.ts';
import { parseVersion, showVersion } from '../../helpers/table-meta.ts';

const noneBusy: BusyTables = busyTables([]);

function readOptions(args: ReadonlyMap<string, string>): CompactionOptions {
  const number = (name: string, fallback: number): number => Number(args.get(name) ?? fallback);
  const snapshot = args.get('snapshot');
  return {
    l0CompactionTrigger: number('trigger', 4),
    levelBaseBytes: number('base', 1000),
    levelMultiplier: number('multiplier', 10),
    maxFileSizeBytes: number('file', 100),
    maxCompactionBytes: number('max', 2500),
    isAtRest: args.has('rest'),
    oldestSnapshot: snapshot === undefined ? undefined : (Number(snapshot) as SequenceNumber),
  };
}

/** `running L1->L2: 5 6`: a plan that took these tables of L1 and what they overlap. */
function readRunning(
  version: Version,
  input: readonly string[],
  options: CompactionOptions,
): CompactionPlan[] {
  return input.flatMap((line) => {
    const match = /^running L(\d)->L(\d): ([\d ]+)$/.exec(line);
    if (match === null) return [];
    const numbers = match[3]!.split(' ').map(Number);
    const from = level(Number(match[1]));
    const inputs = version.levels[from]!.filter((table) => numbers.includes(table.number));
    const plan = planFor(version, from, level(Number(match[2])), inputs, 'manual', options, noneBusy);
    return [plan!];
  });
}

/** Picks and carries out until nothing is due; one line for each plan, then the levels. */
function settle(start: Version, next: (version: Version) => CompactionPlan | undefined): string {
  let version = start;
  const lines: string[] = [];
  for (let output = 100; output < 200; output++) {
    const plan = next(version);
    if (plan === undefined) return [...lines, showVersion(version)].join('\n');
    checkPlan(version, plan, []);
    lines.push(showPlan(plan));
    version = version.apply(planEdit(plan, output));
  }
  throw new Error(`no end:\n${lines.join('\n')}`);
}

function pickUntilSettled(version: Version, options: CompactionOptions): string {
  let state = initialPickerState;
  return settle(version, (current) => {
    const plan = pickCompaction(current, options, noneBusy, state);
    if (plan !== undefined) state = advanceCursor(state, plan);
    return plan;
  });
}

function manualUntilDone(version: Version, { args }: Scenario, options: CompactionOptions): string {
  const bound = (name: string): Uint8Array | undefined => {
    const text = args.get(name);
    return text === undefined ? undefined : Buffer.from(text);
  };
  const upTo = Number(args.get('upto') ?? Number.MAX_SAFE_INTEGER) as SequenceNumber;
  return settle(version, (current) => {
    const range = { start: bound('start'), end: bound('end') };
    const step = planManualCompaction(current, range, options, noneBusy, upTo);
    return step.status === 'ready' ? step.plan : undefined;
  });
}

runScenarios('compaction-picker.txt', (scenario) => {
  const { command, args, input } = scenario;
  const version = parseVersion(input.filter((line) => line.startsWith('L')));
  const options = readOptions(args);
  const busy = busyTables(readRunning(version, input, options));
  const cursors = initialPickerState.cursors.map((_, i) => {
    const text = args.get(`cursor${i}`);
    return text === undefined ? undefined : Buffer.from(text);
  });
  switch (command) {
    case 'pick':
      return showPlan(
        pickCompaction(version, options, busy, {
          cursors,
          ...(args.has('last') ? { lastLevel: level(Number(args.get('last'))) } : {}),
        }),
      );
    case 'settle':
      return pickUntilSettled(version, options);
    case 'manual':
      return manualUntilDone(version, scenario, options);
    case 'manual-step': {
      const step = planManualCompaction(version, {}, options, busy);
      return step.status === 'ready' ? showPlan(step.plan) : step.status;
    }
    case 'targets': {
      const { baseLevel, targetBytes } = levelTargets(version, options);
      const limits = targetBytes.flatMap((target, i) =>
        target < Infinity ? [`L${i}: ${Math.round(target)}`] : [],
      );
      const score = compactionScore(version, options).toFixed(2);
      return [
        `base L${baseLevel}`,
        ...limits,
        `score ${score}`,
        `pending ${pendingCompactionBytes(version, options)}`,
      ].join('\n');
    }
    default:
      throw new Error(`unknown command ${command}`);
  }
});

test('pickCompaction() gives the same plan for the same arguments and changes none of them', () => {
  const version = parseVersion(['L0: 5:[a-f]@5-5; 4:[a-c]@4-4; 3:[d-f]@3-3; 2:[a-b]@2-2', 'L7: 1:[a-z]']);
  const before = showVersion(version);
  const pick = (): CompactionPlan | undefined =>
    pickCompaction(version, readOptions(new Map()), noneBusy, initialPickerState);
  assert.deepEqual(pick(), pick());
  assert.equal(showVersion(version), before);
});

test('the tables of one ingestion count as one in L0, of several loads and flushes as so many', () => {
  const options = readOptions(new Map());
  const load = (age: number): string =>
    Array.from({ length: 6 }, (_, i) => `${age * 10 + i}:[${'acegik'[i]}-${'bdfhjl'[i]}]@${age}-${age}`).join(
      '; ',
    );
  const one = parseVersion([`L0: ${load(7)}`]);
  assert.equal(one.levelZeroRuns.length, 1);
  assert.equal(compactionScore(one, options), 0.25);
  assert.equal(pickCompaction(one, options, noneBusy, initialPickerState), undefined);
  const four = parseVersion([`L0: ${load(8)}; ${load(7)}; 1:[a-z]@5-6; 2:[a-z]@1-4`]);
  assert.equal(four.levelZeroRuns.length, 4);
  assert.equal(compactionScore(four, options), 1);
  assert.equal(pickCompaction(four, options, noneBusy, initialPickerState)?.reason, 'l0-count');
});
