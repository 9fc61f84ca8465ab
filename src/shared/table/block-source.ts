/**
 * Where a table's bytes come from: pread, or a mapping of the file (memory-map.ts).
 *
 * A mapped block costs no system call and no copy; where mapping is not possible pread does the same. Both are checked
 * alike, as the bytes are the disk's either way.
 *
 * Lifetime: what `read` returns is valid until the next read or close; whoever keeps bytes copies them.
 * Owns: a source owns its file; close is idempotent.
 * Thread: the one that made it.
 */

import { CorruptionError } from '../base/errors.ts';
import type { Disk } from '../disk/disk.ts';
import type { QueueTicket } from '../disk/disk-queue.ts';
import { PageResidency } from '../disk/page-residency.ts';
import { readFully, type StorageFile } from '../files/file-system.ts';
import type { FileMapping, PageMap } from '../files/memory-map.ts';

export interface BlockSource {
  readonly path: string;
  readonly sizeBytes: number;
  /** Exactly `length` bytes from `offset`; fewer is a CorruptionError. */
  read(offset: number, length: number): Uint8Array;
  /** The same without waiting for the disk; undefined: that would wait. */
  readNow(offset: number, length: number): Uint8Array | undefined;
  /**
   * Off the thread, in memory of its own, which lasts. `isUrgent`: somebody waits for it; else it is read ahead. Rejects with
   * what read() throws. The source is closed only when it is settled.
   */
  readLater(offset: number, length: number, isUrgent: boolean, ticket?: QueueTicket): Promise<Uint8Array>;
  /** Asks memory for these bytes, where that is where they are. */
  touch?(offset: number, length: number): void;
  close(): void;
}

/** Called before allocating: a damaged length must not cost memory. */
export function checkInside(source: BlockSource, offset: number, length: number): void {
  if (offset < 0 || length < 0 || offset + length > source.sizeBytes)
    throw new CorruptionError('table is too short for a block', { file: source.path, offset });
}

/** Fills `into` from `offset` on. */
export function readExactly(file: StorageFile, into: Uint8Array, offset: number): void {
  if (readFully(file, into, offset) !== into.length)
    throw new CorruptionError('table became shorter while it was open', { file: file.path, offset });
}

/** Larger reads (huge values, meta blocks) get a buffer of their own, so that no source keeps one for ever. */
const MAX_KEPT_BYTES: number = 256 * 1024;
const LEAST_KEPT_BYTES = 8192;
const NO_BYTES = new Uint8Array(0);

/** Reads into one buffer that it keeps and reuses. */
export class PreadSource implements BlockSource {
  readonly path: string;
  readonly sizeBytes: number;
  readonly #file: StorageFile;
  readonly #disk: Disk | undefined;
  #buffer: Uint8Array = NO_BYTES;

  /** Without `disk`, for jobs, every read may wait. */
  constructor(file: StorageFile, disk?: Disk) {
    this.path = file.path;
    this.sizeBytes = file.size();
    this.#file = file;
    this.#disk = disk;
  }

  read(offset: number, length: number): Uint8Array {
    checkInside(this, offset, length);
    const into = this.#room(length);
    readExactly(this.#file, into, offset);
    return into;
  }

  readNow(offset: number, length: number): Uint8Array | undefined {
    const disk = this.#disk;
    if (disk === undefined) return this.read(offset, length);
    const file = this.#file;
    const { readResident } = file;
    if (readResident !== undefined) {
      checkInside(this, offset, length);
      const into = this.#room(length);
      if (readResident(into, offset) === length) return into;
      if (file.readResident !== undefined) return undefined;
    }
    return disk.judge.isTrusting ? disk.timed(() => this.read(offset, length)) : undefined;
  }

  readLater(offset: number, length: number, isUrgent: boolean, ticket?: QueueTicket): Promise<Uint8Array> {
    return readLater(this, this.#file, this.#disk, offset, length, isUrgent, ticket);
  }

  close(): void {
    this.#file.close();
  }

  #room(length: number): Uint8Array {
    if (length > MAX_KEPT_BYTES) return new Uint8Array(length);
    if (length > this.#buffer.length) {
      const size = Math.max(LEAST_KEPT_BYTES, 2 ** Math.ceil(Math.log2(length)));
      this.#buffer = new Uint8Array(Math.min(MAX_KEPT_BYTES, size));
    }
    return this.#buffer.subarray(0, length);
  }
}

/** Of a cache line; and as much as a common block has of them. */
const LINE_BYTES = 64;
const TOUCHED_BYTES = 4096;

/** Hands out views of a mapping. What may not be in memory is read, as a page that isn't there holds the thread. */
class MappedSource implements BlockSource {
  readonly path: string;
  readonly sizeBytes: number;
  readonly #disk: Disk | undefined;
  readonly #mapping: FileMapping;
  readonly #plain: PreadSource;
  /** undefined: the system doesn't say what memory has. */
  readonly #residency: PageResidency | undefined;
  #bytes: Uint8Array | undefined;
  /** Whatever was touched last: kept, or no compiler would read it. */
  touched = 0;

  constructor(file: StorageFile, mapping: FileMapping, disk: Disk | undefined) {
    this.path = file.path;
    this.sizeBytes = mapping.bytes.length;
    this.#disk = disk;
    this.#mapping = mapping;
    this.#plain = new PreadSource(file, disk);
    this.#residency =
      disk && mapping.pages && new PageResidency(mapping.pages, this.sizeBytes, disk.pageClock);
    this.#bytes = mapping.bytes;
  }

  #view(offset: number, length: number): Uint8Array {
    if (this.#bytes === undefined || offset < 0 || length < 0 || offset + length > this.sizeBytes) {
      throw new CorruptionError('table is too short for a block', { file: this.path, offset });
    }
    return this.#bytes.subarray(offset, offset + length);
  }

  /** Where a page would have to be waited for it is read: a mapping has the system read a great many beside it. */
  read(offset: number, length: number): Uint8Array {
    const bytes = this.#view(offset, length);
    return this.#residency?.has(offset, length) === false ? this.#plain.read(offset, length) : bytes;
  }

  readNow(offset: number, length: number): Uint8Array | undefined {
    if (this.#residency === undefined)
      return this.#disk === undefined ? this.#view(offset, length) : this.#plain.readNow(offset, length);
    const bytes = this.#view(offset, length);
    return this.#residency.has(offset, length) ? bytes : undefined;
  }

  readLater(offset: number, length: number, isUrgent: boolean, ticket?: QueueTicket): Promise<Uint8Array> {
    return this.#plain.readLater(offset, length, isUrgent, ticket);
  }

  touch(offset: number, length: number): void {
    const bytes = this.#bytes;
    if (bytes === undefined) return;
    const end = Math.min(offset + length, offset + TOUCHED_BYTES, bytes.length);
    let touched = 0;
    for (let at = offset; at < end; at += LINE_BYTES) touched ^= bytes[at]!;
    this.touched = touched;
  }

  close(): void {
    this.#bytes = undefined;
    this.#mapping.unmap();
    this.#plain.close();
  }
}

/**
 * Reads, and knows by a mapping that is never touched what memory has. Asking for that with preadv2 has the system begin to read
 * what is not there, and where memory is short the asking thread finds room for it.
 */
class ProbedSource extends PreadSource {
  readonly #mapping: FileMapping;
  readonly #residency: PageResidency;

  constructor(file: StorageFile, mapping: FileMapping, pages: PageMap, disk: Disk) {
    super(file, disk);
    this.#mapping = mapping;
    this.#residency = new PageResidency(pages, mapping.bytes.length, disk.pageClock);
  }

  override readNow(offset: number, length: number): Uint8Array | undefined {
    checkInside(this, offset, length);
    return length === 0 || this.#residency.has(offset, length) ? this.read(offset, length) : undefined;
  }

  override close(): void {
    this.#mapping.unmap();
    super.close();
  }
}

async function readLater(
  source: BlockSource,
  file: StorageFile,
  disk: Disk | undefined,
  offset: number,
  length: number,
  isUrgent: boolean,
  ticket: QueueTicket | undefined,
): Promise<Uint8Array> {
  checkInside(source, offset, length);
  if (disk === undefined) return source.read(offset, length).slice();
  return await disk.readLater(file, offset, length, isUrgent, ticket);
}

/** A source over `file`, which it takes over: mapped if `mmap` and possible, else read. */
export function openSource(file: StorageFile, mmap: boolean, disk?: Disk): BlockSource {
  const mapping = mmap || disk !== undefined ? file.map?.() : undefined;
  if (mapping === undefined) return new PreadSource(file, disk);
  if (mmap) return new MappedSource(file, mapping, disk);
  if (mapping.pages !== undefined && disk !== undefined)
    return new ProbedSource(file, mapping, mapping.pages, disk);
  mapping.unmap();
  return new PreadSource(file, disk);
}
