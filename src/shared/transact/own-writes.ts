/**
 * What a transaction has written and not committed yet: the batch that it will be, with a way to find what it says of a key, and
 * to walk it in order.
 *
 *   batch    every operation, in order: what is committed
 *   keys     each key once; refs: where its last operation is encoded in the batch
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
import { readEntry } from '../log/entry-codec.ts';
import { entryKeyEnd, entryKeyStart } from '../log/log-format.ts';
import { WriteBatch } from '../log/write-batch.ts';
import type { OwnSource } from '../read/scan-sources.ts';
import { KeySet } from './key-set.ts';
import { OWN_STEP, OwnIterator } from './own-iterator.ts';

const NOTHING = new Uint8Array(0);

export class OwnWrites {
  readonly batch: WriteBatch = new WriteBatch();
  readonly #keys = new KeySet(NOTHING);
  readonly #refs: number[] = [];
  #sorted: number[] = [];

  get isEmpty(): boolean {
    return this.batch.length === 0;
  }

  put(key: Bytes, value: Bytes): void {
    const ref = this.batch.byteLength;
    this.batch.put(key, value);
    this.#note(ref);
  }

  delete(key: Bytes): void {
    const ref = this.batch.byteLength;
    this.batch.delete(key);
    this.#note(ref);
  }

  /** What was last written to `key`, in `into`; false: nothing was. */
  lookup(key: Uint8Array, into: Entry): boolean {
    if (this.#refs.length === 0) return false;
    const index = this.#keys.find(key, 0, key.length);
    if (index < 0) return false;
    readEntry(this.#keys.bytes, this.#refs[index]!, 0, into);
    return true;
  }

  /** What is written by now to keys of `range`, for a scan of the moment `sequence`; undefined: nothing is. */
  source(range: KeyRange, sequence: number): OwnSource | undefined {
    if (this.#refs.length === 0) return undefined;
    const refs = this.#refsIn(range);
    if (refs.length === 0) return undefined;
    const { bytes } = this.#keys;
    const own = sequence + OWN_STEP;
    return { sequence: own, open: () => new OwnIterator(bytes, refs, own) };
  }

  #note(ref: number): void {
    const keys = this.#keys;
    const bytes = WriteBatch.memory(this.batch);
    keys.bytes = bytes;
    const start = entryKeyStart(bytes, ref);
    this.#refs[keys.note(start, entryKeyEnd(bytes, ref, start))] = ref;
  }

  #refsIn({ start, end }: KeyRange): number[] {
    this.#sort();
    const from = start === undefined ? 0 : this.#firstFrom(start);
    const to = end === undefined ? this.#sorted.length : this.#firstFrom(end);
    const refs: number[] = [];
    for (let i = from; i < to; i++) refs.push(this.#refs[this.#sorted[i]!]!);
    return refs;
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
    for (const index of sorted) {
      while (next < fresh.length && this.#compare(fresh[next]!, index) < 0) merged.push(fresh[next++]!);
      merged.push(index);
    }
    while (next < fresh.length) merged.push(fresh[next++]!);
    this.#sorted = merged;
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
