/**
 * The memory of memtables, used again and again: a store that writes for a year needs that of a few.
 *
 *   take  a free arena, or a new one        give  nobody reads the memtable any more: its arena is free
 *   a few seconds in which nothing was taken: free arenas are given up, and the collector is nudged (reclaim.ts)
 *
 * Pooled are arenas of the write buffer's size. One of another size (for a larger batch, or of a recovered log) is given up after
 * its use, and so is one of which a value was lent (ReadOptions.zeroCopy).
 *
 * Invariants: an arena that is given is referred to by no read, scan, job, log write or client. At most `MAX_ARENAS` are kept,
 *             those in use included, and one more while scans or clients keep so many back.
 * Thread:     main.     Owns: the free arenas.
 */
import type { Entry } from '../../shared/base/entry.ts';
import { givenUp, noteGivenUp } from '../../shared/base/reclaim.ts';
import { clearTimeout, setTimeout } from '../../shared/base/timers.ts';
import { MemtableArena } from '../../shared/memtable/arena.ts';

/** One active, two that wait for their flush (commit-pipeline.ts). */
const MAX_ARENAS = 3;
/** A store that fills no memtable for this long gives the free arenas up. Touching new memory costs it some 20 ms, once. */
const REST_MS = 4000;

/** Who else has to do with the memory. */
export interface ArenaHost {
  /** Called in the step in which memory is given up. */
  givenUp(byteLength: number): void;
  /** While messages to clients refer to free arenas, giving these up would free nothing, and new ones would come on top. */
  mayRest(): boolean;
}

const ALONE: ArenaHost = { givenUp: () => undefined, mayRest: () => true };

export class ArenaPool {
  /** The usual size, that of the write buffer. */
  readonly arenaBytes: number;
  readonly #restMs: number;
  /** The one used last at the end: its memory is warm. */
  readonly #free: MemtableArena[] = [];
  /** Of the usual size, and in use. */
  readonly #taken = new Set<MemtableArena>();
  readonly #scratch: Entry[] = [];
  #resting: NodeJS.Timeout | undefined;
  #isClosed = false;
  #reusedCount = 0;
  readonly #host: ArenaHost;

  constructor(arenaBytes: number, restMs: number = REST_MS, host: ArenaHost = ALONE) {
    this.#host = host;
    this.arenaBytes = arenaBytes;
    this.#restMs = restMs;
  }

  /** Not in use, and kept for the next memtable. */
  get freeCount(): number {
    return this.#free.length;
  }

  get freeBytes(): number {
    return this.#free.reduce((sum, arena) => sum + arena.capacityBytes, 0);
  }

  /** How often memory was used again. */
  get reusedCount(): number {
    return this.#reusedCount;
  }

  /** Given up by all stores of this thread, and not freed yet. */
  get uncollectedBytes(): number {
    return givenUp().bytes;
  }

  /** Holds what a lookup left in it, until the next one: lets go of it when arenas are given up. */
  addScratch(entry: Entry): void {
    this.#scratch.push(entry);
  }

  /** An empty arena of `capacityBytes` at least. */
  take(capacityBytes: number, firstSequence: number): MemtableArena {
    if (capacityBytes > this.arenaBytes) return MemtableArena.create(capacityBytes, firstSequence);
    const used = this.#free.pop();
    if (this.#free.length === 0) this.#stopResting();
    else this.#rest();
    const arena =
      used === undefined
        ? MemtableArena.create(this.arenaBytes, firstSequence)
        : MemtableArena.reuse(used, firstSequence);
    if (used !== undefined) this.#reusedCount++;
    this.#taken.add(arena);
    return arena;
  }

  /** Nothing reads the arena any more, wherever it came from. */
  give(arena: MemtableArena): void {
    const isUsual = this.#taken.delete(arena);
    // One is kept in any case: while scans hold many, memory would otherwise be given up and asked for with each memtable.
    const isSpare = this.#free.length > 0 && this.#taken.size + this.#free.length >= MAX_ARENAS;
    if (this.#isClosed || !isUsual || arena.isLent || isSpare) {
      this.#giveUp([arena]);
      return;
    }
    this.#free.push(arena);
    this.#rest();
  }

  /** The store is closed: nothing is kept. */
  close(): void {
    this.#isClosed = true;
    this.#stopResting();
    this.#giveUp(this.#free.splice(0));
  }

  /** From now on, anew. */
  #rest(): void {
    if (this.#resting === undefined)
      this.#resting = setTimeout(() => this.#haveRested(), this.#restMs).unref();
    else this.#resting.refresh();
  }

  #stopResting(): void {
    clearTimeout(this.#resting);
    this.#resting = undefined;
  }

  #haveRested(): void {
    this.#resting = undefined;
    if (this.#host.mayRest()) this.#giveUp(this.#free.splice(0));
    else this.#rest();
  }

  #giveUp(arenas: readonly MemtableArena[]): void {
    for (const entry of this.#scratch) entry.release();
    let byteLength = 0;
    for (const { buffer } of arenas) {
      noteGivenUp(buffer);
      byteLength += buffer.byteLength;
    }
    if (byteLength > 0) this.#host.givenUp(byteLength);
  }
}
