/**
 * Walks what a transaction has written itself: one source more of its scans, newer than all others.
 *
 * All of it bears one sequence, half a step above that of the moment which the transaction reads: what others write bears whole
 * ones from the next on, so a scan at this sequence sees the transaction's own writes and nothing of theirs.
 *
 * Thread: any.     Lifetime: over bytes that never change.
 */
import { compareBytes } from '../base/bytes.ts';
import { Entry } from '../base/entry.ts';
import { NOTHING_EXPIRES, settle } from '../base/expiry.ts';
import type { InternalIterator } from '../base/iterator.ts';
import { readEntry } from '../log/entry-codec.ts';
import type { KeySet } from './key-set.ts';

/** How far a transaction's own writes stand above the moment that it reads. */
export const OWN_STEP = 0.5;

/** In place of where an entry is: it was deleted with a range. */
export const GONE = -1;

/** Entries in the order of their keys; none of it changes. */
export interface OwnEntries {
  readonly bytes: Uint8Array;
  /** May have come to more, which do not count. */
  readonly keys: KeySet;
  /** Numbers of keys, in order: those from place `from` on, up to `to`. */
  readonly sorted: readonly number[];
  readonly from: number;
  readonly to: number;
  /** By the number of its key: where an entry is in the bytes, or GONE. */
  readonly refs: readonly number[];
}

export class OwnIterator implements InternalIterator {
  readonly entry: Entry = new Entry();
  readonly #entries: OwnEntries;
  readonly #sequence: number;
  #place = -1;

  constructor(entries: OwnEntries, sequence: number) {
    this.#entries = entries;
    this.#sequence = sequence;
  }

  seekToFirst(): boolean {
    return this.#forward(this.#entries.from);
  }

  seek(key: Uint8Array): boolean {
    return this.#forward(this.#firstFrom(key));
  }

  next(): boolean {
    return this.#forward(this.#place + 1);
  }

  seekToLast(): boolean {
    return this.#backward(this.#entries.to - 1);
  }

  seekBefore(key: Uint8Array): boolean {
    return this.#backward(this.#firstFrom(key) - 1);
  }

  prev(): boolean {
    return this.#backward(this.#place - 1);
  }

  close(): void {
    this.entry.release();
  }

  /** To the first entry from `place` on. */
  #forward(place: number): boolean {
    const { to } = this.#entries;
    while (place < to && this.#refAt(place) === GONE) place++;
    return this.#standAt(place);
  }

  /** To the last entry up to `place`. */
  #backward(place: number): boolean {
    const { from } = this.#entries;
    while (place >= from && this.#refAt(place) === GONE) place--;
    return this.#standAt(place);
  }

  #refAt(place: number): number {
    const { refs, sorted } = this.#entries;
    return refs[sorted[place]!]!;
  }

  #standAt(place: number): boolean {
    const { bytes, from, to } = this.#entries;
    this.#place = place;
    if (place < from || place >= to) return false;
    readEntry(bytes, this.#refAt(place), this.#sequence, this.entry);
    // It is there as long as the transaction runs.
    settle(this.entry, NOTHING_EXPIRES);
    return true;
  }

  /** The place of the first key that is not before `key`. */
  #firstFrom(key: Uint8Array): number {
    const { keys, sorted, from, to } = this.#entries;
    let low = from;
    let high = to;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const index = sorted[middle]!;
      if (compareBytes(keys.bytes, keys.startOf(index), keys.endOf(index), key, 0, key.length) < 0)
        low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
