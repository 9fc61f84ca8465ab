/**
 * One group of a group commit: the writes of one stretch of synchronous code, contiguous in one arena, one log record.
 *
 * All plain writers of a group share one promise, and all syncing writers another: 256 puts in flight cost one promise.
 *
 * Thread: main.
 */
import { Deferred } from '../shared/deferred.ts';
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
  #written: Deferred | undefined;
  #synced: Deferred | undefined;

  constructor(live: LiveMemtable, start: number, firstSequence: number) {
    this.live = live;
    this.start = start;
    this.firstSequence = firstSequence;
  }

  /** What a writer awaits: the log write, or the sync behind it. */
  promise(sync: boolean): Promise<void> {
    if (sync) {
      this.#synced ??= new Deferred();
      return this.#synced.promise;
    }
    this.#written ??= new Deferred();
    return this.#written.promise;
  }

  get wantsSync(): boolean {
    return this.#synced !== undefined;
  }

  written(): void {
    this.#written?.resolve();
  }

  synced(): void {
    this.#synced?.resolve();
  }

  fail(error: unknown): void {
    this.#written?.reject(error);
    this.#synced?.reject(error);
  }
}
