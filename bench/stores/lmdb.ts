/**
 * lmdb 3 (lmdb-js): `put` (grouped by the package into transactions), `batch`, `transaction` (in the
 * package's queue, with those of others in flight), `getBinary`, `getRange`; binary keys and
 * values, no compression (it has none by default).
 *
 * Options: defaults. There is neither a write buffer nor a cache: the kernel's page cache serves as both. By default a put
 *          resolves when its transaction is committed, and the disk is waited for in the background (`overlappingSync`);
 *          a durable put waits for `flushed`. `lmdb-nosync` leaves that to the kernel, which risks the whole database
 *          at power loss, where a log loses only its tail; measured on request.
 *          Another thread opens the same path, and shares the mapping.
 * Not chosen: `getBinaryFast`, whose bytes the next get overwrites; its own `getMany`, which prefetches on a thread and
 *             measured no faster than a loop of gets with the pages in memory (it is the awaited one, as it is made for pages
 *             that are not); `transactionSync`, no faster than `batch`.
 */
import { join } from 'node:path';
import { loadPackage } from '../packages.ts';
import type { AwaitedReads, BenchStore, Found, Scan, StoreOptions } from './store.ts';

interface LmdbEntry {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

interface Lmdb {
  readonly flushed: Promise<void>;
  put(key: Buffer, value: Buffer): Promise<boolean>;
  remove(key: Buffer): Promise<boolean>;
  batch(action: () => void): Promise<boolean>;
  transaction(action: () => void): Promise<unknown>;
  getBinary(key: Buffer): Found;
  getMany(keys: Buffer[]): Promise<readonly Found[]>;
  getRange(options: object): Iterable<LmdbEntry>;
  close(): Promise<void>;
}

interface LmdbModule {
  open(options: object): Lmdb;
}

export function openLmdb(options: StoreOptions, isNoSync: boolean): BenchStore {
  const { open } = loadPackage<LmdbModule>('lmdb');
  const lmdb = open({
    path: join(options.directory, 'data.mdb'),
    keyEncoding: 'binary',
    encoding: 'binary',
    ...(isNoSync ? { noSync: true } : {}),
  });
  return new LmdbStore(lmdb);
}

class LmdbStore implements BenchStore {
  readonly #lmdb: Lmdb;
  readonly awaited: AwaitedReads = { getMany: (keys) => this.#lmdb.getMany(keys) };

  constructor(lmdb: Lmdb) {
    this.#lmdb = lmdb;
  }

  put(key: Buffer, value: Buffer): Promise<boolean> {
    return this.#lmdb.put(key, value);
  }

  async putDurably(key: Buffer, value: Buffer): Promise<void> {
    await this.#lmdb.put(key, value);
    await this.#lmdb.flushed;
  }

  write(keys: readonly Buffer[], values: readonly (Buffer | undefined)[]): Promise<boolean> {
    const lmdb = this.#lmdb;
    return lmdb.batch(() => {
      for (let i = 0; i < keys.length; i++) {
        const value = values[i];
        if (value === undefined) void lmdb.remove(keys[i]!);
        else void lmdb.put(keys[i]!, value);
      }
    });
  }

  update(key: Buffer, change: (found: Found) => Buffer): Promise<unknown> {
    const lmdb = this.#lmdb;
    return lmdb.transaction(() => void lmdb.put(key, change(lmdb.getBinary(key))));
  }

  transact(
    keys: readonly Buffer[],
    change: (found: readonly Found[]) => readonly Buffer[],
  ): Promise<unknown> {
    const lmdb = this.#lmdb;
    return lmdb.transaction(() => {
      const values = change(keys.map((key) => lmdb.getBinary(key)));
      for (let i = 0; i < keys.length; i++) void lmdb.put(keys[i]!, values[i]!);
    });
  }

  get(key: Buffer): Found {
    return this.#lmdb.getBinary(key);
  }

  getSync(key: Buffer): Found {
    return this.#lmdb.getBinary(key);
  }

  getMany(keys: Buffer[]): readonly Found[] {
    const found: Found[] = [];
    for (const key of keys) found.push(this.#lmdb.getBinary(key));
    return found;
  }

  scan(isReverse: boolean): Scan {
    const iterator = this.#lmdb.getRange({ reverse: isReverse })[Symbol.iterator]();
    return {
      next: (count) => {
        let taken = 0;
        while (taken < count && iterator.next().done !== true) taken++;
        return taken;
      },
      close: () => void iterator.return?.(),
    };
  }

  seek(key: Buffer, count: number): number {
    let taken = 0;
    for (const entry of this.#lmdb.getRange({ start: key, limit: count }))
      if (entry.value !== undefined) taken++;
    return taken;
  }

  async close(): Promise<void> {
    await this.#lmdb.flushed;
    await this.#lmdb.close();
  }
}
