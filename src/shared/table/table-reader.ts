/**
 * An open table: answers lookups and makes iterators.
 *
 *   open:   footer -> meta block -> properties, sparse index, bloom filter        read once, kept
 *   lookup: bloom filter -> sparse index -> block (cache, or read + check + decompress) -> search in the block
 *
 * Invariants: nothing a lookup or iterator returns comes from bytes whose checksum was not compared. Whatever the file
 *             holds, failures are CorruptionError with file and offset, or STRATA_UNSUPPORTED (newer format, missing
 *             codec).
 *             While an awaited read may not wait, a block that is not in memory is a WouldWait (would-wait.ts).
 * Owns:     the source. `close` closes it; blocks handed out stay valid, as they are copies.
 * Thread:   the one that opened it.
 * Not chosen: naming blocks by file offset. A block's index is a smaller number, and the cache uses it.
 */
import { crc32 } from '../base/checksum.ts';
import type { Entry } from '../base/entry.ts';
import { CorruptionError } from '../base/errors.ts';
import type { FileNumber } from '../base/ids.ts';
import type { Disk } from '../disk/disk.ts';
import type { QueueTicket } from '../disk/disk-queue.ts';
import { type Fetched, WouldWait } from '../disk/would-wait.ts';
import type { RangeDeletes } from '../ranges/range-deletes.ts';
import { Block, Found, findInBlock } from './block.ts';
import type { BlockCache, CachedTable } from './block-cache.ts';
import { type DecodeRoom, openBlock, viewBlock } from './block-codec.ts';
import type { BlockSource } from './block-source.ts';
import { requireCodec } from './compression.ts';
import { decodeFooter, FOOTER_BYTES, type Footer } from './format.ts';
import { Landings } from './landings.ts';
import { decodeMeta, type MetaBlock } from './meta-block.ts';
import type { TableProperties } from './properties.ts';
import { contentOfSealed, findInSealed } from './sealed-lookup.ts';
import type { SparseIndex } from './sparse-index.ts';

/** Counted up by every reader that shares them. */
export interface TableCounters {
  bloomChecks: number;
  bloomRejections: number;
  blockReads: number;
  blockBytesRead: number;
}

export interface TableReaderOptions {
  readonly cache?: BlockCache | undefined;
  readonly counters?: TableCounters | undefined;
  /** Of a reader whose awaited reads must not wait for the disk within the call. */
  readonly disk?: Disk | undefined;
  /** Keeps this reader open until the returned function is called. */
  readonly hold?: (() => () => void) | undefined;
  /** false: no key is looked up, and the filter is not kept (a compaction's inputs are many, and their filters megabytes). */
  readonly hasFilter?: boolean;
}

export interface TableIteratorOptions {
  /** false: blocks that are not cached are read past the cache (large scans, compaction). */
  readonly fillCache?: boolean;
}

/**
 * After this many lookups in a row that found their key, the filter is skipped until one misses: it would say yes, and asking
 * costs a cache miss (measured: 0.13 us of a lookup of 1.0). Where every 65th key is absent, one in 65 lookups reads a block in
 * vain; getMany locates all keys of a chunk before it finds one of them absent.
 */
const TRUSTED_ROW = 64;
/** A block's place in the cache. */
const PLACE_BYTES = 4;
/** What a reader costs besides index and filter: objects, properties, the source's buffer. */
const OBJECT_BYTES = 10_000;
const NO_PLACES = new Uint32Array(0);
const NOT_HELD = (): (() => void) => () => undefined;
/** What opening reads at first: footer and meta block of most tables, in one go. */
const TAIL_BYTES = 65536;

export class TableReader {
  readonly number: FileNumber;
  readonly properties: TableProperties;
  /** What the reader keeps in memory, blocks not included. */
  readonly memoryBytes: number;
  /** Where the blocks lie, and the keys that separate them. */
  readonly index: SparseIndex;
  /** undefined: the table deletes no range. */
  readonly ranges: MetaBlock['ranges'];
  readonly #filter: MetaBlock['filter'];
  readonly #source: BlockSource;
  readonly #cache: BlockCache | undefined;
  readonly #cached: CachedTable | undefined;
  /** Where the cache keeps the blocks, by index; 0 or undefined: it doesn't. */
  readonly #places: Uint32Array;
  readonly #counters: TableCounters;
  readonly #disk: Disk | undefined;
  readonly #landings: Landings;
  /** How many lookups in a row have found their key here. */
  #foundInRow = 0;

  private constructor(source: BlockSource, meta: MetaBlock, options: TableReaderOptions) {
    this.number = meta.properties.number;
    this.properties = meta.properties;
    this.index = meta.index;
    this.memoryBytes =
      OBJECT_BYTES +
      meta.index.memoryBytes +
      (meta.filter?.memoryBytes ?? 0) +
      (meta.ranges?.memoryBytes ?? 0) +
      meta.index.blockCount * PLACE_BYTES;
    this.ranges = meta.ranges;
    this.#filter = meta.filter;
    this.#source = source;
    this.#disk = options.disk;
    this.#landings = new Landings(source, this.index, options.hold ?? NOT_HELD);
    this.#cache = options.cache;
    this.#cached = options.cache?.register(meta.index.blockCount);
    this.#places = this.#cached?.places ?? NO_PLACES;
    this.#counters = options.counters ?? {
      bloomChecks: 0,
      bloomRejections: 0,
      blockReads: 0,
      blockBytesRead: 0,
    };
  }

  /** Opens the table in `source`, which must be `expected.number`. The source stays the caller's if this throws. */
  static open(
    source: BlockSource,
    expected: { readonly number: FileNumber },
    options: TableReaderOptions = {},
  ): TableReader {
    const footerOffset = footerOffsetOf(source);
    const footer = decodeFooter(source.read(footerOffset, FOOTER_BYTES), source.sizeBytes, source.path);
    const bytes = source.read(footer.metaOffset, footer.metaLength);
    return new TableReader(source, checkMeta(bytes, footer, source.path, expected.number, options), options);
  }

  /** {@link TableReader.open}, waiting for nothing within the call. */
  static async openLater(
    source: BlockSource,
    expected: { readonly number: FileNumber },
    options: TableReaderOptions,
    ticket?: QueueTicket,
  ): Promise<TableReader> {
    const footerOffset = footerOffsetOf(source);
    const tailOffset = Math.max(0, source.sizeBytes - TAIL_BYTES);
    const tail = await source.readLater(tailOffset, source.sizeBytes - tailOffset, true, ticket);
    const footer = decodeFooter(tail.subarray(footerOffset - tailOffset), source.sizeBytes, source.path);
    const { metaOffset, metaLength } = footer;
    const bytes =
      metaOffset >= tailOffset
        ? tail.subarray(metaOffset - tailOffset, metaOffset - tailOffset + metaLength)
        : await source.readLater(metaOffset, metaLength, true, ticket);
    return new TableReader(source, checkMeta(bytes, footer, source.path, expected.number, options), options);
  }

  get path(): string {
    return this.#source.path;
  }

  get blockCount(): number {
    return this.index.blockCount;
  }

  /**
   * Points `into` at the newest entry of exactly `key` with sequence <= maxSequence; a tombstone is one, too, and so is a range
   * delete that is newer than it. false: this table says nothing about the key. `keyHash` is hashKey(key). What `into` points to
   * is valid until the next lookup in any table.
   */
  lookup(key: Uint8Array, keyHash: number, maxSequence: number, into: Entry): boolean {
    if (this.ranges !== undefined) return this.#lookupUnder(this.ranges, key, keyHash, maxSequence, into);
    const index = this.locate(key, keyHash);
    return index >= 0 && this.lookupFrom(index, key, maxSequence, into);
  }

  #lookupUnder(
    ranges: RangeDeletes,
    key: Uint8Array,
    keyHash: number,
    maxSequence: number,
    into: Entry,
  ): boolean {
    const deleted = ranges.sequenceAt(key, 0, key.length, maxSequence);
    if (deleted < this.properties.largestSequence) {
      const index = this.locate(key, keyHash);
      const isFound = index >= 0 && this.lookupFrom(index, key, maxSequence, into);
      if (deleted === 0 || (isFound && into.sequence > deleted)) return isFound;
    }
    into.setDeleted(deleted);
    return true;
  }

  /** The block in which {@link lookup} begins; -1: this table does not have the key. Requires: it deletes no range. */
  locate(key: Uint8Array, keyHash: number): number {
    if (this.#filter !== undefined && this.#foundInRow < TRUSTED_ROW) {
      this.#counters.bloomChecks++;
      if (!this.#filter.mayContain(keyHash)) {
        this.#counters.bloomRejections++;
        this.#foundInRow = 0;
        return -1;
      }
    }
    const index = this.index.find(key);
    return index < this.index.blockCount ? index : -1;
  }

  /** As {@link lookup}, from the block that {@link locate} gave. */
  lookupFrom(first: number, key: Uint8Array, maxSequence: number, into: Entry): boolean {
    for (let index = first; index < this.index.blockCount; index++) {
      const found = this.#findIn(index, key, maxSequence, into);
      if (found === Found.Beyond) continue;
      this.#foundInRow = found === Found.Here ? this.#foundInRow + 1 : 0;
      return found === Found.Here;
    }
    this.#foundInRow = 0;
    return false;
  }

  /** Whether the cache has block `index`. */
  hasCached(index: number): boolean {
    return (this.#places[index] ?? 0) !== 0;
  }

  /** Asks memory for what a lookup in block `index` reads first. Only makes that faster. */
  touch(index: number): void {
    const place = this.#places[index];
    if (place !== undefined && place !== 0) {
      this.#cache!.touch(place);
      return;
    }
    const source = this.#source;
    if (source.touch === undefined || this.#landings.bytesOf(index) !== undefined) return;
    const offset = this.index.blockOffset(index);
    const size = this.index.blockSize(index);
    if (this.#mayWait || source.readNow(offset, size) !== undefined) source.touch(offset, size);
  }

  /** Where block `index`, which the cache has, may have `key`: for the next two, until a block comes into the cache. */
  positionInCached(index: number, key: Uint8Array): number {
    return this.#cache!.position(this.#places[index]!, key);
  }

  touchCached(index: number, position: number): void {
    this.#cache!.touchEntry(this.#places[index]!, position);
  }

  /** As {@link lookup}; undefined: ask {@link lookupFrom}. */
  readCached(
    index: number,
    position: number,
    key: Uint8Array,
    maxSequence: number,
    into: Entry,
  ): boolean | undefined {
    const base = this.properties.baseSequence;
    const found = this.#cache!.read(this.#places[index]!, position, key, maxSequence, base, into);
    if (found === undefined) return undefined;
    this.#foundInRow = found === Found.Here ? this.#foundInRow + 1 : 0;
    return found === Found.Here;
  }

  #findIn(index: number, key: Uint8Array, maxSequence: number, into: Entry): Found {
    const place = this.#places[index];
    if (place !== undefined && place !== 0) {
      const base = this.properties.baseSequence;
      const found = this.#cache!.find(place, key, maxSequence, base, into);
      return found ?? findInBlock(this.#keptBlock(index, place), key, maxSequence, into);
    }
    const sealed = this.#read(index);
    const base = this.properties.baseSequence;
    const offset = this.index.blockOffset(index);
    const found = findInSealed(sealed, this.number, offset, base, key, maxSequence, into);
    if (found === undefined) {
      const block = this.#blockOf(index, viewBlock(sealed, this.number, offset, this.#source.path));
      if (this.#admits(index)) this.#cache!.keep(this.#cached!, index, block);
      return findInBlock(block, key, maxSequence, into);
    }
    if (this.#admits(index))
      this.#cache!.keep(this.#cached!, index, this.#blockOf(index, contentOfSealed(sealed)));
    return found;
  }

  /** Block `index`, from the cache or the file: in `room`, if there is one, else in memory of its own. */
  readBlock(index: number, fillCache = true, room: DecodeRoom | undefined = undefined): Block {
    const place = this.#places[index];
    if (place !== undefined && place !== 0) return this.#keptBlock(index, place, room);
    const block = this.#loadBlock(index, room);
    if (fillCache && this.#cache?.admits()) this.#cache.keep(this.#cached!, index, block);
    return block;
  }

  /** A copy of a block that the cache has. */
  #keptBlock(index: number, place: number, room?: DecodeRoom): Block {
    const take = (length: number): Uint8Array => room?.take(length) ?? new Uint8Array(length);
    return this.#blockOf(index, this.#cache!.copy(place, take));
  }

  /** Idempotent. */
  close(): void {
    if (this.#cached !== undefined) this.#cache?.forget(this.#cached);
    this.#source.close();
  }

  /** The block lives in `room` until the next block does; without it in memory of its own. */
  #loadBlock(index: number, room?: DecodeRoom): Block {
    const sealed = this.#read(index);
    const offset = this.index.blockOffset(index);
    return this.#blockOf(index, openBlock(sealed, this.number, offset, this.#source.path, room));
  }

  /** Whether nothing has to be waited for to have block `index`. */
  isHere(index: number): boolean {
    return (
      this.hasCached(index) ||
      this.#landings.bytesOf(index) !== undefined ||
      this.#source.readNow(this.index.blockOffset(index), this.index.blockSize(index)) !== undefined
    );
  }

  /** Has blocks `first` to `last` read, in one piece, and keeps them until they are given back. Those under way are waited
   * for. */
  fetch(first: number, last: number, isUrgent: boolean): Fetched {
    return this.#landings.fetch(first, last, isUrgent);
  }

  get #mayWait(): boolean {
    return this.#disk === undefined || this.#disk.mayWait;
  }

  /** Keeping what was waited for costs little beside the waiting; of what memory has, the cache keeps some. */
  #admits(index: number): boolean {
    if (this.#cache === undefined) return false;
    return this.#landings.bytesOf(index) === undefined ? this.#cache.admits() : this.#cache.admitsFetched();
  }

  #read(index: number): Uint8Array {
    const size = this.index.blockSize(index);
    const offset = this.index.blockOffset(index);
    const sealed =
      this.#landings.bytesOf(index) ??
      (this.#mayWait ? this.#source.read(offset, size) : this.#source.readNow(offset, size));
    if (sealed === undefined)
      throw new WouldWait({ fetch: (isUrgent) => this.#landings.fetch(index, index, isUrgent) });
    this.#cache?.miss();
    this.#counters.blockReads++;
    this.#counters.blockBytesRead += size;
    return sealed;
  }

  #blockOf(index: number, content: Uint8Array): Block {
    return new Block(content, this.properties.baseSequence, this.#source.path, this.index.blockOffset(index));
  }
}

function footerOffsetOf(source: BlockSource): number {
  if (source.sizeBytes < FOOTER_BYTES)
    throw new CorruptionError('table is too short for its footer', { file: source.path, offset: 0 });
  return source.sizeBytes - FOOTER_BYTES;
}

/** The meta block, once it is shown to be sound, of this table, and readable here. */
function checkMeta(
  bytes: Uint8Array,
  footer: Footer,
  file: string,
  number: FileNumber,
  options: TableReaderOptions,
): MetaBlock {
  const offset = footer.metaOffset;
  if (crc32(bytes) !== footer.metaChecksum)
    throw new CorruptionError('meta block checksum mismatch', { file, offset });
  const meta = decodeMeta(bytes, offset, file, options.hasFilter);
  if (meta.properties.number !== number)
    throw new CorruptionError(`table is number ${meta.properties.number} where ${number} is expected`, {
      file,
      offset,
    });
  requireCodec(meta.properties.codec);
  return meta;
}
