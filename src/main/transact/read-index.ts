/**
 * What a transaction has read, for the question whether a write touches it.
 *
 * Thread: main.     Owns: nothing beyond the reads that it is given.
 */
import { compareBytes, compareKeys } from '../../shared/base/bytes.ts';
import { Entry, EntryKind } from '../../shared/base/entry.ts';
import { rangeDeleteEnd } from '../../shared/base/range-delete.ts';
import { readEntry } from '../../shared/log/entry-codec.ts';
import { entryEnd } from '../../shared/log/log-format.ts';
import { KeySet } from '../../shared/transact/key-set.ts';
import type { Reads } from '../../shared/transact/read-set.ts';

/** Writes in the form of the log. */
export interface WrittenBytes {
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
}

/** Used within one call. */
const entry = new Entry();

export class ReadIndex {
  readonly #reads: Reads;
  readonly #keys: KeySet;

  constructor(reads: Reads) {
    this.#reads = reads;
    this.#keys = new KeySet(reads.keys);
    for (let i = 0, start = 0; i < reads.ends.length; i++) {
      this.#keys.note(start, reads.ends[i]!);
      start = reads.ends[i]!;
    }
  }

  /** Whether any of the writes changes a key or range that was read. */
  isTouchedBy({ bytes, start, end }: WrittenBytes): boolean {
    try {
      for (let ref = start; ref < end; ref = entryEnd(ref, entry.valueEnd)) {
        readEntry(bytes, ref, 0, entry);
        if (entry.kind === EntryKind.RangeDelete ? this.#meets(entry) : this.#holds(entry)) return true;
      }
      return false;
    } finally {
      entry.release();
    }
  }

  #holds({ keyBytes, keyStart, keyEnd }: Entry): boolean {
    if (this.#keys.find(keyBytes, keyStart, keyEnd) >= 0) return true;
    return this.#reads.ranges.some(
      ({ start, end }) =>
        (start === undefined || compareBytes(keyBytes, keyStart, keyEnd, start, 0, start.length) >= 0) &&
        (end === undefined || compareBytes(keyBytes, keyStart, keyEnd, end, 0, end.length) < 0),
    );
  }

  #meets({ keyBytes, keyStart, keyEnd, valueStart, valueEnd }: Entry): boolean {
    const from = keyBytes.subarray(keyStart, keyEnd);
    const to = rangeDeleteEnd(keyBytes, valueStart, valueEnd);
    const { bytes, count } = this.#keys;
    for (let i = 0; i < count; i++) {
      const [start, end] = [this.#keys.startOf(i), this.#keys.endOf(i)];
      const isInside =
        compareBytes(bytes, start, end, from, 0, from.length) >= 0 &&
        (to === undefined || compareBytes(bytes, start, end, to, 0, to.length) < 0);
      if (isInside) return true;
    }
    return this.#reads.ranges.some(
      ({ start, end }) =>
        (end === undefined || compareKeys(from, end) < 0) &&
        (start === undefined || to === undefined || compareKeys(to, start) > 0),
    );
  }
}
