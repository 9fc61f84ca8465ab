/**
 * Scan: the public iterator over a range, lazy, over one moment.
 *
 * The moment (memtables, version, sequence) is pinned when the scan is made; iterators open when the first entry is asked
 * for. Entries are copied out into slabs, so that a scan does not allocate a backing store per entry.
 *
 * Invariants: ended, closed, failed, aborted or collected, a scan gives its pin back exactly once.
 *             Once ended it holds nothing of the store and no snapshot, whoever keeps the Scan itself.
 *             Memory stays constant however long the range: one block per source, one slab.
 *             The async iterator gives the event loop a turn at least every 1,000 entries.
 * Thread:     any.      Owns: the pin and the iterators, through ScanCore, which outlives a forgotten Scan.
 */
import { StorageError } from '../errors.ts';
import type { ForgottenWarning } from '../forgotten.ts';
import type { Entry } from '../iterator.ts';
import { MergedRun } from '../merged-run.ts';
import { isAborted, throwIfAborted, whenAborted } from '../signals.ts';
import { BlockRun } from '../table/block-run.ts';
import { setImmediate } from '../timers.ts';
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

/** What a scan holds. Apart from Scan, so that a forgotten Scan can be collected and this then closed. */
export class ScanCore {
  #open: (() => UserIterator) | undefined;
  #iterator: UserIterator | undefined;
  #onClose: (() => void) | undefined;
  #check: (() => void) | undefined;
  readonly #warning: ForgottenWarning | undefined;
  /** Takes the listener off the signal. */
  #unlisten: (() => void) | undefined;
  #closedBy: StorageError | undefined;
  /** Read behind the entry that was handed out, for the next ones to be taken from. Empty once closed. */
  ahead: ScanEntry[] = [];
  /** What the scan reads through, in use until it ends, whoever else has forgotten it. */
  snapshot: unknown;
  /** @internal Among the scans of this turn (open-scans.ts); -1: not there. */
  place = -1;

  /** `check` throws when the reader has ended behind the scan's back. */
  constructor(open: () => UserIterator, onClose: () => void, check?: () => void, warning?: ForgottenWarning) {
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
      this.#iterator ??= this.#open?.();
      if (this.#iterator?.next()) return this.#iterator.entry;
    } catch (error) {
      this.close();
      throw error;
    }
    this.close();
    return undefined;
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
    this.#unlisten?.();
    this.#unlisten = undefined;
    this.#iterator?.close();
    this.#iterator = undefined;
    onClose();
  }
}

/** Entries that were awaited, of all scans of this thread: many short ones in a row keep the event loop waiting like a long one. */
let sinceTurn = 0;

/** For the iterators below, and for nobody who holds a scan. */
let takeFrom: (scan: Scan) => IteratorResult<ScanEntry>;
/** The turn that the event loop has, if it is under way or due: what is taken next waits for it. */
let turnOf: (scan: Scan) => Promise<void> | undefined;

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
  /** Under way: the event loop has its turn. */
  #turn: Promise<void> | undefined;

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
    turnOf = (scan) => {
      if (++sinceTurn >= ENTRIES_PER_TURN) scan.#beginTurn();
      return scan.#turn;
    };
  }

  /** Calls of next() that come during the turn wait for its end, in their order, or they would overtake this one. */
  #beginTurn(): void {
    sinceTurn = 0;
    const before = this.#turn ?? Promise.resolve();
    const turn = before.then(() => new Promise<void>((resolve) => setImmediate(resolve)));
    this.#turn = turn;
    void turn.then(() => {
      if (this.#turn === turn) this.#turn = undefined;
    });
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
    const turn = turnOf(this.#scan);
    if (turn !== undefined) return turn.then(() => takeFrom(this.#scan));
    try {
      return Promise.resolve(takeFrom(this.#scan));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  async return(): Promise<IteratorResult<ScanEntry>> {
    this.#scan.close();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
