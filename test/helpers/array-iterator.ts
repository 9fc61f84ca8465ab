/**
 * An InternalIterator over an array of entries, for testing whatever stands on iterators.
 *
 * Invariants: honest about lifetimes: the bytes reachable through `entry` are scribbled over at every move, so that a
 *             consumer which keeps them instead of copying is caught.
 */
import assert from 'node:assert/strict';
import { compareKeys, readU64 } from '../../src/shared/base/bytes.ts';
import { Entry, EntryKind } from '../../src/shared/base/entry.ts';
import { EXPIRY_BYTES, writeExpiry } from '../../src/shared/base/expiry.ts';
import type { InternalIterator } from '../../src/shared/base/iterator.ts';

export interface ArrayEntry {
  readonly key: Uint8Array;
  readonly sequence: number;
  readonly kind: EntryKind;
  readonly value: Uint8Array;
}

export function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

export function put(key: string, sequence: number, value = `${key}@${sequence}`): ArrayEntry {
  return { key: bytesOf(key), sequence, kind: EntryKind.Put, value: bytesOf(value) };
}

/** A put that expires at `moment`. */
export function expiring(key: string, sequence: number, moment: number): ArrayEntry {
  const text = bytesOf(`${key}@${sequence}`);
  const value = new Uint8Array(EXPIRY_BYTES + text.length);
  writeExpiry(value, 0, moment);
  value.set(text, EXPIRY_BYTES);
  return { key: bytesOf(key), sequence, kind: EntryKind.ExpiringPut, value };
}

export function del(key: string, sequence: number): ArrayEntry {
  return { key: bytesOf(key), sequence, kind: EntryKind.Delete, value: new Uint8Array(0) };
}

export function compareEntries(a: ArrayEntry, b: ArrayEntry): number {
  return compareKeys(a.key, b.key) || b.sequence - a.sequence;
}

/** A private copy of what the iterator stands on. */
export function copyEntry(entry: Entry): ArrayEntry {
  return {
    key: entry.keyBytes.slice(entry.keyStart, entry.keyEnd),
    sequence: entry.sequence,
    kind: entry.kind as EntryKind,
    value: entry.valueBytes.slice(entry.valueStart, entry.valueEnd),
  };
}

/** `key@sequence`, `key@sequence-` for a delete, `key@sequence!moment` for what expires. */
export function showEntry({ key, sequence, kind, value }: ArrayEntry): string {
  const end = kind === EntryKind.Delete ? '-' : kind === EntryKind.ExpiringPut ? `!${readU64(value, 0)}` : '';
  return `${new TextDecoder().decode(key)}@${sequence}${end}`;
}

export class ArrayIterator implements InternalIterator {
  readonly entry: Entry = new Entry();
  isClosed = false;
  readonly #entries: readonly ArrayEntry[];
  #index = -1;

  /** Sorts a copy of `entries`; entries of one key and sequence keep their order. */
  constructor(entries: readonly ArrayEntry[]) {
    this.#entries = entries.toSorted(compareEntries);
  }

  seekToFirst(): boolean {
    return this.#standAt(0);
  }

  seekToLast(): boolean {
    return this.#standAt(this.#entries.length - 1);
  }

  seek(key: Uint8Array): boolean {
    const index = this.#entries.findIndex((entry) => compareKeys(entry.key, key) >= 0);
    return this.#standAt(index < 0 ? this.#entries.length : index);
  }

  seekBefore(key: Uint8Array): boolean {
    return this.#standAt(this.#entries.findLastIndex((entry) => compareKeys(entry.key, key) < 0));
  }

  next(): boolean {
    assert.ok(this.#entries[this.#index] !== undefined, 'next() where the iterator does not stand');
    return this.#standAt(this.#index + 1);
  }

  prev(): boolean {
    assert.ok(this.#entries[this.#index] !== undefined, 'prev() where the iterator does not stand');
    return this.#standAt(this.#index - 1);
  }

  close(): void {
    this.isClosed = true;
  }

  #standAt(index: number): boolean {
    assert.ok(!this.isClosed, 'move on a closed iterator');
    this.#index = index;
    const { entry } = this;
    entry.keyBytes.fill(0xdb);
    entry.valueBytes.fill(0xdb);
    const stood = this.#entries[index];
    if (stood === undefined) return false;
    // With a byte before and after, so that nobody takes the array for the key.
    entry.keyBytes = Uint8Array.of(0xfe, ...stood.key, 0xfe);
    entry.keyStart = 1;
    entry.keyEnd = 1 + stood.key.length;
    entry.valueBytes = Uint8Array.of(0xfe, ...stood.value, 0xfe);
    entry.valueStart = 1;
    entry.valueEnd = 1 + stood.value.length;
    entry.sequence = stood.sequence;
    entry.kind = stood.kind;
    return true;
  }
}
