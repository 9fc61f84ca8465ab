/**
 * The memtable's memory: one SharedArrayBuffer of fixed size that holds the log's bytes and the index over them.
 *
 *   byte 0        header: 32 words of 4 bytes (below)
 *        128      buckets: a word for every 1024 bytes of the arena, the relative sequence of the first entry that starts there
 *        dataStart  data, growing up: the log file's exact bytes, start record first (log-format.ts). A write is encoded
 *                 here once; the log is written from here and the index points into it
 *        ...      free
 *        nodeStart  index nodes (tree.ts), growing down to meet the data
 *        capacity
 *
 *   word  0 layout version      4 data end (byte)      8 tombstone count       12 bytes of keys and values
 *         1 root node (word)    5 node start (byte)    9,10 first sequence     13 index version: odd while the root changes
 *         2 height              6 first leaf (word)    11 published entries    14 data start (byte)
 *         3 entry count         7 last leaf (word)                             15 leaf count
 *        16 use: how often the memory was used before     17 lent: 1 once a value was handed out without a copy
 *        18 to 20 range deletes (memtable-ranges.ts)
 *        21 count of entries that expire                  22,23 the latest moment at which one does
 *
 * An entry is named by its byte offset, its *ref*. Offsets rise in the order of the log, so within one memtable a larger
 * ref is a newer write: order by (key, ref descending) is order by (key, sequence descending).
 *
 * An entry has no room for its sequence, only for its ordinal, which counts from the first entry of its bucket:
 *   relative sequence = word of the bucket + ordinal          sequence = first sequence of the arena + relative sequence
 *
 * The memory of a memtable that nobody reads any more becomes that of another (arena-pool.ts). Nothing is cleared but the
 * header: buckets are written before they are read, and nodes are cleared when they are allocated (tree.ts).
 *
 * Invariants: an entry's bytes, and the word of its bucket, never change once it is in the index: who has its ref has both.
 *             The use rises with each memtable that the memory serves: an iterator of an earlier one fails an assertion.
 *             Memory of which a part was lent is not used again, as whoever has the value may look at it at any time.
 *             Word 11 counts the entries that reads may see; it is stored with Atomics after the log write, and entry i has
 *             sequence firstSequence + i. Data starts at a multiple of 1024, so that buckets are those of the log.
 * Thread:     main writes; any thread may read, and mark it as lent. Once frozen nothing else changes.
 * Not chosen: a growable buffer (length-tracking views measured 15 times slower); a second copy of each write for the log.
 */
import { assert } from '../base/assert.ts';
import { StorageError } from '../base/errors.ts';
import { BUCKET_SHIFT } from '../log/log-format.ts';

export const HEADER_BYTES = 128;
const LAYOUT_VERSION = 2;
const BUCKET_BYTES: number = 1 << BUCKET_SHIFT;
/** Where the words of the buckets begin. */
export const BUCKETS: number = HEADER_BYTES / 4;

export const ROOT = 1;
export const HEIGHT = 2;
export const ENTRY_COUNT = 3;
export const DATA_END = 4;
export const NODE_START = 5;
export const FIRST_LEAF = 6;
export const LAST_LEAF = 7;
export const TOMBSTONE_COUNT = 8;
const FIRST_SEQUENCE_LOW = 9;
const FIRST_SEQUENCE_HIGH = 10;
const PUBLISHED_COUNT = 11;
export const RAW_BYTES = 12;
export const INDEX_VERSION = 13;
const DATA_START = 14;
export const LEAF_COUNT = 15;
const USE = 16;
const LENT = 17;
export const RANGE_COUNT = 18;
export const RANGE_HEAD = 19;
export const RANGE_TAIL = 20;
const EXPIRING_COUNT = 21;
const LATEST_EXPIRY_LOW = 22;
const LATEST_EXPIRY_HIGH = 23;

/** Refs and offsets are 32-bit words. */
export const MAX_ARENA_BYTES = 0xfffff000;

/** The sequence of the entry at `ref`, counted from the first of the arena. */
export function relativeSequence(words: Uint32Array, bytes: Uint8Array, ref: number): number {
  return words[BUCKETS + (ref >>> BUCKET_SHIFT)]! + (bytes[ref]! >>> 1);
}

/** Where the data of an arena of that size starts: behind its header and buckets, at the start of a bucket. */
export function dataStartOf(capacityBytes: number): number {
  const tableEnd = HEADER_BYTES + 4 * Math.ceil(capacityBytes / BUCKET_BYTES);
  return Math.ceil(tableEnd / BUCKET_BYTES) * BUCKET_BYTES;
}

/** The size of an arena with room for this many bytes of data and nodes. */
export function capacityFor(contentBytes: number): number {
  const fixedBytes = HEADER_BYTES + 2 * BUCKET_BYTES;
  return Math.ceil(((contentBytes + fixedBytes) * BUCKET_BYTES) / (BUCKET_BYTES - 4));
}

export class MemtableArena {
  readonly buffer: SharedArrayBuffer;
  readonly bytes: Uint8Array<SharedArrayBuffer>;
  readonly words: Uint32Array<SharedArrayBuffer>;
  /** Of all bytes, to copy entries by. */
  readonly view: DataView<SharedArrayBuffer>;
  readonly firstSequence: number;
  /** Which memtable of this memory it is. */
  readonly #use: number;

  private constructor(buffer: SharedArrayBuffer) {
    this.buffer = buffer;
    this.bytes = new Uint8Array(buffer);
    this.words = new Uint32Array(buffer);
    this.view = new DataView(buffer);
    this.firstSequence = this.words[FIRST_SEQUENCE_HIGH]! * 0x100000000 + this.words[FIRST_SEQUENCE_LOW]!;
    this.#use = this.words[USE]!;
  }

  /** A fresh arena of `capacityBytes` (rounded to words); nothing is committed by the OS until it is touched. */
  static create(capacityBytes: number, firstSequence: number): MemtableArena {
    const capacity = Math.min(MAX_ARENA_BYTES, Math.ceil(capacityBytes / 8) * 8);
    assert(dataStartOf(capacity) < capacity, 'an arena must have room for data');
    return MemtableArena.#over(allocate(capacity), firstSequence, 0);
  }

  /** An empty one in the memory of `used`, which nobody reads any more. Requires: nothing of it was lent. */
  static reuse(used: MemtableArena, firstSequence: number): MemtableArena {
    used.assertCurrent();
    assert(!used.isLent, 'memory that was lent is not used again');
    return MemtableArena.#over(used.buffer, firstSequence, (used.#use + 1) >>> 0);
  }

  static #over(buffer: SharedArrayBuffer, firstSequence: number, use: number): MemtableArena {
    const capacity = buffer.byteLength;
    const words = new Uint32Array(buffer, 0, HEADER_BYTES / 4);
    words.fill(0);
    words[0] = LAYOUT_VERSION;
    words[DATA_START] = dataStartOf(capacity);
    words[DATA_END] = dataStartOf(capacity);
    words[NODE_START] = capacity;
    words[FIRST_SEQUENCE_LOW] = firstSequence % 0x100000000;
    words[FIRST_SEQUENCE_HIGH] = Math.floor(firstSequence / 0x100000000);
    words[USE] = use;
    return new MemtableArena(buffer);
  }

  /** The same memory, seen from another thread. */
  static attach(buffer: SharedArrayBuffer): MemtableArena {
    const arena = new MemtableArena(buffer);
    assert(arena.words[0] === LAYOUT_VERSION, 'not a memtable arena of this version');
    return arena;
  }

  /** The memory still serves this memtable. */
  assertCurrent(): void {
    assert(this.words[USE] === this.#use, 'the memory of a memtable was used again while somebody read it');
  }

  /** Whether a view of it was handed out, by any thread. */
  get isLent(): boolean {
    return Atomics.load(this.words, LENT) !== 0;
  }

  get capacityBytes(): number {
    return this.buffer.byteLength;
  }

  get dataStart(): number {
    return this.words[DATA_START]!;
  }

  get dataEnd(): number {
    return this.words[DATA_END]!;
  }

  get entryCount(): number {
    return this.words[ENTRY_COUNT]!;
  }

  get rangeCount(): number {
    return this.words[RANGE_COUNT]!;
  }

  /** Of single keys. */
  get tombstoneCount(): number {
    return this.words[TOMBSTONE_COUNT]!;
  }

  get expiringCount(): number {
    return this.words[EXPIRING_COUNT]!;
  }

  /** When the last of its entries that expire does so, in milliseconds since 1970. */
  get latestExpiry(): number {
    return this.words[LATEST_EXPIRY_HIGH]! * 0x100000000 + this.words[LATEST_EXPIRY_LOW]!;
  }

  /** Counts an entry that expires at `momentMs`. */
  noteExpiring(momentMs: number): void {
    this.words[EXPIRING_COUNT]!++;
    if (momentMs <= this.latestExpiry) return;
    this.words[LATEST_EXPIRY_LOW] = momentMs % 0x100000000;
    this.words[LATEST_EXPIRY_HIGH] = Math.floor(momentMs / 0x100000000);
  }

  /** Bytes of keys and values, as given by the user. */
  get rawBytes(): number {
    return this.words[RAW_BYTES]!;
  }

  /** Bytes in use by data and index together, and by the words of the buckets in use. */
  get usedBytes(): number {
    const dataBytes = this.words[DATA_END]! - this.words[DATA_START]!;
    const bucketBytes = 4 * Math.ceil(dataBytes / BUCKET_BYTES);
    return HEADER_BYTES + bucketBytes + dataBytes + (this.capacityBytes - this.words[NODE_START]!);
  }

  get freeBytes(): number {
    return this.words[NODE_START]! - this.words[DATA_END]!;
  }

  /** Makes room for `byteLength` data bytes and returns where they start. Requires: freeBytes allow it. */
  reserve(byteLength: number): number {
    const start = this.words[DATA_END]!;
    assert(start + byteLength <= this.words[NODE_START]!, 'the arena is full');
    this.words[DATA_END] = start + byteLength;
    return start;
  }

  /** Lets readers on every thread see the first `count` entries. The store is the release that makes them whole. */
  publish(count: number): void {
    Atomics.store(this.words, PUBLISHED_COUNT, count);
  }

  get publishedCount(): number {
    return Atomics.load(this.words, PUBLISHED_COUNT);
  }
}

/**
 * A part of the arena as a view for the application; `bytes` are those of all of it. Requires: a read under way keeps the arena
 * from being used again, so that its owner, who looks when the read is over, sees the mark.
 */
export function lend(bytes: Uint8Array, start: number, end: number): Buffer {
  assert(bytes.byteOffset === 0, 'these are not all bytes of an arena');
  Atomics.store(bytes, LENT * 4, 1);
  return Buffer.from(bytes.buffer, start, end - start);
}

function allocate(byteLength: number): SharedArrayBuffer {
  try {
    return new SharedArrayBuffer(byteLength);
  } catch (cause) {
    throw new StorageError('STRATA_IO', `cannot allocate a memtable of ${byteLength} bytes`, { cause });
  }
}
