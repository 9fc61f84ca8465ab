/**
 * StrataLevel: an abstract-level 3 database over a StorageEngine, with the options, methods and errors of classic-level 3.
 *
 *   get, getMany, has         the engine's reads; formats.ts              iterator, keys, values    iterators.ts, cursor.ts
 *   put, del, batch           writes.ts, batches.ts                       snapshot                  level-snapshot.ts
 *   clear                     clear.ts                                    getProperty               properties.ts
 *   open, close               open-level.ts, in-flight.ts                 transaction               level-transaction.ts
 *
 * The methods whose names begin with `_` are abstract-level's to call: encodings, hooks, events, sublevels, deferred opening and
 * most checks are its work.
 *
 * Invariants: a read is of the moment of its call. Options that the engine knows and classic-level does not are handed on.
 * Thread:     any; one database per thread.     Owns: the engine, from open to close.
 * Long:       the whole public face in one place; most of it are contracts.
 */
import { type AbstractBatchOperation, AbstractLevel, type AbstractOpenOptions } from 'abstract-level';
import type { CheckpointReport } from '../main/copy/checkpoint.ts';
import { StorageEngine } from '../main/engine.ts';
import type { RepairReport } from '../main/repair/repair-report.ts';
import type { EngineStats } from '../main/store/counters.ts';
import type { VerifyOptions, VerifyReport } from '../main/verify-store.ts';
import type { Bytes } from '../shared/base/input-bytes.ts';
import { WriteBatch } from '../shared/log/write-batch.ts';
import type { TransactionOptions } from '../shared/transact/run-transaction.ts';
import { ChainedBatch, fillBatch, type LevelOperation, type WriteBatches } from './batches.ts';
import { type ClearOptions, clearRange } from './clear.ts';
import type { CursorOptions } from './cursor.ts';
import { type Format, inputOf, outputOf, readOptionsOf } from './formats.ts';
import { InFlight } from './in-flight.ts';
import { EntryIterator, KeyIterator, ValueIterator } from './iterators.ts';
import { LevelError, levelErrorOf, notOpen, tellCause } from './level-error.ts';
import { LevelSnapshot } from './level-snapshot.ts';
import { LevelTransaction } from './level-transaction.ts';
import type {
  BatchOptions,
  DatabaseOptions,
  DelOptions,
  GetManyOptions,
  GetOptions,
  HasManyOptions,
  HasOptions,
  IteratorOptions,
  KeyIteratorOptions,
  LevelBatch,
  LevelPutOptions,
  OpenOptions,
  StartEndOptions,
  ValueIteratorOptions,
} from './level-types.ts';
import { type OpenLevel, openLevel } from './open-level.ts';
import { propertyOf } from './properties.ts';
import { type LevelWriteOptions, Writes } from './writes.ts';

/** Batches of more bytes give their memory back. */
const KEPT_BATCH_BYTES = 1048576;

/** What abstract-level hands on with a read. */
interface LevelReadOptions {
  readonly keyEncoding?: Format;
  readonly valueEncoding?: Format;
  readonly fillCache?: boolean | undefined;
  readonly snapshot?: unknown;
}

const MANIFEST = {
  encodings: { buffer: true, utf8: true, view: true },
  has: true,
  createIfMissing: true,
  errorIfExists: true,
  explicitSnapshots: true,
  getSync: true,
  additionalMethods: {
    approximateSize: true,
    compactRange: true,
    flush: true,
    checkpoint: true,
    stats: true,
    verify: true,
    transaction: true,
  },
  signals: { iterators: true },
} as const;

/** The methods that abstract-level implements, with the options that they take here, as classic-level declares them. */
export interface StrataLevel<KDefault = string, VDefault = string> {
  get(key: KDefault): Promise<VDefault | undefined>;
  get<K = KDefault, V = VDefault>(key: K, options: GetOptions<K, V>): Promise<V | undefined>;
  getSync(key: KDefault): VDefault | undefined;
  getSync<K = KDefault, V = VDefault>(key: K, options: GetOptions<K, V>): V | undefined;
  getMany(keys: KDefault[]): Promise<(VDefault | undefined)[]>;
  getMany<K = KDefault, V = VDefault>(keys: K[], options: GetManyOptions<K, V>): Promise<(V | undefined)[]>;
  has(key: KDefault): Promise<boolean>;
  has<K = KDefault>(key: K, options: HasOptions<K>): Promise<boolean>;
  hasMany(keys: KDefault[]): Promise<boolean[]>;
  hasMany<K = KDefault>(keys: K[], options: HasManyOptions<K>): Promise<boolean[]>;
  put(key: KDefault, value: VDefault): Promise<void>;
  put<K = KDefault, V = VDefault>(key: K, value: V, options: LevelPutOptions<K, V>): Promise<void>;
  del(key: KDefault): Promise<void>;
  del<K = KDefault>(key: K, options: DelOptions<K>): Promise<void>;
  batch(operations: AbstractBatchOperation<this, KDefault, VDefault>[]): Promise<void>;
  batch<K = KDefault, V = VDefault>(
    operations: AbstractBatchOperation<this, K, V>[],
    options: BatchOptions<K, V>,
  ): Promise<void>;
  batch(): LevelBatch<this, KDefault, VDefault>;
  iterator(): EntryIterator<this, KDefault, VDefault>;
  iterator<K = KDefault, V = VDefault>(options: IteratorOptions<K, V>): EntryIterator<this, K, V>;
  keys(): KeyIterator<this, KDefault>;
  keys<K = KDefault>(options: KeyIteratorOptions<K>): KeyIterator<this, K>;
  values(): ValueIterator<this, KDefault, VDefault>;
  values<K = KDefault, V = VDefault>(options: ValueIteratorOptions<K, V>): ValueIterator<this, K, V>;
  snapshot(options?: object): LevelSnapshot;
}

/**
 * A drop-in for classic-level: the same methods, options and errors, over a stratakv store.
 *
 * @example
 * import { StrataLevel } from 'stratakv/level';
 * const db = new StrataLevel('./db_data', { valueEncoding: 'json' });
 * await db.put('user:1', { name: 'Alice' });
 * for await (const [key, value] of db.iterator({ gte: 'user:' })) console.log(key, value);
 * await db.close();
 */
// biome-ignore lint/suspicious/noUnsafeDeclarationMerging: what is declared above is all there, in the base class
export class StrataLevel<KDefault = string, VDefault = string> extends AbstractLevel<
  string | Buffer | Uint8Array,
  KDefault,
  VDefault
> {
  readonly #location: string;
  readonly #inFlight = new InFlight();
  readonly #onWritten = (): void => this.#inFlight.end();
  readonly #onRefused = (error: unknown): never => {
    this.#inFlight.end();
    throw levelErrorOf(error);
  };
  #batch = new WriteBatch();
  /** For the next chained batch. */
  #spareBatch: WriteBatch | undefined;
  /** From open to close. */
  #open: OpenLevel | undefined;
  #writes: Writes | undefined;
  /** Why the last open() failed, for what was called before it had. */
  #failure: Error | undefined;

  constructor(location: string, options?: DatabaseOptions<KDefault, VDefault> | undefined) {
    checkLocation(location);
    super(MANIFEST as never, options as never);
    this.#location = location;
  }

  /** The directory, as it was given. */
  get location(): string {
    return this.#location;
  }

  override open(): Promise<void>;
  override open(options: OpenOptions): Promise<void>;
  override open(options?: OpenOptions): Promise<void> {
    const opening = super.open(options as AbstractOpenOptions);
    // Its own promise is handed out, and no other behind it: when it settles is part of abstract-level's contract, to the
    // microtask. The price: a failure that nobody handles is not reported as such. Whatever is called on the database then says
    // why.
    opening.catch(tellCause);
    return opening;
  }

  /** A call that was made before the database had opened, and could not: why stands in its error, too. */
  override async deferAsync<T>(
    fn: () => Promise<T>,
    options?: { signal?: AbortSignal | undefined },
  ): Promise<T> {
    try {
      return await super.deferAsync(fn, options);
    } catch (error) {
      const { code, cause, message } = error as Error & { code?: unknown };
      const failure = this.#failure;
      if (code !== 'LEVEL_DATABASE_NOT_OPEN' || cause !== undefined || failure === undefined) throw error;
      throw new LevelError(code, `${message}: ${failure.message}`, failure);
    }
  }

  /**
   * About how many bytes on disk the keys from `start` to `end` take, compressed as they are.
   * @example
   * const bytes = await db.approximateSize('user:', 'user;');
   */
  approximateSize(start: KDefault, end: KDefault): Promise<number>;
  approximateSize<K = KDefault>(start: K, end: K, options: StartEndOptions<K>): Promise<number>;
  async approximateSize(...given: readonly unknown[]): Promise<number> {
    const [gte, lt] = this.#bounds(given);
    return await this.#run('approximateSize', ({ engine }) => engineOf(engine).approximateSize({ gte, lt }));
  }

  /**
   * Merges what lies between `start` and `end`, both inclusive, down to the bottom level: deleted and overwritten values are
   * gone from the disk then.
   * @example
   * await db.compactRange('user:', 'user;');
   */
  compactRange(start: KDefault, end: KDefault): Promise<void>;
  compactRange<K = KDefault>(start: K, end: K, options: StartEndOptions<K>): Promise<void>;
  async compactRange(...given: readonly unknown[]): Promise<void> {
    const [first, last] = this.#bounds(given);
    await this.#run('compactRange', ({ store }) => store.compact({ start: first, end: last }));
  }

  /**
   * What LevelDB tells of itself: `leveldb.stats`, `leveldb.sstables`, `leveldb.num-files-at-levelN`; an empty string for
   * anything else. For programs there is {@link StrataLevel.stats}.
   */
  getProperty(property: string): string {
    if (typeof property !== 'string') throw new TypeError("The first argument 'property' must be a string");
    if (this.status !== 'open') throw new LevelError('LEVEL_DATABASE_NOT_OPEN', 'Database is not open');
    return propertyOf(property, () => {
      const engine = engineOf(this.#opened.engine);
      const { jobs, compactionBytesRead, bytesWritten } = engine.stats();
      const writtenBytes = bytesWritten.compaction + bytesWritten.flush;
      return {
        levels: engine.tables,
        compactions: jobs.compactions,
        readBytes: compactionBytesRead,
        writtenBytes,
      };
    });
  }

  /** Writes what is in memory to tables. Not needed for durability. */
  async flush(): Promise<void> {
    await this.#run('flush', ({ store }) => store.flush());
  }

  /**
   * Makes an openable copy of one moment in `directory`, while writes go on: hard links where the file system has them.
   * @example
   * await db.checkpoint('./snapshots/monday');
   */
  async checkpoint(directory: string): Promise<CheckpointReport> {
    return await this.#run('checkpoint', ({ engine }) => engineOf(engine).checkpoint(directory));
  }

  /** Reads every block and log and checks all checksums. */
  async verify(options?: VerifyOptions): Promise<VerifyReport> {
    return await this.#run('verify', ({ engine }) => engineOf(engine).verify(options));
  }

  /** What the store holds and has done since it was opened: a plain object. The database must be open. */
  stats(): EngineStats {
    if (this.status !== 'open') throw notOpen('stats');
    try {
      return engineOf(this.#opened.engine).stats();
    } catch (error) {
      throw levelErrorOf(error);
    }
  }

  /**
   * Runs `fn`, which reads one moment and its own writes, and commits what it writes if nothing that it read was written by
   * others meanwhile; otherwise it is run again, and in the end rejected with LEVEL_CONFLICT. Its writes run no hooks and
   * emit no events.
   * @example
   * await db.transaction(async (tx) => {
   *   const count = Number((await tx.get('visits')) ?? 0);
   *   tx.put('visits', String(count + 1));
   * });
   */
  async transaction<T>(
    fn: (tx: LevelTransaction<KDefault, VDefault>) => Promise<T> | T,
    options?: TransactionOptions,
  ): Promise<T> {
    return await this.#run('transaction', ({ store }) =>
      store.transaction((tx) => fn(new LevelTransaction<KDefault, VDefault>(this as never, tx)), options),
    );
  }

  /** Deletes the database in a directory: its own files, and the directory if nothing else is in it. */
  static async destroy(location: string): Promise<void> {
    checkLocation(location);
    await levelled(() => StorageEngine.destroy(location));
  }

  /** Makes a damaged database open again, with everything that still verifies; what was lost stands in the report. */
  static async repair(location: string): Promise<RepairReport> {
    checkLocation(location);
    return await levelled(() => StorageEngine.repair(location));
  }

  get #opened(): OpenLevel {
    const opened = this.#open;
    if (opened === undefined) throw notOpen('this');
    return opened;
  }

  /** Runs a call that abstract-level does not know: deferred while the database opens, and awaited by close(). */
  async #run<T>(call: string, act: (opened: OpenLevel) => Promise<T>): Promise<T> {
    if (this.status === 'opening') return await this.deferAsync(() => this.#run(call, act));
    if (this.status !== 'open') throw notOpen(call);
    return await this.#awaited(() => act(this.#opened));
  }

  /** Of a start, an end, and perhaps options. */
  #bounds(given: readonly unknown[]): [Bytes, Bytes] {
    const [start, end] = given;
    const options = given[2] as StartEndOptions<unknown> | null | undefined;
    if (given.length < 2) throw new TypeError("The arguments 'start' and 'end' are required");
    const encoding = this.keyEncoding(options?.keyEncoding as 'utf8') as unknown as {
      encode(key: unknown): Bytes;
    };
    return [inputOf(encoding.encode(start)), inputOf(encoding.encode(end))];
  }

  /** Counts the call, and gives its errors our codes. */
  async #awaited<T>(act: () => Promise<T>): Promise<T> {
    const inFlight = this.#inFlight;
    inFlight.begin();
    try {
      return await act();
    } catch (error) {
      throw levelErrorOf(error);
    } finally {
      inFlight.end();
    }
  }

  /** As #awaited, for writes, of which a program has thousands under way: one promise more, and no closures for its end. */
  #written(act: () => Promise<void>): Promise<void> {
    try {
      const written = act();
      this.#inFlight.begin();
      return written.then(this.#onWritten, this.#onRefused);
    } catch (error) {
      return Promise.reject(levelErrorOf(error));
    }
  }

  /** @internal */
  async _open(options: OpenOptions): Promise<void> {
    this.#failure = undefined;
    let opened: OpenLevel;
    try {
      opened = await openLevel(this.#location, options as Readonly<Record<string, unknown>>);
    } catch (error) {
      this.#failure = levelErrorOf(error) as Error;
      throw this.#failure;
    }
    this.#open = opened;
    this.#writes = new Writes(opened.store);
  }

  /** @internal */
  async _close(): Promise<void> {
    const opened = this.#open;
    if (opened === undefined) return;
    await this.#inFlight.settled();
    this.#open = undefined;
    this.#writes = undefined;
    await levelled(() => opened.close());
  }

  /** @internal */
  _get(key: Bytes, options: LevelReadOptions): Bytes | undefined | Promise<Bytes | undefined> {
    try {
      const { snapshot, fillCache, valueEncoding } = options;
      const terms = readOptionsOf(LevelSnapshot.momentOf(snapshot), fillCache);
      const found = this.#opened.store.getNow(inputOf(key), terms);
      if (found === undefined) return undefined;
      if ('then' in found)
        return this.#awaited(() => found).then((value) =>
          value === undefined ? undefined : outputOf(value, valueEncoding),
        );
      return outputOf(found, valueEncoding);
    } catch (error) {
      throw levelErrorOf(error);
    }
  }

  /** @internal */
  _getSync(key: Bytes, options: LevelReadOptions): Bytes | undefined {
    try {
      const { snapshot, fillCache, valueEncoding } = options;
      const terms = readOptionsOf(LevelSnapshot.momentOf(snapshot), fillCache);
      const found = this.#opened.store.getSync(inputOf(key), terms);
      return found === undefined ? undefined : outputOf(found, valueEncoding);
    } catch (error) {
      throw levelErrorOf(error);
    }
  }

  /** @internal */
  async _getMany(keys: Bytes[], options: LevelReadOptions): Promise<(Bytes | undefined)[]> {
    const { snapshot, fillCache, valueEncoding } = options;
    const found: (Bytes | undefined)[] = await this.#awaited(() =>
      this.#opened.store.getMany(
        keys.map(inputOf),
        readOptionsOf(LevelSnapshot.momentOf(snapshot), fillCache),
      ),
    );
    if (valueEncoding === 'utf8')
      for (let i = 0; i < found.length; i++) {
        const value = found[i];
        if (value !== undefined) found[i] = outputOf(value as Buffer, 'utf8');
      }
    return found;
  }

  /** @internal */
  _has(key: Bytes, options: LevelReadOptions): Promise<boolean> {
    const { snapshot, fillCache } = options;
    return this.#awaited(() =>
      this.#opened.store.has(inputOf(key), readOptionsOf(LevelSnapshot.momentOf(snapshot), fillCache)),
    );
  }

  /** @internal All of one moment: the answers begin within the call. */
  _hasMany(keys: Bytes[], options: LevelReadOptions): Promise<boolean[]> {
    const { snapshot, fillCache } = options;
    return this.#awaited(() => {
      const { store } = this.#opened;
      const terms = readOptionsOf(LevelSnapshot.momentOf(snapshot), fillCache);
      return Promise.all(keys.map((key) => store.has(inputOf(key), terms)));
    });
  }

  /** @internal */
  _put(key: Bytes, value: Bytes, options: LevelWriteOptions): Promise<void> {
    return this.#written(() => this.#writing.put(key, value, options));
  }

  /** @internal */
  _del(key: Bytes, options: LevelWriteOptions): Promise<void> {
    return this.#written(() => this.#writing.delete(key, options));
  }

  /** @internal */
  _batch(operations: LevelOperation[], options: LevelWriteOptions): Promise<void> {
    return this.#written(() => {
      const batch = this.#batch;
      try {
        fillBatch(batch, operations);
        return this.#writing.write(batch, options);
      } finally {
        if (batch.byteLength > KEPT_BATCH_BYTES) this.#batch = new WriteBatch();
      }
    });
  }

  /** @internal */
  _chainedBatch(): ChainedBatch<this, KDefault, VDefault> {
    const batch = this.#spareBatch ?? new WriteBatch();
    this.#spareBatch = undefined;
    const write: WriteBatches = (written, options) =>
      this.#awaited(() => this.#writing.write(written, options));
    return new ChainedBatch(this, batch, write, (used) => {
      // Its memory serves the next one.
      if (used.byteLength <= KEPT_BATCH_BYTES) this.#spareBatch = used.clear();
    });
  }

  /** @internal */
  _clear(options: ClearOptions): Promise<void> {
    return this.#awaited(() => clearRange(this.#opened.store, this.#writing, options));
  }

  /** @internal */
  _iterator(options: CursorOptions): EntryIterator<this, KDefault, VDefault> {
    return new EntryIterator(this, this.#opened.store, options);
  }

  /** @internal */
  _keys(options: CursorOptions): KeyIterator<this, KDefault> {
    return new KeyIterator(this, this.#opened.store, options);
  }

  /** @internal */
  _values(options: CursorOptions): ValueIterator<this, KDefault, VDefault> {
    return new ValueIterator(this, this.#opened.store, options);
  }

  /** @internal */
  _snapshot(options: object): LevelSnapshot {
    try {
      return new LevelSnapshot(this.#opened.store.snapshot(), options);
    } catch (error) {
      throw levelErrorOf(error);
    }
  }

  get #writing(): Writes {
    const writes = this.#writes;
    if (writes === undefined) throw notOpen('write');
    return writes;
  }
}

function checkLocation(location: unknown): void {
  if (typeof location !== 'string' || location === '')
    throw new TypeError("The first argument 'location' must be a non-empty string");
}

/** A client has no such call: the thread that owns the store does. */
function engineOf(engine: StorageEngine | undefined): StorageEngine {
  if (engine === undefined)
    throw new LevelError('LEVEL_NOT_SUPPORTED', 'only the thread that owns the store can do this');
  return engine;
}

async function levelled<T>(act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    throw levelErrorOf(error);
  }
}
