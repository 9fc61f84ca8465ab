/**
 * One group of a group commit: the writes of one stretch of synchronous code, contiguous in one arena, one log record.
 *
 * Its writers share their promises (WritePromises): 256 puts in flight cost one.
 *
 * Thread: main.
 */
import { WritePromises } from '../../shared/base/deferred.ts';
import type { LiveMemtable } from './memtable-list.ts';

export class CommitGroup {
  readonly live: LiveMemtable;
  /** Arena offset of the record's header. */
  readonly start: number;
  readonly firstSequence: number;
  /** Arena offset behind the record; set when the group is sealed. */
  end = 0;
  /** Entries of the memtable up to and including this group; set when the group is sealed. */
  entryCount = 0;
  readonly outcome: WritePromises = new WritePromises();

  constructor(live: LiveMemtable, start: number, firstSequence: number) {
    this.live = live;
    this.start = start;
    this.firstSequence = firstSequence;
  }
}
