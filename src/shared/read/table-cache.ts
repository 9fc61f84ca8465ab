/**
 * Open tables by file number: at most `maxOpenFiles` of them, the least recently used closed first.
 *
 * A reader in the hands of an iterator is leased: it leaves the cache like any other but is closed only when the lease
 * ends. Lookups are synchronous and need no lease.
 *
 * Invariants: EMFILE is never taken for a missing file: the cache gives up half of its files and tries once more.
 *             A live table that is missing is corruption, named by file.
 * Thread:     any; each has its own.     Owns: the file descriptors of tables.
 * Not chosen: lru-cache: what leaves must wait for its leases, and a Map in order of use is all that is left then.
 */
import { CorruptionError, systemErrorCode } from '../errors.ts';
import { tablePath } from '../file-names.ts';
import { closeQuietly, type FileSystem } from '../file-system.ts';
import type { FileNumber } from '../ids.ts';
import type { InternalIterator } from '../iterator.ts';
import { openSource } from '../table/block-source.ts';
import { type BlockCache, type TableCounters, TableReader } from '../table/table-reader.ts';
import type { TableMeta } from '../version-edit.ts';

class OpenTable {
  readonly reader: TableReader;
  leases = 0;
  isEvicted = false;

  constructor(reader: TableReader) {
    this.reader = reader;
  }

  closeIfUnused(): void {
    if (this.isEvicted && this.leases === 0) closeQuietly(this.reader);
  }
}

export class TableCache {
  readonly #fs: FileSystem;
  readonly #directory: string;
  readonly #maxOpenFiles: number;
  readonly #mmap: boolean;
  readonly #blocks: BlockCache;
  readonly counters: TableCounters = { bloomChecks: 0, bloomRejections: 0, blockReads: 0, blockBytesRead: 0 };
  /** In order of use, oldest first. */
  readonly #tables = new Map<FileNumber, OpenTable>();
  /** The table used last: most lookups in a row go to few tables, and moving one in the Map costs more than they do. */
  #latest: OpenTable | undefined;

  constructor(
    fs: FileSystem,
    directory: string,
    options: { readonly maxOpenFiles: number; readonly mmap: boolean },
    blocks: BlockCache,
  ) {
    this.#fs = fs;
    this.#directory = directory;
    this.#maxOpenFiles = options.maxOpenFiles;
    this.#mmap = options.mmap;
    this.#blocks = blocks;
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
    return new LeasedIterator(table.reader.iterator({ fillCache }), () => {
      table.leases--;
      table.closeIfUnused();
    });
  }

  /** Forgets a table whose file is about to be deleted. */
  evict(number: FileNumber): void {
    const table = this.#tables.get(number);
    if (table === undefined) return;
    this.#tables.delete(number);
    if (this.#latest === table) this.#latest = undefined;
    table.isEvicted = true;
    table.closeIfUnused();
  }

  close(): void {
    for (const number of [...this.#tables.keys()]) this.evict(number);
  }

  #get(meta: TableMeta): OpenTable {
    if (this.#latest?.reader.number === meta.number) return this.#latest;
    let table = this.#tables.get(meta.number);
    if (table === undefined) {
      this.#shrinkTo(this.#maxOpenFiles - 1);
      table = new OpenTable(this.#openOrMakeRoom(meta));
      this.#tables.set(meta.number, table);
    } else if (this.#tables.size > this.#maxOpenFiles / 2) {
      // Order matters only when the cache may run full.
      this.#tables.delete(meta.number);
      this.#tables.set(meta.number, table);
    }
    this.#latest = table;
    return table;
  }

  #shrinkTo(count: number): void {
    for (const number of this.#tables.keys()) {
      if (this.#tables.size <= Math.max(0, count)) return;
      this.evict(number);
    }
  }

  #openOrMakeRoom(meta: TableMeta): TableReader {
    try {
      return this.#open(meta);
    } catch (error) {
      const code = systemErrorCode(error);
      if ((code !== 'EMFILE' && code !== 'ENFILE') || this.#tables.size === 0) throw error;
      this.#shrinkTo(Math.floor(this.#tables.size / 2));
      return this.#open(meta);
    }
  }

  #open(meta: TableMeta): TableReader {
    const path = tablePath(this.#directory, meta.number);
    const file = this.#openFile(path);
    try {
      if (file.size() !== meta.sizeBytes)
        throw new CorruptionError(`the table has ${file.size()} bytes of ${meta.sizeBytes}`, {
          file: path,
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

  #openFile(path: string): ReturnType<FileSystem['openRead']> {
    try {
      return this.#fs.openRead(path);
    } catch (error) {
      if (systemErrorCode(error) !== 'ENOENT') throw error;
      throw new CorruptionError('a table that the manifest names is missing', { file: path, cause: error });
    }
  }
}

/** Passes everything on, and gives its table back when closed. */
class LeasedIterator implements InternalIterator {
  readonly #inner: InternalIterator;
  #release: (() => void) | undefined;

  constructor(inner: InternalIterator, release: () => void) {
    this.#inner = inner;
    this.#release = release;
  }

  get entry(): InternalIterator['entry'] {
    return this.#inner.entry;
  }

  seekToFirst(): boolean {
    return this.#inner.seekToFirst();
  }

  seek(key: Uint8Array): boolean {
    return this.#inner.seek(key);
  }

  next(): boolean {
    return this.#inner.next();
  }

  seekToLast(): boolean {
    return this.#inner.seekToLast();
  }

  seekBefore(key: Uint8Array): boolean {
    return this.#inner.seekBefore(key);
  }

  prev(): boolean {
    return this.#inner.prev();
  }

  close(): void {
    this.#inner.close();
    const release = this.#release;
    this.#release = undefined;
    release?.();
  }
}
