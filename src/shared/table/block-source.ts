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
import { CorruptionError } from '../errors.ts';
import { readFully, type StorageFile } from '../file-system.ts';
import type { FileMapping } from '../memory-map.ts';

export interface BlockSource {
  readonly path: string;
  readonly sizeBytes: number;
  /** Exactly `length` bytes from `offset`; fewer is a CorruptionError. */
  read(offset: number, length: number): Uint8Array;
  /** Without waiting for the disk; undefined: that would wait. Both are there where the source has a disk (disk.ts). */
  readNow?(offset: number, length: number): Uint8Array | undefined;
  /** Off the thread, in memory of its own. `isUrgent`: somebody waits for it; else it is read ahead. Rejects with what read() throws. */
  readLater?(offset: number, length: number, isUrgent: boolean): Promise<Uint8Array>;
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

/** Reads into one buffer that it keeps and reuses. */
export class PreadSource implements BlockSource {
  readonly path: string;
  readonly sizeBytes: number;
  readonly #file: StorageFile;
  #buffer = new Uint8Array(8192);

  constructor(file: StorageFile) {
    this.path = file.path;
    this.sizeBytes = file.size();
    this.#file = file;
  }

  read(offset: number, length: number): Uint8Array {
    checkInside(this, offset, length);
    const into = this.#room(length);
    readExactly(this.#file, into, offset);
    return into;
  }

  readNow(_offset: number, _length: number): Uint8Array | undefined {
    return undefined;
  }
  async readLater(offset: number, length: number, _isUrgent: boolean): Promise<Uint8Array> {
    await new Promise((resolve) => setTimeout(resolve, 1));
    return this.read(offset, length).slice();
  }
  close(): void {
    this.#file.close();
  }

  #room(length: number): Uint8Array {
    if (length > MAX_KEPT_BYTES) return new Uint8Array(length);
    if (length > this.#buffer.length) {
      this.#buffer = new Uint8Array(Math.min(MAX_KEPT_BYTES, 2 ** Math.ceil(Math.log2(length))));
    }
    return this.#buffer.subarray(0, length);
  }
}

/** Of a cache line; and as much as a common block has of them. */
const LINE_BYTES = 64;
const TOUCHED_BYTES = 4096;

/** Hands out views of a mapping. */
class MappedSource implements BlockSource {
  readonly path: string;
  readonly sizeBytes: number;
  readonly #mapping: FileMapping;
  #bytes: Uint8Array | undefined;
  /** Whatever was touched last: kept, or no compiler would read it. */
  touched = 0;

  constructor(path: string, mapping: FileMapping) {
    this.path = path;
    this.sizeBytes = mapping.bytes.length;
    this.#mapping = mapping;
    this.#bytes = mapping.bytes;
  }

  read(offset: number, length: number): Uint8Array {
    if (this.#bytes === undefined || offset < 0 || length < 0 || offset + length > this.sizeBytes) {
      throw new CorruptionError('table is too short for a block', { file: this.path, offset });
    }
    return this.#bytes.subarray(offset, offset + length);
  }

  readNow(_offset: number, _length: number): Uint8Array | undefined {
    return undefined;
  }
  async readLater(offset: number, length: number, _isUrgent: boolean): Promise<Uint8Array> {
    await new Promise((resolve) => setTimeout(resolve, 1));
    return this.read(offset, length).slice();
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
  }
}

/** A source over `file`, which it takes over: mapped if `mmap` and possible, else read. */
export function openSource(file: StorageFile, mmap: boolean, _disk?: unknown): BlockSource {
  const mapping = mmap ? file.map?.() : undefined;
  if (mapping === undefined) return new PreadSource(file);
  // The mapping outlives the descriptor.
  file.close();
  return new MappedSource(file.path, mapping);
}
