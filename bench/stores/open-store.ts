/**
 * Opens a store by its name.
 */
import { openClassicLevel } from './classic-level.ts';
import { openLmdb } from './lmdb.ts';
import { openRocksdb } from './rocksdb.ts';
import { type BenchStore, DB_BENCH, type StoreName, type StoreOptions } from './store.ts';
import { openStratakv } from './stratakv.ts';

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
