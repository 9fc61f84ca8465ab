/**
 * The plans of compactions that run, and the key ranges that they read and write: an edit that comes meanwhile does not let the
 * bounds of other tables reach into these (manifest/short-edit.ts).
 *
 * Thread: main.
 */
import type { InclusiveRange } from '../../shared/read/version.ts';
import { type CompactionPlan, planRange } from './compaction-plan.ts';

export class RunningPlans {
  readonly #plans = new Set<CompactionPlan>();

  add(plan: CompactionPlan): void {
    this.#plans.add(plan);
  }

  delete(plan: CompactionPlan): void {
    this.#plans.delete(plan);
  }

  ranges(): readonly InclusiveRange[] {
    return Array.from(this.#plans, planRange);
  }
}
