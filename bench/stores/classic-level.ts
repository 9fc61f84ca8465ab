/**
 * classic-level 3 (LevelDB in C++): chained batches, `nextv` for scans, `getSync`, buffers for keys and values.
 *
 * Options: write buffer and cache as for everyone; a bloom filter of 10 bits and Snappy are built into the binding, all
 *          else at its defaults.
 *          `multithreading`, where other threads read, too: each opens the same path, and all share one LevelDB and its
 *          cache. The first to open it must have the option, too.
 * Not chosen: array batches (an object per operation, slower); one iterator that seeks again and again, which reads
 *             one frozen moment where an application wants the current one.
 */
import { loadPackage } from '../packages.ts';
import type { BenchStore, Found, Scan, StoreOptions } from './store.ts';

interface ChainedBatch {
  put(key: Buffer, value: Buffer): this;
  del(key: Buffer): this;
  write(options?: { sync: boolean }): Promise<void>;
}

interface LevelIterator {
  nextv(size: number): Promise<[Uint8Array, Uint8Array][]>;
  close(): Promise<void>;
}

interface ClassicLevel {
  open(): Promise<void>;
  close(): Promise<void>;
  put(key: Buffer, value: Buffer, options?: { sync: boolean }): Promise<void>;
  get(key: Buffer): Promise<Found>;
  getSync(key: Buffer): Found;
  getMany(keys: Buffer[]): Promise<Found[]>;
  batch(): ChainedBatch;
  iterator(options?: object): LevelIterator;
}

interface ClassicLevelModule {
  readonly ClassicLevel: new (location: string, options: object) => ClassicLevel;
}

const DURABLY = { sync: true };
/** By default `nextv` stops after 16 KiB, whatever count it was given: 140 of our entries. */
const SCAN_BYTES: number = 1024 * 1024;

export async function openClassicLevel(options: StoreOptions): Promise<BenchStore> {
  const { ClassicLevel } = loadPackage<ClassicLevelModule>('classic-level');
  const level = new ClassicLevel(options.directory, {
    keyEncoding: 'buffer',
    valueEncoding: 'buffer',
    writeBufferSize: options.writeBufferBytes,
    cacheSize: options.cacheBytes,
    multithreading: options.isThreaded ?? false,
  });
  await level.open();
  return new ClassicLevelStore(level);
}

class ClassicLevelStore implements BenchStore {
  readonly #level: ClassicLevel;

  constructor(level: ClassicLevel) {
    this.#level = level;
  }

  put(key: Buffer, value: Buffer): Promise<void> {
    return this.#level.put(key, value);
  }

  putDurably(key: Buffer, value: Buffer): Promise<void> {
    return this.#level.put(key, value, DURABLY);
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

  get(key: Buffer): Promise<Found> {
    return this.#level.get(key);
  }

  getSync(key: Buffer): Found {
    return this.#level.getSync(key);
  }

  getMany(keys: Buffer[]): Promise<Found[]> {
    return this.#level.getMany(keys);
  }

  scan(isReverse: boolean): Scan {
    const iterator = this.#level.iterator({ reverse: isReverse, highWaterMarkBytes: SCAN_BYTES });
    return {
      next: async (count) => (await iterator.nextv(count)).length,
      close: () => iterator.close(),
    };
  }

  async seek(key: Buffer, count: number): Promise<number> {
    const iterator = this.#level.iterator({ gte: key, limit: count, highWaterMarkBytes: SCAN_BYTES });
    const entries = await iterator.nextv(count);
    await iterator.close();
    return entries.length;
  }

  close(): Promise<void> {
    return this.#level.close();
  }
}
