/**
 * Scan: the public iterator over a range, lazy, over one moment.
 *
 * The moment (memtables, version, sequence) is pinned when the scan is made; iterators open when the first entry is asked
 * for. Entries are copied out into slabs, so that a scan does not allocate a backing store per entry.
 *
 * Invariants: ended, closed, failed, aborted or collected, a scan gives its pin back exactly once.
 *             Once ended it holds nothing of the store and no snapshot, whoever keeps the Scan itself.
 *             Memory stays constant however long the range: one block per source, one slab, and what is read ahead
 *             (scan-reads.ts). The async iterator gives the event loop a turn at least every 1,000 entries and about every
 *             millisecond, and does not wait for the disk in the call: what would have to (would-wait.ts) ends the iterators;
 *             once it is there, others go on behind the last key that was decided on. The synchronous iterator and nextMany wait.
 * Thread:     any.      Owns: the pin and the iterators, through ScanCore, which outlives a forgotten Scan.
 */

import type { Entry } from '../base/entry.ts';
import { invalidArgument, StorageError } from '../base/errors.ts';
import { INSPECT, type Inspect, inspected } from '../base/inspected.ts';
import { isAborted, throwIfAborted } from '../base/signals.ts';
import { type Needed, WouldWait } from '../disk/would-wait.ts';
import type { ScanCore, ScanEntry } from './scan-core.ts';
import { slab } from './slab.ts';

export type { ScanEntry } from './scan-core.ts';

const ENTRIES_PER_TURN = 1000;
/** Entries read ahead, at most: what a loop that is left early has read in vain. A scan with a limit starts at this reach. */
const MAX_REACH = 64;
/** Behind the first entry, which is read alone. */
const FIRST_REACH = 4;

/** Of a scan that has ended, which reads nothing. */
const NO_DISK = { mayWait: true };
/** Entries that were awaited, of all scans of this thread: many short ones in a row keep the event loop waiting like a long
 * one. */
let sinceTurn = 0;

/** For the iterators below, and for nobody who holds a scan. */
let takeFrom: (scan: Scan) => IteratorResult<ScanEntry>;
/** The next entry, not waiting for anything within the call. */
let takeLater: (scan: Scan) => Promise<IteratorResult<ScanEntry>>;
let takeMany: (scan: Scan, count: number) => ScanEntry[] | Promise<ScanEntry[]>;

/**
 * As `scan.nextMany(count)`, but that it neither waits for the disk within the call nor keeps the event loop waiting: the entries
 * where they are at hand, else a promise. Fewer than `count` may come before the end, at least one. For one caller at a time,
 * who does not use the scan in another way as well.
 */
export function nextManyAwaited(scan: Scan, count: number): ScanEntry[] | Promise<ScanEntry[]> {
  return takeMany(scan, count);
}

/** Who is told what a scan hands out: a transaction, whose reads are judged when it commits. */
export interface ScanWitness {
  /** An entry with its key, which is copied at once. Nothing between it and the one before was there. */
  given(entry: ScanEntry): void;
  /** There is nothing more in the range. */
  ended(): void;
}

export interface ScanLimits {
  readonly limit: number;
  readonly keys: boolean;
  readonly values: boolean;
  readonly signal: AbortSignal | undefined;
  readonly witness?: ScanWitness | undefined;
}

/**
 * The entries of a range, from {@link StorageEngine.scan}. Iterate it once, with `for`, `for await` or `nextMany`; a second loop
 * throws STRATA_INVALID_ARGUMENT once the first has ended. Leaving a loop early closes it; one that is not iterated to its end
 * otherwise should be closed.
 *
 * @example
 * for (const [key, value] of engine.scan({ gte: 'user:', lt: 'user;' })) console.log(`${key} => ${value}`);
 */
export class Scan implements Iterable<ScanEntry>, AsyncIterable<ScanEntry> {
  readonly #core: ScanCore;
  readonly #keys: boolean;
  /** Whoever witnesses it needs the keys. */
  readonly #copiesKeys: boolean;
  readonly #values: boolean;
  readonly #signal: AbortSignal | undefined;
  readonly #witness: ScanWitness | undefined;
  #remaining: number;
  #hasLoop = false;
  /** The core's, which empties it when it is closed: looking there for each entry would cost a step more. */
  #ahead: readonly ScanEntry[];
  /** How many of those. */
  #aheadTaken = 0;
  /** How far to read ahead next: to the limit, or further and further, as most loops that go on do so for long. */
  #reach: number;
  /** The last call of next() that waits, for the event loop or the disk: what is asked for next comes behind it. */
  #gate: Promise<unknown> | undefined;
  /** What was asked for last is not there yet. */
  #isWaiting = false;
  /** What the entry behind those that {@link nextManyAwaited} gave last has to wait for. */
  #needed: Needed | undefined;

  /** @internal Use {@link StorageEngine.scan}. */
  constructor(core: ScanCore, limits: ScanLimits) {
    const { limit, keys, values, signal, witness } = limits;
    this.#core = core;
    this.#ahead = core.ahead;
    // One by one: the options of a call have its snapshot as well.
    this.#keys = keys;
    this.#copiesKeys = keys || witness !== undefined;
    this.#witness = witness;
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
    const entries: ScanEntry[] = [];
    this.#collect(count, entries);
    return entries;
  }

  #collect(count: number, entries: ScanEntry[]): void {
    const core = this.#core;
    this.#checkSignal();
    while (entries.length < count && this.#aheadTaken < this.#ahead.length) entries.push(this.#takeAhead());
    while (entries.length < count) {
      const entry = this.#next();
      if (entry === undefined) break;
      const wanted = Math.min(count - entries.length, this.#remaining);
      const before = entries.length;
      if (wanted === 1 || !core.takeSpan(wanted, this.#copiesKeys, this.#values, entries))
        entries.push(this.#copy(entry));
      this.#spend(entries.length - before);
    }
    if (this.#witness !== undefined) this.#tell(this.#witness, entries);
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
    this.#beginLoop();
    return new ScanIterator(this);
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<ScanEntry> {
    this.#beginLoop();
    return new AsyncScanIterator(this);
  }

  /** Behind one that came to the end, or was left, another loop would find nothing, as if there were nothing in the range. */
  #beginLoop(): void {
    if (this.#hasLoop && this.#hasEnded)
      throw invalidArgument('a scan is gone through once: call scan() again, or keep what it gave');
    this.#hasLoop = true;
  }

  get #hasEnded(): boolean {
    return this.#remaining <= 0 && this.#aheadTaken >= this.#ahead.length;
  }

  /** @internal */
  [INSPECT](depth: number, options: object, inspect: Inspect): string {
    return inspected(
      'Scan',
      { status: this.#hasEnded ? 'ended' : this.#hasLoop ? 'begun' : 'new' },
      depth,
      options,
      inspect,
    );
  }

  static {
    takeFrom = (scan) => {
      const entry = scan.#take();
      if (scan.#witness !== undefined && entry !== undefined) scan.#tell(scan.#witness, [entry]);
      return entry === undefined ? { done: true, value: undefined } : { done: false, value: entry };
    };
    takeLater = (scan) => {
      const gate = scan.#gate;
      if (gate !== undefined) return scan.#closeGate(gate.then(() => scan.#takeInTurn()));
      const entry = scan.#takeInTurn();
      return scan.#isWaiting ? scan.#closeGate(entry) : entry;
    };
    takeMany = (scan, count) => {
      const { reader } = scan.#core;
      if (reader === undefined) return scan.#manyNow(count);
      const isTurn = sinceTurn + count > ENTRIES_PER_TURN;
      const turn = isTurn ? reader.turns.next() : reader.turns.due(count);
      sinceTurn = turn === undefined ? sinceTurn + count : count;
      return turn === undefined ? scan.#manyNow(count) : turn.then(() => scan.#manyNow(count));
    };
  }

  #manyNow(count: number): ScanEntry[] | Promise<ScanEntry[]> {
    const core = this.#core;
    const disk = core.reader?.disk ?? NO_DISK;
    const entries: ScanEntry[] = [];
    /** Entries that were had before it stopped are given at once. */
    const attempt = (): ScanEntry[] => {
      try {
        disk.mayWait = core.mustWait;
        this.#collect(count, entries);
      } catch (error) {
        if (!(error instanceof WouldWait) || entries.length === 0) throw error;
        this.#needed = error.needed;
      } finally {
        disk.mayWait = true;
      }
      return entries;
    };
    let needed = this.#needed;
    this.#needed = undefined;
    if (needed === undefined || core.reader === undefined) {
      try {
        return attempt();
      } catch (error) {
        if (!(error instanceof WouldWait)) throw error;
        needed = error.needed;
      }
    }
    return core.whenThere(needed, attempt, this.#signal);
  }

  /** The next entry, behind a turn of the event loop if it is time for one. */
  #takeInTurn(): Promise<IteratorResult<ScanEntry>> {
    this.#isWaiting = false;
    const turn = this.#turn();
    if (turn === undefined) return this.#takeNow();
    this.#isWaiting = true;
    return turn.then(() => this.#takeNow());
  }

  /** The turn to be waited for, if it is time for one. */
  #turn(): Promise<unknown> | undefined {
    const { reader } = this.#core;
    const ahead = this.#ahead;
    if (reader === undefined) return undefined;
    const { turns } = reader;
    const isRefill = this.#aheadTaken >= ahead.length;
    const turn =
      ++sinceTurn >= ENTRIES_PER_TURN ? turns.next() : isRefill ? turns.due(ahead.length + 1) : undefined;
    if (turn !== undefined) sinceTurn = 0;
    return turn;
  }

  /** Calls of next() that come meanwhile wait for `entry`, one for the other, or some would overtake this one. */
  #closeGate(entry: Promise<IteratorResult<ScanEntry>>): Promise<IteratorResult<ScanEntry>> {
    const open = (): void => {
      if (this.#gate === gate) this.#gate = undefined;
    };
    const gate: Promise<void> = entry.then(open, open);
    this.#gate = gate;
    return entry;
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
      this.#isWaiting = true;
      return core.whenThere(error.needed, attempt, this.#signal);
    } finally {
      disk.mayWait = true;
    }
  }

  #take(): ScanEntry | undefined {
    const core = this.#core;
    this.#checkSignal();
    if (this.#aheadTaken < this.#ahead.length) return this.#takeAhead();
    const entry = this.#next();
    if (entry === undefined) return undefined;
    const wanted = Math.min(this.#reach, this.#remaining);
    this.#reach = this.#reach === 1 ? FIRST_REACH : Math.min(this.#reach * 2, MAX_REACH);
    const ahead: ScanEntry[] = [];
    core.ahead = ahead;
    this.#ahead = ahead;
    this.#aheadTaken = 0;
    if (wanted === 1 || !core.takeSpan(wanted, this.#copiesKeys, this.#values, ahead)) {
      const copied = this.#copy(entry);
      this.#spend(1);
      return copied;
    }
    this.#spend(ahead.length);
    return ahead[this.#aheadTaken++];
  }

  #takeAhead(): ScanEntry {
    this.#core.checkOpen();
    return this.#ahead[this.#aheadTaken++]!;
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
    if (entry === undefined) {
      this.#remaining = 0;
      this.#witness?.ended();
    }
    return entry;
  }

  /** That these are handed out. */
  #tell(witness: ScanWitness, entries: readonly ScanEntry[]): void {
    const last = entries.at(-1);
    if (last !== undefined) witness.given(last);
    if (!this.#keys) for (const entry of entries) entry[0] = undefined as never;
  }

  #copy(entry: Entry): ScanEntry {
    const key = this.#copiesKeys ? slab.copy(entry.keyBytes, entry.keyStart, entry.keyEnd) : undefined;
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
