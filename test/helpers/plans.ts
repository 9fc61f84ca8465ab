/**
 * Compaction plans as text, and carried out on meta data alone.
 */

import type { CompactionPlan } from '../../src/main/compaction/compaction-picker.ts';
import { planRange } from '../../src/main/compaction/compaction-plan.ts';
import { level } from '../../src/shared/base/ids.ts';
import type { LeveledTable, TableInfo, VersionEdit } from '../../src/shared/base/version-edit.ts';
import { hullOf, overlaps, type Version } from '../../src/shared/read/version.ts';
import { mergedTable, showTables } from './table-meta.ts';

export function showPlan(plan: CompactionPlan | undefined): string {
  if (plan === undefined) return 'nothing';
  const { kind, level, outputLevel, inputs, overlapping, grandparents, reason } = plan;
  return (
    `${kind} L${level} -> L${outputLevel} (${reason}): ${showTables(inputs)}` +
    `${overlapping.length > 0 ? ` + ${showTables(overlapping)}` : ''}` +
    `${grandparents.length > 0 ? ` over ${showTables(grandparents)}` : ''}`
  );
}

/** What the plan would do, with a merge giving one table, number `output`, that has no tombstones. */
export function planEdit(plan: CompactionPlan, output: number): VersionEdit {
  const consumed: LeveledTable[] = [
    ...plan.inputs.map((table) => ({ level: plan.level, table })),
    ...plan.overlapping.map((table) => ({ level: plan.outputLevel, table })),
  ];
  const results =
    plan.kind === 'move' ? plan.inputs : [mergedTable(output, [...plan.inputs, ...plan.overlapping])];
  return {
    removed: consumed.map(({ level, table }) => ({ level, number: table.number })),
    added: results.map((table) => ({ level: plan.outputLevel, table })),
  };
}

function overlapsTable(a: TableInfo, b: TableInfo): boolean {
  return overlaps(a, { start: b.smallestKey, end: b.largestKey });
}

/** Throws unless the plan is one that may run on `version` beside `running`. */
export function checkPlan(version: Version, plan: CompactionPlan, running: readonly CompactionPlan[]): void {
  const range = planRange(plan);
  const numbers = (of: CompactionPlan): number[] =>
    [...of.inputs, ...of.overlapping].map((table) => table.number);
  const fail = (why: string): never => {
    throw new Error(`${why}: ${showPlan(plan)}`);
  };
  for (const other of running) {
    if (numbers(other).some((number) => numbers(plan).includes(number))) fail('shares a table');
    if (other.level === 0 && plan.level === 0) fail('two compactions of level 0');
    const taken = planRange(other);
    // What moves keeps its bounds: it may go on both sides of what another plan writes.
    const bounds = plan.kind === 'move' ? plan.inputs.map((table) => hullOf([table])!) : [range];
    const isApart = bounds.every(
      ({ start, end }) => Buffer.compare(taken.end, start) < 0 || Buffer.compare(end, taken.start) < 0,
    );
    if (other.outputLevel === plan.outputLevel && !isApart) fail('two outputs may overlap');
  }
  if (plan.level === 0) {
    const staying = version.levels[0]!.filter((table) => !plan.inputs.includes(table));
    for (const input of plan.inputs) {
      const bounds = { start: input.smallestKey, end: input.largestKey };
      const isOlder = (table: TableInfo): boolean => table.largestSequence < input.largestSequence;
      if (staying.some((table) => isOlder(table) && overlaps(table, bounds))) fail('older data stay above');
    }
  }
  for (let i = plan.level + 1; i < plan.outputLevel; i++) {
    const between = version.overlapping(level(i), range);
    if (between.some((table) => plan.inputs.some((input) => overlapsTable(table, input))))
      fail('a level between holds keys of the inputs');
  }
  if (plan.kind === 'move') {
    const met = plan.inputs.flatMap((input) =>
      version.overlapping(plan.outputLevel, { start: input.smallestKey, end: input.largestKey }),
    );
    if (met.length > 0) fail('what moves would overlap');
    return;
  }
  const atOutput = version.overlapping(plan.outputLevel, range);
  const expected = plan.level === plan.outputLevel ? plan.inputs : plan.overlapping;
  if (atOutput.length !== expected.length) fail('an overlapping table is missing');
}
