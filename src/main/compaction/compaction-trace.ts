/**
 * What the trace tells of flushes and compactions: why, of what, into what.
 *
 * Invariants: nothing is built that nobody wants: only then levels are scored once more.
 * Thread:     main.
 */
import { isCancelled } from '../../shared/base/failures.ts';
import type { TableInfo } from '../../shared/base/version-edit.ts';
import { totalBytes, type Version } from '../../shared/read/version.ts';
import type { CompactResult, FlushResult } from '../../shared/threads/jobs.ts';
import type { Span, Trace } from '../store/trace.ts';
import type { TracedTable, TraceOperations } from '../store/trace-events.ts';
import type { LiveMemtable, MemtableList } from '../write/memtable-list.ts';
import type { BusyTables, CompactionOptions, CompactionPlan } from './compaction-plan.ts';
import { levelScores, levelTargets } from './compaction-score.ts';

/** What the picker goes by. */
export interface PickerSight {
  readonly version: Version;
  readonly options: CompactionOptions;
  /** Without the plan itself. */
  readonly busy: BusyTables;
}

/** `look` is called only when somebody listens. */
export function beginCompaction(
  trace: Trace,
  plan: CompactionPlan,
  parts: number,
  look: () => PickerSight,
): Span<'compaction'> | undefined {
  if (!trace.wants('compaction')) return undefined;
  const { version, options, busy } = look();
  const { reason, kind, level, outputLevel, grandparents } = plan;
  const scores = levelScores(version, options, levelTargets(version, options), busy);
  return trace.begin('compaction', {
    reason,
    kind,
    level,
    outputLevel,
    score: scores[level]!,
    scores,
    l0CompactionTrigger: options.l0CompactionTrigger,
    isAtRest: options.isAtRest === true,
    parts,
    inputs: plan.inputs.map(traced),
    overlapping: plan.overlapping.map(traced),
    grandparents: grandparents.length,
    grandparentBytes: totalBytes(grandparents),
  });
}

/** Without a result: it was a move. */
export function endCompaction(
  span: Span<'compaction'> | undefined,
  plan: CompactionPlan,
  result: CompactResult | undefined,
): void {
  span?.end({
    outputs: (result?.outputs ?? plan.inputs).map(traced),
    bytesRead: result?.stats.bytesRead ?? 0,
    bytesWritten: result?.stats.bytesWritten ?? 0,
    entriesRead: result?.stats.entriesRead ?? 0,
    entriesWritten: result?.stats.entriesWritten ?? 0,
  });
}

/** What the flusher was asked for by now. */
interface AskedFor {
  readonly isRequested: boolean;
  readonly isClosing: boolean;
}

export function beginFlush(
  trace: Trace,
  live: LiveMemtable,
  memtables: MemtableList,
  asked: AskedFor,
): Span<'flush'> | undefined {
  if (!trace.wants('flush')) return undefined;
  const { arena } = live.memtable;
  return trace.begin('flush', {
    reason: reasonOf(live, asked),
    logs: live.logs().map(({ number }) => number),
    entries: arena.entryCount,
    memtableBytes: arena.usedBytes,
    frozenMemtables: memtables.frozen.length,
  });
}

function reasonOf(
  live: LiveMemtable,
  { isRequested, isClosing }: AskedFor,
): TraceOperations['flush']['start']['reason'] {
  if (live.isFull) return 'full';
  if (isClosing) return 'closing';
  return isRequested || live.writer !== undefined ? 'requested' : 'recovered';
}

export function endFlush(span: Span<'flush'> | undefined, { output, stats }: FlushResult): void {
  span?.end({
    ...(output === undefined ? {} : { table: traced(output) }),
    entriesWritten: stats.entriesWritten,
    bytesWritten: stats.bytesWritten,
    jobMs: stats.elapsedMs,
  });
}

export function failSpan(span: Span<'flush' | 'compaction'> | undefined, error: unknown): void {
  span?.fail(error, isCancelled(error) ? 'info' : 'warn');
}

function traced({ number, sizeBytes, entryCount, tombstoneCount }: TableInfo): TracedTable {
  return { table: number, bytes: sizeBytes, entries: entryCount, tombstones: tombstoneCount };
}
