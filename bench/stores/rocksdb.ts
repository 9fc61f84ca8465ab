/**
 * @nxtedition/rocksdb 12 (RocksDB in C++): chained batches, `getMany`, `nextv` for scans, `querySync` for short ranges.
 *
 * Options: cache as for everyone; the write buffer is RocksDB's default of 64 MiB, which the binding can't change on its
 *          own; zstd with a dictionary is the only compression it knows, and a bloom filter of 10 bits its default.
 * Awaited: short ranges by an iterator, as `querySync` waits for the disk in the call.
 * Not chosen: `get`, which rejects with an error for a missing key and goes through getMany itself;
 *             `_getManySync`, which is not a public call, so there is no getSync here.
 */
import { loadPackage } from '../packages.ts';
import type { AwaitedReads, BenchStore, Found, Scan, StoreOptions } from './store.ts';

interface ChainedBatch {
  put(key: Buffer, value: Buffer): this;
  del(key: Buffer): this;
  write(options?: { sync: boolean }): Promise<void>;
}

interface RocksIterator {
  nextv(size: number): Promise<[Uint8Array, Uint8Array][]>;
  close(): Promise<void>;
}

interface RocksLevel {
  open(): Promise<void>;
  close(): Promise<void>;
  getMany(keys: Buffer[]): Promise<Found[]>;
  batch(): ChainedBatch;
  iterator(options?: object): RocksIterator;
  querySync(options: object): { readonly rows: readonly Uint8Array[] };
}

interface RocksModule {
  readonly RocksLevel: new (location: string, options: object) => RocksLevel;
}

const DURABLY = { sync: true };
const READ_OPTIONS = {
  keyEncoding: 'buffer',
  valueEncoding: 'buffer',
  /** So that counts decide where a read ends, and not the binding's limit of bytes. */
  highWaterMarkBytes: 1024 * 1024,
};

export async function openRocksdb(options: StoreOptions): Promise<BenchStore> {
  const { RocksLevel } = loadPackage<RocksModule>('@nxtedition/rocksdb');
  const level = new RocksLevel(options.directory, {
    keyEncoding: 'buffer',
    valueEncoding: 'buffer',
    createIfMissing: true,
    cacheSize: options.cacheBytes,
  });
  await level.open();
  return new RocksdbStore(level);
}

class RocksdbStore implements BenchStore {
  readonly #level: RocksLevel;
  readonly awaited: AwaitedReads = {
    seek: async (key, count) => {
      const iterator = this.#level.iterator({ ...READ_OPTIONS, gte: key, limit: count });
      const entries = await iterator.nextv(count);
      await iterator.close();
      return entries.length;
    },
  };

  constructor(level: RocksLevel) {
    this.#level = level;
  }

  put(key: Buffer, value: Buffer): Promise<void> {
    return this.#level.batch().put(key, value).write();
  }

  putDurably(key: Buffer, value: Buffer): Promise<void> {
    return this.#level.batch().put(key, value).write(DURABLY);
  }

  write(keys: readonly Buffer[], values: readonly (Buffer | undefined)[]): Promise<void> {
    const batch = this.#level.batch();
    for (let i = 0; i < keys.length; i++) {
      const value = values[i];
      if (value === undefined) batch.del(keys[i]!);
      else batch.put(keys[i]!, value);
    }
    return batch.write();
  }

  async get(key: Buffer): Promise<Found> {
    return (await this.#level.getMany([key]))[0];
  }

  getMany(keys: Buffer[]): Promise<Found[]> {
    return this.#level.getMany(keys);
  }

  scan(isReverse: boolean): Scan {
    const iterator = this.#level.iterator({ ...READ_OPTIONS, reverse: isReverse });
    return {
      next: async (count) => (await iterator.nextv(count)).length,
      close: () => iterator.close(),
    };
  }

  seek(key: Buffer, count: number): number {
    const { rows } = this.#level.querySync({ ...READ_OPTIONS, gte: key, limit: count });
    return rows.length / 2;
  }

  close(): Promise<void> {
    return this.#level.close();
  }
}
