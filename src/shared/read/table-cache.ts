/**
 * Open tables by file number: at most `maxOpenFiles` of them, the least recently used closed first.
 *
 * A reader in the hands of an iterator, or with reads under way, is leased: it leaves the cache like any other but is closed only
 * when the lease ends, and is found again until then. Lookups are synchronous and need no lease.
 *
 * For a read that may not wait (disk.ts), a table that is not open is a WouldWait: it is opened off the thread. While reads are
 * judged to be quick it is opened in the call.
 *
 * Invariants: EMFILE is never taken for a missing file: the cache gives up half of its files and tries again, until it has none.
 *             Whoever has a table opened holds it from the step in which it is open: no other may close it in between.
 *             A live table that is missing is corruption, named by file.
 * Thread:     any; each has its own.     Owns: the file descriptors of tables.
 * The only importer of lru-cache.
 */
import { LRUCache } from 'lru-cache';
import { assert } from '../base/assert.ts';
import { CorruptionError, StorageError, systemErrorCode } from '../base/errors.ts';
import type { FileNumber } from '../base/ids.ts';
import type { TableInfo } from '../base/version-edit.ts';
import type { Disk } from '../disk/disk.ts';
import { QueueTicket, WITHDRAWN } from '../disk/disk-queue.ts';
import { type Fetched, type Needed, WouldWait } from '../disk/would-wait.ts';
import { closeQuietly, type FileSystem, type StorageFile } from '../files/file-system.ts';
import type { BlockCache } from '../table/block-cache.ts';
import { type BlockSource, openSource } from '../table/block-source.ts';
import { openTableFile, openTableFileLater } from '../table/table-file.ts';
import { type Lease, type ScanPart, TableIterator } from '../table/table-iterator.ts';
import { type TableCounters, TableReader, type TableReaderOptions } from '../table/table-reader.ts';

class OpenTable implements Lease {
  readonly reader: TableReader;
  leases = 0;
  isEvicted = false;
  readonly #onClosed: (table: OpenTable) => void;

  constructor(reader: TableReader, onClosed: (table: OpenTable) => void) {
    this.reader = reader;
    this.#onClosed = onClosed;
  }

  release(): void {
    this.leases--;
    this.closeIfUnused();
  }

  closeIfUnused(): void {
    if (!this.isEvicted || this.leases > 0) return;
    this.#onClosed(this);
    closeQuietly(this.reader);
  }
}

/** A table on its way, and how many want it: each has a lease from the step in which it is open. */
class Opening {
  ready: Promise<void> = Promise.resolve();
  readonly ticket: QueueTicket = new QueueTicket();
  takers = 0;
  table: OpenTable | undefined;
}

/** What the files of tables are opened with. */
export type TableFiles = Pick<FileSystem, 'openRead' | 'openReadAsync'>;

/** Hears which tables are opened and closed. Must not throw. */
export interface TableWatch {
  opened(number: FileNumber, sizeBytes: number, openCount: number): void;
  closed(number: FileNumber, openCount: number): void;
}

export class TableCache {
  readonly #fs: TableFiles;
  readonly #directory: string;
  readonly #maxOpenFiles: number;
  readonly #mmap: boolean;
  readonly #blocks: BlockCache;
  readonly #disk: Disk;
  readonly #watch: TableWatch | undefined;
  readonly counters: TableCounters = { bloomChecks: 0, bloomRejections: 0, blockReads: 0, blockBytesRead: 0 };
  readonly #tables: LRUCache<FileNumber, OpenTable>;
  /** Evicted, and leased. */
  readonly #leased = new Map<FileNumber, OpenTable>();
  /** Being opened off the thread. */
  readonly #opening = new Map<FileNumber, Opening>();
  #isClosed = false;
  /** Counted up whenever a table leaves the cache. */
  evictions = 0;
  /** The table used last: lookups in a row often go to one. */
  #latest: OpenTable | undefined;

  constructor(
    fs: TableFiles,
    directory: string,
    options: { readonly maxOpenFiles: number; readonly mmap: boolean },
    blocks: BlockCache,
    disk: Disk,
    watch?: TableWatch,
  ) {
    this.#fs = fs;
    this.#directory = directory;
    this.#maxOpenFiles = options.maxOpenFiles;
    this.#mmap = options.mmap;
    this.#blocks = blocks;
    this.#disk = disk;
    this.#watch = watch;
    this.#tables = new LRUCache({
      // Not `max`, which would reserve room for as many at once.
      maxSize: this.#maxOpenFiles,
      sizeCalculation: () => 1,
      dispose: (table) => {
        this.evictions++;
        if (this.#latest === table) this.#latest = undefined;
        table.isEvicted = true;
        if (table.leases > 0) this.#leased.set(table.reader.number, table);
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
  reader(meta: TableInfo): TableReader {
    return this.#get(meta).reader;
  }

  /** An iterator over a live table that keeps it open until closed. */
  iterator(meta: TableInfo, fillCache: boolean, scan?: ScanPart): TableIterator {
    const table = this.#get(meta);
    this.#lease(table);
    return new TableIterator(table.reader, fillCache, table, scan);
  }

  isOpen(meta: TableInfo): boolean {
    return this.#known(meta.number) !== undefined;
  }

  /** Forgets a table whose file is about to be deleted. */
  evict(number: FileNumber): void {
    this.#tables.delete(number);
  }

  /** What is leased, or being opened, is closed when that ends. */
  close(): void {
    this.#isClosed = true;
    this.#tables.clear();
  }

  /** Has a live table opened, and keeps it open until it is given back. */
  fetch(meta: TableInfo): Fetched {
    const known = this.#known(meta.number);
    if (known !== undefined) {
      this.#lease(known);
      return { ready: Promise.resolve(), release: () => known.release() };
    }
    const opening = this.#opening.get(meta.number) ?? this.#openLater(meta);
    opening.takers++;
    return {
      ready: opening.ready,
      release: () => {
        if (opening.table !== undefined) opening.table.release();
        else if (--opening.takers === 0 && opening.ticket.withdraw()) this.#opening.delete(meta.number);
      },
    };
  }

  #get(meta: TableInfo): OpenTable {
    if (this.#latest?.reader.number === meta.number) return this.#latest;
    // Order matters only when the cache may run full, and keeping it costs more than finding the table.
    const isRoomy = this.#tables.size <= this.#maxOpenFiles / 2;
    let table = isRoomy ? this.#tables.peek(meta.number) : this.#tables.get(meta.number);
    table ??= this.#leased.get(meta.number);
    if (table === undefined) {
      if (!this.#disk.mayOpen) throw new WouldWait(this.#needed(meta));
      this.#makeRoom();
      table = this.#add(
        this.#disk.timed(() => this.#openOrMakeRoom(meta)),
        meta,
      );
    }
    this.#latest = table;
    return table;
  }

  #needed(meta: TableInfo): Needed {
    return { opensTable: () => !this.#opening.has(meta.number), fetch: () => this.fetch(meta) };
  }

  /** Before another file is opened, not after. */
  #makeRoom(): void {
    while (this.#tables.size >= this.#maxOpenFiles) this.#tables.pop();
  }

  #add(reader: TableReader, meta: TableInfo): OpenTable {
    const table = new OpenTable(reader, (closed) => {
      if (this.#leased.get(reader.number) === closed) this.#leased.delete(reader.number);
      // It may have been used again since it was evicted.
      if (this.#latest === closed) this.#latest = undefined;
      this.#watch?.closed(reader.number, this.#tables.size);
    });
    this.#tables.set(reader.number, table);
    this.#watch?.opened(reader.number, meta.sizeBytes, this.#tables.size);
    return table;
  }

  #lease(table: OpenTable): void {
    table.leases++;
    if (table.isEvicted) this.#leased.set(table.reader.number, table);
  }

  /** A lease for reads under way: the reader is here, or it would not have been asked. */
  #holdOf(number: FileNumber): () => void {
    const table = this.#known(number);
    assert(table !== undefined, 'a table that is read is open');
    this.#lease(table);
    return () => table.release();
  }

  #known(number: FileNumber): OpenTable | undefined {
    return this.#tables.peek(number) ?? this.#leased.get(number);
  }

  #openLater(meta: TableInfo): Opening {
    const opening = new Opening();
    this.#opening.set(meta.number, opening);
    opening.ready = this.#openFor(opening, meta).finally(() => {
      if (this.#opening.get(meta.number) === opening) this.#opening.delete(meta.number);
    });
    // Whoever reads ahead may never ask.
    opening.ready.catch(() => undefined);
    return opening;
  }

  async #openFor(opening: Opening, meta: TableInfo): Promise<void> {
    const reader = await this.#readerLater(meta, opening);
    if (this.#isClosed) {
      closeQuietly(reader);
      throw new StorageError('STRATA_CLOSED', 'the store is closed');
    }
    let table = this.#known(meta.number);
    if (table === undefined) {
      this.#makeRoom();
      table = this.#add(reader, meta);
    } else {
      // Somebody who may wait was quicker.
      closeQuietly(reader);
    }
    for (let { takers } = opening; takers > 0; takers--) this.#lease(table);
    opening.table = table;
    this.#opening.delete(meta.number);
  }

  async #readerLater(meta: TableInfo, opening: Opening): Promise<TableReader> {
    const file = await this.#fileLater(meta.number, opening);
    try {
      // Of the last ones: nobody may want it any more, and the disk may be slow.
      if (opening.takers === 0) {
        // In this step: who comes now begins anew.
        this.#opening.delete(meta.number);
        throw WITHDRAWN;
      }
      const source = this.#sourceOf(file, meta);
      return await TableReader.openLater(source, meta, this.#optionsFor(meta), opening.ticket);
    } catch (error) {
      file.close();
      throw error;
    }
  }

  /** As {@link #openOrMakeRoom}. */
  async #fileLater(number: FileNumber, { ticket }: Opening): Promise<StorageFile> {
    const open = (): Promise<StorageFile> => openTableFileLater(this.#fs, this.#directory, number);
    for (;;)
      try {
        return await this.#disk.queue.run(open, true, ticket);
      } catch (error) {
        if (!isOutOfFiles(error) || this.#tables.size === 0) throw missingIsCorrupt(error);
        this.#giveUpHalf();
      }
  }

  #sourceOf(file: StorageFile, meta: TableInfo): BlockSource {
    if (file.size() !== meta.sizeBytes)
      throw new CorruptionError(`the table has ${file.size()} bytes of ${meta.sizeBytes}`, {
        file: file.path,
        offset: file.size(),
      });
    return openSource(file, this.#mmap, this.#disk);
  }

  #optionsFor(meta: TableInfo): TableReaderOptions {
    return {
      cache: this.#blocks,
      counters: this.counters,
      disk: this.#disk,
      hold: () => this.#holdOf(meta.number),
    };
  }

  #giveUpHalf(): void {
    for (let left = Math.ceil(this.#tables.size / 2); left > 0; left--) this.#tables.pop();
  }

  #openOrMakeRoom(meta: TableInfo): TableReader {
    for (;;)
      try {
        return this.#open(meta);
      } catch (error) {
        if (!isOutOfFiles(error) || this.#tables.size === 0) throw error;
        this.#giveUpHalf();
      }
  }

  #open(meta: TableInfo): TableReader {
    const file = this.#openFile(meta.number);
    try {
      return TableReader.open(this.#sourceOf(file, meta), meta, this.#optionsFor(meta));
    } catch (error) {
      file.close();
      throw error;
    }
  }

  #openFile(number: FileNumber): StorageFile {
    try {
      return openTableFile(this.#fs, this.#directory, number);
    } catch (error) {
      throw missingIsCorrupt(error);
    }
  }
}

function isOutOfFiles(error: unknown): boolean {
  const code = systemErrorCode(error);
  return code === 'EMFILE' || code === 'ENFILE';
}

/** The manifest names the table: one that is missing is damage. */
function missingIsCorrupt(error: unknown): unknown {
  if (systemErrorCode(error) !== 'ENOENT') return error;
  const file = (error as StorageError).file;
  return new CorruptionError('a table that the manifest names is missing', { file, cause: error });
}
