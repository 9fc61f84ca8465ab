/**
 * What a transaction has written and not committed yet: the batch that it will be, with a way to find what it says of a key, and
 * to walk it in order.
 *
 *   batch    every operation, in order: what is committed
 *   keys     each key once; refs: where its last operation is encoded in
 *            the batch; GONE: the transaction has deleted it with a range since
 *   ranges   what it has deleted of all that others have written. Its own puts are newer than any range over them
 *   sorted   numbers of keys in the order of keys, as far as somebody has walked them
 *
 * Invariants: what is encoded in a batch is never changed, so a walk goes on over what was there when it began, whatever is
 *             written meanwhile.
 * Thread:     any.
 */
import { compareBytes } from '../base/bytes.ts';
import type { Entry } from '../base/entry.ts';
import type { Bytes } from '../base/input-bytes.ts';
import type { KeyRange } from '../base/iterator.ts';
import type { AllKeys, KeyRange as KeyRangeOption } from '../base/key-range.ts';
import { rangeDeleteEnd } from '../base/range-delete.ts';
import { readEntry } from '../log/entry-codec.ts';
import { entryKeyEnd, entryKeyStart, entryValueEnd } from '../log/log-format.ts';
import { WriteBatch } from '../log/write-batch.ts';
import type { ExpiryOptions } from '../log/write-options.ts';
import { RangeMap } from '../ranges/range-map.ts';
import type { OwnSource } from '../read/scan-sources.ts';
import { KeySet } from './key-set.ts';
import { GONE, OWN_STEP, OwnIterator } from './own-iterator.ts';

const NOTHING = new Uint8Array(0);
/** All ranges are as new as each other. */
const COVERED = 1;

export class OwnWrites {
  readonly batch: WriteBatch = new WriteBatch();
  readonly #keys = new KeySet(NOTHING);
  #refs: number[] = [];
  /** Somebody may walk #refs: what is there is not to be changed. */
  #isWalked = false;
  #ranges: RangeMap = RangeMap.empty();
  #sorted: number[] = [];

  get isEmpty(): boolean {
    return this.batch.length === 0;
  }

  put(key: Bytes, value: Bytes, options: ExpiryOptions | undefined): void {
    const ref = this.batch.byteLength;
    this.batch.put(key, value, options);
    this.#note(ref);
  }

  delete(key: Bytes): void {
    const ref = this.batch.byteLength;
    this.batch.delete(key);
    this.#note(ref);
  }

  deleteRange(range: KeyRangeOption | AllKeys): void {
    const ref = this.batch.byteLength;
    this.batch.deleteRange(range);
    if (this.batch.byteLength === ref) return;
    const bytes = WriteBatch.memory(this.batch);
    this.#keys.bytes = bytes;
    const keyStart = entryKeyStart(bytes, ref);
    const keyEnd = entryKeyEnd(bytes, ref, keyStart);
    const start = bytes.slice(keyStart, keyEnd);
    const end = rangeDeleteEnd(bytes, keyEnd, entryValueEnd(bytes, ref, keyEnd));
    const { count } = this.#keys;
    const refs = this.#ownRefs();
    for (let index = 0; index < count; index++) if (this.#isWithin(index, start, end)) refs[index] = GONE;
    this.#ranges = this.#ranges.assign(start, end, COVERED);
  }

  /** What was last written to `key`, in `into`; false: nothing was. */
  lookup(key: Uint8Array, into: Entry): boolean {
    const index = this.#refs.length === 0 ? -1 : this.#keys.find(key, 0, key.length);
    const ref = index < 0 ? GONE : this.#refs[index]!;
    if (ref !== GONE) readEntry(this.#keys.bytes, ref, 0, into);
    else if (this.#ranges.length > 0 && this.#ranges.sequenceAt(key, 0, key.length) > 0) into.setDeleted(0);
    else return false;
    return true;
  }

  /** What is written by now to keys of `range`, for a scan of the moment `sequence`; undefined: nothing is. */
  source(range: KeyRange, sequence: number): OwnSource | undefined {
    const ranges = this.#ranges.length > 0 ? this.#ranges : undefined;
    const place = this.#placesOf(range);
    if (place.from >= place.to && ranges === undefined) return undefined;
    const { bytes } = this.#keys;
    const own = sequence + OWN_STEP;
    const entries = { bytes, keys: this.#keys, sorted: this.#sorted, refs: this.#refs, ...place };
    this.#isWalked = true;
    return { sequence: own, ranges, open: () => new OwnIterator(entries, own) };
  }

  #note(ref: number): void {
    const keys = this.#keys;
    const bytes = WriteBatch.memory(this.batch);
    keys.bytes = bytes;
    const start = entryKeyStart(bytes, ref);
    const index = keys.note(start, entryKeyEnd(bytes, ref, start));
    if (index === this.#refs.length) this.#refs.push(ref);
    else this.#ownRefs()[index] = ref;
  }

  #placesOf({ start, end }: KeyRange): { readonly from: number; readonly to: number } {
    this.#sort();
    return {
      from: start === undefined ? 0 : this.#firstFrom(start),
      to: end === undefined ? this.#sorted.length : this.#firstFrom(end),
    };
  }

  /** To be changed: whoever walks the writes goes on with what was there. */
  #ownRefs(): number[] {
    if (this.#isWalked) this.#refs = [...this.#refs];
    this.#isWalked = false;
    return this.#refs;
  }

  /** Puts the keys that are new since the last time among the others. */
  #sort(): void {
    const sorted = this.#sorted;
    const { count } = this.#keys;
    if (sorted.length === count) return;
    const fresh: number[] = [];
    for (let index = sorted.length; index < count; index++) fresh.push(index);
    fresh.sort((a, b) => this.#compare(a, b));
    const merged: number[] = [];
    let next = 0;
    for (const index of fresh) {
      const place = this.#firstFrom(this.#keyAt(index));
      while (next < place) merged.push(sorted[next++]!);
      merged.push(index);
    }
    while (next < sorted.length) merged.push(sorted[next++]!);
    this.#sorted = merged;
  }

  #keyAt(index: number): Uint8Array {
    return this.#keys.bytes.subarray(this.#keys.startOf(index), this.#keys.endOf(index));
  }

  #compare(a: number, b: number): number {
    const keys = this.#keys;
    return compareBytes(
      keys.bytes,
      keys.startOf(a),
      keys.endOf(a),
      keys.bytes,
      keys.startOf(b),
      keys.endOf(b),
    );
  }

  #isWithin(index: number, start: Uint8Array, end: Uint8Array | undefined): boolean {
    const { bytes } = this.#keys;
    const [keyStart, keyEnd] = [this.#keys.startOf(index), this.#keys.endOf(index)];
    return (
      compareBytes(bytes, keyStart, keyEnd, start, 0, start.length) >= 0 &&
      (end === undefined || compareBytes(bytes, keyStart, keyEnd, end, 0, end.length) < 0)
    );
  }

  /** The place in #sorted of the first key that is not before `key`. */
  #firstFrom(key: Uint8Array): number {
    const keys = this.#keys;
    let low = 0;
    let high = this.#sorted.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const index = this.#sorted[middle]!;
      if (compareBytes(keys.bytes, keys.startOf(index), keys.endOf(index), key, 0, key.length) < 0)
        low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
