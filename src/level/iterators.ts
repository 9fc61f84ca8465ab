/**
 * The iterators of StrataLevel: entries, keys and values, as abstract-level has them, over a Cursor each.
 *
 * Beyond abstract-level they are iterable without promises: `for (const [key, value] of db.iterator())` reads in the thread that
 * asks, and waits for the disk where it has to. Either way of reading goes on behind what the other has taken.
 *
 * Invariants: next() keeps up to `highWaterMarkBytes` of what it has read ahead, at most 1,000 entries; the first one, also
 *             behind a seek, is read alone.
 * Thread:     that of their database.     Owns: the cursor.
 * Not chosen: one class for the three: they differ in what the base class decodes.
 */
import { AbstractIterator, AbstractKeyIterator, AbstractValueIterator } from 'abstract-level';
import type { Bytes } from '../shared/base/input-bytes.ts';
import type { ScanEntry } from '../shared/read/scan.ts';
import { Cursor, type CursorOptions, type EntryParts } from './cursor.ts';
import { outputOf } from './formats.ts';
import { aborted, LevelError } from './level-error.ts';
import type { LevelStore } from './level-store.ts';

/** Read ahead by next(), at most: it does not let the event loop turn between them. */
const CACHED_ENTRIES = 1000;
/** Read ahead by a synchronous loop. */
const SYNC_ENTRIES = 64;

const KEYS_ALONE: EntryParts = { keys: true, values: false };
const VALUES_ALONE: EntryParts = { keys: false, values: true };

/** What the base class of an iterator says of itself. */
interface Counted {
  readonly count: number;
  readonly limit: number;
}

/** An encoding of abstract-level, as far as reading goes. */
interface Decoder {
  decode(data: unknown): unknown;
}

/** The symbols by which abstract-level passes the encodings on. */
const symbols = AbstractIterator as unknown as {
  readonly keyEncoding: symbol;
  readonly valueEncoding: symbol;
};

/** Reads pages for an iterator, and makes of each entry what that one hands to abstract-level. */
class Pages<T> {
  readonly #cursor: Cursor;
  readonly #itemOf: (entry: ScanEntry) => T;
  readonly #counted: Counted;
  readonly #signal: AbortSignal | undefined;
  #cache: T[] = [];
  #cacheTaken = 0;
  #isFirst = true;
  #isWorking = false;
  #isClosed = false;
  /** Handed out by synchronous loops, which the base class does not count. */
  syncCount = 0;

  constructor(
    store: LevelStore,
    options: CursorOptions,
    parts: EntryParts,
    counted: Counted,
    itemOf: (entry: ScanEntry) => T,
  ) {
    this.#counted = counted;
    this.#itemOf = itemOf;
    this.#signal = options.signal ?? undefined;
    this.#cursor = new Cursor(store, options, parts, () => this.#left);
  }

  get #left(): number {
    return this.#counted.limit - this.#counted.count;
  }

  /** How many next() has at hand. */
  get cached(): number {
    return this.#cache.length - this.#cacheTaken;
  }

  next(): T | undefined | Promise<T | undefined> {
    return this.#signal === undefined ? this.#next() : this.#unlessAborted(this.#next());
  }

  #next(): T | undefined | Promise<T | undefined> {
    if (this.#cacheTaken < this.#cache.length) return this.#cache[this.#cacheTaken++];
    if (this.#left <= 0) return undefined;
    const size = this.#isFirst ? 1 : CACHED_ENTRIES;
    this.#isFirst = false;
    const page = this.#read(size, this.#cursor.highWaterMarkBytes);
    if (!Array.isArray(page)) return page.then((items) => this.#cacheNext(items));
    return this.#cacheNext(page);
  }

  nextv(size: number): T[] | Promise<T[]> {
    return this.#signal === undefined ? this.#nextv(size) : this.#unlessAborted(this.#nextv(size));
  }

  #nextv(size: number): T[] | Promise<T[]> {
    this.#isFirst = false;
    if (this.#cacheTaken < this.#cache.length) return this.#takeCached(size);
    return this.#read(Math.min(size, this.#left), this.#cursor.highWaterMarkBytes);
  }

  async all(): Promise<T[]> {
    let items = this.#takeCached(Number.POSITIVE_INFINITY);
    for (;;) {
      const left = this.#left - items.length;
      if (left <= 0) return items;
      const page = await this.#read(Math.min(left, CACHED_ENTRIES), Number.POSITIVE_INFINITY);
      if (page.length === 0) return items;
      if (items.length === 0) items = page;
      else for (const item of page) items.push(item);
    }
  }

  /** For a synchronous loop. */
  nextSync(): T | undefined {
    if (this.#isClosed)
      throw new LevelError('LEVEL_ITERATOR_NOT_OPEN', 'Iterator is not open: cannot read after close()');
    if (this.#isWorking)
      throw new LevelError(
        'LEVEL_ITERATOR_BUSY',
        'Iterator is busy: cannot read until previous read has completed',
      );
    if (this.#left <= 0) return undefined;
    if (this.#cacheTaken >= this.#cache.length)
      this.#keep(this.#cursor.takeSync(Math.min(this.#left, SYNC_ENTRIES)).map(this.#itemOf));
    const item = this.#cache[this.#cacheTaken++];
    if (item !== undefined) this.syncCount++;
    return item;
  }

  seek(target: Bytes): void {
    this.#keep([]);
    this.#isFirst = true;
    this.#cursor.seek(target);
  }

  close(): void {
    this.#isClosed = true;
    this.#keep([]);
    this.#cursor.close();
  }

  #read(size: number, maxBytes: number): T[] | Promise<T[]> {
    const entries = this.#cursor.take(size, maxBytes);
    return Array.isArray(entries) ? this.#itemsOf(entries) : this.#readLater(entries);
  }

  /** In the place of the entries, which are nobody else's. */
  #itemsOf(entries: ScanEntry[]): T[] {
    const items = entries as unknown as T[];
    for (let i = 0; i < entries.length; i++) items[i] = this.#itemOf(entries[i]!);
    return items;
  }

  async #readLater(entries: Promise<ScanEntry[]>): Promise<T[]> {
    this.#isWorking = true;
    try {
      return this.#itemsOf(await entries);
    } finally {
      this.#isWorking = false;
    }
  }

  /** What memory has is there at once, and yet a signal that is aborted behind the call ends it. */
  async #unlessAborted<U>(found: U | Promise<U>): Promise<U> {
    const result = await found;
    if (this.#signal?.aborted === true) throw aborted(this.#signal.reason);
    return result;
  }

  #cacheNext(items: T[]): T | undefined {
    this.#keep(items);
    return this.#cache[this.#cacheTaken++];
  }

  #takeCached(size: number): T[] {
    const items = this.#cache.slice(this.#cacheTaken, this.#cacheTaken + size);
    this.#cacheTaken += items.length;
    return items;
  }

  #keep(items: T[]): void {
    this.#cache = items;
    this.#cacheTaken = 0;
  }
}

/** A loop over `pages`; leaving it closes the iterator. */
function* itemsOf<T, U>(
  pages: Pages<T>,
  decoded: (item: T) => U,
  iterator: { close(): Promise<void> },
): Generator<U, void, undefined> {
  try {
    for (let item = pages.nextSync(); item !== undefined; item = pages.nextSync()) yield decoded(item);
  } finally {
    // All of it happens within the call; it can't fail.
    void iterator.close();
  }
}

function decoding(decoder: Decoder, data: unknown): unknown {
  try {
    return decoder.decode(data);
  } catch (error) {
    throw new LevelError('LEVEL_DECODE_ERROR', 'Iterator could not decode data', error);
  }
}

function decoderOf(options: object, symbol: symbol): Decoder {
  return (options as Readonly<Record<symbol, unknown>>)[symbol] as Decoder;
}

type Encoded = [Bytes | undefined, Bytes | undefined];

/** db.iterator(). */
export class EntryIterator<TDatabase, K, V> extends AbstractIterator<TDatabase, K, V> {
  readonly #pages: Pages<Encoded>;
  readonly #decoded: (entry: Encoded) => [K, V];

  constructor(db: TDatabase, store: LevelStore, options: CursorOptions) {
    super(db, options as never);
    const { keyEncoding, valueEncoding } = options;
    this.#pages = new Pages<Encoded>(store, options, options, this, (entry) => {
      const item = entry as unknown as Encoded;
      if (entry[0] !== undefined) item[0] = outputOf(entry[0], keyEncoding);
      if (entry[1] !== undefined) item[1] = outputOf(entry[1], valueEncoding);
      return item;
    });
    const keys = decoderOf(options, symbols.keyEncoding);
    const values = decoderOf(options, symbols.valueEncoding);
    this.#decoded = ([key, value]) => [
      (key === undefined ? undefined : decoding(keys, key)) as K,
      (value === undefined ? undefined : decoding(values, value)) as V,
    ];
  }

  override get count(): number {
    return super.count + (this.#pages?.syncCount ?? 0);
  }

  /** @internal */
  get cached(): number {
    return this.#pages.cached;
  }

  /** The entries, without promises: waits for the disk in this thread. Leaving the loop closes the iterator. */
  [Symbol.iterator](): Generator<[K, V], void, undefined> {
    return itemsOf(this.#pages, this.#decoded, this);
  }

  /** @internal */
  async _next(): Promise<Encoded | undefined> {
    return this.#pages.next();
  }

  /** @internal */
  async _nextv(size: number): Promise<Encoded[]> {
    return this.#pages.nextv(size);
  }

  /** @internal */
  async _all(): Promise<Encoded[]> {
    return this.#pages.all();
  }

  /** @internal */
  _seek(target: Bytes): void {
    this.#pages.seek(target);
  }

  /** @internal */
  async _close(): Promise<void> {
    this.#pages?.close();
  }
}

/** db.keys(). */
export class KeyIterator<TDatabase, K> extends AbstractKeyIterator<TDatabase, K> {
  readonly #pages: Pages<Bytes>;
  readonly #decoded: (key: Bytes) => K;

  constructor(db: TDatabase, store: LevelStore, options: CursorOptions) {
    super(db, options as never);
    const { keyEncoding } = options;
    this.#pages = new Pages<Bytes>(store, options, KEYS_ALONE, this, (entry) =>
      outputOf(entry[0], keyEncoding),
    );
    const keys = decoderOf(options, symbols.keyEncoding);
    this.#decoded = (key) => decoding(keys, key) as K;
  }

  override get count(): number {
    return super.count + (this.#pages?.syncCount ?? 0);
  }

  /** The keys, without promises: waits for the disk in this thread. Leaving the loop closes the iterator. */
  [Symbol.iterator](): Generator<K, void, undefined> {
    return itemsOf(this.#pages, this.#decoded, this);
  }

  /** @internal */
  async _next(): Promise<Bytes | undefined> {
    return this.#pages.next();
  }

  /** @internal */
  async _nextv(size: number): Promise<Bytes[]> {
    return this.#pages.nextv(size);
  }

  /** @internal */
  async _all(): Promise<Bytes[]> {
    return this.#pages.all();
  }

  /** @internal */
  _seek(target: Bytes): void {
    this.#pages.seek(target);
  }

  /** @internal */
  async _close(): Promise<void> {
    this.#pages?.close();
  }
}

/** db.values(). */
export class ValueIterator<TDatabase, K, V> extends AbstractValueIterator<TDatabase, K, V> {
  readonly #pages: Pages<Bytes>;
  readonly #decoded: (value: Bytes) => V;

  constructor(db: TDatabase, store: LevelStore, options: CursorOptions) {
    super(db, options as never);
    const { valueEncoding } = options;
    this.#pages = new Pages<Bytes>(store, options, VALUES_ALONE, this, (entry) =>
      outputOf(entry[1], valueEncoding),
    );
    const values = decoderOf(options, symbols.valueEncoding);
    this.#decoded = (value) => decoding(values, value) as V;
  }

  override get count(): number {
    return super.count + (this.#pages?.syncCount ?? 0);
  }

  /** The values, without promises: waits for the disk in this thread. Leaving the loop closes the iterator. */
  [Symbol.iterator](): Generator<V, void, undefined> {
    return itemsOf(this.#pages, this.#decoded, this);
  }

  /** @internal */
  async _next(): Promise<Bytes | undefined> {
    return this.#pages.next();
  }

  /** @internal */
  async _nextv(size: number): Promise<Bytes[]> {
    return this.#pages.nextv(size);
  }

  /** @internal */
  async _all(): Promise<Bytes[]> {
    return this.#pages.all();
  }

  /** @internal */
  _seek(target: Bytes): void {
    this.#pages.seek(target);
  }

  /** @internal */
  async _close(): Promise<void> {
    this.#pages?.close();
  }
}
