/**
 * How fast writes may enter while level 0 is large: so fast that it is not full before a compaction has made room.
 *
 *   room    what may still come in: so many memtables as L0 takes runs, less those that wait for their flush
 *   eta     until a compaction of L0 ends: its bytes at the speed of those before; one that has not begun waits for a thread
 *           first
 *   rate    room / eta
 *
 * Each flush and each compaction that ends asks again, so a guess that was wrong is put right before the room is used up, and the
 * rate falls step by step instead of writes being held. A speed is of one plan, whatever shares the machine with it.
 *
 * Thread:     main.
 * Owns:       the speed.
 * Not chosen: a rate for each number of tables (RocksDB's first): with buffers of 1 MiB the last eight tables take a quarter of a
 *             second at a rate at which a compaction of 64 MiB ones ends in time.
 */

import { level as toLevel } from '../../shared/base/ids.ts';
import { now } from '../../shared/base/timers.ts';
import type { Version } from '../../shared/read/version.ts';
import { type CompactionOptions, type CompactionPlan, planBytes } from './compaction-plan.ts';
import { levelTargets } from './compaction-score.ts';
import { maxLevelZeroBytes } from './level-zero.ts';

/** Until one has ended: a slow machine's. */
const FIRST_BYTES_PER_MS: number = 32 * 1024;
/** What the newest merge counts against those before it. */
const NEWEST_SHARE = 0.3;
/** A merge that should have ended may yet take so much of its time. */
const OVERDUE_SHARE = 0.25;

/** A merge under way. */
export interface RunningMerge {
  readonly plan: CompactionPlan;
  readonly startedAt: number;
}

export class LevelZeroPace {
  #bytesPerMs = FIRST_BYTES_PER_MS;

  /** A merge has ended well. */
  noteMerge(plan: CompactionPlan, elapsedMs: number): void {
    const speed = planBytes(plan) / Math.max(1, elapsedMs);
    this.#bytesPerMs += NEWEST_SHARE * (speed - this.#bytesPerMs);
  }

  /** In milliseconds, about: when L0 will be smaller. */
  etaMs(running: readonly RunningMerge[], version: Version, options: CompactionOptions): number {
    const moment = now();
    const left = ({ plan, startedAt }: RunningMerge): number => {
      const total = planBytes(plan) / this.#bytesPerMs;
      return Math.max(total - (moment - startedAt), OVERDUE_SHARE * total);
    };
    const own = running.find(({ plan }) => plan.level === 0);
    if (own !== undefined) return left(own);
    const wait = running.length === 0 ? 0 : Math.min(...running.map(left));
    const { baseLevel } = levelTargets(version, options);
    const inputs = Math.min(version.levelBytes(toLevel(0)), maxLevelZeroBytes(options));
    return wait + (inputs + version.levelBytes(baseLevel)) / this.#bytesPerMs;
  }
}
