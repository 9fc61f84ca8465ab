/**
 * Walks a whole table: the sparse index picks the block, a block iterator walks it.
 *
 * Invariants: a bad block throws from the move that needs it; the iterator never skips one and never ends early. After
 *             such a throw it stands on no entry.
 * Lifetime: see iterator.ts. The reader must stay open while blocks are still to be read.
 * Thread: the reader's.
 */
import type { Entry, InternalIterator } from '../iterator.ts';
import { DecodeRoom } from './block-codec.ts';
import { BlockIterator } from './block-iterator.ts';
import type { TableReader } from './table-reader.ts';

/** A walk offers this many blocks to the cache. A longer one is a large scan, which would push out what lookups need. */
const CACHED_BLOCKS = 4;
/** Rooms of closed iterators, for the next ones. */
const rooms: DecodeRoom[] = [];
const MAX_IDLE_ROOMS = 32;

export class TableIterator implements InternalIterator {
  readonly entry: Entry;
  readonly #reader: TableReader;
  readonly #fillCache: boolean;
  readonly #block = new BlockIterator();
  /** The block that `#block` is on; -1 = none. */
  #index = -1;
  #entered = 0;
  /** For blocks that are not cached; one at a time. */
  #room: DecodeRoom | undefined;

  constructor(reader: TableReader, fillCache: boolean) {
    this.#reader = reader;
    this.#fillCache = fillCache;
    this.entry = this.#block.entry;
  }

  seekToFirst(): boolean {
    this.#enter(0);
    return this.#block.seekToFirst();
  }

  seek(key: Uint8Array): boolean {
    const index = this.#reader.index.find(key);
    if (index === this.#reader.blockCount) return false;
    this.#enter(index);
    // The separator may lie above the block's last key; then the answer is the next block's first.
    return this.#block.seek(key) || this.#enterNext();
  }

  next(): boolean {
    return this.#block.next() || this.#enterNext();
  }

  seekToLast(): boolean {
    this.#enter(this.#reader.blockCount - 1);
    return this.#block.seekToLast();
  }

  seekBefore(key: Uint8Array): boolean {
    const index = Math.min(this.#reader.index.find(key), this.#reader.blockCount - 1);
    this.#enter(index);
    return this.#block.seekBefore(key) || this.#enterPrevious();
  }

  prev(): boolean {
    return this.#block.prev() || this.#enterPrevious();
  }

  close(): void {
    this.#block.close();
    this.#index = -1;
    if (this.#room !== undefined && rooms.length < MAX_IDLE_ROOMS) rooms.push(this.#room);
    this.#room = undefined;
  }

  #enterNext(): boolean {
    if (this.#index + 1 >= this.#reader.blockCount) return false;
    this.#enter(this.#index + 1);
    return this.#block.seekToFirst();
  }

  #enterPrevious(): boolean {
    if (this.#index <= 0) return false;
    this.#enter(this.#index - 1);
    return this.#block.seekToLast();
  }

  #enter(index: number): void {
    if (index === this.#index) return;
    this.#index = -1;
    const fillCache = this.#fillCache && this.#entered < CACHED_BLOCKS;
    this.#entered++;
    this.#room ??= rooms.pop() ?? new DecodeRoom();
    this.#block.reset(this.#reader.readBlock(index, fillCache, this.#room));
    this.#index = index;
  }
}
