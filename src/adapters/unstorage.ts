/**
 * `stratakv/unstorage`: a driver for unstorage (https://unstorage.unjs.io/guide/custom-driver), which needs no package of it.
 *
 * Keys come with colons between their parts, `base` stands in front of them; values are their bytes. clear() is one range delete,
 * expiry the engine's.
 *
 * watch() follows the change feed of the store, so it hears of writes of the whole process and its threads, whoever made them. A
 * range delete names no keys: of the driver's own clear() they are read before it, and others are not heard of; nor is an expiry.
 *
 * Invariants: keys of the store that do not begin with `base` are never read, given out or deleted.
 * Thread:     main, or a thread of the application's with a StorageClient.
 *
 * @module stratakv/unstorage
 */
import { types } from 'node:util';
import { invalidArgument, StorageError } from '../shared/base/errors.ts';
import { wallClock } from '../shared/base/timers.ts';
import { WriteBatch } from '../shared/log/write-batch.ts';
import { type AdapterEngine, AdapterStore, type AdapterTarget } from './adapter-store.ts';

export type { AdapterEngine, AdapterTarget } from './adapter-store.ts';

/** Where the driver stores, and the options of the store that it opens there. */
export interface StrataDriverOptions extends AdapterTarget {
  /** With `path` or `engine`: what all keys begin with in the store. Alone: the directory, as for the driver `fs`. */
  readonly base?: string | undefined;
  /** Seconds after which an item expires that is set without a `ttl` of its own. Default: never. */
  readonly ttl?: number | undefined;
}

/** Options of setItem and its like: `ttl` in seconds. */
export interface StrataItemOptions {
  readonly ttl?: number | undefined;
}

/** Called with each item that is written or removed, whoever does it. */
export type StrataWatchCallback = (event: 'update' | 'remove', key: string) => unknown;

/** The driver: what unstorage calls of it. */
export interface StrataDriver {
  readonly name: 'stratakv';
  readonly options: StrataDriverOptions;
  readonly flags: { readonly maxDepth: true; readonly ttl: true };
  /** The store. */
  getInstance(): Promise<AdapterEngine>;
  hasItem(key: string): Promise<boolean>;
  getItem(key: string): Promise<string | null>;
  getItemRaw(key: string): Promise<Buffer | null>;
  getItems(
    items: readonly { readonly key: string }[],
  ): Promise<{ readonly key: string; readonly value: string | null }[]>;
  setItem(key: string, value: string, options?: StrataItemOptions): Promise<void>;
  setItemRaw(key: string, value: unknown, options?: StrataItemOptions): Promise<void>;
  /** All of them or, if the write fails, none. */
  setItems(
    items: readonly { readonly key: string; readonly value: string; readonly options?: StrataItemOptions }[],
    options?: StrataItemOptions,
  ): Promise<void>;
  removeItem(key: string): Promise<void>;
  /** `size` in bytes, and with an expiry `ttl` in seconds; null: no such item. */
  getMeta(key: string): Promise<{ readonly size: number; readonly ttl?: number } | null>;
  getKeys(base?: string, options?: { readonly maxDepth?: number | undefined }): Promise<string[]>;
  clear(base?: string): Promise<void>;
  watch(callback: StrataWatchCallback): Promise<() => Promise<void>>;
  dispose(): Promise<void>;
}

/**
 * A driver of unstorage whose items are in a store of stratakv.
 *
 * Given a `path` it opens the store there when it is first used; drivers of one process share the store of a path, and the last
 * that is disposed of closes it. An `engine` is used as it is and never closed.
 *
 * @throws StorageError STRATA_INVALID_ARGUMENT
 * @example
 * import { createStorage } from 'unstorage';
 * import stratakvDriver from 'stratakv/unstorage';
 * const storage = createStorage({ driver: stratakvDriver({ path: './data' }) });
 * await storage.setItem('user:1', { name: 'Alice' });
 * console.log(await storage.getItem('user:1')); // { name: 'Alice' }
 * await storage.dispose();
 */
export default function stratakvDriver(options: StrataDriverOptions): StrataDriver {
  const { base, ttl, ...target } = readOptions(options);
  return new Driver(options, new AdapterStore('the stratakv driver', target), base, ttl);
}

class Driver implements StrataDriver {
  readonly name = 'stratakv';
  readonly flags = { maxDepth: true, ttl: true } as const;
  readonly options: StrataDriverOptions;
  readonly #store: AdapterStore;
  /** With the colon behind it; or empty. */
  readonly #base: string;
  readonly #ttl: number | undefined;
  readonly #watchers = new Set<Watcher>();

  constructor(options: StrataDriverOptions, store: AdapterStore, base: string, ttl: number | undefined) {
    this.options = options;
    this.#store = store;
    this.#base = base;
    this.#ttl = ttl;
    // unstorage calls methods without their object.
    for (const name of METHODS) this[name] = this[name].bind(this) as never;
  }

  getInstance(): Promise<AdapterEngine> {
    return this.#store.engine();
  }

  async hasItem(key: string): Promise<boolean> {
    return await (await this.#store.engine()).has(this.#base + key);
  }

  async getItem(key: string): Promise<string | null> {
    return (await this.getItemRaw(key))?.toString('utf8') ?? null;
  }

  async getItemRaw(key: string): Promise<Buffer | null> {
    return (await (await this.#store.engine()).get(this.#base + key)) ?? null;
  }

  async getItems(
    items: readonly { readonly key: string }[],
  ): Promise<{ readonly key: string; readonly value: string | null }[]> {
    const engine = await this.#store.engine();
    const values = await engine.getMany(items.map(({ key }) => this.#base + key));
    return items.map(({ key }, i) => ({ key, value: values[i]?.toString('utf8') ?? null }));
  }

  async setItem(key: string, value: string, options?: StrataItemOptions): Promise<void> {
    await this.setItemRaw(key, value, options);
  }

  async setItemRaw(key: string, value: unknown, options?: StrataItemOptions): Promise<void> {
    const engine = await this.#store.engine();
    await engine.put(this.#base + key, bytesOf(value), this.#expiryOf(options));
  }

  async setItems(
    items: readonly { readonly key: string; readonly value: string; readonly options?: StrataItemOptions }[],
    options?: StrataItemOptions,
  ): Promise<void> {
    const engine = await this.#store.engine();
    const batch = new WriteBatch();
    for (const { key, value, options: own } of items)
      batch.put(this.#base + key, bytesOf(value), this.#expiryOf({ ...options, ...own }));
    await engine.write(batch);
  }

  async removeItem(key: string): Promise<void> {
    await (await this.#store.engine()).delete(this.#base + key);
  }

  async getMeta(key: string): Promise<{ readonly size: number; readonly ttl?: number } | null> {
    const engine = await this.#store.engine();
    const [value, expiresAt] = await Promise.all([
      engine.get(this.#base + key),
      engine.expiresAt(this.#base + key),
    ]);
    if (value === undefined) return null;
    const size = value.length;
    return expiresAt === undefined ? { size } : { size, ttl: Math.max(0, (expiresAt - wallClock()) / 1000) };
  }

  async getKeys(base = '', options: { readonly maxDepth?: number | undefined } = {}): Promise<string[]> {
    const engine = await this.#store.engine();
    const { maxDepth } = options;
    const keys: string[] = [];
    const prefix = this.#base + withColon(base);
    for await (const [bytes] of engine.scan(prefix === '' ? { values: false } : { prefix, values: false })) {
      const key = bytes.toString('utf8').slice(this.#base.length);
      if (maxDepth === undefined || key.split(':').length - 1 <= maxDepth) keys.push(key);
    }
    return keys;
  }

  async clear(base = ''): Promise<void> {
    const engine = await this.#store.engine();
    const removed = this.#watchers.size === 0 ? [] : await this.getKeys(base);
    const prefix = this.#base + withColon(base);
    await engine.deleteRange(prefix === '' ? { all: true } : { prefix });
    for (const watcher of this.#watchers) for (const key of removed) watcher.tell('remove', key);
  }

  async watch(callback: StrataWatchCallback): Promise<() => Promise<void>> {
    const watcher = new Watcher(await this.#store.engine(), this.#base, callback);
    this.#watchers.add(watcher);
    return async () => {
      this.#watchers.delete(watcher);
      await watcher.end();
    };
  }

  async dispose(): Promise<void> {
    const watchers = [...this.#watchers];
    this.#watchers.clear();
    await Promise.all(watchers.map((watcher) => watcher.end()));
    await this.#store.close();
  }

  #expiryOf(options: StrataItemOptions | undefined): { readonly ttl: number } | undefined {
    const ttl = options?.ttl ?? this.#ttl;
    return ttl === undefined || ttl <= 0 ? undefined : { ttl: Math.ceil(ttl * 1000) };
  }
}

const METHODS = [
  'getInstance',
  'hasItem',
  'getItem',
  'getItemRaw',
  'getItems',
  'setItem',
  'setItemRaw',
  'setItems',
  'removeItem',
  'getMeta',
  'getKeys',
  'clear',
  'watch',
  'dispose',
] as const satisfies readonly (keyof Driver)[];

/** Follows the changes of a store from now on. */
class Watcher {
  readonly #abort = new AbortController();
  readonly #base: string;
  readonly #callback: StrataWatchCallback;
  readonly #ended: Promise<void>;

  constructor(engine: AdapterEngine, base: string, callback: StrataWatchCallback) {
    this.#base = base;
    this.#callback = callback;
    const options = base === '' ? {} : { prefix: base };
    // The position is taken in the call: what is written from now on is heard of.
    const changes = engine.changes({ ...options, signal: this.#abort.signal });
    this.#ended = this.#follow(engine, options, changes);
  }

  tell(event: 'update' | 'remove', key: string): void {
    this.#callback(event, key);
  }

  async end(): Promise<void> {
    this.#abort.abort();
    await this.#ended;
  }

  async #follow(
    engine: AdapterEngine,
    options: { readonly prefix?: string },
    first: ReturnType<AdapterEngine['changes']>,
  ): Promise<void> {
    const { signal } = this.#abort;
    for (let changes = first; !signal.aborted; changes = engine.changes({ ...options, signal })) {
      try {
        for await (const batch of changes)
          for (const change of batch.changes)
            if (change.type !== 'deleteRange')
              this.tell(
                change.type === 'put' ? 'update' : 'remove',
                change.key.toString('utf8').slice(this.#base.length),
              );
        return;
      } catch (error) {
        if (signal.aborted || codeOf(error) === 'STRATA_CLOSED') return;
        process.emitWarning(`a watcher missed changes: ${(error as Error).message}`, {
          code: 'STRATAKV_WATCH',
        });
        if (codeOf(error) !== 'STRATA_POSITION_LOST') return;
      }
    }
  }
}

function codeOf(error: unknown): string | undefined {
  return error instanceof StorageError ? error.code : undefined;
}

function readOptions(
  options: StrataDriverOptions,
): AdapterTarget & { base: string; ttl: number | undefined } {
  if (typeof options !== 'object' || options === null)
    throw invalidArgument("the stratakv driver takes an object with a 'path' or an 'engine'");
  const { base, ttl, ...target } = options;
  if (base !== undefined && typeof base !== 'string') throw invalidArgument("option 'base' must be a string");
  if (ttl !== undefined && !(typeof ttl === 'number' && ttl >= 0))
    throw invalidArgument("option 'ttl' must be a number of seconds");
  if (target.path === undefined && target.engine === undefined && base !== undefined)
    return { ...target, path: base, base: '', ttl };
  return { ...target, base: withColon(base ?? ''), ttl };
}

/** As it stands in front of keys. */
function withColon(base: string): string {
  return base === '' || base.endsWith(':') ? base : `${base}:`;
}

function bytesOf(value: unknown): string | Uint8Array {
  if (typeof value === 'string' || types.isUint8Array(value)) return value;
  if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  if (types.isAnyArrayBuffer(value)) return new Uint8Array(value);
  throw invalidArgument('a raw value of the stratakv driver must be a string or bytes');
}
