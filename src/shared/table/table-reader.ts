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
import { DecodeRoom, openBlock } from './block-codec.ts';
import { BlockKeyIndex } from './block-key-index.ts';
import type { BlockSource } from './block-source.ts';
import { decodeFooter, FOOTER_BYTES } from './format.ts';
import { decodeMeta, type TableMetaBlock } from './meta.ts';
import type { TableProperties } from './properties.ts';
import type { SparseIndex } from './sparse-index.ts';
import { TableIterator } from './table-iterator.ts';

/**
 * Decides which decoded blocks are kept, and for how long. Readers find the kept ones of their table themselves, in an array:
 * a look-up in a shared map touches half a dozen cache lines, which is most of what a lookup in a kept block costs.
 */
export interface BlockCache {
  /** The first of `blockCount` consecutive ids, which are never used again. */
  allocate(blockCount: number): number;
  /** The reader found block `id` kept. */
  hit(id: number): void;
  /** The reader did not. */
  miss(): void;
  /** Takes a block; false: it is not kept. When it is to go, the cache tells the block ({@link Block.evict}). */
  set(id: number, block: Block): boolean;
  /**
   * Whether a block that a lookup has just missed should be kept. A full cache says no to most: keeping one costs more than
   * the lookup, and among blocks looked up equally often any set is as good as any other, while a block that is looked up
   * often is soon asked for again.
   */
  admits(): boolean;
}

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

/** For blocks that are looked into once and not kept. */
const scratch = new DecodeRoom();

const WALKS_BEFORE_INDEX = 3;
const POINTER_BYTES = 8;
/** What a reader costs besides index and filter: objects, properties, the source's buffer. */
const OBJECT_BYTES = 10_000;

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
  readonly #firstBlockId: number;
  /** The blocks that the cache keeps, by index. */
  readonly #kept: (Block | undefined)[];
  readonly #counters: TableCounters;

  private constructor(source: BlockSource, meta: TableMetaBlock, options: TableReaderOptions) {
    this.number = meta.properties.number;
    this.properties = meta.properties;
    this.index = meta.index;
    this.memoryBytes =
      OBJECT_BYTES +
      meta.index.memoryBytes +
      (meta.filter?.memoryBytes ?? 0) +
      meta.index.blockCount * POINTER_BYTES;
    this.#filter = meta.filter;
    this.#source = source;
    this.#cache = options.cache;
    this.#firstBlockId = options.cache?.allocate(meta.index.blockCount) ?? 0;
    this.#kept = new Array<Block | undefined>(options.cache === undefined ? 0 : meta.index.blockCount).fill(
      undefined,
    );
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
    if (this.#filter !== undefined) {
      this.#counters.bloomChecks++;
      if (!this.#filter.mayContain(keyHash)) {
        this.#counters.bloomRejections++;
        return false;
      }
    }
    for (let index = this.index.find(key); index < this.index.blockCount; index++) {
      const found = this.#findIn(index, key, maxSequence, into);
      if (found !== Found.Beyond) return found === Found.Here;
    }
    return false;
  }

  #findIn(index: number, key: Uint8Array, maxSequence: number, into: Entry): Found {
    const kept = this.#keptBlock(index);
    if (kept === undefined)
      return findInBlock(this.#loadAndKeep(index, true, scratch), key, maxSequence, into);
    if (kept.keyIndex === undefined) {
      // Making the index costs as much as a few walks: only a block that is asked again is worth it.
      if (++kept.walkCount < WALKS_BEFORE_INDEX) return findInBlock(kept, key, maxSequence, into);
      kept.keyIndex = BlockKeyIndex.build(kept);
    }
    return kept.keyIndex.find(kept, key, maxSequence, into) ?? findInBlock(kept, key, maxSequence, into);
  }

  iterator(options: TableIteratorOptions = {}): InternalIterator {
    return new TableIterator(this, options.fillCache ?? true);
  }

  /** Block `index`, from the cache or the file. One that the cache doesn't keep lives in `room`, if there is one. */
  readBlock(index: number, fillCache = true, room?: DecodeRoom): Block {
    return this.#keptBlock(index) ?? this.#loadAndKeep(index, fillCache, room);
  }

  #keptBlock(index: number): Block | undefined {
    const block = this.#kept[index];
    if (block !== undefined) this.#cache?.hit(this.#firstBlockId + index);
    return block;
  }

  #loadAndKeep(index: number, fillCache: boolean, room: DecodeRoom | undefined): Block {
    const cache = this.#cache;
    if (cache === undefined) return this.#loadBlock(index, room);
    cache.miss();
    if (!fillCache || !cache.admits()) return this.#loadBlock(index, room);
    const block = this.#loadBlock(index);
    if (cache.set(this.#firstBlockId + index, block)) {
      // Only the array: a kept block must not keep the index and filter of a table that was closed.
      const kept = this.#kept;
      kept[index] = block;
      block.evict = () => {
        kept[index] = undefined;
      };
    }
    return block;
  }

  /** Idempotent. */
  close(): void {
    this.#source.close();
  }

  /** With `room`, the block lives in it until the next block does. */
  #loadBlock(index: number, room?: DecodeRoom): Block {
    const offset = this.index.blockOffset(index);
    const size = this.index.blockSize(index);
    const sealed = this.#source.read(offset, size);
    this.#counters.blockReads++;
    this.#counters.blockBytesRead += size;
    const content = openBlock(sealed, this.number, offset, this.#source.path, room);
    return new Block(content, this.properties.baseSequence, this.#source.path, offset);
  }
}
