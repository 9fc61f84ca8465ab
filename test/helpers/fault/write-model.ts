/**
 * What a store must hold after every prefix of a history of writes, as one hash per prefix.
 *
 * The hash of a state is the sum of the hashes of its entries, so that each write changes it in constant time and a scan
 * computes it in any order. Equal hashes are taken for equal states: 64 bits and the number of entries.
 *
 * Moments come from the trace's clock: a write counts as submitted before it is handed to the store, and as durable
 * once the store has said so.
 */
import { crc32 } from '../../../src/shared/base/checksum.ts';

/** One atomic write: a put, a delete, or a batch. undefined removes the key, or every key that begins so. */
export type Change = readonly (readonly [key: string, value: Uint8Array | undefined, isPrefix?: boolean])[];

export class StateHash {
  #low = 0;
  #high = 0;
  #count = 0;

  add(key: Uint8Array, value: Uint8Array): void {
    this.#mix(key, value, 1);
  }

  remove(key: Uint8Array, value: Uint8Array): void {
    this.#mix(key, value, -1);
  }

  #mix(key: Uint8Array, value: Uint8Array, sign: number): void {
    const a = crc32(value, 0, value.length, crc32(key));
    const b = crc32(key, 0, key.length, crc32(value, 0, value.length, 0x5bd1e995));
    const mixed = Math.imul(b ^ (a >>> 13), 0x9e3779b1) ^ value.length;
    this.#low = (this.#low + sign * Math.imul(a, 0x85ebca77)) | 0;
    this.#high = (this.#high + sign * mixed) | 0;
    this.#count += sign;
  }

  toString(): string {
    return `${this.#count}:${this.#high}:${this.#low}`;
  }
}

export class WriteModel {
  readonly #values = new Map<string, Uint8Array>();
  readonly #hash = new StateHash();
  /** Lengths of the prefixes that end in a state. */
  readonly #prefixes: Map<string, number[]>;
  /** When the n-th write was submitted, ascending. */
  readonly #submitted: number[] = [];
  readonly #initial: ReadonlyMap<string, Uint8Array>;
  readonly #changes: Change[] = [];
  readonly #durable: { readonly moment: number; readonly count: number }[] = [];

  /** `initial`: what the store holds before the first write, durably. */
  constructor(initial: Iterable<readonly [key: string, value: Uint8Array]> = []) {
    for (const [key, value] of initial) {
      this.#values.set(key, value);
      this.#hash.add(Buffer.from(key), value);
    }
    this.#initial = new Map(this.#values);
    this.#prefixes = new Map([[this.#hash.toString(), [0]]]);
  }

  /** How many writes there are. */
  get length(): number {
    return this.#submitted.length;
  }

  /** Equal for equal contents. */
  get state(): string {
    return this.#hash.toString();
  }

  get values(): ReadonlyMap<string, Uint8Array> {
    return this.#values;
  }

  submit(moment: number, change: Change): void {
    for (const [key, value, isPrefix] of change) {
      if (!isPrefix) this.#set(key, value);
      else for (const one of [...this.#values.keys()]) if (one.startsWith(key)) this.#set(one, undefined);
    }
    this.#submitted.push(moment);
    this.#changes.push(change);
    const state = this.#hash.toString();
    const lengths = this.#prefixes.get(state);
    if (lengths === undefined) this.#prefixes.set(state, [this.length]);
    else lengths.push(this.length);
  }

  /** What the store holds after its first `count` writes. */
  valuesAfter(count: number): Map<string, Uint8Array> {
    const replayed = new WriteModel(this.#initial);
    for (const change of this.#changes.slice(0, count)) replayed.submit(0, change);
    return replayed.#values;
  }

  #set(key: string, value: Uint8Array | undefined): void {
    const before = this.#values.get(key);
    const keyBytes = Buffer.from(key);
    if (before !== undefined) this.#hash.remove(keyBytes, before);
    if (value === undefined) this.#values.delete(key);
    else {
      this.#values.set(key, value);
      this.#hash.add(keyBytes, value);
    }
  }

  /** The store has promised that the first `count` writes survive. */
  promise(moment: number, count: number): void {
    this.#durable.push({ moment, count });
  }

  /** How many writes must be there after a power loss at `moment`, and how many may be. */
  boundsAt(moment: number): { readonly least: number; readonly most: number } {
    let least = 0;
    for (const promise of this.#durable)
      if (promise.moment <= moment && promise.count > least) least = promise.count;
    let most = 0;
    while (most < this.length && this.#submitted[most]! <= moment) most++;
    return { least, most };
  }

  /** What is wrong with finding `state` after a power loss at `moment`; undefined: nothing. */
  problem(state: string, moment: number): string | undefined {
    const { least, most } = this.boundsAt(moment);
    const lengths = this.#prefixes.get(state);
    if (lengths === undefined)
      return `holds ${state.split(':')[0]} entries, which is no prefix of the writes (${least} to ${most} expected)`;
    if (lengths.some((length) => length >= least && length <= most)) return undefined;
    return lengths.some((length) => length < least)
      ? `lost durable writes: ${lengths.join(' or ')} of ${least}`
      : `holds ${lengths.join(' or ')} writes where only ${most} had been submitted`;
  }
}
