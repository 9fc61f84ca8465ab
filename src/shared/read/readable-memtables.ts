/**
 * Memtables as reads see them: the owner's own (main/write/memtable-list.ts), and those that a client opened in its thread.
 */
import type { Entry } from '../base/entry.ts';
import type { InternalIterator } from '../base/iterator.ts';
import type { RangeSource } from '../ranges/stretch.ts';

/** A memtable as reads see it. */
export interface ReadableMemtable {
  readonly memtable: {
    lookup(key: Uint8Array, maxSequence: number, into: Entry): boolean;
    /** undefined: it deletes no range. */
    readonly ranges: { at(maxSequence: number): RangeSource } | undefined;
    /** How many of its entries expire: at least those that a read may see. */
    readonly expiringCount: number;
  };
  /** Over the entries up to `maxSequence`, however long it lives. */
  iterator(maxSequence: number): InternalIterator;
}

export interface ReadableMemtables {
  readonly active: ReadableMemtable | undefined;
  /** Oldest first. */
  readonly frozen: readonly ReadableMemtable[];
}

/** Of a moment's memtables, newest first. */
export function newestFirst<M extends ReadableMemtable>({
  active,
  frozen,
}: {
  readonly active: M | undefined;
  readonly frozen: readonly M[];
}): readonly M[] {
  if (frozen.length === 0) return active === undefined ? NO_MEMTABLES : [active];
  const memtables = frozen.toReversed();
  if (active !== undefined) memtables.unshift(active);
  return memtables;
}

const NO_MEMTABLES: readonly never[] = [];
