/**
 * A set of keys, numbered in the order in which they were added.
 *
 *   bytes   |key 0|key 1|key 2 ..|     ends: where each of them ends
 *
 * A few keys are compared one by one; from nine on a table of hashes finds them.
 *
 * Thread: any.     Owns: copies of the keys.
 * Not chosen: a Map by their text: making that takes longer than looking through the few keys that most transactions have.
 */
import { compareBytes, copyInto } from '../base/bytes.ts';
import { hashKey } from '../table/bloom-filter.ts';

/** At most so many keys are looked through one by one. */
const FEW = 8;
const INITIAL_BYTES = 128;
const NOTHING = new Uint8Array(0);

export class KeySet {
  #bytes: Uint8Array = NOTHING;
  readonly #ends: number[] = [];
  /** By hash: 1 + the number of a key; 0: none. Undefined for a few keys. */
  #table: Int32Array | undefined;

  get count(): number {
    return this.#ends.length;
  }

  /** All of the keys, one behind the other, up to {@link endOf} the last. It may be another array after the next `add`. */
  get bytes(): Uint8Array {
    return this.#bytes;
  }

  startOf(index: number): number {
    return index === 0 ? 0 : this.#ends[index - 1]!;
  }

  endOf(index: number): number {
    return this.#ends[index]!;
  }

  /** A view of the key with this number. */
  at(index: number): Uint8Array {
    return this.#bytes.subarray(this.startOf(index), this.endOf(index));
  }

  /** Its number; -1: it is not there. */
  find(bytes: Uint8Array, start: number, end: number): number {
    const table = this.#table;
    if (table !== undefined) return table[this.#slotOf(table, bytes, start, end)]! - 1;
    const { length } = this.#ends;
    for (let i = 0; i < length; i++) if (this.#isAt(i, bytes, start, end)) return i;
    return -1;
  }

  /** Its number, a new one if it is not there yet. */
  add(bytes: Uint8Array, start: number, end: number): number {
    const known = this.find(bytes, start, end);
    if (known >= 0) return known;
    const index = this.#ends.length;
    const at = index === 0 ? 0 : this.#ends[index - 1]!;
    const keyEnd = at + end - start;
    if (keyEnd > this.#bytes.length) this.#grow(keyEnd);
    copyInto(this.#bytes, at, bytes, start, end);
    this.#ends.push(keyEnd);
    if (index >= FEW) this.#note(index);
    return index;
  }

  #grow(needed: number): void {
    const grown = new Uint8Array(Math.max(INITIAL_BYTES, this.#bytes.length * 2, needed));
    grown.set(this.#bytes);
    this.#bytes = grown;
  }

  /** Half of the table stays empty. */
  #note(index: number): void {
    const table = this.#table;
    if (table !== undefined && (index + 1) * 2 <= table.length) {
      table[this.#slotOf(table, this.#bytes, this.startOf(index), this.endOf(index))] = index + 1;
      return;
    }
    const larger = new Int32Array(table === undefined ? FEW * 8 : table.length * 4);
    for (let i = 0; i <= index; i++)
      larger[this.#slotOf(larger, this.#bytes, this.startOf(i), this.endOf(i))] = i + 1;
    this.#table = larger;
  }

  /** Where in `table` the key is, or would be. */
  #slotOf(table: Int32Array, bytes: Uint8Array, start: number, end: number): number {
    const mask = table.length - 1;
    let slot = hashKey(bytes, start, end) & mask;
    while (table[slot] !== 0 && !this.#isAt(table[slot]! - 1, bytes, start, end)) slot = (slot + 1) & mask;
    return slot;
  }

  #isAt(index: number, bytes: Uint8Array, start: number, end: number): boolean {
    const own = this.startOf(index);
    const ownEnd = this.#ends[index]!;
    return ownEnd - own === end - start && compareBytes(this.#bytes, own, ownEnd, bytes, start, end) === 0;
  }
}
