/**
 * The option types of StrataLevel, by classic-level's names.
 *
 * Thread: any. Types alone.
 */
import type {
  AbstractBatchOptions,
  AbstractChainedBatch,
  AbstractChainedBatchPutOptions,
  AbstractDatabaseOptions,
  AbstractDelOptions,
  AbstractGetManyOptions,
  AbstractGetOptions,
  AbstractHasManyOptions,
  AbstractHasOptions,
  AbstractIteratorOptions,
  AbstractKeyIteratorOptions,
  AbstractOpenOptions,
  AbstractPutOptions,
  AbstractValueIteratorOptions,
  Transcoder,
} from 'abstract-level';
import type { EngineOptions } from '../main/store/open-request.ts';

/** Options of open(), and of the constructor: classic-level's, and the engine's beyond them. */
export interface OpenOptions
  extends AbstractOpenOptions,
    Omit<EngineOptions, 'compression' | 'createIfMissing' | 'errorIfExists'> {
  /** true: snappy; false: none. Or a codec by its name. Default true. */
  readonly compression?: boolean | EngineOptions['compression'];
  /**
   * Several threads of this process may have the database open, each of them with this option: one owns the store, the others
   * read beside it and send their writes to it. Default false.
   */
  readonly multithreading?: boolean | undefined;
}

/** Options of the constructor. */
export interface DatabaseOptions<K, V> extends AbstractDatabaseOptions<K, V>, Omit<OpenOptions, 'passive'> {}

interface LevelReads {
  /** false: blocks that are not in the cache are read past it. Default true. */
  fillCache?: boolean | undefined;
}

interface LevelWrites {
  /** Wait until the write would survive power loss. Default: the option `sync` of open(), which is false. */
  sync?: boolean | undefined;
}

interface LevelPuts extends LevelWrites {
  /** Milliseconds from the call after which the value is gone. Default: it stays. */
  ttl?: number | undefined;
}

interface LevelIterators extends LevelReads {
  /** What next() reads ahead, and nextv() returns, in bytes: both stop behind the entry that exceeds it. Default 16 KiB. */
  highWaterMarkBytes?: number | undefined;
}

export interface GetOptions<K, V> extends AbstractGetOptions<K, V>, LevelReads {}
export interface GetManyOptions<K, V> extends AbstractGetManyOptions<K, V>, LevelReads {}
export interface HasOptions<K> extends AbstractHasOptions<K>, LevelReads {}
export interface HasManyOptions<K> extends AbstractHasManyOptions<K>, LevelReads {}
export interface LevelPutOptions<K, V> extends AbstractPutOptions<K, V>, LevelPuts {}
export interface DelOptions<K> extends AbstractDelOptions<K>, LevelWrites {}
export interface BatchOptions<K, V> extends AbstractBatchOptions<K, V>, LevelPuts {}
export interface ChainedBatchWriteOptions extends LevelWrites {}
export interface IteratorOptions<K, V> extends AbstractIteratorOptions<K, V>, LevelIterators {}
export interface KeyIteratorOptions<K> extends AbstractKeyIteratorOptions<K>, LevelIterators {}
export interface ValueIteratorOptions<K, V> extends AbstractValueIteratorOptions<K, V>, LevelIterators {}

/** Options of approximateSize() and compactRange(). */
export interface StartEndOptions<K> {
  keyEncoding?: string | Transcoder.PartialEncoder<K> | undefined;
}

/** db.batch() without operations. */
export interface LevelBatch<TDatabase, KDefault, VDefault>
  extends AbstractChainedBatch<TDatabase, KDefault, VDefault> {
  put(key: KDefault, value: VDefault): this;
  put<K = KDefault, V = VDefault>(
    key: K,
    value: V,
    options: AbstractChainedBatchPutOptions<TDatabase, K, V> & Pick<LevelPuts, 'ttl'>,
  ): this;
  write(): Promise<void>;
  write(options: ChainedBatchWriteOptions): Promise<void>;
}
