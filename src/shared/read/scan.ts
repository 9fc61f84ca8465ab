/**
 * Scan: the public iterator over a range, lazy, over one moment.
 *
 * The moment (memtables, version, sequence) is pinned when the scan is made; iterators open when the first entry is asked
 * for. Entries are copied out into slabs, so that a scan does not allocate a backing store per entry.
 *
 * Invariants: ended, closed, failed, aborted or collected, a scan gives its pin back exactly once.
 *             Once ended it holds nothing of the store and no snapshot, whoever keeps the Scan itself.
 *             Memory stays constant however long the range: one block per source, one slab, and what is read ahead (scan-reads.ts).
 *             The async iterator gives the event loop a turn at least every 1,000 entries and about every millisecond, and does
 *             not wait for the disk in the call: what would have to (would-wait.ts) ends the iterators; once it is there, others go
 *             on behind the last key that was decided on. The synchronous iterator and nextMany wait.
 * Thread:     any.      Owns: the pin and the iterators, through ScanCore, which outlives a forgotten Scan.
 */
import type { Disk } from '../disk/disk.ts';
import type { PendingReads } from '../disk/pending-reads.ts';
import { type Needed, WouldWait } from '../disk/would-wait.ts';
import { StorageError } from '../errors.ts';
import type { ForgottenWarning } from '../forgotten.ts';
import type { Entry } from '../iterator.ts';
import { MergedRun } from '../merged-run.ts';
import { isAborted, throwIfAborted, whenAborted } from '../signals.ts';
import { BlockRun } from '../table/block-run.ts';
import type { ReadTurns } from './read-turns.ts';
import type { ScanReads } from './scan-reads.ts';
import { slab } from './slab.ts';
import type { UserIterator } from './user-iterator.ts';

/** A key and its value. With `keys: false` or `values: false` that slot is undefined. */
export type ScanEntry = [Buffer, Buffer];

const ENTRIES_PER_TURN = 1000;
/** A loop that is left early has read so many entries in vain, at most. One with a limit mostly goes on to it: it starts so far. */
const MAX_REACH = 64;
/** Behind the first entry, which is read alone. */
const FIRST_REACH = 4;
/** Filled and taken within one call, so one of each is enough. */
const run = new BlockRun();
const mergedRun = new MergedRun();

/** What the reader has for its scans. */
export interface ScanReader {
  readonly disk: Disk;
  readonly pending: PendingReads;
  readonly turns: ReadTurns;
}

/** Iterators behind the key that was decided on last. */
export type OpenAt = (decided: Uint8Array | undefined) => UserIterator;

/** Of a scan that has ended, which reads nothing. */
const NO_DISK = { mayWait: true };

/** So many times in a row it may begin anew at one key, with other blocks gone each time: then it waits in the call. */
const MAX_RESTARTS = 64;

/** What a scan holds. Apart from Scan, so that a forgotten Scan can be collected and this then closed. */
export class ScanCore {
  /** undefined: the scan has ended. */
  reader: ScanReader | undefined;
  #reads: Pick<ScanReads, 'prime' | 'close'> | undefined;
  #open: OpenAt | undefined;
  /** Everything up to it is done with, in the direction of the scan. */
  #decided: Uint8Array | undefined;
  #restarts = 0;
  #iterator: UserIterator | undefined;
  #onClose: (() => void) | undefined;
  #check: (() => void) | undefined;
  readonly #warning: ForgottenWarning | undefined;
  /** Takes the listener off the signal. */
  #unlisten: (() => void) | undefined;
  #closedBy: StorageError | undefined;
  /** Who waits for the disk. */
  #waiting: { tryAgain(): void } | undefined;
  /** Read behind the entry that was handed out, for the next ones to be taken from. Empty once closed. */
  ahead: ScanEntry[] = [];
  /** What the scan reads through, in use until it ends, whoever else has forgotten it. */
  snapshot: unknown;
  /** @internal Among the scans of this turn (open-scans.ts); -1: not there. */
  place = -1;

  /** `check` throws when the reader has ended behind the scan's back. */
  constructor(
    reader: ScanReader,
    reads: Pick<ScanReads, 'prime' | 'close'>,
    open: OpenAt,
    onClose: () => void,
    check?: () => void,
    warning?: ForgottenWarning,
  ) {
    this.reader = reader;
    this.#reads = reads;
    this.#open = open;
    this.#onClose = onClose;
    this.#check = check;
    this.#warning = warning;
  }

  /** Closes when `signal` is aborted, or at once; the scan sees the signal when it is asked for more. */
  endWith(signal: AbortSignal): void {
    if (this.#onClose === undefined) return;
    const unlisten = whenAborted(signal, () => this.close());
    if (this.#onClose === undefined) unlisten();
    else this.#unlisten = unlisten;
  }

  /** Its scan was collected. */
  forget(): void {
    if (this.#onClose === undefined) return;
    this.#warning?.tell();
    this.close();
  }

  /** The next entry, or undefined at the end; closes itself at the end and on errors. */
  next(): Entry | undefined {
    if (this.#closedBy !== undefined) throw this.#closedBy;
    if (this.#onClose === undefined) return undefined;
    try {
      this.#check?.();
      this.#iterator ??= this.#open!(this.#decided);
      if (this.#iterator.next()) return this.#iterator.entry;
    } catch (error) {
      if (error instanceof WouldWait) throw this.#pause(error);
      this.close();
      throw error;
    }
    this.close();
    return undefined;
  }

  /** Lets go of the iterators, until what they need is there. */
  #pause({ needed }: WouldWait): WouldWait {
    const iterator = this.#iterator;
    const decided = iterator?.decidedKey();
    const isFirst = this.#decided === undefined && decided === undefined;
    this.#restarts = decided === undefined ? this.#restarts + 1 : 0;
    this.#decided = decided ?? this.#decided;
    this.#iterator = undefined;
    iterator?.close();
    if (!isFirst || this.#restarts > 1) return new WouldWait(needed);
    return new WouldWait(this.#reads!.prime(needed, undefined));
  }

  /** Whether the next move is to be made even if it has to wait. */
  get mustWait(): boolean {
    return this.#restarts >= MAX_RESTARTS;
  }

  /**
   * Behind `next`: appends the entry that it gave and up to `count` - 1 of those behind it, if they can be had as a run;
   * else false.
   */
  takeRun(count: number, keys: boolean, values: boolean, into: ScanEntry[]): boolean {
    const iterator = this.#iterator;
    if (iterator === undefined) return false;
    try {
      if (iterator.isMerge) {
        if (!iterator.take(mergedRun, count, slab.room)) {
          if (!mergedRun.isCramped) return false;
          slab.renew();
          if (!iterator.take(mergedRun, count, slab.room)) return false;
        }
        slab.copyMergedRun(mergedRun, keys, values, into);
        return true;
      }
      if (!iterator.lookAhead(run, count, slab.room)) {
        if (!run.isCramped) return false;
        slab.renew();
        if (!iterator.lookAhead(run, count, slab.room)) return false;
      }
      slab.copyRun(run, keys, values, into);
      return true;
    } catch (error) {
      this.close();
      throw error;
    } finally {
      run.clear();
      mergedRun.clear();
    }
  }

  /** Throws what a `next` now would, but for what it reads. */
  checkOpen(): void {
    if (this.#closedBy !== undefined) throw this.#closedBy;
    if (this.#onClose === undefined) return;
    try {
      this.#check?.();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Idempotent. `reason`: what a later `next` throws, where ending quietly would look like the end of the range. */
  close(reason?: StorageError): void {
    this.ahead = [];
    this.finish(reason);
  }

  /** As {@link close}, but what was read ahead can still be taken. */
  finish(reason?: StorageError): void {
    const onClose = this.#onClose;
    if (onClose === undefined) return;
    this.#closedBy = reason;
    this.#onClose = undefined;
    this.#open = undefined;
    this.#check = undefined;
    this.snapshot = undefined;
    this.reader = undefined;
    this.#decided = undefined;
    this.#unlisten?.();
    this.#unlisten = undefined;
    this.#iterator?.close();
    this.#iterator = undefined;
    this.#reads?.close();
    this.#reads = undefined;
    onClose();
    this.#waiting?.tryAgain();
  }

  /** The entry, or the end, once `needed` is there. */
  whenThere<T>(needed: Needed, attempt: () => T, signal: AbortSignal | undefined): Promise<T> {
    const waiting = this.reader!.pending.wait(needed, {
      attempt,
      signal,
      release: () => {
        this.#waiting = undefined;
      },
    });
    this.#waiting = waiting;
    return waiting.promise;
  }
}

/** Entries that were awaited, of all scans of this thread: many short ones in a row keep the event loop waiting like a long one. */
let sinceTurn = 0;

/** For the iterators below, and for nobody who holds a scan. */
let takeFrom: (scan: Scan) => IteratorResult<ScanEntry>;
/** The next entry, not waiting for anything within the call. */
let takeLater: (scan: Scan) => Promise<IteratorResult<ScanEntry>>;

export interface ScanLimits {
  readonly limit: number;
  readonly keys: boolean;
  readonly values: boolean;
  readonly signal: AbortSignal | undefined;
}

/**
 * The entries of a range, from {@link StorageEngine.scan}. Iterate it once, with `for`, `for await` or `nextMany`.
 * Leaving a loop early closes it; one that is not iterated to its end otherwise should be closed.
 *
 * @example
 * for (const [key, value] of engine.scan({ gte: 'user:', lt: 'user;' })) console.log(`${key} => ${value}`);
 */
export class Scan implements Iterable<ScanEntry>, AsyncIterable<ScanEntry> {
  readonly #core: ScanCore;
  readonly #keys: boolean;
  readonly #values: boolean;
  readonly #signal: AbortSignal | undefined;
  #remaining: number;
  /** How many of those that the core has read ahead. */
  #aheadTaken = 0;
  /** How far to read ahead next: to the limit, or further and further, as most loops that go on do so for long. */
  #reach: number;
  /** Under way: the event loop has its turn, or the disk is waited for. What is taken next comes behind it. */
  #gate: Promise<unknown> | undefined;

  /** @internal Use {@link StorageEngine.scan}. */
  constructor(core: ScanCore, limits: ScanLimits) {
    const { limit, keys, values, signal } = limits;
    this.#core = core;
    // One by one: the options of a call have its snapshot as well.
    this.#keys = keys;
    this.#values = values;
    this.#signal = signal;
    this.#remaining = limit;
    this.#reach = Number.isFinite(limit) ? Math.min(limit, MAX_REACH) : 1;
  }

  /**
   * Up to `count` (at least 1) further entries, fewer only at the end; an empty array behind it.
   * @throws {@link StorageError} STRATA_CORRUPTION for a damaged block, STRATA_IO, STRATA_CLOSED when the engine was
   * closed; the signal's reason when aborted.
   */
  nextMany(count: number): ScanEntry[] {
    if (!Number.isSafeInteger(count) || count < 1)
      throw new StorageError('STRATA_INVALID_ARGUMENT', 'nextMany takes a count of at least 1');
    const core = this.#core;
    const entries: ScanEntry[] = [];
    this.#checkSignal();
    while (entries.length < count && this.#aheadTaken < core.ahead.length) entries.push(this.#takeAhead());
    while (entries.length < count) {
      const entry = this.#next();
      if (entry === undefined) break;
      const wanted = Math.min(count - entries.length, this.#remaining);
      const before = entries.length;
      if (wanted === 1 || !core.takeRun(wanted, this.#keys, this.#values, entries))
        entries.push(this.#copy(entry));
      this.#spend(entries.length - before);
    }
    return entries;
  }

  /** Gives up what the scan holds. Idempotent. */
  close(): void {
    this.#remaining = 0;
    this.#core.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  [Symbol.iterator](): IterableIterator<ScanEntry> {
    return new ScanIterator(this);
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<ScanEntry> {
    return new AsyncScanIterator(this);
  }

  static {
    takeFrom = (scan) => {
      const entry = scan.#take();
      return entry === undefined ? { done: true, value: undefined } : { done: false, value: entry };
    };
    takeLater = (scan) => {
      const gate = scan.#gate ?? scan.#turn();
      return gate === undefined ? scan.#takeNow() : gate.then(() => takeLater(scan));
    };
  }

  /** The turn to be waited for, if it is time for one. */
  #turn(): Promise<unknown> | undefined {
    const { reader, ahead } = this.#core;
    if (reader === undefined) return undefined;
    const { turns } = reader;
    const isRefill = this.#aheadTaken >= ahead.length;
    const turn =
      ++sinceTurn >= ENTRIES_PER_TURN ? turns.next() : isRefill ? turns.due(ahead.length + 1) : undefined;
    if (turn === undefined) return undefined;
    sinceTurn = 0;
    return this.#closeGate(turn);
  }

  /** Calls of next() that come meanwhile wait for its end, in their order, or they would overtake this one. */
  #closeGate(until: Promise<unknown>): Promise<unknown> {
    const open = (): void => {
      if (this.#gate === gate) this.#gate = undefined;
    };
    const gate: Promise<void> = until.then(open, open);
    this.#gate = gate;
    return gate;
  }

  #takeNow(): Promise<IteratorResult<ScanEntry>> {
    const core = this.#core;
    const disk = core.reader?.disk ?? NO_DISK;
    disk.mayWait = core.mustWait;
    try {
      return Promise.resolve(takeFrom(this));
    } catch (error) {
      if (!(error instanceof WouldWait)) return Promise.reject(error);
      disk.mayWait = true;
      const attempt = (): IteratorResult<ScanEntry> => {
        disk.mayWait = core.mustWait;
        return takeFrom(this);
      };
      const entry = core.whenThere(error.needed, attempt, this.#signal);
      void this.#closeGate(entry);
      return entry;
    } finally {
      disk.mayWait = true;
    }
  }

  #take(): ScanEntry | undefined {
    const core = this.#core;
    this.#checkSignal();
    if (this.#aheadTaken < core.ahead.length) return this.#takeAhead();
    const entry = this.#next();
    if (entry === undefined) return undefined;
    const wanted = Math.min(this.#reach, this.#remaining);
    this.#reach = this.#reach === 1 ? FIRST_REACH : Math.min(this.#reach * 2, MAX_REACH);
    core.ahead = [];
    this.#aheadTaken = 0;
    if (wanted === 1 || !core.takeRun(wanted, this.#keys, this.#values, core.ahead)) {
      const copied = this.#copy(entry);
      this.#spend(1);
      return copied;
    }
    this.#spend(core.ahead.length);
    return core.ahead[this.#aheadTaken++];
  }

  #takeAhead(): ScanEntry {
    this.#core.checkOpen();
    return this.#core.ahead[this.#aheadTaken++]!;
  }

  #checkSignal(): void {
    const signal = this.#signal;
    if (signal === undefined || !isAborted(signal)) return;
    this.close();
    throwIfAborted(signal);
  }

  #next(): Entry | undefined {
    if (this.#remaining <= 0) {
      this.close();
      return undefined;
    }
    const entry = this.#core.next();
    if (entry === undefined) this.#remaining = 0;
    return entry;
  }

  #copy(entry: Entry): ScanEntry {
    const key = this.#keys ? slab.copy(entry.keyBytes, entry.keyStart, entry.keyEnd) : undefined;
    const value = this.#values ? slab.copy(entry.valueBytes, entry.valueStart, entry.valueEnd) : undefined;
    return [key, value] as ScanEntry;
  }

  /** Nothing is kept open for a caller who stops asking once the limit is reached. */
  #spend(count: number): void {
    this.#remaining -= count;
    if (this.#remaining <= 0) this.#core.finish();
  }
}

class ScanIterator implements IterableIterator<ScanEntry> {
  readonly #scan: Scan;

  constructor(scan: Scan) {
    this.#scan = scan;
  }

  next(): IteratorResult<ScanEntry> {
    return takeFrom(this.#scan);
  }

  return(): IteratorResult<ScanEntry> {
    this.#scan.close();
    return { done: true, value: undefined };
  }

  [Symbol.iterator](): this {
    return this;
  }
}

class AsyncScanIterator implements AsyncIterableIterator<ScanEntry> {
  readonly #scan: Scan;

  constructor(scan: Scan) {
    this.#scan = scan;
  }

  /** Not an async function, which makes more than the promise: most entries are there already. */
  next(): Promise<IteratorResult<ScanEntry>> {
    return takeLater(this.#scan);
  }

  async return(): Promise<IteratorResult<ScanEntry>> {
    this.#scan.close();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
