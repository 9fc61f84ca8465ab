/**
 * The memtables of a client's current view, opened for reading: each once, and once more when it is frozen.
 *
 * Invariants: a memtable is opened only for a view that is being read with, and let go of when it leaves the current one: its
 *             memory may be another's then.
 * Thread:     the client's.
 */
import { types } from 'node:util';
import { assert } from '../shared/base/assert.ts';
import { ConcurrentMemtable } from '../shared/memtable/concurrent-memtable.ts';
import { Memtable } from '../shared/memtable/memtable.ts';
import { MemtableIterator } from '../shared/memtable/memtable-iterator.ts';
import type { ReadableMemtable, ReadableMemtables } from '../shared/read/readable-memtables.ts';
import type { MemtableState } from '../shared/threads/share-protocol.ts';

interface OpenedMemtable extends ReadableMemtable {
  readonly isFrozen: boolean;
}

export class OpenedMemtables {
  readonly #byId = new Map<number, OpenedMemtable>();

  /** `states`, oldest first, are those of the current view, which is being read with. */
  of(states: readonly MemtableState[]): ReadableMemtables {
    const memtables = states.map((state) => this.#opened(state));
    // Whether the newest one is still written to makes no difference to a read.
    return { active: memtables.at(-1), frozen: memtables.slice(0, -1) };
  }

  /** Lets go of all but those of the current view. */
  keep(states: readonly MemtableState[]): void {
    for (const id of this.#byId.keys()) if (!states.some((state) => state.id === id)) this.#byId.delete(id);
  }

  #opened(state: MemtableState): OpenedMemtable {
    const known = this.#byId.get(state.id);
    if (known !== undefined && known.isFrozen === state.isFrozen) return known;
    const opened = openMemtable(state);
    this.#byId.set(state.id, opened);
    return opened;
  }
}

/** Without a look into its memory, which may be another's by now. */
export function checkMemtable({ id, buffer, isFrozen }: MemtableState): void {
  assert(Number.isSafeInteger(id), 'memtables have whole numbers');
  assert(types.isSharedArrayBuffer(buffer), 'a memtable lies in shared memory');
  assert(typeof isFrozen === 'boolean', 'a memtable is frozen or not');
}

function openMemtable({ buffer, isFrozen }: MemtableState): OpenedMemtable {
  if (!isFrozen) {
    const memtable = new ConcurrentMemtable(buffer);
    return { isFrozen, memtable, iterator: (maxSequence) => memtable.iterator(maxSequence) };
  }
  const memtable = Memtable.attach(buffer);
  return { isFrozen, memtable, iterator: (maxSequence) => new MemtableIterator(memtable, maxSequence) };
}
