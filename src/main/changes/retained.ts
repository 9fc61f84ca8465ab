/**
 * Where the changes behind a place are to be read: the logs and ingestions of this moment, oldest first.
 *
 *   | log 3     | log 7 | ingestion       | log 12 (in use) |
 *   floor                ^ after          ^ sequence         visible
 *
 * Invariants: together they are without a gap, as every write is in a log until a manifest keeps it or drops it, oldest first. A
 *             gap is damage: of a log, or of the manifest.
 * Thread:     main. Pure.
 */
import { CorruptionError } from '../../shared/base/errors.ts';
import type { KeptLoad, KeptLog, KeptState } from '../manifest/kept-state.ts';
import type { LogExtent } from '../write/memtable-list.ts';
import type { LogOfChanges } from './log-pages.ts';

export interface RetainedLog extends LogOfChanges {
  readonly kind: 'log';
  /** It begins behind this sequence. */
  readonly after: number;
  readonly startedAtMs: number;
}

export interface RetainedLoad {
  readonly kind: 'load';
  readonly after: number;
  readonly load: KeptLoad;
}

export type RetainedItem = RetainedLog | RetainedLoad;

/** What there is to read at a moment. */
export class Retained {
  readonly items: readonly RetainedItem[];
  /** Changes behind this sequence can be read. */
  readonly floor: number;

  readonly #visible: number;

  private constructor(items: readonly RetainedItem[], visible: number) {
    this.items = [...items].sort((a, b) => a.after - b.after || orderOf(a) - orderOf(b));
    this.floor = this.items[0]?.after ?? visible;
    this.#visible = visible;
  }

  /** `inUse`: the logs behind the memtables, as far as they are written. */
  static of({ keptLogs, keptLoads }: KeptState, inUse: readonly LogExtent[], visible: number): Retained {
    const kept = new Set(keptLogs.map(({ number }) => number));
    // For a moment a flushed log is in both.
    const more = inUse.filter(({ number }) => !kept.has(number));
    const unclear = more.findLastIndex(({ hasBorders }) => !hasBorders);
    const items = unclear < 0 ? [...keptLogs.map(keptItem), ...keptLoads.map(loadItem)] : [];
    return new Retained([...items, ...more.slice(unclear + 1).map(logItem)], visible);
  }

  /** With ingestions that come right before what there is. */
  with(loads: readonly KeptLoad[]): Retained {
    return loads.length === 0 ? this : new Retained([...this.items, ...loads.map(loadItem)], this.#visible);
  }

  /** What the sequence behind `sequence` is in, if anything is. Requires: `sequence` is not below the floor. */
  itemBehind(sequence: number): RetainedItem | undefined {
    return this.items.findLast(({ after }) => after <= sequence);
  }

  /** All up to `sequence` has been read, and more is visible. @throws {@link CorruptionError} when it does not follow. */
  checkFollows(sequence: number, directory: string): void {
    const next = this.items.find(({ after }) => after > sequence);
    if (next === undefined) return;
    throw new CorruptionError(`changes are missing behind sequence number ${sequence}`, { file: directory });
  }
}

/** Of two that begin behind the same sequence one is empty: the older log. */
function orderOf(item: RetainedItem): number {
  return item.kind === 'log' ? item.number : Number.MAX_SAFE_INTEGER;
}

function keptItem({ number, sizeBytes, firstSequence, time }: KeptLog): RetainedLog {
  return { kind: 'log', number, sizeBytes, firstSequence, after: firstSequence - 1, startedAtMs: time };
}

function logItem({ number, sizeBytes, firstSequence, startedAtMs }: LogExtent): RetainedLog {
  return { kind: 'log', number, sizeBytes, firstSequence, after: firstSequence - 1, startedAtMs };
}

function loadItem(load: KeptLoad): RetainedLoad {
  return { kind: 'load', after: load.after, load };
}
