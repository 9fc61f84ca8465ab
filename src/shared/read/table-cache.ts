/**
 * Open tables by file number: at most `maxOpenFiles` of them, the least recently used closed first.
 *
 * A reader in the hands of an iterator is leased: it leaves the cache like any other but is closed only when the lease
 * ends. Lookups are synchronous and need no lease.
 *
 * Invariants: EMFILE is never taken for a missing file: the cache gives up half of its files and tries once more.
 *             A live table that is missing is corruption, named by file.
 * Thread:     any; each has its own.     Owns: the file descriptors of tables.
 * The only importer of lru-cache.
 */
import { LRUCache } from 'lru-cache';
import { CorruptionError, type StorageError, systemErrorCode } from '../errors.ts';
import { closeQuietly, type FileSystem, type StorageFile } from '../file-system.ts';
import type { FileNumber } from '../ids.ts';
import type { InternalIterator } from '../iterator.ts';
import type { BlockCache } from '../table/block-cache.ts';
import { openSource } from '../table/block-source.ts';
import { openTableFile } from '../table/table-file.ts';
import { type Lease, TableIterator } from '../table/table-iterator.ts';
import { type TableCounters, TableReader } from '../table/table-reader.ts';
import type { TableMeta } from '../version-edit.ts';

class OpenTable implements Lease {
  readonly reader: TableReader;
  leases = 0;
  isEvicted = false;

  constructor(reader: TableReader) {
    this.reader = reader;
  }

  release(): void {
    this.leases--;
    this.closeIfUnused();
  }

  closeIfUnused(): void {
    if (this.isEvicted && this.leases === 0) closeQuietly(this.reader);
  }
}

export class TableCache {
  readonly #fs: Pick<FileSystem, 'openRead'>;
  readonly #directory: string;
  readonly #maxOpenFiles: number;
  readonly #mmap: boolean;
  readonly #blocks: BlockCache;
  readonly counters: TableCounters = { bloomChecks: 0, bloomRejections: 0, blockReads: 0, blockBytesRead: 0 };
  readonly #tables: LRUCache<FileNumber, OpenTable>;
  /** Counted up whenever a table leaves the cache. */
  evictions = 0;
  /** The table used last: lookups in a row often go to one. */
  #latest: OpenTable | undefined;

  constructor(
    fs: Pick<FileSystem, 'openRead'>,
    directory: string,
    options: { readonly maxOpenFiles: number; readonly mmap: boolean },
    blocks: BlockCache,
  ) {
    this.#fs = fs;
    this.#directory = directory;
    this.#maxOpenFiles = options.maxOpenFiles;
    this.#mmap = options.mmap;
    this.#blocks = blocks;
    this.#tables = new LRUCache({
      // Not `max`, which would reserve room for as many at once.
      maxSize: this.#maxOpenFiles,
      sizeCalculation: () => 1,
      dispose: (table) => {
        this.evictions++;
        if (this.#latest === table) this.#latest = undefined;
        table.isEvicted = true;
        table.closeIfUnused();
      },
    });
  }

  get openCount(): number {
    return this.#tables.size;
  }

  /** Index and filters of the open tables. */
  get memoryBytes(): number {
    let total = 0;
    for (const { reader } of this.#tables.values()) total += reader.memoryBytes;
    return total;
  }

  /** The reader of a live table, for use before the next call of anything here. */
  reader(meta: TableMeta): TableReader {
    return this.#get(meta).reader;
  }

  /** An iterator over a live table that keeps it open until closed. */
  iterator(meta: TableMeta, fillCache: boolean): InternalIterator {
    const table = this.#get(meta);
    table.leases++;
    return new TableIterator(table.reader, fillCache, table);
  }

  /** Forgets a table whose file is about to be deleted. */
  evict(number: FileNumber): void {
    this.#tables.delete(number);
  }

  close(): void {
    this.#tables.clear();
  }

  #get(meta: TableMeta): OpenTable {
    if (this.#latest?.reader.number === meta.number) return this.#latest;
    // Order matters only when the cache may run full, and keeping it costs more than finding the table.
    const isRoomy = this.#tables.size <= this.#maxOpenFiles / 2;
    let table = isRoomy ? this.#tables.peek(meta.number) : this.#tables.get(meta.number);
    if (table === undefined) {
      // Before another file is opened, not after.
      while (this.#tables.size >= this.#maxOpenFiles) this.#tables.pop();
      table = new OpenTable(this.#openOrMakeRoom(meta));
      this.#tables.set(meta.number, table);
    }
    this.#latest = table;
    return table;
  }

  #openOrMakeRoom(meta: TableMeta): TableReader {
    try {
      return this.#open(meta);
    } catch (error) {
      const code = systemErrorCode(error);
      if ((code !== 'EMFILE' && code !== 'ENFILE') || this.#tables.size === 0) throw error;
      for (let left = Math.ceil(this.#tables.size / 2); left > 0; left--) this.#tables.pop();
      return this.#open(meta);
    }
  }

  #open(meta: TableMeta): TableReader {
    const file = this.#openFile(meta.number);
    try {
      if (file.size() !== meta.sizeBytes)
        throw new CorruptionError(`the table has ${file.size()} bytes of ${meta.sizeBytes}`, {
          file: file.path,
          offset: file.size(),
        });
      return TableReader.open(openSource(file, this.#mmap), meta, {
        cache: this.#blocks,
        counters: this.counters,
      });
    } catch (error) {
      file.close();
      throw error;
    }
  }

  #openFile(number: FileNumber): StorageFile {
    try {
      return openTableFile(this.#fs, this.#directory, number);
    } catch (error) {
      if (systemErrorCode(error) !== 'ENOENT') throw error;
      const file = (error as StorageError).file;
      throw new CorruptionError('a table that the manifest names is missing', { file, cause: error });
    }
  }
}
