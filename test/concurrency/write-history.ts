/**
 * What a store held at each sequence number, remembered write by write: reads are compared with exactly their moment.
 *
 * Every put or delete takes one sequence number, in the order in which it was handed in; a batch as many as it has entries.
 * So the sequence that stats() shows names one state, and there is nothing to be tolerant about.
 *
 * Values carry key and version in every byte: a torn one, or one of another key, is like no value there ever was.
 */
import { keyOf } from '../helpers/engines.ts';

interface Write {
  readonly sequence: number;
  /** 0: a delete. */
  readonly version: number;
}

export class WriteHistory {
  readonly keyCount: number;
  readonly #writes: Write[][];
  #sequence = 0;

  constructor(keyCount: number) {
    this.keyCount = keyCount;
    this.#writes = Array.from({ length: keyCount }, () => []);
  }

  /** Of the last write handed in. */
  get lastSequence(): number {
    return this.#sequence;
  }

  /** A write is about to be handed in; its sequence. Versions only rise, deletes included. */
  submit(key: number, isDelete: boolean): { readonly sequence: number; readonly version: number } {
    const writes = this.#writes[key]!;
    const sequence = ++this.#sequence;
    const version = isDelete ? 0 : sequence;
    writes.push({ sequence, version });
    return { sequence, version };
  }

  /** The value of `key` at `sequence`. */
  valueAt(key: number, sequence: number): string | undefined {
    const writes = this.#writes[key]!;
    let low = 0;
    let high = writes.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (writes[middle]!.sequence <= sequence) low = middle + 1;
      else high = middle;
    }
    const write = writes[low - 1];
    return write === undefined || write.version === 0 ? undefined : versionedValue(key, write.version);
  }

  /** All of it, in key order. */
  contentAt(sequence: number): [string, string][] {
    const entries: [string, string][] = [];
    for (let key = 0; key < this.keyCount; key++) {
      const value = this.valueAt(key, sequence);
      if (value !== undefined) entries.push([keyOf(key), value]);
    }
    return entries;
  }
}

/** 20 to 300 bytes, telling of key and version throughout. */
export function versionedValue(key: number, version: number): string {
  const unit = `${key}@${version}|`;
  return unit.repeat(2 + ((key * 7 + version) % 20));
}
