/**
 * An open table: answers lookups and makes iterators.
 *
 *   open:   footer -> meta block -> properties, sparse index, bloom filter        read once, kept
 *   lookup: bloom filter -> sparse index -> block (cache, or read + check + decompress) -> search in the block
 *
 * Invariants: nothing a lookup or iterator returns comes from bytes whose checksum was not compared. Whatever the file
 *             holds, failures are CorruptionError with file and offset, or STRATA_UNSUPPORTED (newer format, missing
 *             codec).
 * Owns:     the source. `close` closes it; blocks handed out stay valid, as they are copies.
 * Thread:   the one that opened it.
 * Not chosen: opening a table's blocks by offset. An index is smaller, and cache ids come from it.
 */
import { crc32 } from '../checksum.ts';
import { requireCodec } from '../compression.ts';
import { CorruptionError } from '../errors.ts';
import type { FileNumber } from '../ids.ts';
import type { Entry, InternalIterator } from '../iterator.ts';
import { Block, Found, findInBlock } from './block.ts';
import type { BlockCache, CachedTable } from './block-cache.ts';
import { type DecodeRoom, openBlock, viewBlock } from './block-codec.ts';
import type { BlockSource } from './block-source.ts';
import { decodeFooter, FOOTER_BYTES } from './format.ts';
import { decodeMeta, type TableMetaBlock } from './meta.ts';
import type { TableProperties } from './properties.ts';
import { contentOfSealed, findInSealed } from './sealed-lookup.ts';
import type { SparseIndex } from './sparse-index.ts';
import { TableIterator } from './table-iterator.ts';

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
}

export interface TableIteratorOptions {
  /** false: blocks that are not cached are read past the cache (large scans, compaction). */
  readonly fillCache?: boolean;
}

/**
 * So many keys in a row that were here, and the filter isn't asked until one is not: its answer would be yes, and it is a trip
 * to memory (measured: 0.13 us of a lookup of 1.0). Where every 65th key is absent, one in 65 lookups reads a block in
 * vain; in getMany all keys of a chunk are located before one of them is found to be absent.
 */
const TRUSTED_ROW = 64;
/** A block's place in the cache. */
const PLACE_BYTES = 4;
/** What a reader costs besides index and filter: objects, properties, the source's buffer. */
const OBJECT_BYTES = 10_000;
const NO_PLACES = new Uint32Array(0);

export class TableReader {
  readonly number: FileNumber;
  readonly properties: TableProperties;
  /** What the reader keeps in memory, blocks not included. */
  readonly memoryBytes: number;
  /** Where the blocks lie, and the keys that separate them. */
  readonly index: SparseIndex;
  readonly #filter: TableMetaBlock['filter'];
  readonly #source: BlockSource;
  readonly #cache: BlockCache | undefined;
  readonly #cached: CachedTable | undefined;
  /** Where the cache keeps the blocks, by index; 0 or undefined: it doesn't. */
  readonly #places: Uint32Array;
  readonly #counters: TableCounters;
  /** How many lookups in a row have found their key here. */
  #foundInRow = 0;

  private constructor(source: BlockSource, meta: TableMetaBlock, options: TableReaderOptions) {
    this.number = meta.properties.number;
    this.properties = meta.properties;
    this.index = meta.index;
    this.memoryBytes =
      OBJECT_BYTES +
      meta.index.memoryBytes +
      (meta.filter?.memoryBytes ?? 0) +
      meta.index.blockCount * PLACE_BYTES;
    this.#filter = meta.filter;
    this.#source = source;
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
    const file = source.path;
    const size = source.sizeBytes;
    if (size < FOOTER_BYTES)
      throw new CorruptionError('table is too short for its footer', { file, offset: 0 });
    const footer = decodeFooter(source.read(size - FOOTER_BYTES, FOOTER_BYTES), size, file);
    const offset = footer.metaOffset;
    const bytes = source.read(offset, footer.metaLength);
    if (crc32(bytes) !== footer.metaChecksum) {
      throw new CorruptionError('meta block checksum mismatch', { file, offset });
    }
    const meta = decodeMeta(bytes, offset, file);
    if (meta.properties.number !== expected.number) {
      throw new CorruptionError(
        `table is number ${meta.properties.number} where ${expected.number} is expected`,
        { file, offset },
      );
    }
    requireCodec(meta.properties.codec);
    return new TableReader(source, meta, options);
  }

  get path(): string {
    return this.#source.path;
  }

  get blockCount(): number {
    return this.index.blockCount;
  }

  /**
   * Points `into` at the newest entry of exactly `key` with sequence <= maxSequence; a tombstone is one, too. false:
   * this table says nothing about the key. `keyHash` is hashKey(key). What `into` points to is valid until the next lookup in
   * any table.
   */
  lookup(key: Uint8Array, keyHash: number, maxSequence: number, into: Entry): boolean {
    const index = this.locate(key, keyHash);
    return index >= 0 && this.lookupFrom(index, key, maxSequence, into);
  }

  /** The block in which {@link lookup} begins; -1: this table does not have the key. */
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
    if (place !== undefined && place !== 0) this.#cache!.touch(place);
    else this.#source.touch?.(this.index.blockOffset(index), this.index.blockSize(index));
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
    this.#cache?.miss();
    const sealed = this.#read(index);
    const base = this.properties.baseSequence;
    const offset = this.index.blockOffset(index);
    const found = findInSealed(sealed, this.number, offset, base, key, maxSequence, into);
    if (found === undefined) {
      const block = this.#blockOf(index, viewBlock(sealed, this.number, offset, this.#source.path));
      if (this.#cache?.admits()) this.#cache.keep(this.#cached!, index, block);
      return findInBlock(block, key, maxSequence, into);
    }
    if (this.#cache?.admits())
      this.#cache.keep(this.#cached!, index, this.#blockOf(index, contentOfSealed(sealed)));
    return found;
  }

  iterator(options: TableIteratorOptions = {}): InternalIterator {
    return new TableIterator(this, options.fillCache ?? true);
  }

  /** Block `index`, from the cache or the file: in `room`, if there is one, else in memory of its own. */
  readBlock(index: number, fillCache = true, room: DecodeRoom | undefined = undefined): Block {
    const place = this.#places[index];
    if (place !== undefined && place !== 0) return this.#keptBlock(index, place, room);
    const block = this.#loadBlock(index, room);
    if (this.#cache !== undefined) {
      this.#cache.miss();
      if (fillCache && this.#cache.admits()) this.#cache.keep(this.#cached!, index, block);
    }
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

  #read(index: number): Uint8Array {
    const size = this.index.blockSize(index);
    const sealed = this.#source.read(this.index.blockOffset(index), size);
    this.#counters.blockReads++;
    this.#counters.blockBytesRead += size;
    return sealed;
  }

  #blockOf(index: number, content: Uint8Array): Block {
    return new Block(content, this.properties.baseSequence, this.#source.path, this.index.blockOffset(index));
  }
}
