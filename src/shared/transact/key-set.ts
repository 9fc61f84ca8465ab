/**
 * A set of keys that lie in somebody's bytes, numbered in the order in which they were noted.
 *
 * A few keys are compared one by one; from nine on a table of hashes finds them.
 *
 * Thread: any.     Owns: where the keys are; not the bytes, which only grow.
 * Not chosen: a Map by their text: making that takes longer than looking through the few keys that most transactions have.
 */
import { hashKey } from '../table/bloom-filter.ts';

/** At most so many keys are looked through one by one. */
const FEW = 8;

export class KeySet {
  /** In which the keys lie. Whoever gives another array has the same keys there, at the same places. */
  bytes: Uint8Array;
  readonly #starts: number[] = [];
  readonly #ends: number[] = [];
  /** By hash: 1 + the number of a key; 0: none. Undefined for a few keys. */
  #table: Int32Array | undefined;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  get count(): number {
    return this.#ends.length;
  }

  startOf(index: number): number {
    return this.#starts[index]!;
  }

  endOf(index: number): number {
    return this.#ends[index]!;
  }

  /** Its number; -1: it is not there. */
  find(key: Uint8Array, start: number, end: number): number {
    const table = this.#table;
    if (table !== undefined) return table[this.#slotOf(table, key, start, end)]! - 1;
    const { length } = this.#ends;
    for (let i = 0; i < length; i++) if (this.#isAt(i, key, start, end)) return i;
    return -1;
  }

  /** The number of the key at [start, end) of the bytes: a new one, if it is not there yet. */
  note(start: number, end: number): number {
    const known = this.find(this.bytes, start, end);
    if (known >= 0) return known;
    this.#starts.push(start);
    this.#ends.push(end);
    const index = this.#ends.length - 1;
    if (index >= FEW) this.#enter(index);
    return index;
  }

  /** Half of the table stays empty. */
  #enter(index: number): void {
    const table = this.#table;
    if (table !== undefined && (index + 1) * 2 <= table.length) {
      table[this.#slotOf(table, this.bytes, this.#starts[index]!, this.#ends[index]!)] = index + 1;
      return;
    }
    const larger = new Int32Array(table === undefined ? FEW * 8 : table.length * 4);
    for (let i = 0; i <= index; i++)
      larger[this.#slotOf(larger, this.bytes, this.#starts[i]!, this.#ends[i]!)] = i + 1;
    this.#table = larger;
  }

  /** Where in `table` the key is, or would be. */
  #slotOf(table: Int32Array, key: Uint8Array, start: number, end: number): number {
    const mask = table.length - 1;
    let slot = hashKey(key, start, end) & mask;
    while (table[slot] !== 0 && !this.#isAt(table[slot]! - 1, key, start, end)) slot = (slot + 1) & mask;
    return slot;
  }

  #isAt(index: number, key: Uint8Array, start: number, end: number): boolean {
    const own = this.#starts[index]!;
    if (this.#ends[index]! - own !== end - start) return false;
    const { bytes } = this;
    // From the end: keys that begin alike differ there.
    for (let i = end - start - 1; i >= 0; i--) if (bytes[own + i] !== key[start + i]) return false;
    return true;
  }
}
