/** LevelZeroPace: when level 0 will be smaller, by the speed of the merges before. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { busyTables, type CompactionOptions } from '../../../src/main/compaction/compaction-picker.ts';
import { planFor } from '../../../src/main/compaction/compaction-plan.ts';
import { LevelZeroPace } from '../../../src/main/compaction/level-zero-pace.ts';
import { level } from '../../../src/shared/base/ids.ts';
import { parseVersion } from '../../helpers/table-meta.ts';

const options: CompactionOptions = {
  l0CompactionTrigger: 4,
  levelBaseBytes: 1e6,
  levelMultiplier: 10,
  maxFileSizeBytes: 1e6,
  maxCompactionBytes: 1e7,
};
const version = parseVersion([
  'L0: 3:[a-z]@3-3 size=1000000; 2:[a-z]@2-2 size=1000000',
  'L7: 1:[a-z] size=2000000',
]);
const plan = planFor(version, level(0), level(7), version.levels[0]!, 'l0-count', options, busyTables([]))!;

test('etaMs(): the more the slower merges were; what runs has done its part already, and what is overdue ends some time', () => {
  const pace = new LevelZeroPace();
  for (let i = 0; i < 30; i++) pace.noteMerge(plan, 4000);
  const notBegun = pace.etaMs([], version, options);
  assert.ok(Math.abs(notBegun - 4000) < 10, `${notBegun}`);
  const running = (sinceMs: number): number =>
    pace.etaMs([{ plan, startedAt: performance.now() - sinceMs }], version, options);
  assert.ok(running(2000) < 2010 && running(2000) > 1000);
  const overdue = running(60_000);
  assert.ok(Math.abs(overdue - 1000) < 10, `${overdue}`);
  for (let i = 0; i < 30; i++) pace.noteMerge(plan, 8000);
  assert.ok(pace.etaMs([], version, options) > 1.9 * notBegun);
});

test('etaMs(): a compaction of level 0 that has not begun waits for the one that ends first', () => {
  const pace = new LevelZeroPace();
  for (let i = 0; i < 30; i++) pace.noteMerge(plan, 4000);
  const other = { ...plan, level: level(6) };
  const eta = pace.etaMs([{ plan: other, startedAt: performance.now() }], version, options);
  assert.ok(eta > 7900 && eta < 8100, `${eta}`);
});
