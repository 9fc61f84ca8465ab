/**
 * Opens a store by its name, in the thread that measures or in a reader thread.
 */
import type { MessagePort } from 'node:worker_threads';
import { openClassicLevel } from './classic-level.ts';
import { openLmdb } from './lmdb.ts';
import { openRocksdb } from './rocksdb.ts';
import { type BenchStore, DB_BENCH, type ReaderStore, type StoreName, type StoreOptions } from './store.ts';
import { openStratakv, openStratakvReader } from './stratakv.ts';

export async function openBenchStore(name: StoreName, options: StoreOptions): Promise<BenchStore> {
  switch (name) {
    case 'stratakv':
      return await openStratakv(options);
    case 'classic-level':
      return await openClassicLevel(options);
    case 'lmdb':
      return openLmdb(options, false);
    case 'lmdb-nosync':
      return openLmdb(options, true);
    case 'rocksdb':
      return await openRocksdb(options);
    case DB_BENCH:
      throw new Error('db_bench is a program, not a library');
  }
}

/** For another thread than the one that has it open: through the port that one gave, else by its path. */
export async function openReader(
  name: StoreName,
  options: StoreOptions,
  port: MessagePort | undefined,
): Promise<ReaderStore> {
  return port === undefined ? await openBenchStore(name, options) : await openStratakvReader(port);
}
