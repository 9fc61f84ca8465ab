/**
 * get, has and getMany with a promise: in the call what memory has, else without holding the thread.
 *
 *   1. the reader looks into memtables and tables, in the call, with `disk.mayWait = false`
 *   2. what it throws is a WouldWait: the version it read is pinned, and the lookup goes on in that one (pending-reads.ts).
 *      No memtable of the moment has the key, or the tables would not have been asked
 *   3. many keys: as long as a turn may take in the call, the others in turns of their own; those that need the disk last,
 *      up to MANY_AT_ONCE at a time, so that all that the disk can do at once is asked of it
 *
 * Invariants: all keys of a getMany are of one moment.
 * Thread:     any; one per engine or client.
 */

import type { Entry } from '../base/entry.ts';
import { now } from '../base/timers.ts';
import type { Disk } from '../disk/disk.ts';
import { PendingReads, type WaitingRead } from '../disk/pending-reads.ts';
import type { Needed } from '../disk/would-wait.ts';
import type { BlockCache } from '../table/block-cache.ts';
import type { Clock } from '../threads/shared-clock.ts';
import { answerOf, type Wanted } from './found-entry.ts';
import { lookupTables } from './lookup.ts';
import { keepKeys, type ManyJob, type ManyLookup, type ManySources } from './many-lookup.ts';
import { type ReadTurns, TURN_MS } from './read-turns.ts';
import type { TableCache } from './table-cache.ts';
import type { Version } from './version.ts';

/** Keys of one getMany that wait for the disk together: more than it has under way at once, so that it never runs out. */
const MANY_AT_ONCE = 64;

/** What is read, of one moment, which is pinned until `release`. */
export interface PinnedTables {
  readonly version: Version;
  readonly sequence: number;
  /** By which what is found expires. */
  readonly clock: Clock;
  readonly release: () => void;
}

/** What the options of a read say. */
export interface AwaitedOptions {
  readonly fillCache: boolean;
  readonly zeroCopy: boolean;
  readonly signal: AbortSignal | undefined;
}

/** The reader's parts. */
export interface ReaderParts {
  readonly disk: Disk;
  readonly tables: TableCache;
  readonly blocks: BlockCache;
  readonly turns: ReadTurns;
  readonly many: ManyLookup;
  /** Used within one attempt. */
  readonly entry: Entry;
}

export class AwaitedReads {
  readonly pending: PendingReads;
  readonly turns: ReadTurns;
  readonly disk: Disk;
  readonly #parts: ReaderParts;

  constructor(parts: ReaderParts) {
    this.#parts = parts;
    this.pending = new PendingReads(parts.disk);
    this.turns = parts.turns;
    this.disk = parts.disk;
  }

  /** What is wanted of `key`, which is ours, in the tables of `pin`, once `needed` is there. */
  lookup(
    needed: Needed,
    key: Uint8Array,
    pin: PinnedTables,
    options: AwaitedOptions | undefined,
    wanted: Wanted,
  ): Promise<Buffer | undefined> {
    const { tables, entry } = this.#parts;
    const look = (): Buffer | undefined => {
      if (!lookupTables(pin.version, tables, key, pin.sequence, entry)) return undefined;
      return answerOf(entry, wanted, pin.clock, options);
    };
    return this.pending.wait(needed, {
      attempt: this.#as(options, look),
      signal: options?.signal,
      release: pin.release,
    }).promise;
  }

  /** As many chunks of `job` as a turn has time for; the rest is for {@link manyLater}. */
  manyNow(job: ManyJob, sources: ManySources, sequence: number, options: AwaitedOptions | undefined): void {
    const { disk, many } = this.#parts;
    const run = this.#as(options, () => many.runChunk(job, sources, sequence));
    const began = now();
    do disk.withoutWaiting(run);
    while (job.next < job.keys.length && now() - began < TURN_MS);
  }

  /** What {@link manyNow} left. `pin` is of the same moment as `sources`, and holds what they consist of. */
  async manyLater(
    job: ManyJob,
    sources: ManySources,
    pin: Omit<PinnedTables, 'clock'>,
    options: AwaitedOptions | undefined,
  ): Promise<void> {
    const { turns } = this.#parts;
    try {
      keepKeys(job);
      while (job.next < job.keys.length) {
        await turns.next();
        this.pending.check(options?.signal);
        this.manyNow(job, sources, pin.sequence, options);
      }
      await this.#unblock(job, sources, pin.sequence, options);
    } finally {
      pin.release();
    }
  }

  async #unblock(
    job: ManyJob,
    sources: ManySources,
    sequence: number,
    options: AwaitedOptions | undefined,
  ): Promise<void> {
    const { many, turns } = this.#parts;
    const waiting = new Set<WaitingRead<void>>();
    let next = 0;
    let failure: { readonly error: unknown } | undefined;
    const work = async (): Promise<void> => {
      while (failure === undefined && next < job.blocked.length) {
        const index = job.blocked[next++]!;
        const attempt = this.#as(options, () => {
          if (failure !== undefined) throw failure.error;
          many.lookupOne(job, index, sources, sequence);
        });
        const read = this.pending.begin({ attempt, signal: options?.signal });
        waiting.add(read);
        await read.promise;
        waiting.delete(read);
        // Many may find that another's block has all they need.
        await turns.due(1);
      }
    };
    const workUntilFailure = (): Promise<void> =>
      work().catch((error: unknown) => {
        // It is all values or none: the others end, too, and before what they read is given up.
        failure ??= { error };
        for (const read of waiting) read.tryAgain();
        throw error;
      });
    await Promise.all(Array.from({ length: Math.min(MANY_AT_ONCE, job.blocked.length) }, workUntilFailure));
  }

  /** Leaves the cache as it is where the options say so. */
  #as<T>(options: AwaitedOptions | undefined, read: () => T): () => T {
    return options?.fillCache === false ? () => this.#parts.blocks.bypassed(read) : read;
  }
}
