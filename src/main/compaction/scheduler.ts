/**
 * Decides what background work runs, and how fast writes may enter meanwhile.
 *
 *   update()   after every event that may change the answer: start a flush, start compactions, set the gate
 *
 *   L0 runs      below 12   no limit
 *                12..19     slower and slower: from 32 MB/s down, and so that 20 are not reached (level-zero-pace.ts)
 *                20         held until a compaction ends
 *   memtables    two frozen and the active one full: held until a flush ends
 *   debt         more than 64 level bases left to rewrite: slow
 *   ingestion    slower while what is in memory is flushed for it, then held for the moment at which it enters
 *
 * Jobs leave the disk to reads that wait for it (disk-use.ts), but not while writes are slowed or held, or soon would be: from 8
 * runs in L0, two frozen memtables, or half the debt on.
 *
 * Invariants: the gate is closed or slow only while work is running or scheduled that will open it; where none can be
 *             (the tables are damaged, the store closes), writes go on and L0 grows. Where that work goes on failing, held
 *             writes are refused: by the flusher, by the compactor.
 *             A store that takes no more writes starts no more work. update() never throws: timers and microtasks call it.
 * Thread:     main.
 */

import { unless } from '../../shared/base/abortable.ts';
import type { StorageError } from '../../shared/base/errors.ts';
import type { KeyRange } from '../../shared/base/iterator.ts';
import { now } from '../../shared/base/timers.ts';
import type { ControlBlock } from '../../shared/threads/control-block.ts';
import type { ResolvedOptions } from '../store/options.ts';
import { type BusyTables, pendingCompactionBytes } from './compaction-picker.ts';
import { compactionOptions } from './compaction-plan.ts';
import { Compactor, type CompactorParts } from './compactor.ts';
import { Flusher, type FlusherParts } from './flusher.ts';

const L0_SLOWDOWN = 12;
const L0_STOP = 20;
/** A compaction that stands back for reads takes several times as long: it begins in time to do so no more. */
const L0_URGENT = 8;
/** In units of the level base. */
const DEBT_SLOWDOWN = 64;
const DEBT_URGENT: number = DEBT_SLOWDOWN / 2;
/** Of the bound on background work: what is left of it compacts what writers bring. */
const WRITERS_SHARE_OF_BOUND = 0.5;
/** 32 MB/s: about what one thread flushes and compacts when writes arrive in random order. */
const SLOW_BYTES_PER_MS = 32 * 1024;
/** A put of 2 KB waits 8 ms. */
const SLOWEST_BYTES_PER_MS = 256;
/** Writers wait for the flush of this much when an ingestion enters: some 20 ms, as long as a flush of anything takes. */
const HELD_FLUSH_BYTES: number = 1024 * 1024;
/** A flush has to leave less than this of what the one before left, or writers keep up with it. */
const WORTHWHILE_SHARE = 0.9;
/** Of the speed of such flushes: more does not enter meanwhile, so that each leaves about half of what the one before did. */
const ENTRY_SHARE = 0.5;
const MAX_FLUSH_ROUNDS = 12;
/**
 * Each round leaves a small table in L0. So many more may come until writers are held: the last flush, the ingestion, two
 * memtables.
 */
const ENTRY_ROOM = 4;

/** What background work needs of a store. */
export interface SchedulerParts extends FlusherParts, CompactorParts {
  readonly options: ResolvedOptions;
  readonly control: ControlBlock;
}

export class Scheduler {
  readonly #parts: SchedulerParts;
  readonly #flusher: Flusher;
  readonly #compactor: Compactor;
  #isEnded = false;
  #isAtRest = false;
  /** While less and less is flushed before an ingestion enters: how fast writes may enter. */
  #entryBytesPerMs: number | undefined;

  constructor(parts: SchedulerParts) {
    this.#parts = parts;
    this.#flusher = new Flusher(parts, () => this.update());
    this.#compactor = new Compactor(parts, () => this.update());
  }

  /** The failure of background work that is yet to be overcome. */
  get error(): StorageError | undefined {
    return this.#flusher.error ?? this.#compactor.error;
  }

  /** Of the flush that goes on failing, if one does. */
  get flushError(): StorageError | undefined {
    return this.#flusher.error;
  }

  /** Whether a job is under way, or will be by itself. */
  get isWorking(): boolean {
    return this.#flusher.hasWork || this.#compactor.hasWork;
  }

  update(): void {
    if (this.#isEnded) return;
    try {
      this.#flusher.start();
      this.#compactor.start();
      this.#setGate();
      if (this.#parts.gate.state !== 'closed' && this.#parts.pipeline.held.count > 0)
        this.#parts.pipeline.release();
    } catch (error) {
      this.#parts.becomeReadOnly('background work', error);
    }
  }

  /** What is in memory becomes tables when it can, however small; nobody waits for it. */
  flushSoon(): void {
    if (this.#isEnded) return;
    this.#parts.pipeline.freezeActive();
    this.#flusher.request();
  }

  /** Whether nobody has written for a while: then more is worth clearing away. */
  setRest(isAtRest: boolean): void {
    this.#compactor.setRest(isAtRest);
    if (isAtRest) this.update();
  }

  /** What is in memory now, frozen within the call, is in tables when this resolves. Writes that are held are not. */
  async flushEntered(): Promise<void> {
    this.#parts.pipeline.freezeActive();
    await this.#flusher.flushFrozen();
  }

  /** Everything written before the call is in tables when this resolves. */
  async flush(): Promise<void> {
    const { pipeline } = this.#parts;
    pipeline.freezeActive();
    const held = pipeline.heldEntered();
    await this.#flusher.flushFrozen();
    if (held === undefined) return;
    // Writes that the gate held back when the call was made come before it; what was flushed has made room for them.
    await held;
    await this.flushEntered();
  }

  async compact(range: KeyRange): Promise<void> {
    await this.flush();
    await this.#compactor.compactRange(range);
  }

  /**
   * Carries out `work` while no compaction starts, nothing is in memory and writes are held: the moment at which tables from
   * outside can be given their place. Compactions that run go on; `work` is given what they have taken. Rejects with the signal's
   * reason as soon as it is aborted before that, whatever runs.
   */
  async atRest<T>(work: (busy: BusyTables) => Promise<T>, signal: AbortSignal): Promise<T> {
    try {
      // What can be done while writes go on: what is in memory goes to tables, and these out of the way of what comes.
      await unless(signal, this.#flushMost());
      await unless(signal, this.#compactor.clearLevelZero());
      await unless(signal, this.#flushMost());
      // What is held now may go by what it has read before: it comes first.
      this.#parts.gate.beginIngestion();
      await unless(signal, this.#parts.pipeline.heldEntered() ?? Promise.resolve());
      this.#isAtRest = true;
      this.#setGate();
      this.#parts.pipeline.freezeActive();
      await unless(signal, this.#flusher.flushFrozen());
      await unless(signal, this.#compactor.clearLevelZero('moves'));
      return await work(this.#compactor.pause());
    } finally {
      this.#isAtRest = false;
      this.#parts.gate.ingested();
      this.#compactor.resume();
      this.update();
    }
  }

  /**
   * Until so little is in memory that writers need not wait long for its flush. From the second flush on they are slowed down to
   * less than its speed, or those that are nearly as fast would have to wait for the last flush of all that they brought.
   */
  async #flushMost(): Promise<void> {
    const { memtables } = this.#parts;
    let before = Number.POSITIVE_INFINITY;
    try {
      for (let round = 0; round < MAX_FLUSH_ROUNDS; round++) {
        if (memtables.newest === undefined) return;
        const bytes = memtables.memoryBytes;
        const startedAt = now();
        await this.flush();
        const left = memtables.memoryBytes;
        if (left <= HELD_FLUSH_BYTES || left > WORTHWHILE_SHARE * before || this.#isLevelZeroNearlyFull)
          return;
        before = left;
        const speed = bytes / Math.max(1, now() - startedAt);
        this.#entryBytesPerMs = Math.max(SLOWEST_BYTES_PER_MS, ENTRY_SHARE * speed);
        this.update();
      }
    } finally {
      this.#entryBytesPerMs = undefined;
      this.update();
    }
  }

  get #isLevelZeroNearlyFull(): boolean {
    const { levelZeroRuns } = this.#parts.versions.current;
    return this.#compactor.hasWork && levelZeroRuns.length >= L0_STOP - ENTRY_ROOM;
  }

  /** The store closes: compactions are cancelled; flushes go on, to make room for the writes that are held. */
  cancelCompactions(error: StorageError): void {
    this.#compactor.end(error);
    this.update();
  }

  /** What is in memory goes to tables, unless it is little or that fails. */
  flushBeforeClose(): Promise<void> {
    return this.#flusher.flushBeforeClose();
  }

  /** Ends background work: a running flush completes, compactions are cancelled. Resolves when all has ended. */
  async stop(error: StorageError): Promise<void> {
    this.#isEnded = true;
    this.#compactor.end(error);
    await Promise.all([this.#flusher.stop(error), this.#compactor.settled()]);
  }

  /** The store takes no more writes: cancels what runs, starts nothing any more; whoever waits gets `error`. */
  halt(error: StorageError): void {
    this.#isEnded = true;
    this.#compactor.end(error);
    this.#flusher.halt(error);
    this.#parts.gate.set('open');
  }

  #setGate(): void {
    const { gate, versions, memtables, pipeline, options } = this.#parts;
    const { isFull } = memtables;
    const bound = options.backgroundBytesPerSecond;
    const files = versions.current.levelZeroRuns.length;
    const canShrink = this.#compactor.hasWork;
    if (this.#isAtRest) gate.set('closed', 'ingest');
    else if (files >= L0_STOP && canShrink) {
      gate.set('closed', 'level0');
      this.#compactor.hurry();
    } else if (isFull && pipeline.isFull && this.#flusher.hasWork) gate.set('closed', 'memtables');
    else if (files >= L0_SLOWDOWN && canShrink) gate.set('slow', 'level0', this.#rateFor(files));
    else if (canShrink && this.#debt() > DEBT_SLOWDOWN)
      gate.set('slow', 'compaction-debt', SLOW_BYTES_PER_MS);
    else if (this.#entryBytesPerMs !== undefined) gate.set('slow', 'ingest', this.#entryBytesPerMs);
    else if (bound !== undefined && isFull && this.#flusher.hasWork)
      // Rather than held, once what is in memory is full: flushes take as long as the bound says.
      gate.set('slow', 'memtables', (WRITERS_SHARE_OF_BOUND * bound) / 1000);
    else gate.set('open');
    const isBehind = canShrink && (files >= L0_URGENT || this.#debt() > DEBT_URGENT);
    this.#parts.control.diskUse.setHaste(gate.state !== 'open' || isFull || isBehind);
  }

  /** What L0 still takes until it is full comes in while a compaction makes room (level-zero-pace.ts). */
  #rateFor(files: number): number {
    const { memtables, options } = this.#parts;
    const room = (L0_STOP - files - memtables.frozen.length) * options.writeBufferBytes;
    const active = memtables.active?.memtable.arena.usedBytes ?? 0;
    const pace = (room - active) / Math.max(1, this.#compactor.levelZeroEtaMs());
    const nearness = Math.min(1, (files - L0_SLOWDOWN) / (L0_STOP - L0_SLOWDOWN));
    return Math.max(SLOWEST_BYTES_PER_MS, Math.min(pace, SLOW_BYTES_PER_MS * (1 - nearness)));
  }

  #debt(): number {
    const options = compactionOptions(this.#parts);
    return pendingCompactionBytes(this.#parts.versions.current, options) / options.levelBaseBytes;
  }
}
