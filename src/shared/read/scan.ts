/**
 * Scan: the public iterator over a range, lazy, over one moment.
 *
 * The moment (memtables, version, sequence) is pinned when the scan is made; iterators open when the first entry is asked
 * for. Entries are copied out into slabs, so that a scan does not allocate a backing store per entry.
 *
 * Invariants: ended, closed, failed, aborted or collected, a scan gives its pin back exactly once.
 *             Memory stays constant however long the range: one block per source, one slab.
 *             The async iterator gives the event loop a turn at least every 1,000 entries.
 * Thread:     any.      Owns: the pin and the iterators, through ScanCore, which outlives a forgotten Scan.
 */

import { copyInto } from '../bytes.ts';
import { StorageError } from '../errors.ts';
import type { Entry } from '../iterator.ts';
import type { UserIterator } from './user-iterator.ts';

/** A key and its value. With `keys: false` or `values: false` that slot is undefined. */
export type ScanEntry = [Buffer, Buffer];

const SLAB_BYTES = 16384;
/** A value this large gets memory of its own: one small slice must not keep a slab of others' bytes alive. */
const OWN_BUFFER_BYTES = 2048;
const ENTRIES_PER_TURN = 1000;

/** What a scan holds. Apart from Scan, so that a forgotten Scan can be collected and this then closed. */
export class ScanCore {
  #open: (() => UserIterator) | undefined;
  #iterator: UserIterator | undefined;
  #onClose: (() => void) | undefined;
  #closedBy: StorageError | undefined;

  constructor(open: () => UserIterator, onClose: () => void) {
    this.#open = open;
    this.#onClose = onClose;
  }

  /** The next entry, or undefined at the end; closes itself at the end and on errors. */
  next(): Entry | undefined {
    if (this.#closedBy !== undefined) throw this.#closedBy;
    if (this.#onClose === undefined) return undefined;
    try {
      this.#iterator ??= this.#open?.();
      if (this.#iterator?.next()) return this.#iterator.entry;
    } catch (error) {
      this.close();
      throw error;
    }
    this.close();
    return undefined;
  }

  /** Idempotent. `reason`: what a later `next` throws, where ending quietly would look like the end of the range. */
  close(reason?: StorageError): void {
    const onClose = this.#onClose;
    if (onClose === undefined) return;
    this.#closedBy = reason;
    this.#onClose = undefined;
    this.#open = undefined;
    this.#iterator?.close();
    this.#iterator = undefined;
    onClose();
  }
}

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
  readonly #limits: ScanLimits;
  #remaining: number;
  #sinceTurn = 0;
  /** Under way: the event loop has its turn. */
  #turn: Promise<void> | undefined;

  /** @internal Use {@link StorageEngine.scan}. */
  constructor(core: ScanCore, limits: ScanLimits) {
    this.#core = core;
    this.#limits = limits;
    this.#remaining = limits.limit;
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
    while (entries.length < count) {
      const entry = this.#take();
      if (entry === undefined) break;
      entries.push(entry);
    }
    return entries;
  }

  /** Gives up what the scan holds. Idempotent. */
  close(): void {
    this.#core.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  [Symbol.iterator](): IterableIterator<ScanEntry> {
    const iterator: IterableIterator<ScanEntry> = {
      next: (): IteratorResult<ScanEntry> => toResult(this.#take()),
      return: (): IteratorResult<ScanEntry> => {
        this.close();
        return { done: true, value: undefined };
      },
      [Symbol.iterator]: () => iterator,
    };
    return iterator;
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<ScanEntry> {
    const iterator: AsyncIterableIterator<ScanEntry> = {
      next: async (): Promise<IteratorResult<ScanEntry>> => {
        if (++this.#sinceTurn >= ENTRIES_PER_TURN) this.#beginTurn();
        if (this.#turn !== undefined) await this.#turn;
        return toResult(this.#take());
      },
      return: async (): Promise<IteratorResult<ScanEntry>> => {
        this.close();
        return { done: true, value: undefined };
      },
      [Symbol.asyncIterator]: () => iterator,
    };
    return iterator;
  }

  /** Calls of next() that come during the turn wait for its end, in their order, or they would overtake this one. */
  #beginTurn(): void {
    this.#sinceTurn = 0;
    const before = this.#turn ?? Promise.resolve();
    const turn = before.then(() => new Promise<void>((resolve) => setImmediate(resolve)));
    this.#turn = turn;
    void turn.then(() => {
      if (this.#turn === turn) this.#turn = undefined;
    });
  }

  #take(): ScanEntry | undefined {
    const { signal, keys, values } = this.#limits;
    if (signal?.aborted) {
      this.close();
      throw signal.reason;
    }
    if (this.#remaining <= 0) {
      this.close();
      return undefined;
    }
    const entry = this.#core.next();
    if (entry === undefined) {
      this.#remaining = 0;
      return undefined;
    }
    const key = keys ? slab.copy(entry.keyBytes, entry.keyStart, entry.keyEnd) : undefined;
    const value = values ? slab.copy(entry.valueBytes, entry.valueStart, entry.valueEnd) : undefined;
    // Nothing is kept open for a caller who stops asking once the limit is reached.
    if (--this.#remaining === 0) this.close();
    return [key, value] as ScanEntry;
  }
}

function toResult(entry: ScanEntry | undefined): IteratorResult<ScanEntry> {
  return entry === undefined ? { done: true, value: undefined } : { done: false, value: entry };
}

/** Cuts private buffers out of larger allocations, as Buffer.from does: each belongs to the caller alone. */
class Slab {
  #slab: Buffer = Buffer.alloc(0);
  #used = 0;

  copy(bytes: Uint8Array, start: number, end: number): Buffer {
    const length = end - start;
    if (length >= OWN_BUFFER_BYTES) {
      const own = Buffer.allocUnsafeSlow(length);
      own.set(bytes.subarray(start, end));
      return own;
    }
    if (this.#used + length > this.#slab.length) {
      this.#slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
      this.#used = 0;
    }
    const at = this.#used;
    this.#used += length;
    const room = this.#slab;
    copyInto(room, at, bytes, start, end);
    return room.subarray(at, at + length);
  }
}

/** Shared by all reads of this thread, as Buffer's pool is: a short scan doesn't use up a slab of its own. */
export const slab: Slab = new Slab();
