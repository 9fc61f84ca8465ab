/**
 * Compaction plans as text, and carried out on meta data alone.
 */

import type { CompactionPlan } from '../../src/main/compaction-picker.ts';
import { planRange } from '../../src/main/compaction-plan.ts';
import type { Version } from '../../src/shared/read/version.ts';
import type { LeveledTable, VersionEdit } from '../../src/shared/version-edit.ts';
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
  const result =
    plan.kind === 'move' ? plan.inputs[0]! : mergedTable(output, [...plan.inputs, ...plan.overlapping]);
  return {
    removed: consumed.map(({ level, table }) => ({ level, number: table.number })),
    added: [{ level: plan.outputLevel, table: result }],
  };
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
    const isApart = Buffer.compare(taken.end, range.start) < 0 || Buffer.compare(range.end, taken.start) < 0;
    if (other.outputLevel === plan.outputLevel && !isApart) fail('two outputs may overlap');
  }
  const atOutput = version.overlapping(plan.outputLevel, range);
  const expected = plan.level === plan.outputLevel ? plan.inputs : plan.overlapping;
  if (atOutput.length !== expected.length) fail('an overlapping table is missing');
}
