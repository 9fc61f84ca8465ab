/**
 * A memtable beside a plain list of the same writes, for the tests of the tree, the iterator and the room arithmetic.
 */
import assert from 'node:assert/strict';
import { type Entry, EntryKind } from '../../src/shared/base/entry.ts';
import type { InternalIterator } from '../../src/shared/base/iterator.ts';
import { encodedEntryBytes } from '../../src/shared/log/entry-codec.ts';
import { MemtableArena } from '../../src/shared/memtable/arena.ts';
import { Memtable } from '../../src/shared/memtable/memtable.ts';
import { toBytes, toText } from './sorted-model.ts';

export interface Write {
  readonly key: string;
  readonly sequence: number;
  /** undefined: a delete. */
  readonly value: string | undefined;
}

export class MemtableModel {
  readonly memtable: Memtable;
  readonly writes: Write[] = [];

  constructor(capacityBytes: number, firstSequence = 1) {
    this.memtable = new Memtable(MemtableArena.create(capacityBytes, firstSequence));
  }

  /** Whether one more write is sure to fit. */
  hasRoom(key: string, value: string | undefined): boolean {
    return this.memtable.hasRoom(encodedEntryBytes(key.length, value?.length ?? 0), 1);
  }

  append(key: string, value: string | undefined): void {
    this.writes.push({ key, value, sequence: this.memtable.nextSequence });
    const bytes = toBytes(value ?? '');
    const kind = value === undefined ? EntryKind.Delete : EntryKind.Put;
    this.memtable.append(kind, toBytes(key), 0, key.length, bytes, 0, bytes.length);
  }

  /** All writes up to a sequence as iterators order them: by key, the newest first. */
  sorted(maxSequence: number = Number.MAX_SAFE_INTEGER): Write[] {
    return this.writes.filter(({ sequence }) => sequence <= maxSequence).sort(inOrder);
  }
}

export function inOrder(a: Write, b: Write): number {
  if (a.key !== b.key) return a.key < b.key ? -1 : 1;
  return b.sequence - a.sequence;
}

export function toWrite(entry: Entry): Write {
  const key = toText(entry.keyBytes.subarray(entry.keyStart, entry.keyEnd));
  const value = toText(entry.valueBytes.subarray(entry.valueStart, entry.valueEnd));
  return { key, sequence: entry.sequence, value: entry.kind === EntryKind.Delete ? undefined : value };
}

/** Walks all of it forward, then backward. */
export function assertIterates(iterator: InternalIterator, expected: readonly Write[]): void {
  const forward: Write[] = [];
  for (let ok = iterator.seekToFirst(); ok; ok = iterator.next()) forward.push(toWrite(iterator.entry));
  assertSameWrites(forward, expected, 'forward');
  const backward: Write[] = [];
  for (let ok = iterator.seekToLast(); ok; ok = iterator.prev()) backward.push(toWrite(iterator.entry));
  assertSameWrites(backward.reverse(), expected, 'backward');
}

/** One by one: to tell thousands of writes apart in a message takes minutes. */
export function assertSameWrites(found: readonly Write[], expected: readonly Write[], what: string): void {
  for (const [i, write] of expected.entries()) assert.deepEqual(found[i], write, `${what}: number ${i}`);
  assert.equal(found.length, expected.length, `${what}: how many`);
}
