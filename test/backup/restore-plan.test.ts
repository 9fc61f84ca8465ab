/** Which backup and which segments bring back a position or a time: chains, gaps, branches, overlaps; all without a store. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type BaseBackup,
  type BranchInfo,
  type Goal,
  planRestore,
  type TargetContents,
} from '../../src/backup/restore-plan.ts';
import type { SegmentName } from '../../src/backup/segment.ts';

const EPOCH = 'e'.repeat(16);

/** `from` and `to`: a sequence, or a sequence and so many parts of the load behind it. */
function segment(
  branch: string,
  from: number,
  to: number,
  coveredMs: number,
  parts = { from: 0, to: 0 },
): SegmentName {
  return {
    key: `${branch}/${from}.${parts.from}-${to}.${parts.to}`,
    sizeBytes: 1,
    branch,
    after: { sequence: from, parts: parts.from },
    to: { sequence: to, parts: parts.to },
    coveredMs,
    epochId: EPOCH,
    digest: '',
  };
}

function backup(id: string, branch: string, sequence: number, timeMs: number): BaseBackup {
  return { id, branch, sequence, timeMs };
}

function branch(
  name: string,
  sequence: number,
  coveredMs: number,
  parent?: BranchInfo['parent'],
): BranchInfo {
  return { name, sequence, coveredMs, parent };
}

const MAIN: TargetContents = {
  branches: [branch('main', 40, 420)],
  backups: [backup('b1', 'main', 10, 100), backup('b2', 'main', 30, 300)],
  segments: [
    segment('main', 5, 12, 120),
    segment('main', 12, 20, 200),
    segment('main', 20, 30, 290),
    segment('main', 30, 40, 400),
  ],
};

function plan(contents: TargetContents, goal: Goal): string[] {
  const { base, segments } = planRestore(contents, goal);
  return [base.id, ...segments.map(({ name }) => name.key.split('/')[1]!.replaceAll('.0', ''))];
}

function toPosition(sequence: number, name = 'main'): Goal {
  return { kind: 'position', branch: name, sequence };
}

function toTime(timeMs: number, name = 'main'): Goal {
  return { kind: 'time', branch: name, timeMs };
}

const LOST = { code: 'STRATA_POSITION_LOST' };

test('a place between two backups is reached from the one before it', () => {
  assert.deepEqual(plan(MAIN, toPosition(10)), ['b1']);
  assert.deepEqual(plan(MAIN, toPosition(11)), ['b1', '5-12']);
  assert.deepEqual(plan(MAIN, toPosition(21)), ['b1', '5-12', '12-20', '20-30']);
  assert.deepEqual(plan(MAIN, toPosition(30)), ['b2']);
  assert.deepEqual(plan(MAIN, toPosition(40)), ['b2', '30-40']);
});

test('a time is reached by what is complete until then', () => {
  assert.deepEqual(plan(MAIN, toTime(100)), ['b1']);
  assert.deepEqual(plan(MAIN, toTime(199)), ['b1', '5-12', '12-20']);
  assert.deepEqual(plan(MAIN, toTime(299)), ['b1', '5-12', '12-20', '20-30', '30-40']);
  assert.deepEqual(plan(MAIN, toTime(400)), ['b2', '30-40']);
  // Nothing was written until 420: the tip says so.
  assert.deepEqual(plan(MAIN, toTime(420)), ['b2', '30-40']);
});

test('what lies before the first backup or behind the archive is refused', () => {
  for (const goal of [toPosition(9), toPosition(41), toTime(99), toTime(421)])
    assert.throws(() => plan(MAIN, goal), LOST);
});

test('nothing is restored across a gap; what is behind the next backup is', () => {
  const gap = { ...MAIN, segments: MAIN.segments.filter(({ key }) => key !== 'main/12.0-20.0') };
  assert.throws(() => plan(gap, toPosition(21)), LOST);
  assert.throws(() => plan(gap, toTime(199)), LOST);
  assert.deepEqual(plan(gap, toPosition(12)), ['b1', '5-12']);
  assert.deepEqual(plan(gap, toPosition(35)), ['b2', '30-40']);
});

test('segments that overlap, as after a kill between upload and tip, lead on', () => {
  const twice = {
    ...MAIN,
    segments: [...MAIN.segments, segment('main', 12, 17, 160), segment('main', 17, 25, 240)],
  };
  assert.deepEqual(plan(twice, toPosition(19)).slice(0, 2), ['b1', '5-12']);
  assert.equal(planRestore(twice, toPosition(28)).segments.at(-1)!.name.key, 'main/20.0-30.0');
});

test('a branch is its own history from where it was restored to', () => {
  const contents: TargetContents = {
    branches: [branch('main', 40, 400), branch('a', 25, 900, { branch: 'main', sequence: 18 })],
    backups: MAIN.backups,
    segments: [...MAIN.segments, segment('a', 18, 25, 880)],
  };
  assert.deepEqual(plan(contents, toPosition(25, 'a')), ['b1', '5-12', '12-20', '18-25']);
  assert.deepEqual(
    planRestore(contents, toPosition(25, 'a')).segments.map(({ upTo }) => upTo),
    [18, 18, Number.MAX_SAFE_INTEGER],
  );
  // b2 is of main, behind the place where the branch left it.
  assert.equal(planRestore(contents, toTime(900, 'a')).base.id, 'b1');
  assert.throws(() => plan(contents, toPosition(26, 'a')), LOST);
});

test('a load in several segments is reached when all of its parts are there', () => {
  const parts: TargetContents = {
    branches: [branch('main', 5000, 500)],
    backups: [backup('b1', 'main', 10, 100)],
    segments: [
      segment('main', 10, 10, 150, { from: 0, to: 3 }),
      segment('main', 10, 10, 150, { from: 3, to: 5 }),
      segment('main', 10, 5000, 500, { from: 5, to: 0 }),
    ],
  };
  assert.equal(planRestore(parts, toPosition(5000)).segments.length, 3);
  const missing = { ...parts, segments: [parts.segments[0]!, parts.segments[2]!] };
  assert.throws(() => plan(missing, toPosition(5000)), LOST);
});

test('branches that name each other as parents end the search', () => {
  const circle: TargetContents = {
    branches: [
      branch('a', 5, 50, { branch: 'b', sequence: 3 }),
      branch('b', 5, 50, { branch: 'a', sequence: 3 }),
    ],
    backups: [],
    segments: [],
  };
  assert.throws(() => plan(circle, toPosition(4, 'a')), LOST);
});
