/**
 * Walks a whole table: the sparse index picks the block, a block iterator walks it.
 *
 * Invariants: a bad block throws from the move that needs it; the iterator never skips one and never ends early. After
 *             such a throw it stands on no entry. Closed, it stands nowhere for good, as its walk is another's.
 * Lifetime: see iterator.ts. The reader must stay open while blocks are still to be read.
 * Thread: the reader's.
 */

import { Entry } from '../base/entry.ts';
import type { EntryBatch } from '../base/entry-batch.ts';
import { DecodeRoom } from './block-codec.ts';
import { BlockIterator } from './block-iterator.ts';
import type { BlockSpan, SpanIterator } from './block-span.ts';
import type { TableReader } from './table-reader.ts';

/** A walk offers this many blocks to the cache. A longer one is a large scan, which would push out what lookups need. */
const CACHED_BLOCKS = 4;
/** A scan, of however many tables. */
const CACHED_SCAN_BLOCKS = 32;

/** What a walk needs and gives back: a short scan should not pay for making it. */
class Walk {
  readonly block: BlockIterator = new BlockIterator();
  /** For blocks that are not cached; one at a time. */
  readonly room: DecodeRoom = new DecodeRoom();
}

/** Of closed iterators, for the next ones. */
const idleWalks: Walk[] = [];
const MAX_IDLE_WALKS = 32;
/** Of an iterator that is closed. */
const NOWHERE = new Entry();

/** Keeps a reader open while an iterator needs it. */
export interface Lease {
  release(): void;
}

/** The scan that a walk is part of (scan-reads.ts). */
interface Scanning<P> {
  /** Blocks that the scan has offered to the cache. */
  offered: number;
  /** In place of an error that reading a block threw. */
  instead(error: unknown, at: P, reader: TableReader, index: number): unknown;
  entered(at: P, index: number): void;
}

/** Where in a scan: the table's run, and its place there. */
export interface ScanPart {
  readonly scan: Scanning<ScanPart>;
  readonly order: number;
  readonly place: number;
}

export class TableIterator implements SpanIterator {
  readonly #reader: TableReader;
  readonly #fillCache: boolean;
  #lease: Lease | undefined;
  #walk: Walk | undefined;
  /** The block that the walk is in; -1 = none. */
  #index = -1;
  readonly #part: ScanPart | undefined;
  #entered = 0;

  entry: Entry;

  /** `lease` is released when the iterator is closed. */
  constructor(reader: TableReader, fillCache = true, lease?: Lease, part?: ScanPart) {
    this.#part = part;
    this.#reader = reader;
    this.#fillCache = fillCache;
    this.#lease = lease;
    this.#walk = idleWalks.pop() ?? new Walk();
    this.entry = this.#walk.block.entry;
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

  /** The entry it stands on and those behind it in the same block: see block-span.ts. */
  lookAhead(span: BlockSpan): boolean {
    return this.#block.lookAhead(span);
  }

  /** As far as the block goes: the next one may be damaged, and is read when the walk comes to it. */
  readBatch(batch: EntryBatch, maxRows: number): void {
    this.#block.readBatch(batch, maxRows);
  }

  moveTo(batch: EntryBatch, row: number): void {
    this.#block.moveTo(batch, row);
  }

  close(): void {
    const walk = this.#walk;
    if (walk === undefined) return;
    // Dropped first: once others may use the walk, nothing done to this iterator can reach it.
    this.#walk = undefined;
    this.#index = -1;
    this.entry = NOWHERE;
    walk.block.close();
    if (idleWalks.length < MAX_IDLE_WALKS) idleWalks.push(walk);
    const lease = this.#lease;
    this.#lease = undefined;
    lease?.release();
  }

  get #block(): BlockIterator {
    return this.#open.block;
  }

  get #open(): Walk {
    if (this.#walk === undefined) throw new Error('assertion failed: the table iterator is closed');
    return this.#walk;
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
    const part = this.#part;
    const fillCache =
      this.#fillCache &&
      this.#entered < CACHED_BLOCKS &&
      (part === undefined || part.scan.offered < CACHED_SCAN_BLOCKS);
    this.#entered++;
    const { block, room } = this.#open;
    try {
      block.reset(this.#reader.readBlock(index, fillCache, room));
    } catch (error) {
      throw part === undefined ? error : part.scan.instead(error, part, this.#reader, index);
    }
    this.#index = index;
    if (part === undefined) return;
    if (fillCache) part.scan.offered++;
    part.scan.entered(part, index);
  }
}
