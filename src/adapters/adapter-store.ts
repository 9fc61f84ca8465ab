/**
 * The store behind an adapter (keyv.ts, unstorage.ts): one that the application has open, or a directory that the adapters of
 * this process open when the first of them is used, share, and close when the last of them is done.
 *
 *   new StrataKeyv('./cache'), new StrataKeyv('./cache')     two adapters, one engine: caches are often made once per namespace
 *
 * Invariants: a directory is open once, with the options of the adapter that was used first; another that asks for other options
 *             is refused. An engine of the application's is never closed here. An open that failed is tried again at the next
 *             use.
 * Thread:     main.     Owns: the engines that it opened.
 */
import { resolve } from 'node:path';
import { type EngineOptions, StorageEngine } from '../main/index.ts';
import { invalidArgument, StorageError } from '../shared/base/errors.ts';
import type { Bytes } from '../shared/base/input-bytes.ts';
import type { AllKeys, KeyRange } from '../shared/base/key-range.ts';
import type { ChangeBatch } from '../shared/changes/changes.ts';
import type { ChangesOptions } from '../shared/changes/changes-options.ts';
import { nodeFileSystem } from '../shared/files/node-file-system.ts';
import type { WriteBatch } from '../shared/log/write-batch.ts';
import type { Scan } from '../shared/read/scan.ts';

/** What an adapter uses of a store: a StorageEngine has it, and so has a StorageClient in a thread of the application's. */
export interface AdapterEngine {
  get(key: Bytes): Promise<Buffer | undefined>;
  getMany(keys: readonly Bytes[]): Promise<(Buffer | undefined)[]>;
  has(key: Bytes): Promise<boolean>;
  expiresAt(key: Bytes): Promise<number | undefined>;
  put(key: Bytes, value: Bytes, options?: { readonly ttl?: number | undefined }): Promise<void>;
  delete(key: Bytes): Promise<void>;
  deleteRange(range: KeyRange | AllKeys): Promise<void>;
  write(batch: WriteBatch): Promise<void>;
  scan(range?: { readonly prefix?: Bytes | undefined; readonly values?: boolean | undefined }): Scan;
  changes(options?: ChangesOptions): AsyncIterableIterator<ChangeBatch, undefined>;
}

/** Where an adapter stores: in `path`, a directory that it opens, or in `engine`, which the application opened and closes. */
export interface AdapterTarget extends EngineOptions {
  /** The directory of the store. */
  readonly path?: string | undefined;
  /** A store that is open. */
  readonly engine?: AdapterEngine | undefined;
}

interface SharedStore {
  readonly options: EngineOptions;
  readonly engine: Promise<StorageEngine>;
  users: number;
  /** Set: it is closing, and the next one opens it anew. */
  closed: Promise<void> | undefined;
}

/** Of all copies of this package in the process: a second one would find the directory locked. */
const REGISTRY = Symbol.for('stratakv.adapters.stores@1');
const registry = globalThis as { [REGISTRY]?: Map<string, SharedStore> };
registry[REGISTRY] ??= new Map();
const stores: Map<string, SharedStore> = registry[REGISTRY];

export class AdapterStore {
  readonly #given: AdapterEngine | undefined;
  readonly #path: string;
  readonly #options: EngineOptions;
  #shared: SharedStore | undefined;
  #opened: Promise<AdapterEngine> | undefined;
  #isClosed = false;

  /** Opens nothing yet. @throws StorageError STRATA_INVALID_ARGUMENT unless it is given one of path and engine. */
  constructor(adapter: string, { path, engine, ...options }: AdapterTarget) {
    if ((path === undefined) === (engine === undefined))
      throw invalidArgument(`${adapter} takes a 'path', where it opens a store, or an 'engine' that is open`);
    if (path !== undefined && (typeof path !== 'string' || path === ''))
      throw invalidArgument(`the 'path' of ${adapter} must be a directory's`);
    if (engine !== undefined && !isEngine(engine))
      throw invalidArgument(`the 'engine' of ${adapter} must be a StorageEngine or a StorageClient`);
    if (engine !== undefined && Object.values(options).some((value) => value !== undefined))
      throw invalidArgument(`${adapter} takes no options for an 'engine' that is open already`);
    this.#given = engine;
    this.#path = path === undefined ? '' : resolve(path);
    this.#options = options;
  }

  /** The store, opened at the first use. */
  engine(): Promise<AdapterEngine> {
    if (this.#isClosed)
      return Promise.reject(new StorageError('STRATA_CLOSED', 'the adapter is disconnected'));
    if (this.#given !== undefined) return Promise.resolve(this.#given);
    this.#opened ??= this.#open();
    return this.#opened;
  }

  /** Closes the store if it was opened here and no other adapter uses it. Again: no-op. */
  async close(): Promise<void> {
    this.#isClosed = true;
    // One that could not be opened was reported to who used it.
    if (this.#shared === undefined) await this.#opened?.catch(() => undefined);
    const shared = this.#shared;
    this.#shared = undefined;
    if (shared !== undefined) await release(shared);
  }

  async #open(): Promise<AdapterEngine> {
    try {
      this.#shared = await acquire(this.#path, this.#options);
      return await this.#shared.engine;
    } catch (error) {
      this.#opened = undefined;
      throw error;
    }
  }
}

function isEngine(value: unknown): value is AdapterEngine {
  const engine = value as Partial<AdapterEngine> | null;
  return (
    typeof engine === 'object' && typeof engine?.getMany === 'function' && typeof engine.scan === 'function'
  );
}

/** The store of a directory, open; another user of the one that is open already. */
async function acquire(path: string, options: EngineOptions): Promise<SharedStore> {
  for (;;) {
    const key = keyOf(path);
    const shared = stores.get(key);
    if (shared?.closed !== undefined) {
      await shared.closed;
      continue;
    }
    const store = shared ?? openAt(key, path, options);
    if (!areSame(store.options, options))
      throw invalidArgument(`${path} is open through another adapter, with other options`);
    store.users++;
    try {
      await store.engine;
      return store;
    } catch (error) {
      if (stores.get(key) === store) stores.delete(key);
      throw error;
    }
  }
}

function openAt(key: string, path: string, options: EngineOptions): SharedStore {
  const store = { options, engine: StorageEngine.open(path, options), users: 0, closed: undefined };
  stores.set(key, store);
  return store;
}

/** Two paths of one directory are one store. */
function keyOf(path: string): string {
  try {
    return nodeFileSystem.realPath(path);
  } catch {
    // It does not exist yet: then no other path leads there either, and the open says what is wrong with it.
    return path;
  }
}

async function release(store: SharedStore): Promise<void> {
  if (--store.users > 0) return;
  const forget = (): void => {
    for (const [key, other] of stores) if (other === store) stores.delete(key);
  };
  const closing = store.engine.then((engine) => engine.close());
  // Those who open it meanwhile wait for the end, however it ends; who closes it hears of a failure.
  store.closed = closing.then(forget, forget);
  await closing;
}

function areSame(a: EngineOptions, b: EngineOptions): boolean {
  const names = new Set([...Object.keys(a), ...Object.keys(b)]) as Set<keyof EngineOptions>;
  return [...names].every((name) => Object.is(a[name], b[name]));
}
