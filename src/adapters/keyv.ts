/**
 * `stratakv/keyv`: a storage adapter for Keyv 5 and 6 (https://keyv.org/docs/storage-adapters/), which needs no package of
 * Keyv's.
 *
 *   key     NAMESPACE:KEY, or KEY without a namespace; the same in both versions, so a cache survives the update of Keyv
 *   value   a string as its UTF-8 bytes, what Keyv's serializer makes; anything else behind a byte 0xff, which no UTF-8 text
 *           has, in the form of v8.serialize()
 *
 * The two versions call an adapter differently, and the adapter tells them apart by what only Keyv 6 does, to ask for its
 * `capabilities`:
 *
 *                    Keyv 5                                    Keyv 6
 *   keys             come with their namespace                 come without
 *   set(.., .., n)   n: milliseconds from now                  n: milliseconds since 1970
 *   iterator()       gives keys with their namespace           without
 *   deleteMany()     whether there was any of them             of each, whether it was there
 *
 * Invariants: what is expired is never given out, by the engine's expiry (ttl); clear() is one range delete.
 * Thread:     main, or a thread of the application's with a StorageClient.
 *
 * @module stratakv/keyv
 */
import { EventEmitter } from 'node:events';
import { deserialize, serialize } from 'node:v8';
import { invalidArgument } from '../shared/base/errors.ts';
import { WriteBatch } from '../shared/log/write-batch.ts';
import { type AdapterEngine, AdapterStore, type AdapterTarget } from './adapter-store.ts';

/** The first byte of a value that is no string. */
const NOT_TEXT = 0xff;
/** A third argument of set() from here on is a moment, not a time from now: in 2001, or 31 years. */
const FIRST_MOMENT = 1e12;
/** Later than any moment there is: it never expires. */
const LAST_MOMENT = 8.64e15;

const METHODS = [
  'get',
  'getMany',
  'has',
  'hasMany',
  'set',
  'setMany',
  'delete',
  'deleteMany',
  'clear',
  'disconnect',
  'iterator',
] as const;

/** Where a {@link StrataKeyv} stores, and the options of the store that it opens there. */
export interface StrataKeyvOptions extends AdapterTarget {
  /** Keys are kept apart by it. Keyv sets its own. */
  readonly namespace?: string | undefined;
}

/** An entry for setMany(): Keyv 5 says `ttl`, milliseconds from now, and Keyv 6 `expires`, milliseconds since 1970. */
export interface StrataKeyvEntry {
  readonly key: string;
  readonly value: unknown;
  readonly ttl?: number | undefined;
  readonly expires?: number | undefined;
}

/** What Keyv 6 asks an adapter for. */
export interface StrataKeyvCapabilities {
  readonly compatible: true;
  readonly store: 'keyvStorage';
  readonly expires: true;
  readonly methods: Readonly<
    Record<(typeof METHODS)[number], { readonly exists: true; readonly methodType: 'async' }>
  >;
}

/**
 * A storage adapter for Keyv 5 and 6.
 *
 * Given a path it opens the store there when it is first used; adapters of one process share the store of a path, and the last
 * that disconnects closes it. Given an engine (or a StorageClient, in a worker thread) it uses that and never closes it; without
 * a namespace, clear() then empties all of that store.
 *
 * @example
 * import Keyv from 'keyv';
 * import { StrataKeyv } from 'stratakv/keyv';
 * const cache = new Keyv({ store: new StrataKeyv('./cache'), namespace: 'sessions', ttl: 60_000 });
 * await cache.set('a', { user: 1 });
 * console.log(await cache.get('a')); // { user: 1 }
 * await cache.disconnect();
 */
export class StrataKeyv extends EventEmitter {
  /** Set by Keyv, to its own. */
  namespace: string | undefined;
  /** Read by Keyv 5, which gives an iterator only to adapters of dialects that it knows. */
  readonly opts: { readonly dialect: 'sqlite'; readonly url: string };
  readonly #store: AdapterStore;
  #isVersion6 = false;

  /**
   * @param target the directory of the store, a store that is open, or an object with `path` or `engine`
   * @param options of the store at that path (those of `StorageEngine.open`), and `namespace`
   * @throws StorageError STRATA_INVALID_ARGUMENT
   */
  constructor(target: string | AdapterEngine | StrataKeyvOptions, options: StrataKeyvOptions = {}) {
    super();
    const { namespace, ...rest } = targetOf(target, options);
    if (namespace !== undefined && typeof namespace !== 'string')
      throw invalidArgument('a namespace must be a string');
    this.namespace = namespace;
    this.#store = new AdapterStore('StrataKeyv', rest);
    this.opts = { dialect: 'sqlite', url: `stratakv://${rest.path ?? ''}` };
  }

  /** Asked for by Keyv 6 only, which from then on is taken at its word about namespaces and expiry. */
  get capabilities(): StrataKeyvCapabilities {
    this.#isVersion6 = true;
    const methods = Object.fromEntries(METHODS.map((name) => [name, { exists: true, methodType: 'async' }]));
    return {
      compatible: true,
      store: 'keyvStorage',
      expires: true,
      methods: methods as StrataKeyvCapabilities['methods'],
    };
  }

  /** The value, as it was given to set(); undefined: there is none. */
  async get(key: string): Promise<unknown> {
    try {
      const engine = await this.#store.engine();
      return decodeValue(await engine.get(this.#keyOf(key)));
    } catch (error) {
      // Keyv 5 takes a get that rejects for a miss, and says nothing.
      if (!this.#isVersion6 && this.listenerCount('error') > 0) this.emit('error', error);
      throw error;
    }
  }

  /** Their values, in the order of the keys. */
  async getMany(keys: readonly string[]): Promise<unknown[]> {
    const engine = await this.#store.engine();
    return (await engine.getMany(keys.map((key) => this.#keyOf(key)))).map(decodeValue);
  }

  async has(key: string): Promise<boolean> {
    const engine = await this.#store.engine();
    return await engine.has(this.#keyOf(key));
  }

  async hasMany(keys: readonly string[]): Promise<boolean[]> {
    return await Promise.all(keys.map((key) => this.has(key)));
  }

  /** @param until when it expires: for Keyv 5 in milliseconds from now, for Keyv 6 since 1970; none: never. */
  async set(key: string, value: unknown, until?: number): Promise<boolean> {
    return (await this.setMany([{ key, value, [this.#isVersion6 ? 'expires' : 'ttl']: until }]))[0]!;
  }

  /** All of them or, if the write fails, none. */
  async setMany(entries: readonly StrataKeyvEntry[]): Promise<boolean[]> {
    const engine = await this.#store.engine();
    const batch = new WriteBatch();
    for (const { key, value, ttl, expires } of entries) {
      const stored = this.#keyOf(key);
      const left = timeLeft(ttl, expires);
      if (left === undefined) batch.put(stored, encodeValue(value));
      else if (left > 0) batch.put(stored, encodeValue(value), { ttl: left });
      else batch.delete(stored);
    }
    await engine.write(batch);
    return entries.map(() => true);
  }

  /** Whether there was one. */
  async delete(key: string): Promise<boolean> {
    const engine = await this.#store.engine();
    const stored = this.#keyOf(key);
    const isThere = await engine.has(stored);
    if (isThere) await engine.delete(stored);
    return isThere;
  }

  /** For Keyv 6, of each whether it was there; else whether any was. */
  async deleteMany(keys: readonly string[]): Promise<boolean[] | boolean> {
    const engine = await this.#store.engine();
    const stored = keys.map((key) => this.#keyOf(key));
    const wereThere = await Promise.all(stored.map((key) => engine.has(key)));
    const batch = new WriteBatch();
    for (const [i, key] of stored.entries()) if (wereThere[i]!) batch.delete(key);
    await engine.write(batch);
    return this.#isVersion6 ? wereThere : wereThere.some(Boolean);
  }

  /** Deletes all of the namespace; without one, all of the store. One record, however much it is. */
  async clear(): Promise<void> {
    const engine = await this.#store.engine();
    const prefix = this.#prefixOf(this.namespace);
    await engine.deleteRange(prefix === '' ? { all: true } : { prefix });
  }

  /** What there is now, by key. */
  async *iterator(namespace: string | undefined = this.namespace): AsyncGenerator<[string, unknown], void> {
    const engine = await this.#store.engine();
    const prefix = this.#prefixOf(namespace);
    const start = this.#isVersion6 ? prefix.length : 0;
    for await (const [key, value] of engine.scan(prefix === '' ? {} : { prefix }))
      yield [key.toString('utf8').slice(start), decodeValue(value)];
  }

  /** Closes the store, if it was opened by adapters and this is the last one. Everything after it is STRATA_CLOSED. */
  async disconnect(): Promise<void> {
    await this.#store.close();
  }

  #keyOf(key: string): string {
    const prefix = this.#prefixOf(this.namespace);
    // Keyv 5 puts the namespace in front.
    return !this.#isVersion6 && key.startsWith(prefix) ? key : prefix + key;
  }

  /** No namespace of Keyv 6 has a colon: one would lie within another, and be cleared with it. */
  #prefixOf(namespace: string | undefined): string {
    if (namespace === undefined || namespace === '') return '';
    return `${this.#isVersion6 ? namespace.replace(/[%:]/g, encodeURIComponent) : namespace}:`;
  }
}

export type { AdapterEngine, AdapterTarget } from './adapter-store.ts';
export default StrataKeyv;

function targetOf(
  target: string | AdapterEngine | StrataKeyvOptions,
  options: StrataKeyvOptions,
): StrataKeyvOptions {
  if (typeof target === 'string') return { ...options, path: target };
  if (typeof target !== 'object' || target === null)
    throw invalidArgument(
      'StrataKeyv takes the path of a store, a store that is open, or an object with one of them',
    );
  return 'scan' in target ? { ...options, engine: target } : { ...options, ...target };
}

/** Whole milliseconds until it expires, 0 or less: it has; undefined: never. */
function timeLeft(ttl: number | undefined, expires: number | undefined): number | undefined {
  const now = Date.now();
  let left: number | undefined;
  if (typeof expires === 'number') left = expires - now;
  // Adapters are used by hand, too, without anybody who asks for capabilities.
  else if (typeof ttl === 'number') left = ttl >= FIRST_MOMENT && ttl > now ? ttl - now : ttl;
  if (left === undefined || Number.isNaN(left) || now + left >= LAST_MOMENT) return undefined;
  return Math.ceil(left);
}

function encodeValue(value: unknown): string | Uint8Array {
  if (typeof value === 'string') return value.isWellFormed() ? value : marked(value);
  try {
    return marked(value);
  } catch (error) {
    const { message } = error as Error;
    throw invalidArgument(
      `a value that the serializer of Keyv leaves as it is must be one to copy: ${message}`,
    );
  }
}

function marked(value: unknown): Uint8Array {
  return Buffer.concat([Buffer.of(NOT_TEXT), serialize(value)]);
}

function decodeValue(bytes: Buffer | undefined): unknown {
  if (bytes === undefined) return undefined;
  return bytes[0] === NOT_TEXT ? deserialize(bytes.subarray(1)) : bytes.toString('utf8');
}
