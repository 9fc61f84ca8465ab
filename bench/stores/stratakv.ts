/**
 * Our store, through its public API: `put`, `write(WriteBatch)`, `get`, `getSync`, `getMany`, `scan().nextMany`, `ingest`,
 * `update`, `transaction`, `changes`;
 * in another thread through a StorageClient, with the same calls.
 *
 * Options: write buffer and cache as for everyone, all else at the defaults. A client has a block cache of its own, of
 *          the same size by default.
 * Awaited: scans by `for await`, entry by entry.
 */
import type { MessagePort } from 'node:worker_threads';
import { StorageClient } from '../../src/client/index.ts';
import { StorageEngine, WriteBatch } from '../../src/main/index.ts';
import type { AwaitedReads, BenchStore, Found, ReaderStore, Scan, StoreOptions } from './store.ts';

const DURABLY = { sync: true } as const;

export async function openStratakv(options: StoreOptions): Promise<BenchStore> {
  const engine = await StorageEngine.open(options.directory, {
    writeBufferSize: options.writeBufferBytes,
    cacheSize: options.cacheBytes,
    ...(options.mmap === undefined ? {} : { mmap: options.mmap }),
    ...(options.poolThreads === undefined ? {} : { threads: options.poolThreads }),
  });
  return new StratakvStore(engine);
}

/** Reads in the calling thread what the owner of `port` has open. */
export async function openStratakvReader(port: MessagePort): Promise<ReaderStore> {
  const client = await StorageClient.attach(port);
  return {
    getSync: (key) => client.getSync(key),
    scan: (isReverse) => {
      const scan = client.scan({ reverse: isReverse });
      return { next: (count) => scan.nextMany(count).length, close: () => scan.close() };
    },
    close: () => client.close(),
  };
}

class StratakvStore implements BenchStore {
  readonly #engine: StorageEngine;
  readonly #batch = new WriteBatch();
  readonly awaited: AwaitedReads = {
    scan: (isReverse) => this.#awaitedScan(isReverse),
    seek: async (key, count) => {
      let taken = 0;
      for await (const entry of this.#engine.scan({ gte: key, limit: count })) taken += entry.length / 2;
      return taken;
    },
  };

  constructor(engine: StorageEngine) {
    this.#engine = engine;
  }

  put(key: Buffer, value: Buffer): Promise<void> {
    return this.#engine.put(key, value);
  }

  putDurably(key: Buffer, value: Buffer): Promise<void> {
    return this.#engine.put(key, value, DURABLY);
  }

  write(keys: readonly Buffer[], values: readonly (Buffer | undefined)[]): Promise<void> {
    // The engine copies a batch in the call, so one is enough, as an application would do it.
    const batch = this.#batch.clear();
    for (let i = 0; i < keys.length; i++) {
      const value = values[i];
      if (value === undefined) batch.delete(keys[i]!);
      else batch.put(keys[i]!, value);
    }
    return this.#engine.write(batch);
  }

  update(key: Buffer, change: (found: Found) => Buffer): Promise<Found> {
    return this.#engine.update(key, change);
  }

  transact(keys: readonly Buffer[], change: (found: readonly Found[]) => readonly Buffer[]): Promise<void> {
    return this.#engine.transaction(async (tx) => {
      const found: Found[] = [];
      for (const key of keys) found.push(await tx.get(key));
      const values = change(found);
      for (let i = 0; i < keys.length; i++) tx.put(keys[i]!, values[i]!);
    });
  }

  follow(): { stop(): Promise<void> } {
    const changes = this.#engine.changes();
    let taken = 0;
    const taking = (async (): Promise<void> => {
      for await (const batch of changes) taken += batch.changes.length;
    })();
    return {
      stop: async () => {
        await changes.return!();
        await taking;
        if (taken === 0) throw new Error('no change was given');
      },
    };
  }

  get(key: Buffer): Promise<Found> {
    return this.#engine.get(key);
  }

  getSync(key: Buffer): Found {
    return this.#engine.getSync(key);
  }

  getMany(keys: Buffer[]): Promise<readonly Found[]> {
    return this.#engine.getMany(keys);
  }

  scan(isReverse: boolean): Scan {
    const scan = this.#engine.scan({ reverse: isReverse });
    return { next: (count) => scan.nextMany(count).length, close: () => scan.close() };
  }

  seek(key: Buffer, count: number): number {
    return this.#engine.scan({ gte: key, limit: count }).nextMany(count).length;
  }

  #awaitedScan(isReverse: boolean): Scan {
    const entries = this.#engine.scan({ reverse: isReverse })[Symbol.asyncIterator]();
    return {
      next: async (count) => {
        let taken = 0;
        while (taken < count && (await entries.next()).done !== true) taken++;
        return taken;
      },
      close: async () => void (await entries.return?.()),
    };
  }

  flush(): Promise<void> {
    return this.#engine.flush();
  }

  ingest(records: Iterable<readonly [Buffer, Buffer]>): Promise<unknown> {
    return this.#engine.ingest(records);
  }

  share(): MessagePort {
    return this.#engine.share();
  }

  close(): Promise<void> {
    return this.#engine.close();
  }
}
