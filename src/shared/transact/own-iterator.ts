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

/** How far a transaction's own writes stand above the moment that it reads. */
export const OWN_STEP = 0.5;

export class OwnIterator implements InternalIterator {
  readonly entry: Entry = new Entry();
  readonly #bytes: Uint8Array;
  /** Where the entries are encoded, in the order of their keys. */
  readonly #refs: readonly number[];
  readonly #sequence: number;
  #place = -1;

  constructor(bytes: Uint8Array, refs: readonly number[], sequence: number) {
    this.#bytes = bytes;
    this.#refs = refs;
    this.#sequence = sequence;
  }

  seekToFirst(): boolean {
    return this.#standAt(0);
  }

  seek(key: Uint8Array): boolean {
    return this.#standAt(this.#firstFrom(key));
  }

  next(): boolean {
    return this.#standAt(this.#place + 1);
  }

  seekToLast(): boolean {
    return this.#standAt(this.#refs.length - 1);
  }

  seekBefore(key: Uint8Array): boolean {
    return this.#standAt(this.#firstFrom(key) - 1);
  }

  prev(): boolean {
    return this.#standAt(this.#place - 1);
  }

  close(): void {
    this.entry.release();
  }

  #standAt(place: number): boolean {
    this.#place = place;
    const ref = this.#refs[place];
    if (ref === undefined) return false;
    readEntry(this.#bytes, ref, this.#sequence, this.entry);
    // It is there as long as the transaction runs.
    settle(this.entry, NOTHING_EXPIRES);
    return true;
  }

  #firstFrom(key: Uint8Array): number {
    const entry = this.entry;
    let low = 0;
    let high = this.#refs.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      readEntry(this.#bytes, this.#refs[middle]!, this.#sequence, entry);
      if (compareBytes(entry.keyBytes, entry.keyStart, entry.keyEnd, key, 0, key.length) < 0)
        low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
