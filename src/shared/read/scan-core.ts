/**
 * What a scan holds: the pin of its moment, and the iterators. Apart from Scan (scan.ts), so that a forgotten Scan can be
 * collected and this then closed.
 *
 *   next, takeSpan    the next entry, and a span of those behind it
 *   whenThere        the same, once what it needs is there: a move that would have to wait for the disk (would-wait.ts) ends the
 *                    iterators, and others go on behind the last key that was decided on
 *
 * Invariants: gives the pin back exactly once. Once ended it holds nothing of the store.
 * Thread:     any.      Owns: the pin, the iterators, what is read ahead.
 */

import type { Entry } from '../base/entry.ts';
import { StorageError } from '../base/errors.ts';
import type { ForgottenWarning } from '../base/forgotten.ts';
import { whenAborted } from '../base/signals.ts';
import type { Disk } from '../disk/disk.ts';
import type { PendingReads } from '../disk/pending-reads.ts';
import { type Fetched, type Needed, WouldWait } from '../disk/would-wait.ts';
import { MergedSpan } from '../merge/merged-span.ts';
import { BlockSpan } from '../table/block-span.ts';
import type { ReadTurns } from './read-turns.ts';
import type { ScanReads } from './scan-reads.ts';
import { slab } from './slab.ts';
import type { UserIterator } from './user-iterator.ts';

/** A key and its value. With `keys: false` or `values: false` that slot is undefined. */
export type ScanEntry = [Buffer, Buffer];

/** Filled and taken within one call, so one of each is enough. */
const span = new BlockSpan();
const mergedSpan = new MergedSpan();
/** What the reader has for its scans. */
export interface ScanReader {
  readonly disk: Disk;
  readonly pending: PendingReads;
  readonly turns: ReadTurns;
}

/** Iterators behind the key that was decided on last. */
export type OpenAt = (decided: Uint8Array | undefined) => UserIterator;
/** Restarts in a row at one key, each because other blocks have gone; after that the scan waits in the call. */
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
  /** Stopped where it would have had to wait; keeps open what is to be read, until that is under way. */
  #stopped: UserIterator | undefined;
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
  /** Among the scans of this turn (open-scans.ts); -1: not there. */
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

  get isOpen(): boolean {
    return this.#onClose !== undefined;
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
      if (this.#iterator.next()) {
        this.#restarts = 0;
        return this.#iterator.entry;
      }
    } catch (error) {
      if (error instanceof WouldWait) throw this.#pause(error);
      this.close();
      throw error;
    }
    this.close();
    return undefined;
  }

  /** Lets go of the iterators, as soon as what they need is under way. */
  #pause({ needed }: WouldWait): WouldWait {
    const iterator = this.#iterator;
    const decided = iterator?.decidedKey();
    this.#restarts = decided === undefined ? this.#restarts + 1 : 0;
    this.#decided = decided ?? this.#decided;
    this.#iterator = undefined;
    this.#stopped = iterator;
    const wanted = this.#reads!.prime(needed, this.#decided);
    const fetch = (isUrgent: boolean): Fetched => {
      try {
        return wanted.fetch(isUrgent);
      } finally {
        this.#dropStopped();
      }
    };
    return new WouldWait({ fetch });
  }

  #dropStopped(): void {
    this.#stopped?.close();
    this.#stopped = undefined;
  }

  /** Whether the next move is to be made even if it has to wait. */
  get mustWait(): boolean {
    return this.#restarts >= MAX_RESTARTS;
  }

  /**
   * Behind `next`: appends the entry that it gave and up to `count` - 1 of those behind it, if they can be had as a span;
   * else false.
   */
  takeSpan(count: number, keys: boolean, values: boolean, into: ScanEntry[]): boolean {
    const iterator = this.#iterator;
    if (iterator === undefined) return false;
    try {
      if (iterator.isMerge) {
        if (!iterator.take(mergedSpan, count, slab.room)) {
          if (!mergedSpan.isCramped) return false;
          slab.renew();
          if (!iterator.take(mergedSpan, count, slab.room)) return false;
        }
        slab.copyMergedSpan(mergedSpan, keys, values, into);
        return true;
      }
      if (!iterator.lookAhead(span, count, slab.room)) {
        if (!span.isCramped) return false;
        slab.renew();
        if (!iterator.lookAhead(span, count, slab.room)) return false;
      }
      slab.copySpan(span, keys, values, into);
      return true;
    } catch (error) {
      this.close();
      throw error;
    } finally {
      span.clear();
      mergedSpan.clear();
    }
  }

  /** Throws what `next` would throw now, except errors from reading blocks. */
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
    // The scan has it as well.
    this.ahead.length = 0;
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
    this.#dropStopped();
    this.#reads?.close();
    this.#reads = undefined;
    onClose();
    this.#waiting?.tryAgain();
  }

  /** The entry, or the end, once `needed` is there. */
  async whenThere<T>(needed: Needed, attempt: () => T, signal: AbortSignal | undefined): Promise<T> {
    const waiting = this.reader!.pending.wait(needed, {
      attempt,
      signal,
      release: () => {
        this.#waiting = undefined;
      },
    });
    this.#waiting = waiting;
    try {
      return await waiting.promise;
    } catch (error) {
      // It may be what was fetched that failed, and no attempt.
      this.close(error instanceof StorageError && error.code === 'STRATA_CLOSED' ? error : undefined);
      throw error;
    }
  }
}
