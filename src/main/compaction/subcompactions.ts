/**
 * Carries out the merge of one plan, in parts by key range when there are threads to share it (subcompactions).
 *
 *   1. cut the hull of the plan at keys from the tables' indexes, into ranges of about equal size (key-split.ts)
 *   2. one job per range reads its part of the inputs and writes tables of its own: no two outputs overlap
 *   3. all have ended well and have read every entry between them: one result, for one edit
 *      one failed: the others are cancelled, all outputs deleted, and its error is thrown
 *
 * Invariants: the outputs of all parts, put together, are what a single job might have written: versions of a key are in one
 *             part, since parts are cut by key.
 * Thread:     main.
 */

import { checkAllRead } from '../../shared/base/all-read.ts';
import { keySuccessor } from '../../shared/base/bytes.ts';
import type { KeyRange } from '../../shared/base/iterator.ts';
import { MAX_KEY_BYTES } from '../../shared/base/limits.ts';
import type { TableCache } from '../../shared/read/table-cache.ts';
import { levelZeroRuns, totalBytes } from '../../shared/read/version.ts';
import type {
  CompactJob,
  CompactResult,
  JobContext,
  JobStats,
  TableOptions,
} from '../../shared/threads/jobs.ts';
import { maxOutputCount } from '../../shared/threads/output-count.ts';
import { OutputNumbers } from '../../shared/threads/output-numbers.ts';
import type { Clock } from '../../shared/threads/shared-clock.ts';
import type { OutputFiles } from '../files/job-outputs.ts';
import { discardOutputs } from '../files/job-outputs.ts';
import type { CancelToken, JobRunner } from '../jobs/job-runner.ts';
import type { ResolvedOptions } from '../store/options.ts';
import type { SnapshotList } from '../store/snapshot.ts';
import { fileSizeFor } from '../store/table-size.ts';
import { type CompactionPlan, planBytes, planRange } from './compaction-plan.ts';
import { deeperBounds } from './deeper-bounds.ts';
import { splitKeys, tableSamples } from './key-split.ts';

/** A part is worth a job when it fills about this many tables. */
const TABLES_PER_PART = 2;

/** What a merge needs of a store. */
export interface MergeParts extends OutputFiles {
  readonly jobs: JobRunner;
  readonly options: ResolvedOptions;
  readonly snapshots: SnapshotList;
  readonly clock: Clock;
  readonly tables: TableCache;
}

/** The ranges that `plan` is merged in: at most `parts`, one where it is small or its tables have no keys to cut at. */
export function partsOf(
  store: Pick<MergeParts, 'options' | 'tables'>,
  plan: CompactionPlan,
  parts: number,
): readonly KeyRange[] {
  const worth = Math.floor(planBytes(plan) / (TABLES_PER_PART * store.options.maxFileSizeBytes));
  const count = Math.min(parts, worth);
  if (plan.kind !== 'merge' || count < 2) return [{}];
  try {
    const tables = [...plan.inputs, ...plan.overlapping];
    const ranges = splitKeys(
      tables.flatMap((table) => tableSamples(table, store.tables.reader(table))),
      count,
    );
    // Right behind a key of the greatest length there is no other, where a table that only deletes ranges could begin.
    if (ranges.some(({ end }) => end?.length === MAX_KEY_BYTES)) return [{}];
    return ranges.map(({ start, end }) => ({ start: behind(start), end: behind(end) }));
  } catch {
    // A table that can't be opened: the job says what is wrong with it.
    return [{}];
  }
}

/** Parts end right behind a key: then the last key in front of the bound is known, where a deleted range is cut. */
function behind(bound: Uint8Array | undefined): Uint8Array | undefined {
  return bound === undefined ? undefined : keySuccessor(bound);
}

/** Runs the parts; `onPartDone` hears of each that ends, well or not. */
export async function mergeInParts(
  store: MergeParts,
  plan: CompactionPlan,
  ranges: readonly KeyRange[],
  token: CancelToken,
  onPartDone: () => void,
  parent?: number,
): Promise<CompactResult> {
  const failures: unknown[] = [];
  const parts = ranges.map(async (range) => {
    try {
      return await store.jobs.run<'compact'>(
        (context) => compactJob(store, plan, range, context),
        { urgent: false, keepAlive: false, forCaller: plan.reason === 'manual', parent },
        token,
      );
    } catch (error) {
      failures.push(error);
      token.cancel();
      return undefined;
    } finally {
      onPartDone();
    }
  });
  const results = (await Promise.all(parts)).filter((result) => result !== undefined);
  const merged = combine(results);
  const unread = new Set(merged.unread);
  const read = [...plan.inputs, ...plan.overlapping].filter(({ number }) => !unread.has(number));
  const expected = sumOf(read, (table) => table.entryCount);
  try {
    if (failures.length > 0) throw failures[0];
    checkAllRead('the tables of a compaction', merged.stats.entriesRead, expected);
    return merged;
  } catch (error) {
    await discardOutputs(store, merged.outputs);
    throw error;
  }
}

function combine(results: readonly CompactResult[]): CompactResult {
  const stat = (name: keyof JobStats): number => sumOf(results, ({ stats }) => stats[name]);
  return {
    outputs: results.flatMap(({ outputs }) => outputs),
    unread: results[0]?.unread ?? [],
    stats: {
      bytesRead: stat('bytesRead'),
      bytesWritten: stat('bytesWritten'),
      entriesRead: stat('entriesRead'),
      entriesWritten: stat('entriesWritten'),
      elapsedMs: Math.max(0, ...results.map(({ stats }) => stats.elapsedMs)),
    },
  };
}

function compactJob(
  store: MergeParts,
  plan: CompactionPlan,
  range: KeyRange,
  context: JobContext,
): CompactJob {
  const { versions, options, snapshots, clock } = store;
  const hull = planRange(plan);
  const maxFileSizeBytes = fileSizeFor(versions.current, plan.outputLevel, options);
  const outputCount = outputBound(plan, maxFileSizeBytes, options.table);
  const deeper = deeperBounds(versions.current, plan.outputLevel + 1, hull);
  const inputs = plan.level === 0 ? levelZeroRuns(plan.inputs) : [plan.inputs];
  return {
    ...context,
    kind: 'compact',
    inputs: [...inputs, plan.overlapping],
    outputLevel: plan.outputLevel,
    range,
    outputs: OutputNumbers.create(outputCount).buffer,
    maxFileSizeBytes,
    table: options.table,
    ...snapshots.readPointsOfJob(clock),
    deeper,
    grandparents: plan.grandparents,
  };
}

/** More outputs than this a plan never has, whichever part of it the job is for. */
function outputBound(plan: CompactionPlan, maxFileSizeBytes: number, table: TableOptions): number {
  const inputs = [...plan.inputs, ...plan.overlapping];
  const estimate = {
    rawBytes: sumOf(inputs, ({ rawBytes }) => rawBytes),
    entryCount: sumOf(inputs, ({ entryCount }) => entryCount),
    grandparentBytes: totalBytes(plan.grandparents),
  };
  return maxOutputCount(estimate, maxFileSizeBytes, table);
}

function sumOf<T>(items: readonly T[], of: (item: T) => number): number {
  return items.reduce((total, item) => total + of(item), 0);
}
