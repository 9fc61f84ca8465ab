/**
 * The block cache: decoded, verified blocks in memory of its own, bounded in bytes.
 *
 *   segment   4 MiB: slots side by side, each with one block (kept-block.ts) or free; made when the cursor first gets there.
 *             Eight share one buffer, of which the system commits what is touched: each buffer that is made has the
 *             collector look for garbage
 *   cursor    goes through the slots round and round; a block is put where it stands, in place of what nobody has looked
 *             into since it last came past (CLOCK, or second chance: Corbato, "A Paging Experiment with the Multics System",
 *             1968). Slots next to each other become one when one alone is too small
 *   place     segment * 2^16 + offset / 64: where a block is. Each table has an array of the places of its blocks, which is
 *             how lookups find them, and is cleared when a block goes; 0: not here
 *
 * Invariants: a place in an array is of a slot that holds that block. A slot never spans segments.
 * Thread:     any; each has its own.     Owns: the memory.
 * Not chosen: lru-cache, which this once was: a kept block was four objects in three places, so that most of a lookup was
 *             waiting for memory, and each one that came or went was an allocation of 4 KiB for the collector. One list
 *             in order of use would cost every hit three writes to cold memory; a bit in the slot is in a line just read.
 */
import type { Entry } from '../base/entry.ts';
import type { Block, Found } from './block.ts';
import {
  copyContent,
  findInSlot,
  KeptBlockBuilder,
  positionInSlot,
  readPosition,
  type Segment,
  SLOT_BYTES,
  SLOT_INDEX,
  SLOT_OWNER,
  SLOT_UNIT,
  SLOT_USED,
  touchPosition,
  touchSlot,
} from './kept-block.ts';

const SEGMENT_BYTES: number = 4 * 1024 * 1024;
const SEGMENTS_PER_BUFFER = 8;
/** Places have 32 bits. */
const MAX_SEGMENTS = 32768;
const PLACE_BITS = 16;
const PLACE_MASK = 0xffff;
/** Of a larger block only one entry would be asked for; and it would push out hundreds of others. */
const MAX_BLOCK_BYTES: number = 1024 * 1024;
/** A smaller rest of a slot stays with the block. */
const MIN_FREE_BYTES = 1024;
/** For one new block the clock spares at most this many recently used ones, then evicts the next regardless. */
const MAX_SPARED = 8;
/** A full cache keeps one in this many of the blocks that lookups missed: keeping one costs more than the lookup. */
const ADMIT_ONE_OF = 64;

/** A table's blocks in the cache. */
export interface CachedTable {
  readonly owner: number;
  /** By index of the block; 0: not in the cache. Empty: the cache keeps nothing. */
  readonly places: Uint32Array;
}

interface Owner extends CachedTable {
  bytes: number;
}

export class BlockCache {
  readonly #segmentBytes: number;
  readonly #segmentCount: number;
  readonly #segments: Segment[] = [];
  /** Where the next segments come from. */
  #buffer: ArrayBuffer = new ArrayBuffer(0);
  readonly #owners = new Map<number, Owner>();
  readonly #builder = new KeptBlockBuilder();
  #nextOwner = 1;
  #segment = 0;
  /** In the segment, in bytes. */
  #cursor = SLOT_UNIT;
  #sizeBytes = 0;
  /** What was never used, and what closed tables have left: blocks that come take it up before others have to go. */
  #roomBytes: number;
  readonly #capacityBytes: number;
  #sinceAdmitted = 0;
  #isBypassed = false;
  hits = 0;
  misses = 0;

  /** `capacityBytes` 0 caches nothing. */
  constructor(capacityBytes: number) {
    const capacity = Math.floor(capacityBytes / SLOT_UNIT) * SLOT_UNIT;
    // All of one size, so that the capacity is used up.
    this.#segmentCount = Math.min(MAX_SEGMENTS, Math.max(1, Math.ceil(capacity / SEGMENT_BYTES)));
    const share = Math.floor(capacity / this.#segmentCount / SLOT_UNIT) * SLOT_UNIT;
    this.#segmentBytes = Math.min(share, SEGMENT_BYTES);
    this.#capacityBytes = capacity;
    this.#roomBytes = capacity;
  }

  /** Bytes of the blocks in the cache. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** Makes room for a table's places. */
  register(blockCount: number): CachedTable {
    const isCaching = this.#segmentBytes > SLOT_UNIT;
    const owner = { owner: this.#nextOwner++, places: new Uint32Array(isCaching ? blockCount : 0), bytes: 0 };
    this.#owners.set(owner.owner, owner);
    return owner;
  }

  /** The table was closed. Its blocks are as good as gone: the cursor takes their slots when it comes past. */
  forget(table: CachedTable): void {
    const owner = this.#owners.get(table.owner);
    if (owner === undefined) return;
    this.#owners.delete(table.owner);
    this.#sizeBytes -= owner.bytes;
    this.#roomBytes += owner.bytes;
    owner.places.fill(0);
  }

  /**
   * Looks for the newest entry of exactly `key` with sequence <= maxSequence in the block at `place`, and points `into` at it,
   * valid until the cache takes the next block; undefined: walk the block ({@link BlockCache.copy}).
   */
  find(
    place: number,
    key: Uint8Array,
    maxSequence: number,
    baseSequence: number,
    into: Entry,
  ): Found | undefined {
    this.hits++;
    const segment = this.#segments[place >>> PLACE_BITS]!;
    const word = wordOf(place);
    if (segment.words[word + SLOT_USED] === 0) segment.words[word + SLOT_USED] = 1;
    return findInSlot(segment, word, key, maxSequence, baseSequence, into);
  }

  /** Asks memory for what a lookup in the block at `place` reads first. */
  touch(place: number): void {
    const segment = this.#segments[place >>> PLACE_BITS]!;
    touchSlot(segment, wordOf(place));
  }

  /** The first half of {@link find}: positionInSlot. */
  position(place: number, key: Uint8Array): number {
    this.hits++;
    const segment = this.#segments[place >>> PLACE_BITS]!;
    const word = wordOf(place);
    if (segment.words[word + SLOT_USED] === 0) segment.words[word + SLOT_USED] = 1;
    return positionInSlot(segment, word, key);
  }

  /** Asks memory for the entry at a position. */
  touchEntry(place: number, position: number): void {
    touchPosition(this.#segments[place >>> PLACE_BITS]!, position);
  }

  /** The second half of {@link find}: readPosition. */
  read(
    place: number,
    position: number,
    key: Uint8Array,
    maxSequence: number,
    baseSequence: number,
    into: Entry,
  ): Found | undefined {
    const segment = this.#segments[place >>> PLACE_BITS]!;
    const word = wordOf(place);
    return readPosition(segment, word, position, key, maxSequence, baseSequence, into);
  }

  /** A block that is read was not here. */
  miss(): void {
    this.misses++;
  }

  /** A copy of the content at `place`, in memory that `take` gives. */
  copy(place: number, take: (length: number) => Uint8Array): Uint8Array {
    this.hits++;
    const segment = this.#segments[place >>> PLACE_BITS]!;
    const word = wordOf(place);
    segment.words[word + SLOT_USED] = 1;
    return copyContent(segment, word, take);
  }

  /**
   * Whether a block that was just missed should be kept. A full cache says no to most: keeping one costs more than the
   * lookup, and among blocks looked up equally often one set is as good as another, while a block that is looked up
   * often is soon asked for again.
   */
  admits(): boolean {
    if (this.#isBypassed) return false;
    if (this.#roomBytes > 0) return true;
    // Every so-manieth in turn: as good as chance, and the same in every run.
    this.#sinceAdmitted = (this.#sinceAdmitted + 1) % ADMIT_ONE_OF;
    return this.#sinceAdmitted === 0;
  }

  /** As {@link BlockCache.admits}, of a block that was waited for: all are kept. */
  admitsFetched(): boolean {
    return !this.#isBypassed;
  }

  /** Carries out `read`, which finds what is here; what it misses is not kept. */
  bypassed<T>(read: () => T): T {
    const before = this.#isBypassed;
    this.#isBypassed = true;
    try {
      return read();
    } finally {
      this.#isBypassed = before;
    }
  }

  /** Keeps a copy of `block`, which is block `index` of `table`, if it can. */
  keep(table: CachedTable, index: number, block: Block): void {
    const owner = this.#owners.get(table.owner);
    if (owner === undefined || owner.places.length === 0 || block.bytes.length > MAX_BLOCK_BYTES) return;
    const needed = this.#builder.prepare(block);
    if (needed > this.#segmentBytes - SLOT_UNIT) return;
    const slotBytes = this.#makeRoom(needed);
    const segment = this.#segments[this.#segment]!;
    this.#builder.write(segment, this.#cursor / 4, slotBytes, owner.owner, index);
    owner.places[index] = (this.#segment << PLACE_BITS) | (this.#cursor / SLOT_UNIT);
    owner.bytes += slotBytes;
    this.#sizeBytes += slotBytes;
    this.#roomBytes = Math.max(0, this.#roomBytes - slotBytes);
    this.#cursor += slotBytes;
  }

  clear(): void {
    for (const owner of this.#owners.values()) {
      owner.places.fill(0);
      owner.bytes = 0;
    }
    this.#segments.length = 0;
    this.#buffer = new ArrayBuffer(0);
    this.#sizeBytes = 0;
    this.#roomBytes = this.#capacityBytes;
    this.#segment = 0;
    this.#cursor = SLOT_UNIT;
  }

  /** Frees at least `needed` bytes at the cursor; returns how many the slot there has now. */
  #makeRoom(needed: number): number {
    let gathered = 0;
    let spared = 0;
    for (;;) {
      if (this.#cursor + gathered >= this.#segmentBytes) {
        this.#nextSegment(gathered);
        gathered = 0;
      }
      const { words } = this.#currentSegment();
      const word = (this.#cursor + gathered) / 4;
      const slotBytes = words[word + SLOT_BYTES]!;
      const owner = this.#owners.get(words[word + SLOT_OWNER]!);
      if (owner !== undefined) {
        if (words[word + SLOT_USED] === 1 && spared < MAX_SPARED) {
          spared++;
          words[word + SLOT_USED] = 0;
          this.#leaveFree(gathered);
          this.#cursor += gathered + slotBytes;
          gathered = 0;
          continue;
        }
        this.#evict(owner, words, word);
      }
      gathered += slotBytes;
      if (gathered < needed) continue;
      if (gathered - needed < MIN_FREE_BYTES) return gathered;
      this.#freeSlot(this.#cursor + needed, gathered - needed);
      return needed;
    }
  }

  #evict(owner: Owner, words: Uint32Array, word: number): void {
    const slotBytes = words[word + SLOT_BYTES]!;
    owner.places[words[word + SLOT_INDEX]!] = 0;
    owner.bytes -= slotBytes;
    this.#sizeBytes -= slotBytes;
  }

  #currentSegment(): Segment {
    const segment = this.#segments[this.#segment];
    if (segment !== undefined) return segment;
    const made = this.#makeSegment();
    this.#segments.push(made);
    this.#freeSlot(SLOT_UNIT, this.#segmentBytes - SLOT_UNIT);
    return made;
  }

  #makeSegment(): Segment {
    const made = this.#segments.length;
    const size = this.#segmentBytes;
    const place = made % SEGMENTS_PER_BUFFER;
    if (place === 0)
      this.#buffer = new ArrayBuffer(size * Math.min(SEGMENTS_PER_BUFFER, this.#segmentCount - made));
    const bytes = new Uint8Array(this.#buffer, place * size, size);
    return { bytes, words: new Uint32Array(this.#buffer, place * size, size / 4), touched: 0 };
  }

  #nextSegment(gathered: number): void {
    this.#leaveFree(gathered);
    this.#cursor = SLOT_UNIT;
    this.#segment++;
    if (this.#segment < this.#segmentCount) return;
    this.#segment = 0;
  }

  /** What was gathered at the cursor is not enough and stays behind, as one slot. */
  #leaveFree(gathered: number): void {
    if (gathered > 0) this.#freeSlot(this.#cursor, gathered);
  }

  #freeSlot(offset: number, slotBytes: number): void {
    const { words } = this.#segments[this.#segment]!;
    words[offset / 4 + SLOT_BYTES] = slotBytes;
    words[offset / 4 + SLOT_OWNER] = 0;
  }
}

/** Where the slot at `place` begins in its segment, in words. */
function wordOf(place: number): number {
  return (place & PLACE_MASK) * (SLOT_UNIT / 4);
}
